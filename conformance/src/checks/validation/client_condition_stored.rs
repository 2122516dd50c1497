//! RFC 9111 section 3: a 304 that answers a client's own condition is not stored as the content.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/client-condition-stored",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 section 3; RFC 9110 section 15.4.5",
    rule: "After a client's own condition was answered with 304, the next client gets the content.",
    reason: "The first request after a purge or restart often comes from a browser that has the page. If its 304 is \
             kept as the answer, everybody who has not gets nothing.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let whole = Reply::fresh(3600).etag("\"v1\"");
    let page = t.validated(
        "page",
        whole,
        Reply::not_modified().etag("\"v1\"").field("Cache-Control", "max-age=3600"),
    );
    page.get().field("If-None-Match", "\"v1\"").answer().await?;
    let next = page.get().answer().await?;
    ensure!(next.status == 200, "after another client's 304 a plain GET got status {}", next.status);
    ensure!(!next.body.is_empty(), "after another client's 304 a plain GET got no content");
    Ok(())
}
