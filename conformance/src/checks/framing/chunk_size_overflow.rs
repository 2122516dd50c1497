//! RFC 9112 section 7.1: chunk sizes too large for the parser's integers.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/chunk-size-overflow",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 7.1",
    rule: "A chunk size that overflows 64 bits is not taken for its lowest digits.",
    reason: "A size that wraps round to five ends the content early; the bytes after it become a request. It has been \
             a way past filters in several servers.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (page, trap) = (t.page("page", Reply::ok()), t.page("trap", Reply::ok()));
    let mut line = t.connect().await?;
    let body = "10000000000000005\r\nhello\r\n0\r\n\r\n";
    let raw =
        format!("{}Transfer-Encoding: chunked\r\n\r\n{body}{}\r\n", page.line("POST"), trap.line("GET"));
    line.send(raw).await?;
    line.drain().await?;
    ensure!(
        trap.count() == 0,
        "a chunk of 10000000000000005 (hexadecimal) bytes was taken for one of 5: the bytes after it became a request"
    );
    // One that streams may have sent the head on before it sees the size; it must not make five bytes of it.
    let whole = page.received(1).is_some_and(|r| r.body.whole().is_some_and(|body| body == "hello"));
    ensure!(!whole, "a chunk of 10000000000000005 (hexadecimal) bytes was taken for one of 5 and forwarded");
    Ok(())
}
