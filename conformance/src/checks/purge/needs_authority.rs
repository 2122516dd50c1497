//! A purge needs the credentials that the profile gives.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/needs-authority",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9110 sections 15.5.2 and 15.5.4; the profile's purge",
    rule: "A purge without the profile's credentials, or with wrong ones, is refused and removes nothing.",
    reason: "Who may purge may switch the cache off. Purge methods open to everybody have been used for exactly that.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    need!(purge.has_credentials(), "the profile's purge has no credentials to leave out");
    page.stored().await?;
    for (credentials, name) in
        [(Credentials::None, "without credentials"), (Credentials::Wrong, "with wrong ones")]
    {
        let purged = purge.with(&page, credentials).await?;
        ensure!(purged.refused(), "a purge {name} was answered {}", purged.text());
        let next = page.get().answer().await?;
        ensure!(next.from_store(), "a purge {name} was refused and removed the object all the same");
    }
    Ok(())
}
