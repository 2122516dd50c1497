//! RFC 9111 section 3: with must-understand an unknown status is not stored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/must-understand",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 3 and 5.2.2.3",
    rule: "A response with must-understand and a status the cache does not know is not stored.",
    reason: "A new status may change how its response may be used (206 did). must-understand lets an origin send one \
             without risk from caches that are older than the status.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::new(299).field("Cache-Control", "max-age=3600, must-understand"));
    page.never_reused("it had must-understand and status 299").await
}
