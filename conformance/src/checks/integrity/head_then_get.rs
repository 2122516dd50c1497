//! RFC 9111 section 3: the answer to a HEAD is not the answer to a GET.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/head-then-get",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 4; RFC 9110 section 9.3.2",
    rule: "After a HEAD request a GET for the same URI gets the content.",
    reason: "Monitors and link checkers send HEAD all the time. A cache that stores the bare head empties every page \
             they look at.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).body("the content"));
    page.ask("HEAD").answer().await?;
    let answer = page.get().answer().await?;
    let body = answer.body.whole().cloned().unwrap_or_default();
    ensure!(answer.status == 200, "after a HEAD a GET got status {}", answer.status);
    ensure!(body == "the content" && answer.complete(), "after a HEAD a GET got {} of 11 bytes", body.len());
    Ok(())
}
