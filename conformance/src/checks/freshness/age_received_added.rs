//! RFC 9111 section 4.2.3: the Age a response arrives with counts.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/age-received-added",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 4.2.3",
    rule: "A response that arrived with Age: 100 leaves the store with an Age of at least 100.",
    reason: "In a hierarchy of caches the lower one must go on counting where the upper one stopped; one that starts \
             at zero doubles every lifetime.",
    depends_on: &["freshness/age-on-hit"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Age", "100"));
    let hit = page.stored().await?.hit;
    let age = hit
        .age()
        .ok_or_else(|| Stop::Broken("the response came from the store without one valid Age".into()))?;
    ensure!(age >= 100, "the origin said Age: 100; from the store the response says Age: {age}");
    Ok(())
}
