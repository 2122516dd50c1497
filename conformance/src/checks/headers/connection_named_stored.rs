//! RFC 9110 section 7.6.1: fields named by Connection do not come from the store, wherever they are removed.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/connection-named-stored",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.1; RFC 9111 section 3.1",
    rule: "A field named by Connection is not sent when the stored response is reused.",
    reason: "A cache that filters while it relays but stores the response as it came gives the field to every later \
             client, long after the connection it belonged to has gone.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Connection", "X-One-Hop").field("X-One-Hop", "1"));
    let stored = page.stored().await?;
    ensure!(!stored.hit.fields.contains("X-One-Hop"), "X-One-Hop, named by Connection, came from the store");
    Ok(())
}
