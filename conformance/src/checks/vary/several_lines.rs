//! RFC 9110 section 5.3: Vary may come in several lines.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/several-lines",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9110 section 5.2; RFC 9111 section 4.1",
    rule: "Fields named in any Vary line count, not only those of the first or last line.",
    reason: "Compression modules add a Vary line of their own beside the application's. Caches that read one of the \
             two have mixed up users' sessions.",
    depends_on: &["vary/selecting-fields"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600).field("Vary", "X-One").field("Vary", "X-Two"));
    let ask = |one: &str, two: &str| page.get().field("X-One", one).field("X-Two", two).answer();
    ask("1", "1").await?;
    let other = ask("2", "1").await?;
    ensure!(!other.from_store(), "X-One, named in the first of two Vary lines, was not compared");
    let other = ask("1", "2").await?;
    ensure!(!other.from_store(), "X-Two, named in the second of two Vary lines, was not compared");
    Ok(())
}
