//! RFC 9111 section 4.3.2: a conditional request that the stored response can answer is answered with 304.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/if-none-match-answered",
    area: Area::Validation,
    level: Level::Should,
    cite: "RFC 9111 section 4.3.2",
    rule: "A request whose If-None-Match holds the entity tag of the fresh stored response gets 304.",
    reason: "Browsers that reload have most of a page already. A cache that sends it again costs its users the \
             transfer and its operator the bandwidth.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).etag("\"v1\""));
    page.stored().await?;
    let answer = page.get().field("If-None-Match", "\"v0\", \"v1\"").answer().await?;
    ensure!(
        answer.status == 304,
        "the stored response has this entity tag; status {} instead of 304",
        answer.status
    );
    ensure!(answer.body.is_empty(), "the 304 has {} bytes of content", answer.body.length);
    Ok(())
}
