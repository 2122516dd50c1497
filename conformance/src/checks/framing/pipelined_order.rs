//! RFC 9112 section 9.3.2: pipelined requests are answered in their order.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/pipelined-order",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 9.3.2",
    rule: "Two requests sent at once on a connection are answered in the order of the requests.",
    reason: "Nothing in an HTTP/1.1 answer says which question it belongs to. Out of order, each client gets the \
             other's page.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let slow = t.page("slow", Reply::ok().body("slow page").held(&gate));
    let quick = t.page("quick", Reply::fresh(3600).body("quick page"));
    quick.fill().await?;
    quick.get().answer().await?;
    let mut line = t.connect().await?;
    line.send(slow.line("GET") + "\r\n" + &quick.line("GET") + "\r\n").await?;
    slow.arrival(1).await?;
    gate.open();
    for expected in ["slow page", "quick page"] {
        let Some(answer) = line.answer_or_close().await? else { break };
        let body = answer.body.whole().cloned().unwrap_or_default();
        ensure!(body == expected, "the answer due was `{expected}`, it is `{}`", exchange::escape(&body));
    }
    Ok(())
}
