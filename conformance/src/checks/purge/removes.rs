//! A purge takes effect before it is acknowledged.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/removes",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9111 section 4.4 (invalidation); the profile's purge",
    rule: "After a purge was acknowledged, the next request for that URL reaches the origin.",
    reason: "A purge is used for what must not be seen again: a wrong price, a leaked document. An acknowledgement \
             that is not true is worse than an error.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    page.stored().await?;
    purge.accepted(&page).await?;
    let next = page.get().answer().await?;
    ensure!(
        !next.from_store(),
        "the purge was acknowledged, and the next request was answered from the store"
    );
    Ok(())
}
