//! RFC 9110 section 9.3.2: the answer to HEAD has no content.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/head-from-store",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9110 sections 8.6 and 9.3.2; RFC 9112 section 6.3",
    rule: "A HEAD answered with a stored GET response has no content, and the next answer on the connection is intact.",
    reason: "The client does not expect content, so content sent all the same is read as the next answer: from there \
             on every answer on the connection belongs to another question.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).body("content of the page"));
    let next = t.page("next", Reply::ok().body("the next page"));
    page.fill().await?;
    page.get().answer().await?;
    let mut line = t.connect().await?;
    line.send(page.line("HEAD") + "\r\n" + &next.line("GET") + "\r\n").await?;
    let head = line.answer().await?;
    let length = head.fields.get_str("Content-Length");
    ensure!(
        length.is_none_or(|l| l == "19"),
        "the content has 19 bytes; the HEAD says {}",
        length.unwrap_or_default()
    );
    let answer = match line.answer_or_close().await {
        Err(Stop::Broken(_)) => {
            return Err(Stop::Broken("after the HEAD came bytes that are no answer: its content".into()));
        }
        answer => answer?,
    };
    let Some(answer) = answer else { return Ok(()) };
    let body = answer.body.whole().cloned().unwrap_or_default();
    ensure!(body == "the next page", "the answer after the HEAD is `{}`", exchange::escape(&body));
    Ok(())
}
