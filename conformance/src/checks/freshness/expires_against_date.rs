//! RFC 9111 section 4.2.1: the lifetime that Expires gives is counted from the response's Date.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/expires-against-date",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 4.2.1 and 4.2.4",
    rule: "Without max-age the lifetime is Expires minus Date; equal values mean stale at once.",
    reason: "The origin's clock may be ahead of the cache's. Comparing Expires with the cache's own clock then keeps \
             for an hour what the origin declared expired the moment it was made.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let ahead = t.now().plus(Duration::from_secs(3600));
    let page = t.page("page", Reply::ok().date(ahead).field("Expires", &http_date(ahead)));
    page.never_reused("its Expires equalled its Date").await
}
