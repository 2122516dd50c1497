//! RFC 9112 section 6.3: a request whose last transfer coding is not chunked.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/chunked-not-last",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 sections 6.1 and 6.3",
    rule: "A request with Transfer-Encoding whose last coding is not chunked is refused.",
    reason: "Its end cannot be told. A hop that falls back to Content-Length, or to no content, disagrees with the one \
             that recognises the coding (TE.TE smuggling).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    for coding in ["xchunked", "chunked, gzip", "gzip"] {
        let page = t.page("page", Reply::ok());
        let mut line = t.connect().await?;
        let head = format!("Transfer-Encoding: {coding}\r\nContent-Length: 5\r\n\r\n0\r\n\r\n");
        line.send(page.line("POST") + &head).await?;
        refused(&mut line, &page, &format!("Transfer-Encoding: {coding}")).await?;
    }
    Ok(())
}
