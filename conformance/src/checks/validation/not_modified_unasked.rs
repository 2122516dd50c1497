//! RFC 9111 section 4.3.3: a 304 to the cache's own question is not the client's answer.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/not-modified-unasked",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 section 4.3.3; RFC 9110 section 15.4.5",
    rule: "A client that sent no condition gets the content when the cache's validation is answered with 304.",
    reason: "The cache has the content, the client has not. A 304 passed on shows an empty page.",
    depends_on: &["freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let first = Reply::fresh(3).etag("\"v1\"");
    let page = t.validated("page", first, Reply::not_modified().etag("\"v1\""));
    page.gone_stale().await?;
    let answer = page.get().answer().await?;
    need!(page.validations() > 0, "the candidate asked again without a condition: it does not validate");
    ensure!(answer.status == 200, "a request without condition got status {}", answer.status);
    ensure!(!answer.body.is_empty(), "a request without condition got 200 and no content");
    Ok(())
}
