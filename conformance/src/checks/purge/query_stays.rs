//! A purge of /a leaves /a?x.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/query-stays",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "RFC 9110 section 4.2.3; the profile's purge (by URL)",
    rule: "A purge of a URL does not remove what is stored for the same path with a query.",
    reason: "With and without query are two URLs. A purge that takes both is a purge by path, which should be asked \
             for by that name.",
    depends_on: &["purge/removes", "integrity/query-in-key"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("a", Reply::fresh(3600));
    let purge = t.purger()?;
    for suffix in ["", "?x", "", "?x"] {
        page.get_at(suffix).answer().await?;
    }
    let stored = page.get_at("?x").answer().await?;
    need!(stored.from_store(), "the candidate does not store responses for URLs with a query");
    purge.accepted(&page).await?;
    let next = page.get_at("?x").answer().await?;
    ensure!(next.from_store(), "the purge of /a took /a?x with it");
    Ok(())
}
