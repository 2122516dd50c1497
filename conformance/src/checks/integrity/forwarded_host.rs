//! What a request field changes in a stored response, it changes for everybody.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/forwarded-host",
    area: Area::Integrity,
    level: Level::Behaviour,
    cite: "RFC 7239 section 8; RFC 9111 section 7.1",
    rule: "A client's X-Forwarded-Host does not reach the origin, or is part of the key.",
    reason: "Frameworks build links from X-Forwarded-Host. One request with a forged one then fills the cache with a \
             page that loads its scripts from the attacker (web cache poisoning).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.script("page", |_, request| {
        let host = request.fields.get("X-Forwarded-Host").cloned().unwrap_or_default();
        Reply::fresh(3600).body(format!("<script src=//{}/a.js>", exchange::escape(&host)))
    });
    page.get().field("X-Forwarded-Host", "forged.example").answer().await?;
    let next = page.get().answer().await?;
    let body = next.body.whole().map(|b| exchange::escape(b)).unwrap_or_default();
    ensure!(
        !body.contains("forged.example"),
        "a client's X-Forwarded-Host is in the page that the next client got: {body}"
    );
    Ok(())
}
