//! A purge covers HEAD as well.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/head-too",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9111 section 4.4 (all stored responses for the URI); the profile's purge",
    rule: "After a purge a HEAD request is not answered from the purged object.",
    reason: "Monitors, mirrors and publishing tools use HEAD to see whether a purge worked. A head kept apart tells \
             them that it did not, or that it did when it did not.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    page.stored().await?;
    page.ask("HEAD").answer().await?;
    let before = page.count();
    purge.accepted(&page).await?;
    let next = page.ask("HEAD").answer().await?;
    let old = next.asked == 0 && next.number().is_some_and(|n| n <= before);
    ensure!(!old, "after the purge a HEAD was answered from the purged object");
    Ok(())
}
