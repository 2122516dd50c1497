//! A purge of what is not there succeeds.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/absent",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "the profile's purge",
    rule: "A purge of a URL that is not stored is answered without a server error, as often as it is sent.",
    reason: "Publishing systems purge everything a change touches and retry when unsure. An error for what was gone \
             already stops the ones that check.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("never-fetched", Reply::fresh(3600));
    let purge = t.purger()?;
    for time in ["first", "second"] {
        let purged = purge.of(&page).await?;
        ensure!(
            purged.harmless(),
            "the {time} purge of a URL that is not stored was answered {}",
            purged.text()
        );
    }
    ensure!(page.count() == 0, "the purge caused {} requests to the origin", page.count());
    Ok(())
}
