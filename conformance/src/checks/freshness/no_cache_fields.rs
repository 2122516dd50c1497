//! RFC 9111 section 5.2.2.4: fields that no-cache names are not sent from the store.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/no-cache-fields",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.4",
    rule: "A field named by no-cache=\"…\" is left out when the response is reused without validation.",
    reason: "The form lets a page be cached while its session cookie is not. A cache that ignores the argument and \
             the directive hands the first visitor's cookie to everybody.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply =
        Reply::ok().field("Cache-Control", "max-age=3600, no-cache=\"X-Session\"").field("X-Session", "s1");
    let page = t.page("page", reply);
    page.fill().await?;
    for _ in 0..2 {
        let again = page.get().answer().await?;
        let leaked = again.from_store() && again.fields.contains("X-Session");
        ensure!(!leaked, "X-Session, named by no-cache, came from the store");
    }
    Ok(())
}
