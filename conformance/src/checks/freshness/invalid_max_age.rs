//! RFC 9111 section 4.2.1: a max-age that is no number means stale.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/invalid-max-age",
    area: Area::Freshness,
    level: Level::Should,
    cite: "RFC 9111 section 4.2.1",
    rule: "A response whose max-age is not a number of seconds is treated as stale.",
    reason: "Reading the digits at the start of a malformed value invents a lifetime. The publisher's mistake is \
             noticed sooner when nothing is cached than when something is for too long.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=3600.5x"));
    page.never_reused("its max-age was `3600.5x`").await
}
