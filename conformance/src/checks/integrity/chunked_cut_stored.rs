//! RFC 9111 section 3.3: a chunked response without its last chunk is not stored as complete.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/chunked-cut-stored",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 3.3",
    rule: "A chunked response that ended without its last chunk does not answer later requests as the whole.",
    reason: "With chunks there is no length to compare with, so caches that only count bytes store the torso of every \
             application that died while it wrote.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let whole = Reply::fresh(3600).body(LONG).chunked();
    let page = t.pages("page", [whole.clone().cut_after(1000), whole]);
    page.get().answer_or_close().await?;
    let next = page.get().answer().await?;
    need!(next.status == 200, "the request after the failure got status {}", next.status);
    let length = next.body.length;
    ensure!(
        !(next.from_store() && next.number() == Some(1)),
        "the response without its last chunk was stored and served again, {length} bytes of it"
    );
    ensure!(
        length == LONG.len() as u64 && next.complete(),
        "the next client got {length} of {} bytes",
        LONG.len()
    );
    Ok(())
}
