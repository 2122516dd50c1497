//! RFC 9111 section 5.2.1.4: a client may ask for a validated answer.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/request-no-cache",
    area: Area::Freshness,
    level: Level::May,
    cite: "RFC 9111 section 5.2.1.4",
    rule: "A request with Cache-Control: no-cache is not answered without asking the origin.",
    reason: "It is what a browser's reload sends. Caches may ignore it, and busy ones do on purpose; operators should \
             know which they run.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.stored().await?;
    let answer = page.get().field("Cache-Control", "no-cache").answer().await?;
    ensure!(!answer.from_store(), "the request had no-cache and was answered from the store");
    Ok(())
}
