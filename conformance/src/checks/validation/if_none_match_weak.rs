//! RFC 9110 section 13.1.2: If-None-Match compares weakly.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/if-none-match-weak",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9110 sections 13.1.2 and 8.8.3.2",
    rule: "W/\"v1\" in If-None-Match matches a stored response with the entity tag \"v1\".",
    reason: "Intermediaries that compress on the fly make tags weak. Comparing them byte by byte turns every \
             revalidation of such content into a full transfer.",
    depends_on: &["validation/if-none-match-answered"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).etag("\"v1\""));
    page.stored().await?;
    let exact = page.get().field("If-None-Match", "\"v1\"").answer().await?;
    need!(exact.status == 304 && exact.asked == 0, "the candidate does not evaluate If-None-Match");
    let weak = page.get().field("If-None-Match", "W/\"v1\"").answer().await?;
    // Whoever leaves the condition to the origin has compared nothing.
    need!(weak.asked == 0, "the candidate forwards a request whose If-None-Match holds a weak tag");
    ensure!(weak.status == 304, "W/\"v1\" did not match \"v1\": status {}", weak.status);
    Ok(())
}
