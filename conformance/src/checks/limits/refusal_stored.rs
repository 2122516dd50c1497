//! RFC 9111 section 3: an error without a lifetime of its own is not stored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "limits/refusal-stored",
    area: Area::Limits,
    level: Level::Must,
    cite: "RFC 9111 sections 3 and 4.2.2",
    rule: "A 400 without explicit lifetime, caused by one request, does not answer the next.",
    reason: "400 is not among the statuses that may be kept on a heuristic. Kept all the same, one malformed request \
             in a thousand becomes an outage.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.script("page", |_, request| {
        if request.fields.contains("X-Malformed") { Reply::new(400) } else { Reply::fresh(3600) }
    });
    let refused = page.get().field("X-Malformed", "1").answer().await?;
    need!(refused.status == 400, "the origin's 400 reached the client as {}", refused.status);
    let next = page.get().answer().await?;
    ensure!(next.status == 200, "after another request's 400 a plain GET got status {}", next.status);
    Ok(())
}
