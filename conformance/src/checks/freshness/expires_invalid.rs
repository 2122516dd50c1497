//! RFC 9111 section 5.3: an Expires that is no date means already expired.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/expires-invalid",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 5.3",
    rule: "An Expires value that is not an HTTP date, above all 0, means a time in the past.",
    reason: "`Expires: 0` is how a great many applications say: do not keep this. A cache that skips the malformed \
             value falls back to a heuristic lifetime and keeps it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let old = http_date(exchange::Time::new(t.now().seconds() - 400 * 86_400, 0));
    let page = t.page("page", Reply::ok().field("Expires", "0").field("Last-Modified", &old));
    page.never_reused("it had Expires: 0").await
}
