//! RFC 9111 section 4.2.1: a directive given twice means its first value, or stale.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/duplicate-directive",
    area: Area::Freshness,
    level: Level::Should,
    cite: "RFC 9111 section 4.2.1",
    rule: "With max-age=0 first and max-age=3600 after it the response is stale: the first counts, or none does.",
    reason: "Contradicting directives come from two layers that both set them. The standard picks the safe reading; a \
             cache that lets the last one win can be made to keep what must not be kept.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().field("Cache-Control", "max-age=0, max-age=3600"));
    page.never_reused("its first max-age was 0").await
}
