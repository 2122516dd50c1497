//! The cache's own error for a failed fetch (RFC 9110 section 15.6.3) is not kept. No RFC forbids it.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "limits/failure-not-kept",
    area: Area::Limits,
    level: Level::Behaviour,
    cite: "RFC 9110 section 15.6.3",
    rule: "When the origin closes without an answer and then recovers, the next request gets the page.",
    reason: "Connections break. A cache that remembers the failure, or keeps using the broken connection, makes the \
             outage longer than it was.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let broken = t.switch();
    let gone = broken.clone();
    broken.turn_on();
    let page = t.script("page", move |_, _| if gone.on() { Reply::nothing() } else { Reply::fresh(3600) });
    page.get().answer_or_close().await?;
    broken.turn_off();
    let next = page.get().answer().await?;
    ensure!(next.status == 200, "the origin answers again, and a GET got status {}", next.status);
    Ok(())
}
