//! RFC 9111 section 4.1: every field counts, however long the list.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/long-list",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9111 section 4.1",
    rule: "The last of twenty fields named in Vary selects like the first.",
    reason: "Caches hold Vary in fixed space. Cutting a long list short silently drops the field that keeps two \
             customers' pages apart; not storing such a response is the safe way out.",
    depends_on: &["vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let names: Vec<String> = (1..=20).map(|n| format!("X-Selecting-Field-{n}")).collect();
    let page = t.page("page", Reply::fresh(3600).field("Vary", &names.join(", ")));
    page.get().field("X-Selecting-Field-20", "1").answer().await?;
    let other = page.get().field("X-Selecting-Field-20", "2").answer().await?;
    ensure!(!other.from_store(), "the twentieth field named in Vary was not compared");
    Ok(())
}
