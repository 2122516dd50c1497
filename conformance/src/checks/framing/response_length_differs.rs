//! RFC 9112 section 6.3: two Content-Length values in a response.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/response-length-differs",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 6.3; RFC 9110 section 8.6",
    rule: "A response with two different Content-Length values is not relayed; the client gets 502.",
    reason: "Client and cache may pick different lengths: the bytes between them are taken for the answer to the next \
             request, of another user.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 10\r\n\r\n0123456789");
    let page = t.page("page", reply);
    let Some(answer) = page.get().answer_or_close().await? else { return Ok(()) };
    ensure!(
        answer.status >= 500,
        "the origin sent Content-Length 5 and 10; the client got status {}",
        answer.status
    );
    Ok(())
}
