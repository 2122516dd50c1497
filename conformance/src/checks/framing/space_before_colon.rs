//! RFC 9112 section 5.1: no space between field name and colon.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/space-before-colon",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 5.1",
    rule: "A request with whitespace between a field name and its colon is refused.",
    reason: "One hop takes the line for the field, the next for an unknown one. With Content-Length or \
             Transfer-Encoding that is a smuggled request.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(page.line("GET") + "X-Spaced : 1\r\n\r\n").await?;
    refused(&mut line, &page, "whitespace before a colon").await
}
