//! RFC 9111 section 4.1: a missing field matches only a missing field.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/absent-field",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9111 section 4.1",
    rule: "A response to a request without the field that Vary names does not answer one that has it, nor the reverse.",
    reason: "The answer without the field is the default: the uncompressed file, the page for guests. Treating missing \
             as `matches anything` gives it to everybody, or gives a member's page to guests.",
    depends_on: &["vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::fresh(3600).field("Vary", "X-Member");
    let without = t.page("without", reply.clone());
    without.get().answer().await?;
    let other = without.get().field("X-Member", "1").answer().await?;
    ensure!(!other.from_store(), "the answer for a request without X-Member was served for one with it");
    let with = t.page("with", reply);
    with.get().field("X-Member", "1").answer().await?;
    let other = with.get().answer().await?;
    ensure!(!other.from_store(), "the answer for a request with X-Member was served for one without it");
    Ok(())
}
