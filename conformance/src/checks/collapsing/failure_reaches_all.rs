//! RFC 9110 section 15.6.3: a fetch that fails is answered for everybody who waits.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/failure-reaches-all",
    area: Area::Collapsing,
    level: Level::Behaviour,
    cite: "RFC 9110 sections 15.6.3 and 15.6.5",
    rule: "When the origin closes without an answer, every client that waited for that fetch gets an answer.",
    reason: "Waiters that nobody wakes hang until their own time runs out, holding connections: a short failure of \
             the origin becomes a long one of the cache.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.pages("page", [Reply::nothing().held(&gate), Reply::fresh(3600)]);
    let first = page.get().start();
    page.arrival(1).await?;
    let others: Vec<_> = (0..3).map(|_| page.get().start()).collect();
    page.arrivals_within(2, Duration::from_millis(700)).await;
    gate.open();
    first.answer_or_close().await?;
    for other in others {
        match other.answer().await {
            Err(Stop::Hung(_)) => {
                return Err(Stop::Hung("a client that waited for the failed fetch got no answer".into()));
            }
            Err(Stop::Dropped(_)) => {
                return Err(Stop::Broken("a client that waited for the failed fetch was dropped".into()));
            }
            answer => answer?,
        };
    }
    Ok(())
}
