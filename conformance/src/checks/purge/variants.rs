//! A purge by URL takes all variants.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/variants",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9111 section 4.4 (all stored responses for the URI); the profile's purge",
    rule: "A purge of a URL removes every variant stored under it.",
    reason: "Whoever purges a page means the page, not its English version for browsers that take gzip. A variant \
             that survives keeps serving the withdrawn content to part of the users.",
    depends_on: &["purge/removes", "vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Vary", "Accept-Language"));
    let purge = t.purger()?;
    let ask = |language: &str| page.get().field("Accept-Language", language).answer();
    for language in ["gd", "mt", "gd", "mt"] {
        ask(language).await?;
    }
    let (one, two) = (ask("gd").await?, ask("mt").await?);
    need!(one.from_store() && two.from_store(), "the candidate does not hold two variants of one URL");
    purge.accepted(&page).await?;
    for language in ["gd", "mt"] {
        let next = ask(language).await?;
        ensure!(!next.from_store(), "the variant for Accept-Language: {language} survived the purge");
    }
    Ok(())
}
