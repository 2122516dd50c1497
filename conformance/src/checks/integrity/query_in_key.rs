//! RFC 9111 section 4: the query is part of the URI.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/query-in-key",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 sections 2 and 4",
    rule: "A response stored for one query does not answer a request with another or none.",
    reason: "Search results, pages of a list, image sizes: the query chooses them. Without it in the key everybody \
             gets the answer to the first question.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.fill_at("?q=1").await?;
    for query in ["?q=2", "", "?Q=1", "?q=1&q=2"] {
        let other = page.get_at(query).answer().await?;
        ensure!(!other.from_store(), "the response for `?q=1` was served for `{query}`");
    }
    Ok(())
}
