//! RFC 9110 section 7.6.1: fields that the Connection field of a request names go no further.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/connection-named-request",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.1",
    rule: "A request field named by Connection is removed before the request is forwarded.",
    reason: "Connection lists what concerns one hop only. An intermediary that forwards such a field lets a client \
             speak to the origin in the intermediary's name, which has been used to strip or forge the fields that \
             access control rests on.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.get().field("Connection", "X-One-Hop").field("X-One-Hop", "1").answer().await?;
    let request = page.request(1)?;
    ensure!(!request.fields.contains("X-One-Hop"), "X-One-Hop, named by Connection, reached the origin");
    let names_it = request.fields.members("Connection").any(|m| m.eq_ignore_ascii_case(b"x-one-hop"));
    ensure!(!names_it, "the client's own Connection field reached the origin");
    Ok(())
}
