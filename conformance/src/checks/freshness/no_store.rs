//! RFC 9111 section 5.2.2.5: a response with no-store is not stored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/no-store",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.5",
    rule: "A response with no-store answers the request it was made for and no other.",
    reason: "no-store marks what must not lie around: account pages, one-time tokens. Reuse shows it to the next \
             person who asks.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "no-store, max-age=3600").etag("\"v1\""));
    page.never_reused("it had no-store").await?;
    let conditional = page.requests().iter().any(|r| r.fields.contains("If-None-Match"));
    ensure!(
        !conditional,
        "the origin was asked with the ETag of a response that had no-store: it was stored"
    );
    Ok(())
}
