//! RFC 8586 section 2: CDN-Loop members of others are kept.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/cdn-loop-kept",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 8586 section 2",
    rule: "A received CDN-Loop field reaches the origin with all its members.",
    reason: "CDN-Loop stops a customer from making two CDNs amplify each other's traffic without end. It protects \
             only as long as no CDN on the way drops or shortens it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.get().field("CDN-Loop", "one.example; id=\"a,b\", two.example").answer().await?;
    need!(page.count() > 0, "the candidate did not forward a request that another CDN had forwarded");
    let request = page.request(1)?;
    let got = request.fields.combined("CDN-Loop").map(|v| exchange::escape(&v)).unwrap_or_default();
    let kept = ["one.example", "id=\"a,b\"", "two.example"].iter().all(|part| got.contains(part));
    ensure!(kept, "CDN-Loop was `one.example; id=\"a,b\", two.example`; the origin got `{got}`");
    Ok(())
}
