//! RFC 9111 section 3.2: a 304 updates the stored fields.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/not-modified-updates",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 sections 3.2 and 4.3.4",
    rule: "Fields of a 304 replace those of the stored response it validates.",
    reason: "Security policy and lifetimes change without the content changing. A cache that keeps the old fields \
             keeps the old policy in force for as long as the file stays the same.",
    depends_on: &["freshness/max-age-elapses", "validation/not-modified-unasked"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let first = Reply::fresh(3).etag("\"v1\"").field("X-Policy", "old");
    let second =
        Reply::not_modified().field("Cache-Control", "max-age=3600").etag("\"v1\"").field("X-Policy", "new");
    let page = t.validated("page", first, second);
    page.gone_stale().await?;
    let answer = page.get().answer().await?;
    need!(page.validations() > 0, "the candidate asked again without a condition: it does not validate");
    let hit = page.get().answer().await?;
    for (answer, which) in [(&answer, "answer that the 304 validated"), (&hit, "answer after it")] {
        let policy = answer.fields.get_str("X-Policy").unwrap_or("missing");
        ensure!(policy == "new", "the 304 had X-Policy: new; in the {which} it is `{policy}`");
    }
    Ok(())
}
