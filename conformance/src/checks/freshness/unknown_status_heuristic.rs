//! RFC 9111 section 4.2.2: no heuristic lifetime for a status that is not defined as cacheable.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/unknown-status-heuristic",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 3 and 4.2.2",
    rule: "A response with an unknown status and no explicit lifetime is not stored on a heuristic.",
    reason: "A heuristic is a guess about known kinds of responses. Applied to a status the cache cannot interpret it \
             turns a passing error into one that lasts as long as the guess.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let old = http_date(exchange::Time::new(t.now().seconds() - 400 * 86_400, 0));
    let page = t.page("page", Reply::new(499).field("Last-Modified", &old));
    page.never_reused("it had status 499 and no lifetime").await
}
