//! RFC 9112 section 8: a client is told when a response with Content-Length was cut short.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/length-cut-told",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 3.3; RFC 9112 sections 6.3 and 8",
    rule: "When the origin closes before Content-Length is reached, the client does not get a complete 200.",
    reason: "A client can retry what it knows to be incomplete. Told that half a file is the file, it installs, plays \
             or parses it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).body(LONG).cut_after(1000));
    let Some(answer) = page.get().answer_or_close().await? else { return Ok(()) };
    let (status, length) = (answer.status, answer.body.length);
    let told = status >= 500 || !answer.complete();
    ensure!(
        told,
        "the origin sent 1000 of {} bytes; the client got a complete {status} of {length} bytes",
        LONG.len()
    );
    Ok(())
}
