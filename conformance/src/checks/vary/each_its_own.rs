//! RFC 9111 section 4.1: each stored response is matched by its own Vary.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/each-its-own",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9111 section 4.1",
    rule: "When responses of one URL carry different Vary fields, each is matched by the one it came with.",
    reason: "A deployment changes what a page depends on while old responses are stored. A cache that applies the \
             newest Vary to all of them serves an old response to requests it was never meant for.",
    depends_on: &["vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let (one, two) = (Reply::fresh(3600).field("Vary", "X-One"), Reply::fresh(3600).field("Vary", "X-Two"));
    let page = t.pages("page", [one, two]);
    let ask = |one: &str, two: &str| page.get().field("X-One", one).field("X-Two", two).answer();
    ask("a", "a").await?;
    ask("b", "b").await?;
    // X-One differs from the first response's, X-Two from the second's: nothing stored may answer.
    let third = ask("b", "a").await?;
    let number = third.number().unwrap_or(0);
    ensure!(
        !third.from_store(),
        "neither stored response matches by its own Vary; answer {number} was served"
    );
    Ok(())
}
