//! RFC 9110 section 15.5.17: a range beyond the end is refused, or the whole is sent.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/out-of-bounds",
    area: Area::Ranges,
    level: Level::Should,
    cite: "RFC 9110 sections 14.2, 14.4 and 15.5.17",
    rule: "A range that starts beyond the end gets 416 with the true length in Content-Range, or 200 with the whole.",
    reason: "A client that resumes a file it has in full asks for a range beyond the end. An empty 206 or a broken \
             Content-Range makes it start again, for ever.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page =
        t.page("page", Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v1\"").body("0123456789"));
    page.stored().await?;
    let answer = page.get().field("Range", "bytes=10-").answer().await?;
    if answer.status == 200 {
        ensure!(answer.body.length == 10, "the whole has 10 bytes, {} came", answer.body.length);
        return Ok(());
    }
    ensure!(answer.status == 416, "bytes=10- of 10 bytes got status {}", answer.status);
    let says = answer.fields.get_str("Content-Range").unwrap_or("missing");
    ensure!(says == "bytes */10", "the 416 has Content-Range `{says}` instead of `bytes */10`");
    Ok(())
}
