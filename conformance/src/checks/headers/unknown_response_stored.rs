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
    depends_on: &["headers/unknown-response-relayed"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page(
        "page",
        Reply::fresh(3600).field("Zz-Unheard-Of", "1").field("X-Custom", "1").field("Content-Language", "gd"),
    );
    let stored = page.stored().await?;
    for name in ["Zz-Unheard-Of", "X-Custom", "Content-Language"] {
        let (miss, hit) = (stored.first.fields.combined(name), stored.hit.fields.combined(name));
        need!(miss.is_some(), "{name} was not relayed in the first place");
        ensure!(hit == miss, "{name} was relayed with the first answer but not with the stored one");
    }
    Ok(())
}
