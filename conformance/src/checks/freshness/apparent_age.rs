//! RFC 9111 section 4.2.3: a Date in the past makes a response as old as that.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/apparent-age",
    area: Area::Freshness,
    level: Level::May,
    cite: "RFC 9111 section 4.2.3",
    rule: "A response whose Date is further back than its max-age is not reused without validation.",
    reason: "Caches that send no Age exist, so Date is the second witness of how old a response is. Without it a \
             response that waited in such a cache for hours counts as new.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let past = exchange::Time::new(t.now().seconds() - 7200, 0);
    let page = t.page("page", Reply::fresh(3600).date(past));
    page.never_reused("it had a Date two hours ago and max-age=3600").await
}
