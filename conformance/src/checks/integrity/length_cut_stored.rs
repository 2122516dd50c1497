//! RFC 9111 section 3.3: a response cut short of its Content-Length is not stored as complete.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/length-cut-stored",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 3.3",
    rule: "A response that ended before its Content-Length does not answer later requests as the whole.",
    reason: "An origin that restarts in the middle of a transfer is routine. Stored, the torso is served to everybody \
             for as long as the file was meant to live.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let whole = Reply::fresh(3600).body(LONG);
    let page = t.pages("page", [whole.clone().cut_after(1000), whole]);
    page.get().answer_or_close().await?;
    let next = page.get().answer().await?;
    need!(next.status == 200, "the request after the failure got status {}", next.status);
    let length = next.body.length;
    ensure!(
        !(next.from_store() && next.number() == Some(1)),
        "the response cut at 1000 bytes was stored and served again, {length} bytes of it"
    );
    ensure!(
        length == LONG.len() as u64 && next.complete(),
        "the next client got {length} of {} bytes",
        LONG.len()
    );
    Ok(())
}
