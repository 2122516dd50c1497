//! RFC 9111 section 4: a fresh stored response answers the next request.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/stored-response-reused",
    area: Area::Freshness,
    level: Level::Behaviour,
    cite: "RFC 9111 section 4",
    rule: "A response with max-age=3600 answers the next GET from the store.",
    reason: "No cache has to store anything. Whether this one does tells how much the other verdicts rest on: the \
             checks that need a stored response are not judged without one.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.fill().await?;
    let mut again = page.get().answer().await?;
    if !again.from_store() {
        again = page.get().answer().await?;
    }
    ensure!(again.from_store(), "each request for a response with max-age=3600 reached the origin");
    Ok(())
}
