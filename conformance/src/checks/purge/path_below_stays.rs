//! A purge of /a leaves /a/b.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/path-below-stays",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "the profile's purge (by URL)",
    rule: "A purge of a URL does not remove what is stored under a longer path that starts like it.",
    reason: "Purging the home page must not empty the site: the origin gets every request at once, and nobody \
             expected it.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("a", Reply::fresh(3600));
    let below = t.longer(&page, "/b", Reply::fresh(3600));
    let beside = t.longer(&page, "b", Reply::fresh(3600));
    let purge = t.purger()?;
    for each in [&page, &below, &beside] {
        each.stored().await?;
    }
    purge.accepted(&page).await?;
    for (each, name) in [(&below, "/a/b"), (&beside, "/ab")] {
        let next = each.get().answer().await?;
        ensure!(next.from_store(), "the purge of /a took {name} with it");
    }
    Ok(())
}
