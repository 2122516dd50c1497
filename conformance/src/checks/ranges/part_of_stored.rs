//! RFC 9110 section 15.3.7: a 206 holds the bytes it says it holds.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "ranges/part-of-stored",
    area: Area::Ranges,
    level: Level::Must,
    cite: "RFC 9110 sections 14.4 and 15.3.7",
    rule: "When a stored response answers a range request with 206, Content-Range and content are the bytes asked for.",
    reason: "Players and download managers put the pieces together by Content-Range. One wrong byte, or an offset \
             that is off by one, corrupts the file without an error.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

const WHOLE: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

async fn judge(t: Trial) -> Outcome {
    let page =
        t.page("page", Reply::fresh(3600).field("Accept-Ranges", "bytes").etag("\"v1\"").body(&WHOLE[..]));
    page.stored().await?;
    for (range, first, last) in
        [("bytes=2-5", 2, 5), ("bytes=20-", 20, 25), ("bytes=-3", 23, 25), ("bytes=24-99", 24, 25)]
    {
        let part = page.get().field("Range", range).answer().await?;
        need!(part.status != 200, "the candidate answers range requests with the whole");
        ensure!(part.status == 206, "Range: {range} of 26 stored bytes got status {}", part.status);
        let says = part.fields.get_str("Content-Range").unwrap_or("missing");
        ensure!(
            [format!("bytes {first}-{last}/26"), format!("bytes {first}-{last}/*")].iter().any(|c| c == says),
            "Range: {range} of 26 bytes got Content-Range `{says}`"
        );
        let is = part.body.whole().map(|b| &b[..]);
        ensure!(
            is == Some(&WHOLE[first..=last]) && part.complete(),
            "Range: {range} got other bytes than those"
        );
    }
    Ok(())
}
