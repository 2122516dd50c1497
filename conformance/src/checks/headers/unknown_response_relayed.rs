//! RFC 9110 section 5.1: response fields an intermediary does not know are relayed.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/unknown-response-relayed",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 sections 5.1 and 7.6",
    rule: "A response field that the intermediary does not recognise is relayed unchanged.",
    reason: "Security policies, experiment labels and everything invented after the cache was built travel in fields \
             it does not know. Losing one changes what browsers do, for that cache's users only.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let sent = [("Zz-Unheard-Of", "a;b=\"c, d\""), ("X-Custom", "1")];
    let reply = sent.iter().fold(Reply::ok(), |reply, (name, value)| reply.field(name, value));
    let answer = t.page("page", reply.field("Cache-Control", "no-store")).fill().await?;
    for (name, value) in sent {
        let got = answer.fields.combined(name);
        ensure!(got.is_some(), "{name} did not reach the client");
        ensure!(got.as_deref() == Some(value.as_bytes()), "{name} reached the client changed");
    }
    Ok(())
}
