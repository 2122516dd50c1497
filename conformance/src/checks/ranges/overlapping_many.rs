//! RFC 9110 section 14.2: many overlapping ranges do not multiply the answer.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/overlapping-many",
    area: Area::Ranges,
    level: Level::Should,
    cite: "RFC 9110 sections 14.2 and 17.15",
    rule: "A request for fifty overlapping ranges gets no more than about the whole.",
    reason: "One request line can ask for the same megabyte a thousand times. Caches that oblige multiply an \
             attacker's bandwidth and, in some CDNs, the load on the origin.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page(
        "page",
        Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v1\"").body(vec![b'x'; 20_000]),
    );
    page.stored().await?;
    let ranges: Vec<String> = (0..50).map(|n| format!("{n}-")).collect();
    let answer = page.get().field("Range", &format!("bytes={}", ranges.join(","))).answer().await?;
    let length = answer.body.length;
    ensure!(length <= 50_000, "fifty overlapping ranges of 20000 bytes were answered with {length} bytes");
    Ok(())
}
