//! RFC 9110 section 7.6.1: fields that the Connection field of a response names go no further.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/connection-named-response",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.1",
    rule: "A response field named by Connection is removed before the response is relayed.",
    reason: "What an origin says to its neighbour only (a debugging field, a hint about this connection) is not for \
             the client: relayed, it is taken for a statement about the response.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Connection", "X-One-Hop").field("X-One-Hop", "1"));
    let answer = page.fill().await?;
    ensure!(!answer.fields.contains("X-One-Hop"), "X-One-Hop, named by Connection, reached the client");
    Ok(())
}
