//! RFC 9110 section 7.6.1: Connection cannot take the framing fields away.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/connection-names-length",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.1; RFC 9112 section 6.3",
    rule: "A request whose Connection field names Content-Length is refused or forwarded with its content framed.",
    reason: "Removing what Connection names, without looking, removes the length and leaves the content: at the origin \
             it is the next request.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (page, trap) = (t.page("page", Reply::ok()), t.page("trap", Reply::ok()));
    let body = trap.line("GET") + "\r\n";
    let mut line = t.connect().await?;
    let head = format!("Connection: Content-Length\r\nContent-Length: {}\r\n\r\n", body.len());
    line.send(page.line("POST") + &head + &body).await?;
    line.drain().await?;
    ensure!(trap.count() == 0, "the content of a POST reached the origin as a request");
    let Some(received) = page.received(1) else { return Ok(()) };
    let length = received.body.length;
    ensure!(length == body.len() as u64, "the origin got {length} of {} bytes of content", body.len());
    Ok(())
}
