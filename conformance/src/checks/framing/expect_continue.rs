//! RFC 9110 section 10.1.1: a client that expects 100 is told to go on, or answered.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/expect-continue",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9110 section 10.1.1",
    rule: "A request with Expect: 100-continue gets 100 or a final answer before its content is sent, and the content \
           arrives whole.",
    reason: "Clients wait before they send a large upload. An intermediary that waits for the content meanwhile stalls \
             every upload by the client's time-out, or for ever.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(page.line("POST") + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n").await?;
    let status = line.head_within(Duration::from_secs(4)).await?;
    let status = status
        .ok_or_else(|| Stop::Broken("no answer to the head of a request with Expect: 100-continue".into()))?;
    if status != 100 {
        need!(status >= 400, "the candidate answered {status} before the content");
        return Ok(());
    }
    line.send("hello").await?;
    let answer = line.answer().await?;
    ensure!(answer.status == 200, "after 100 and the content the status is {}", answer.status);
    let received = page.request(1)?;
    ensure!(
        received.body.whole().is_some_and(|b| b == "hello"),
        "the origin got {} of 5 bytes",
        received.body.length
    );
    Ok(())
}
