//! RFC 9111 section 3.5: an answer to a request with Authorization is not shared.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/authorization",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 3.5",
    rule: "The response to a request with Authorization is not reused, unless it says public, s-maxage or \
           must-revalidate.",
    reason: "What one user sees after logging in must not be shown to the next. Many applications set max-age for \
             browsers and rely on this rule for everybody between.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.get().field("Authorization", "Basic dXNlcjpwYXNz").answer().await?;
    let request = page.request(1)?;
    need!(request.fields.contains("Authorization"), "the candidate does not forward Authorization");
    let other = page.get().answer().await?;
    ensure!(!other.from_store(), "a request without credentials got the answer to one with Authorization");
    Ok(())
}
