//! RFC 9111 section 3.2: a 304 does not change the stored length.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/not-modified-length",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 section 3.2",
    rule: "A Content-Length in a 304 does not replace that of the stored response.",
    reason: "Origins put Content-Length: 0 in a 304. Taken over, it cuts the stored page to nothing, or shifts where \
             the next response on the connection begins.",
    depends_on: &["freshness/max-age-elapses", "validation/not-modified-unasked"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let first = Reply::fresh(3).etag("\"v1\"");
    let second = Reply::not_modified()
        .etag("\"v1\"")
        .field("Cache-Control", "max-age=3600")
        .field("Content-Length", "0");
    let page = t.validated("page", first, second);
    let whole = page.gone_stale().await?.body.length;
    let answer = page.get().answer().await?;
    need!(page.validations() > 0, "the candidate asked again without a condition: it does not validate");
    let again = page.get().answer().await?;
    for (answer, which) in [(&answer, "validated"), (&again, "next")] {
        let (status, length) = (answer.status, answer.body.length);
        ensure!(
            status == 200 && length == whole && answer.complete(),
            "the {which} answer has status {status} and {length} of {whole} bytes"
        );
    }
    Ok(())
}
