//! RFC 9112 section 6.3: Content-Length beside Transfer-Encoding.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/length-and-chunked",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 sections 6.1 and 6.3",
    rule: "A request with Content-Length and Transfer-Encoding is refused, or forwarded without Content-Length and the \
           connection closed after it.",
    reason: "Two hops that believe different fields see different requests in the same bytes. What one takes for \
             content the other answers as a request of the next user (CL.TE and TE.CL smuggling).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (page, trap) = (t.page("page", Reply::ok()), t.page("trap", Reply::ok()));
    let body = format!("0\r\n\r\n{}\r\n", trap.line("GET"));
    let head = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n", body.len());
    let mut line = t.connect().await?;
    line.send(page.line("POST") + &head + &body).await?;
    line.drain().await?;
    ensure!(trap.count() == 0, "what Content-Length counts as content reached the origin as a request");
    if let Some(received) = page.received(1) {
        let both =
            received.fields.contains("Content-Length") && received.fields.contains("Transfer-Encoding");
        ensure!(!both, "the request was forwarded with both fields");
    }
    Ok(())
}
