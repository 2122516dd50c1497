//! RFC 9110 section 13.1.2: a tag that does not match gets the content.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/if-none-match-other",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9110 sections 13.1.2 and 13.2.2",
    rule: "A request whose If-None-Match holds only other tags gets the content, not 304.",
    reason: "A 304 for a tag that does not match leaves the client with the version it has, for as long as the cache \
             answers so: users keep seeing a page that was replaced.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).etag("\"v2\""));
    page.fill().await?;
    for tag in ["\"v1\"", "\"v\"", "\"w1\", W/\"v2x\""] {
        let answer = page.get().field("If-None-Match", tag).answer().await?;
        ensure!(answer.status == 200, "the tag is \"v2\"; If-None-Match: {tag} got status {}", answer.status);
    }
    Ok(())
}
