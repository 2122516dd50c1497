//! RFC 9111 section 5.2.2.4: a response with no-cache is validated before each reuse.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/no-cache",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.2.2.4",
    rule: "A response with no-cache is not reused without successful validation, however fresh it is.",
    reason: "no-cache is the usual setting for HTML whose parts are cached for long: a page served without asking \
             names the files of the previous release.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=3600, no-cache").etag("\"v1\""));
    page.never_reused("it had no-cache").await
}
