//! RFC 9110 section 5.4: a response head too large to handle is answered with an error.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "limits/oversized-response-head",
    area: Area::Limits,
    level: Level::Behaviour,
    cite: "RFC 9110 sections 5.4 and 15.6.3",
    rule: "A response head of 100 KB is relayed whole or answered with 502, not cut, and not with silence.",
    reason: "An application that adds a cookie to a cookie reaches any limit. The user should see an error, and the \
             operator a status to look for.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let value = "x".repeat(1000);
    let reply = (0..100).fold(Reply::ok(), |reply, n| reply.field(&format!("X-Large-{n}"), &value));
    let page = t.page("page", reply);
    let Some(answer) = page.get().answer_or_close().await? else {
        return Err(Stop::Broken("the client got no answer at all".into()));
    };
    if answer.status == 200 {
        let lines =
            answer.fields.iter().filter(|f| f.name.to_ascii_lowercase().starts_with(b"x-large-")).count();
        ensure!(lines == 100, "{lines} of 100 large fields were relayed");
    } else {
        ensure!(answer.status >= 500, "the answer has status {}", answer.status);
    }
    Ok(())
}
