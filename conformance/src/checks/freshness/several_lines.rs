//! RFC 9110 section 5.3: a list field may come in several lines.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/several-lines",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9110 section 5.2; RFC 9111 section 5.2",
    rule: "Directives in a second Cache-Control line count like those in the first.",
    reason: "A framework writes one line and the application adds another. Reading only the first drops the \
             application's decision.",
    depends_on: &["freshness/no-store"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::ok().field("Cache-Control", "max-age=3600").field("Cache-Control", "no-store");
    t.page("page", reply).never_reused("its second Cache-Control line had no-store").await
}
