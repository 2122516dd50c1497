//! What was being fetched when the purge came is not stored as fresh.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/fetch-under-way",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "the profile's purge",
    rule: "A response whose fetch began before the purge does not answer requests that come after it.",
    reason: "The origin may have read the old content before it was corrected. Storing it after the purge undoes the \
             purge, and it happens exactly for what is most in demand.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.pages("page", [Reply::fresh(3600).held(&gate), Reply::fresh(3600)]);
    let purge = t.purger()?;
    let before = page.get().start();
    page.arrival(1).await?;
    let purged = purge.of(&page).await?;
    if !purged.acknowledged() {
        gate.open();
    }
    need!(purged.acknowledged(), "a purge of what is being fetched was answered {}", purged.text());
    gate.open();
    before.answer().await?;
    let next = page.get().answer().await?;
    ensure!(next.number() != Some(1), "the response fetched before the purge was served after it");
    Ok(())
}
