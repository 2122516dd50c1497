//! RFC 9111 section 5.2.2.7: a shared cache does not store a private response.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/private",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.7",
    rule: "A response with private is not stored by a shared cache.",
    reason: "private marks what was made for one user. A shared cache that stores it shows one customer another's \
             account: the worst that a cache can do.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "private, max-age=3600"));
    page.never_reused("it had private").await
}
