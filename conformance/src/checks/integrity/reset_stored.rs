//! RFC 9111 section 3.3: a response that a reset ended is not stored as complete.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/reset-stored",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9112 section 8; RFC 9111 section 3.3",
    rule: "A response framed by the connection's end, ended by a reset, does not answer later requests.",
    reason: "Without a length or chunks only the way the connection ends tells whether all came. A reset is an error, \
             however much had arrived before it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let open = Reply::fresh(3600).field("Connection", "close").body(LONG).framed_as_written();
    let page =
        t.pages("page", [open.clone().held_after(1000, &gate).reset_after(1000), open.cut_after(LONG.len())]);
    // The reset comes only after the bytes before it went through: a reset destroys what is still under way.
    let mut first = t.connect().await?;
    first.send(page.line("GET") + "\r\n").await?;
    let _ = first.body_within(1000, Duration::from_secs(2)).await?;
    gate.open();
    first.answer_or_close().await?;
    let next = page.get().answer().await?;
    need!(next.status == 200, "the request after the failure got status {}", next.status);
    let length = next.body.length;
    ensure!(
        !(next.from_store() && next.number() == Some(1)),
        "the response that a reset ended was stored and served again, {length} bytes of it"
    );
    Ok(())
}
