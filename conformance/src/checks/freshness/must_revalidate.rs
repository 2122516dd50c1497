//! RFC 9111 section 5.2.2.2: with must-revalidate nothing stale is served, even when the origin is gone.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/must-revalidate",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.2",
    rule: "A stale response with must-revalidate is not served when the origin cannot be reached.",
    reason: "Most caches serve stale content while an origin is down, which is good, except where the publisher said \
             that an error is better than an old answer: balances, stock, revocations.",
    depends_on: &["freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let fresh = Reply::ok().field("Cache-Control", "max-age=3, must-revalidate");
    let broken = t.switch();
    let gone = broken.clone();
    let page = t.script("page", move |_, _| if gone.on() { Reply::nothing() } else { fresh.clone() });
    page.gone_stale().await?;
    broken.turn_on();
    let late = page.get().answer().await?;
    let status = late.status;
    ensure!(
        status >= 400,
        "stale, with must-revalidate and the origin closing connections: status {status}, not an error"
    );
    Ok(())
}
