//! RFC 9213 section 2.2: a CDN obeys CDN-Cache-Control before Cache-Control.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/cdn-cache-control",
    area: Area::Freshness,
    level: Level::Behaviour,
    cite: "RFC 9213 sections 2.2 and 3",
    rule: "CDN-Cache-Control: max-age=0 makes a response stale at once beside Cache-Control: max-age=3600.",
    reason: "The field lets a publisher give the CDN other lifetimes than browsers. A cache that does not know it is \
             within its rights; a publisher who relies on it must know.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("CDN-Cache-Control", "max-age=0"));
    page.never_reused("it had CDN-Cache-Control: max-age=0").await
}
