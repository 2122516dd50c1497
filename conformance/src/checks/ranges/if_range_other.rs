//! RFC 9110 section 13.1.5: a range of another version is not sent.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/if-range-other",
    area: Area::Ranges,
    level: Level::Must,
    cite: "RFC 9110 section 13.1.5",
    rule: "When If-Range holds another entity tag than the stored response, the whole is sent with 200.",
    reason: "If-Range asks: the rest of this version, or all of the new one. Sending the rest of the new one makes a \
             file of two halves that never belonged together.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page =
        t.page("page", Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v2\"").body("0123456789"));
    page.fill().await?;
    let answer = page.get().field("Range", "bytes=5-").field("If-Range", "\"v1\"").answer().await?;
    ensure!(answer.status == 200, "If-Range did not match and the status is {}", answer.status);
    ensure!(answer.body.length == 10, "If-Range did not match and {} of 10 bytes came", answer.body.length);
    Ok(())
}
