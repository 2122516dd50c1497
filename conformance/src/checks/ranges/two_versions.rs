//! RFC 9111 section 3.4: pieces of different versions are not put together.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/two-versions",
    area: Area::Ranges,
    level: Level::Must,
    cite: "RFC 9111 section 3.4; RFC 9110 section 15.3.7.3",
    rule: "Partial responses with different entity tags are never combined into one answer.",
    reason: "Large files are fetched in slices. When the file is replaced in between, an answer made of both versions \
             is neither: archives fail to unpack and videos break.",
    depends_on: &["ranges/part-as-whole"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.script("page", |number, request| {
        let part = |tag: &str, range: &str, body: &'static str| {
            Reply::new(206)
                .field("Cache-Control", "max-age=3600")
                .etag(tag)
                .field("Content-Range", range)
                .body(body)
        };
        match (number, request.fields.get_str("Range")) {
            (_, None) => Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v2\"").body("BBBBBBBBBB"),
            (_, Some("bytes=0-4")) => part("\"v1\"", "bytes 0-4/10", "AAAAA"),
            (_, Some("bytes=5-9" | "bytes=5-")) => part("\"v2\"", "bytes 5-9/10", "BBBBB"),
            (_, Some(_)) => {
                Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v2\"").body("BBBBBBBBBB")
            }
        }
    });
    page.get().field("Range", "bytes=0-4").answer().await?;
    page.get().field("Range", "bytes=5-9").answer().await?;
    let ranged = page.get().field("Range", "bytes=0-9").answer().await?;
    let whole = page.get().answer().await?;
    for (answer, which) in [(&ranged, "for bytes=0-9"), (&whole, "without Range")] {
        let body = answer.body.whole().cloned().unwrap_or_default();
        let mixed = body.contains(&b'A') && body.contains(&b'B');
        ensure!(!mixed, "the answer {which} has bytes of two versions: {}", exchange::escape(&body));
    }
    Ok(())
}
