//! RFC 9111 section 5.3: where there is max-age, Expires is ignored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/max-age-over-expires",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.3",
    rule: "max-age=0 makes a response stale at once, even with Expires in the future.",
    reason: "Frameworks add Expires by default and applications correct it with max-age. Taking Expires brings back \
             the default that somebody deliberately overrode.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let later = http_date(t.now().plus(Duration::from_secs(7200)));
    let page = t.page("page", Reply::ok().field("Expires", &later).field("Cache-Control", "max-age=0"));
    page.never_reused("it had max-age=0 beside an Expires in two hours").await
}
