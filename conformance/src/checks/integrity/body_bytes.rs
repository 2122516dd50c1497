//! RFC 9110 section 7.7: content passes unchanged.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/body-bytes",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9110 section 7.7; RFC 9111 section 5.2.2.6",
    rule: "Every byte of content with no-transform arrives as it was sent, with Content-Length and chunked, first and \
           stored.",
    reason: "It is what a cache is for. A changed byte in a program or a package is found by its users, if at all.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    // All byte values, no period that a buffer size could hide.
    let body: Vec<u8> = (0..300_007u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = exchange::Sha256::of(&body);
    let reply = Reply::ok()
        .field("Cache-Control", "max-age=3600, no-transform")
        .field("Content-Type", "application/octet-stream")
        .body(body.clone());
    for page in [t.page("length", reply.clone()), t.page("chunked", reply.chunked())] {
        for which in ["first", "second"] {
            let answer = page.get().answer().await?;
            need!(answer.status == 200, "the {which} answer has status {}", answer.status);
            let got = &answer.body;
            ensure!(
                answer.complete(),
                "the {which} answer ended after {} of {} bytes",
                got.length,
                body.len()
            );
            ensure!(
                got.length == body.len() as u64,
                "the {which} answer has {} instead of {} bytes",
                got.length,
                body.len()
            );
            let at =
                got.whole().and_then(|b| b.iter().zip(&body).position(|(a, b)| a != b)).unwrap_or_default();
            ensure!(
                got.sha256 == sent,
                "the {which} answer differs from what the origin sent, first at byte {at}"
            );
        }
    }
    Ok(())
}
