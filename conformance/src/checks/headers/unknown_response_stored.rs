//! RFC 9111 section 3.1: all fields of a response are stored with it, also those the cache does not know.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/unknown-response-stored",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9111 section 3.1",
    rule: "A stored response keeps every field it came with, including those the cache does not recognise.",
    reason: "When a field is there on a miss and gone on a hit, a page works for its first visitor and breaks for all \
             others: the hardest kind of defect to reproduce.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let sent = [("Zz-Unheard-Of", "1"), ("X-Custom", "1"), ("Content-Language", "gd")];
    let page =
        t.page("page", sent.iter().fold(Reply::fresh(3600), |reply, (name, value)| reply.field(name, value)));
    let hit = page.stored().await?.hit;
    for (name, value) in sent {
        let got = hit.fields.combined(name);
        ensure!(got.is_some(), "the stored answer lacks {name}, which the response came with");
        ensure!(
            got.as_deref() == Some(value.as_bytes()),
            "{name} of the stored answer is not what it came with"
        );
    }
    Ok(())
}
