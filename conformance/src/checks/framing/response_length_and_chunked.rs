//! RFC 9112 section 6.3: Content-Length beside Transfer-Encoding in a response.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/response-length-and-chunked",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 sections 6.2 and 6.3",
    rule: "A response with both Transfer-Encoding and Content-Length is read as chunked and relayed with one of them, \
           the true one.",
    reason: "Relayed with the false length, the answer is cut or swallows the next one; which of the two depends on \
             the client.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::fresh(3600).field("Content-Length", "5").chunked().body("0123456789");
    let page = t.page("page", reply);
    for which in ["first", "second"] {
        let Some(answer) = page.get().answer_or_close().await? else { return Ok(()) };
        if answer.status >= 500 {
            return Ok(());
        }
        let both = answer.fields.contains("Content-Length") && answer.fields.contains("Transfer-Encoding");
        ensure!(!both, "the {which} answer has both fields");
        let body = answer.body.whole().cloned().unwrap_or_default();
        ensure!(body == "0123456789", "the {which} answer has the content `{}`", exchange::escape(&body));
    }
    Ok(())
}
