//! RFC 9111 section 3.3: a partial response is not served as the whole.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/part-as-whole",
    area: Area::Ranges,
    level: Level::Must,
    cite: "RFC 9111 section 3.3",
    rule: "After a range request was answered with 206, a request without Range gets the whole.",
    reason: "A cache that stores the piece under the URL of the whole gives the next visitor a page that ends in the \
             middle, marked as complete.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.script("page", |_, request| {
        // Other ranges, with which a cache may complete the part, are ignored as a server may.
        if request.fields.get_str("Range") == Some("bytes=0-4") {
            Reply::new(206)
                .field("Cache-Control", "max-age=3600")
                .etag("\"v1\"")
                .field("Content-Range", "bytes 0-4/10")
                .body("01234")
        } else {
            Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v1\"").body("0123456789")
        }
    });
    page.get().field("Range", "bytes=0-4").answer().await?;
    let whole = page.get().answer().await?;
    let (status, length) = (whole.status, whole.body.length);
    ensure!(
        status == 200,
        "a request without Range got status {status} after another client's range request"
    );
    ensure!(length == 10 && whole.complete(), "the answer without Range has {length} of 10 bytes");
    Ok(())
}
