//! RFC 3986 section 2.2: an encoded slash is not a slash.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/encoded-slash-in-key",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 4; RFC 3986 section 2.2",
    rule: "A response stored for /a%2Fb does not answer a request for /a/b.",
    reason: "Where cache and origin disagree on what is one path, an attacker stores a private page under a name that \
             looks public, and collects it there (web cache deception).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let first = page.get_at("/a%2Fb").answer().await?;
    need!(first.asked > 0 && first.status == 200, "a path with %2F got status {}", first.status);
    let asked = page.request(1)?;
    need!(
        asked.target.windows(3).any(|w| w.eq_ignore_ascii_case(b"%2f")),
        "the candidate decodes %2F before it forwards"
    );
    let other = page.get_at("/a/b").answer().await?;
    ensure!(!other.from_store(), "the response for `/a%2Fb` was served for `/a/b`");
    Ok(())
}
