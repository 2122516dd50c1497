//! RFC 9112 section 8: a client is told when a chunked response ended without its last chunk.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/chunked-cut-told",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 3.3; RFC 9112 section 8",
    rule: "When the origin closes before the last chunk, the client does not get a complete 200.",
    reason: "The last chunk is the only sign that generated content is whole. An intermediary that supplies it on its \
             own turns a crash of the application into a page that merely ends early.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).body(LONG).chunked().cut_after(1000));
    let Some(answer) = page.get().answer_or_close().await? else { return Ok(()) };
    let (status, length) = (answer.status, answer.body.length);
    let told = status >= 500 || !answer.complete();
    ensure!(
        told,
        "the origin closed without the last chunk; the client got a complete {status} of {length} bytes"
    );
    Ok(())
}
