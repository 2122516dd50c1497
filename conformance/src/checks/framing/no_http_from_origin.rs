//! RFC 9110 section 15.6.3: an origin that does not speak HTTP.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/no-http-from-origin",
    area: Area::Framing,
    level: Level::Should,
    cite: "RFC 9110 section 15.6.3; RFC 9112 section 4",
    rule: "Bytes that are no HTTP response are answered with 502, not relayed as a 200.",
    reason: "Another service on the origin's port, a crash message, the rest of an earlier answer: shown as a page, and \
             stored as one, it reaches users and leaks what it holds.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::raw("220 mail.example ESMTP ready\r\n\r\nstack trace follows"));
    let Some(answer) = page.get().answer_or_close().await? else { return Ok(()) };
    ensure!(
        answer.status >= 500,
        "the origin sent a mail server's greeting; the client got status {}",
        answer.status
    );
    Ok(())
}
