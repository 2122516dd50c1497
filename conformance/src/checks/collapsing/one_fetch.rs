//! RFC 9111 section 4: simultaneous requests for one thing may be answered by one fetch.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/one-fetch",
    area: Area::Collapsing,
    level: Level::Behaviour,
    cite: "RFC 9111 section 4",
    rule: "Five requests that arrive while the first is being fetched cause one request to the origin.",
    reason: "When something popular expires, everybody asks at once. Without collapsing the origin gets all of it, at \
             the moment it can least bear it.",
    depends_on: &["freshness/stored-response-reused"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.page("page", Reply::fresh(3600).held(&gate));
    let first = page.get().start();
    page.arrival(1).await?;
    let others: Vec<_> = (0..4).map(|_| page.get().start()).collect();
    let arrived = page.arrivals_within(5, Duration::from_millis(700)).await;
    gate.open();
    first.answer().await?;
    for other in others {
        other.answer().await?;
    }
    let total = page.count().max(arrived);
    ensure!(total == 1, "five simultaneous requests caused {total} requests to the origin");
    Ok(())
}
