//! RFC 9112 section 9.3: content of a request that nobody reads is not the next request.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/get-body-drained",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 sections 6 and 9.3",
    rule: "The content of a GET that is answered from the store is read or the connection closed; it is never taken \
           for a request.",
    reason: "A cache that answers at once and forgets the content reads it as the next request, with whatever target \
             its sender put there (CVE-2025-4366).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (page, trap) = (t.page("page", Reply::fresh(3600)), t.page("trap", Reply::ok()));
    page.fill().await?;
    page.get().answer().await?;
    let body = trap.line("GET") + "\r\n";
    let mut line = t.connect().await?;
    line.send(format!("{}Content-Length: {}\r\n\r\n{body}", page.line("GET"), body.len())).await?;
    let answers = line.drain().await?;
    ensure!(trap.count() == 0, "the content of a GET reached the origin as a request");
    ensure!(answers.len() <= 1, "one request with content got {} answers", answers.len());
    Ok(())
}
