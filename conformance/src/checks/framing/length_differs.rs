//! RFC 9112 section 6.3: two Content-Length values in a request.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/length-differs",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 6.3",
    rule: "A request with two different Content-Length values is refused.",
    reason: "One hop takes the first, the next the last, and the bytes between are a request that nobody checked.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(page.line("POST") + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!").await?;
    refused(&mut line, &page, "two Content-Length lines, 5 and 6").await
}
