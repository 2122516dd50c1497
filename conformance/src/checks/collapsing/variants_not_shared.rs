//! RFC 9111 section 4.1: those who wait for a fetch get its response only if it matches their request.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/variants-not-shared",
    area: Area::Collapsing,
    level: Level::Must,
    cite: "RFC 9111 sections 4 and 4.1",
    rule: "A request that waited for another's fetch does not get a response whose Vary it does not match.",
    reason: "On the first request nobody knows yet that a page varies. Whoever waited with another language or coding \
             must not be given the first one's.",
    depends_on: &["vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.page("page", Reply::fresh(3600).field("Vary", "Accept-Language").held(&gate));
    let first = page.get().field("Accept-Language", "gd").start();
    page.arrival(1).await?;
    let second = page.get().field("Accept-Language", "mt").start();
    page.arrivals_within(2, Duration::from_millis(700)).await;
    gate.open();
    let (first, second) = (first.answer().await?, second.answer().await?);
    need!(
        first.status == 200 && second.status == 200,
        "the answers have status {} and {}",
        first.status,
        second.status
    );
    ensure!(first.number() != second.number(), "the response for `gd` went to a client that asked for `mt`");
    Ok(())
}
