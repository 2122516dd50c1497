//! RFC 9111 section 5.2.1.7: a client may ask for a stored answer or none.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/only-if-cached",
    area: Area::Freshness,
    level: Level::May,
    cite: "RFC 9111 section 5.2.1.7",
    rule: "A request with only-if-cached for something not stored is answered 504 and not forwarded.",
    reason: "Sibling caches use it to ask one another without causing load at the origin. Caches may ignore it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let answer = page.get().field("Cache-Control", "only-if-cached").answer().await?;
    ensure!(page.count() == 0, "the request had only-if-cached and was forwarded");
    ensure!(answer.status == 504, "nothing was stored, and the status is {} instead of 504", answer.status);
    Ok(())
}
