//! RFC 9112 section 3.2: a request with two Host lines.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/host-twice",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 3.2",
    rule: "A request with two Host lines is answered with 400.",
    reason: "If the cache keys by the first and the origin answers for the second, one request stores any page of the \
             second host as the first's.",
    depends_on: &["framing/host-missing"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(page.line("GET") + &format!("Host: {OTHER_HOST}\r\n\r\n")).await?;
    refused(&mut line, &page, "two Host lines").await
}
