//! RFC 9110 section 13.1.5: If-Range compares strongly.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/if-range-weak",
    area: Area::Ranges,
    level: Level::Must,
    cite: "RFC 9110 sections 13.1.5 and 8.8.3.2",
    rule: "A weak entity tag in If-Range never matches; the whole is sent with 200.",
    reason: "A weak tag promises the same meaning, not the same bytes. Pieces of two weakly equal versions do not fit \
             together.",
    depends_on: &["ranges/if-range-other"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t
        .page("page", Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("W/\"v1\"").body("0123456789"));
    page.stored().await?;
    let answer = page.get().field("Range", "bytes=5-").field("If-Range", "W/\"v1\"").answer().await?;
    ensure!(answer.status == 200, "If-Range held a weak tag and the status is {}", answer.status);
    Ok(())
}
