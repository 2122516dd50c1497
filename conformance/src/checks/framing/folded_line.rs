//! RFC 9112 section 5.2: folded field lines.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/folded-line",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 5.2",
    rule: "A request with a folded field line is refused, or the fold is replaced by spaces before it is forwarded.",
    reason: "A continuation line looks like a field to parsers that do not know folding: a way to hide a field from \
             one hop and show it to the next.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(page.line("GET") + "X-Folded: one\r\n X-Hidden: two\r\n\r\n").await?;
    line.drain().await?;
    let Some(received) = page.received(1) else { return Ok(()) };
    let folded = received.anomalies.contains(&wire::Anomaly::ObsoleteFold);
    ensure!(!folded, "the folded line was forwarded as it was");
    ensure!(!received.fields.contains("X-Hidden"), "the continuation became a field of its own");
    Ok(())
}
