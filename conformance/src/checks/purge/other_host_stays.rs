//! A purge on one host leaves the same path on another.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/other-host-stays",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9111 section 4.4; the profile's purge (by URL)",
    rule: "A purge of a URL does not remove what is stored for the same path on another host.",
    reason: "On a shared cache the other host is another customer.",
    depends_on: &["purge/removes", "integrity/host-in-key"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    let other = || page.get().host(OTHER_HOST).answer();
    page.get().answer().await?;
    let first = other().await?;
    need!(!first.from_store(), "the candidate treats both hosts as one site");
    need!(first.status == 200, "a request for another host got status {}", first.status);
    need!(other().await?.from_store(), "nothing was stored for the other host");
    purge.accepted(&page).await?;
    let next = other().await?;
    ensure!(next.from_store(), "the purge on {} took the same path of {OTHER_HOST} with it", t.authority());
    Ok(())
}
