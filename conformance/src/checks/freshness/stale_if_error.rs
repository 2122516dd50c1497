//! RFC 5861 section 4: stale content may be served when the origin fails.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/stale-if-error",
    area: Area::Freshness,
    level: Level::May,
    cite: "RFC 5861 section 4",
    rule: "Within stale-if-error a stale response is served when the origin answers 503 or closes the connection.",
    reason: "An origin that is down for a minute need not be noticed. Caches often cover the error status and forget \
             the connection that fails.",
    depends_on: &["freshness/stored-response-reused", "freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let fresh = Reply::ok().field("Cache-Control", "max-age=3, stale-if-error=60");
    let broken = t.switch();
    let (failing, whole) = (broken.clone(), fresh.clone());
    let error = t.script("error", move |_, _| if failing.on() { Reply::new(503) } else { whole.clone() });
    let gone = broken.clone();
    let closed = t.script("closed", move |_, _| if gone.on() { Reply::nothing() } else { fresh.clone() });
    let (one, other) = tokio::join!(error.gone_stale(), closed.gone_stale());
    one.and(other)?;
    broken.turn_on();
    let late = error.get().answer().await?;
    ensure!(
        late.status == 200,
        "stale, within stale-if-error, the origin answered 503: status {}",
        late.status
    );
    let late = closed.get().answer().await?;
    ensure!(late.status == 200, "stale, within stale-if-error, the origin closed: status {}", late.status);
    Ok(())
}
