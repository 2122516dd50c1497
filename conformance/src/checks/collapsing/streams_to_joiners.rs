//! A client that joins a fetch gets what has arrived at once.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/streams-to-joiners",
    area: Area::Collapsing,
    level: Level::Behaviour,
    cite: "RFC 9110 section 7.6",
    rule: "A client that joins a fetch under way gets the bytes that have arrived before the rest is there.",
    reason: "Waiting for the end makes each joiner of a long download wait for all of it. For live video it means \
             that only the first viewer sees a picture in time.",
    depends_on: &["collapsing/one-fetch"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let page = t.page("page", Reply::fresh(3600).body(vec![b'x'; 100_000]).held_after(50_000, &gate));
    let (mut first, mut joiner) = (t.connect().await?, t.connect().await?);
    first.send(page.line("GET") + "\r\n").await?;
    let streams = first.body_within(1, Duration::from_secs(3)).await?;
    need!(streams, "the candidate sends nothing of a response before all of it has arrived");
    joiner.send(page.line("GET") + "\r\n").await?;
    let joined = joiner.body_within(1, Duration::from_secs(3)).await?;
    let fetches = page.count();
    gate.open();
    need!(fetches == 1, "the second request was fetched on its own");
    ensure!(joined, "the joiner got nothing before the whole had arrived");
    Ok(())
}
