//! RFC 9110 section 6.5.1: trailer fields are not header fields.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/trailers-apart",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9110 section 6.5.1; RFC 9111 section 3.1",
    rule: "Trailer fields of a response are not merged into its header fields, neither at once nor from the store.",
    reason: "What comes after the content was not there when decisions were made. A Set-Cookie or Cache-Control moved \
             up from the trailers gets powers nobody checked.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page(
        "page",
        Reply::fresh(3600).body("0123456789").trailer("X-Trailing", "1").trailer("Set-Cookie", "a=1"),
    );
    for which in ["first", "second"] {
        let answer = page.get().answer().await?;
        need!(answer.status == 200, "the {which} answer has status {}", answer.status);
        for name in ["X-Trailing", "Set-Cookie"] {
            ensure!(
                !answer.fields.contains(name),
                "the trailer {name} is among the header fields of the {which} answer"
            );
        }
    }
    Ok(())
}
