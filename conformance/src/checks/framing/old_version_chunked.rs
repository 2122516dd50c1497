//! RFC 9112 section 6.1: Transfer-Encoding in an HTTP/1.0 request.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/old-version-chunked",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 6.1",
    rule: "After an HTTP/1.0 request with Transfer-Encoding the connection is closed, whatever it says of keeping alive.",
    reason: "HTTP/1.0 has no transfer codings, so some hop on the way may have read the message otherwise. Going on \
             with its connection takes leftovers for requests.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (page, trap) = (t.page("page", Reply::ok()), t.page("trap", Reply::ok()));
    let mut line = t.connect().await?;
    let head = page.line("POST").replace("HTTP/1.1", "HTTP/1.0");
    let raw = format!(
        "{head}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{}\r\n",
        trap.line("GET")
    );
    line.send(raw).await?;
    line.drain().await?;
    ensure!(trap.count() == 0, "the connection went on with the next request");
    Ok(())
}
