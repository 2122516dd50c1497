//! RFC 9111 section 5.2.2.7: a private response is not shared among those who wait for it either.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/private-not-shared",
    area: Area::Collapsing,
    level: Level::Must,
    cite: "RFC 9111 sections 4 and 5.2.2.7",
    rule: "When requests wait for one fetch and its response turns out private, each of the others gets one of its own.",
    reason: "The cache learns that a page is private only when it arrives. Giving it to all who waited shows one \
             user's page to the others, under load and never in a test.",
    depends_on: &["freshness/private"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.page("page", Reply::ok().field("Cache-Control", "private, max-age=3600").held(&gate));
    let first = page.get().start();
    page.arrival(1).await?;
    let second = page.get().start();
    page.arrivals_within(2, Duration::from_millis(700)).await;
    gate.open();
    let (first, second) = (first.answer().await?, second.answer().await?);
    need!(
        first.status == 200 && second.status == 200,
        "the answers have status {} and {}",
        first.status,
        second.status
    );
    ensure!(
        first.number() != second.number(),
        "two clients that asked at once got the same private response"
    );
    Ok(())
}
