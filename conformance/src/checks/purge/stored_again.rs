//! What is fetched after a purge is stored again.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/stored-again",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "the profile's purge",
    rule: "A response fetched after a purge is stored and reused like any other.",
    reason: "A purge marks the past, not the URL. Where the mark stays, a page that was purged once is never cached \
             again, and the load comes back weeks later.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    page.stored().await?;
    purge.accepted(&page).await?;
    let mut reused = false;
    for _ in 0..3 {
        reused |= page.get().answer().await?.from_store();
    }
    ensure!(reused, "after the purge each request reached the origin");
    Ok(())
}
