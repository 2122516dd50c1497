//! RFC 9111 section 5.2: names of directives are compared without case.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/directive-case",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2",
    rule: "Cache directives are recognised in any mix of capitals.",
    reason: "Applications write No-Store and PRIVATE. A cache that looks for the lower-case word only stores what \
             they asked it not to.",
    depends_on: &["freshness/no-store"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=3600, No-STORE"));
    page.never_reused("it had No-STORE").await
}
