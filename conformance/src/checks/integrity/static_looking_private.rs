//! RFC 9111 section 3: what may be stored is said by the response, not by the look of the URL.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/static-looking-private",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 sections 3 and 5.2.2",
    rule: "A response with private and no-store is not stored because its path ends like a static file's.",
    reason: "Many applications answer /account/x.css with the account page. A cache that stores by extension gives \
             that page to the attacker who sent the link (web cache deception).",
    depends_on: &["freshness/private", "freshness/no-store"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    for name in ["account/x.css", "account;x.js", "account%00x.png"] {
        let page = t.page(name, Reply::ok().field("Cache-Control", "private, no-store"));
        let first = page.get().answer().await?;
        if first.asked == 0 {
            continue; // Refused: a path with %00 may be.
        }
        let again = page.get().answer().await?;
        ensure!(!again.from_store(), "/{name} had private, no-store and came from the store");
    }
    Ok(())
}
