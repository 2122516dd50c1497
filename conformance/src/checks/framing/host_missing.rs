//! RFC 9112 section 3.2: a request without Host.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/host-missing",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 3.2",
    rule: "An HTTP/1.1 request without Host is answered with 400.",
    reason: "Without Host nobody can say whose page is meant. A cache that guesses stores the answer under a name the \
             client never gave.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(format!("GET {} HTTP/1.1\r\nAccept: */*\r\n\r\n", page.path())).await?;
    refused(&mut line, &page, "no Host").await
}
