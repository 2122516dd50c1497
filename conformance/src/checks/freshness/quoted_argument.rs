//! RFC 9111 section 5.2: what stands inside a quoted argument is no directive.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/quoted-argument",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 5.2 and 5.2.3; RFC 9110 section 5.6.4",
    rule: "A max-age inside the quoted argument of an unknown directive gives no lifetime.",
    reason: "Parsers that search for `max-age=` find it inside other directives' arguments, and content gets a \
             lifetime that nobody set.",
    depends_on: &["freshness/max-age-over-expires"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::ok().field("Cache-Control", "ext=\"a, max-age=3600, b\", max-age=0");
    t.page("page", reply).never_reused("its only max-age outside quotes was 0").await
}
