//! RFC 9111 section 4.1: fields that Vary names must match.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/selecting-fields",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9111 section 4.1",
    rule: "A stored response with Vary does not answer a request whose named field has another value.",
    reason: "Vary tells that a page exists in several languages or codings. Ignoring it sends readers the language of \
             whoever came first, or bytes their browser cannot decode.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Vary", "Accept-Language"));
    page.get().field("Accept-Language", "gd").answer().await?;
    let other = page.get().field("Accept-Language", "mt").answer().await?;
    ensure!(!other.from_store(), "Vary: Accept-Language; the answer for `gd` was served for `mt`");
    let first = page.get().field("Accept-Language", "gd").answer().await?;
    ensure!(!first.from_store() || first.number() == Some(1), "the answer for `mt` was served for `gd`");
    Ok(())
}
