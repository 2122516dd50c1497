//! RFC 9111 section 4.3.3: a full answer to a validation is the new answer.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/full-answer-replaces",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 sections 4 and 4.3.3",
    rule: "When a validation is answered with new content, the old content is not served any more.",
    reason: "A cache that keeps the old response beside the new one, or goes back to it, shows readers the past after \
             they have seen the present.",
    depends_on: &["freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let first = Reply::fresh(3).etag("\"v1\"");
    let page = t.pages("page", [first, Reply::fresh(3600).etag("\"v2\"")]);
    page.gone_stale().await?;
    for which in ["answer to the validation", "answer after it", "third answer"] {
        let answer = page.get().answer().await?;
        ensure!(answer.number() != Some(1), "the {which} is the content that was replaced");
        ensure!(answer.status == 200, "the {which} has status {}", answer.status);
    }
    Ok(())
}
