//! RFC 5861 section 3: stale content may be served while it is validated in the background.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/stale-while-revalidate",
    area: Area::Freshness,
    level: Level::May,
    cite: "RFC 5861 section 3",
    rule: "Within stale-while-revalidate a stale response is served at once and the origin is asked meanwhile.",
    reason: "It hides the origin's latency from the one client who comes first after expiry. Optional, and among the \
             first things operators ask a cache for.",
    depends_on: &["freshness/stored-response-reused", "freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=3, stale-while-revalidate=60"));
    page.gone_stale().await?;
    let late = page.get().answer().await?;
    ensure!(
        late.number() == Some(1),
        "stale, within stale-while-revalidate: the client had to wait for the origin"
    );
    let asked = page.arrival(2).await;
    ensure!(asked.is_ok(), "the stale response was served, and the origin was not asked for a new one");
    Ok(())
}
