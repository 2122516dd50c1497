//! RFC 9111 section 4.2.3: a response that arrives older than its lifetime is stale.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/age-received-stale",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 4.2.3 and 4.2.4",
    rule: "A response that arrives with an Age above its max-age is not reused without validation.",
    reason: "Behind another cache, the response a cache receives has used up part of its lifetime. Ignoring that \
             serves content after the moment its publisher set.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Age", "7200"));
    page.never_reused("it arrived with Age: 7200 and max-age=3600").await
}
