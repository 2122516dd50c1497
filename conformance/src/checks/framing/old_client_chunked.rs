//! RFC 9112 section 6.1: no transfer coding to an HTTP/1.0 client.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/old-client-chunked",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 6.1",
    rule: "A chunked response reaches an HTTP/1.0 client without Transfer-Encoding.",
    reason: "Health checks and scripts still speak HTTP/1.0. They take chunk sizes for content.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).chunked().body("0123456789"));
    for which in ["first", "second"] {
        let mut line = t.connect().await?;
        line.send(page.line("GET").replace("HTTP/1.1", "HTTP/1.0") + "\r\n").await?;
        let answer = line.answer().await?;
        need!(answer.status == 200, "an HTTP/1.0 request got status {}", answer.status);
        let coded = answer.fields.contains("Transfer-Encoding");
        ensure!(!coded, "the {which} answer to an HTTP/1.0 client has Transfer-Encoding");
        let body = answer.body.whole().cloned().unwrap_or_default();
        ensure!(body == "0123456789", "the {which} answer has the content `{}`", exchange::escape(&body));
    }
    Ok(())
}
