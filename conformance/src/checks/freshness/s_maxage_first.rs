//! RFC 9111 section 5.2.2.10: in a shared cache s-maxage overrides max-age.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/s-maxage-first",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.10",
    rule: "s-maxage=0 makes a response stale at once, whatever max-age and Expires say.",
    reason: "Publishers set s-maxage to keep browsers and shared caches apart. A shared cache that prefers max-age \
             keeps for an hour what it was told to ask for each time.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=3600, s-maxage=0"));
    page.never_reused("it had s-maxage=0").await
}
