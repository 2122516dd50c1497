//! RFC 9110 section 4.2.3: paths are compared with their case.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/path-case-in-key",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 4; RFC 9110 section 4.2.3",
    rule: "A response stored for /page/a does not answer a request for /page/A.",
    reason: "Short links and object names rely on case. A key in lower case gives one user's document to the holder \
             of another link.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.fill_at("/a").await?;
    let other = page.get_at("/A").answer().await?;
    ensure!(!other.from_store(), "the response for `/a` was served for `/A`");
    Ok(())
}
