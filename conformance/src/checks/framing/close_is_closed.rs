//! RFC 9112 section 9.6: a connection whose client says close is closed.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/close-is-closed",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 9.6",
    rule: "After the answer to a request with Connection: close the server closes the connection.",
    reason: "Simple clients read until the end of the connection. Left open, each of their requests takes as long as \
             the idle time-out.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    for which in ["forwarded", "second"] {
        let mut line = t.connect().await?;
        line.send(page.line("GET") + "Connection: close\r\n\r\n").await?;
        line.answer().await?;
        let closed = line.closes_within(Duration::from_secs(3)).await;
        ensure!(closed, "3 s after the {which} answer the connection is still open");
    }
    Ok(())
}
