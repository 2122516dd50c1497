//! The error for one client's oversized request is not served to others.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "limits/oversized-request-stored",
    area: Area::Limits,
    level: Level::Must,
    cite: "RFC 6585 section 5; RFC 9111 section 3",
    rule: "After a request with an oversized field, a plain request for the same URI gets the page.",
    reason: "A cache that accepts larger requests than its origin can be made to store the origin's refusal: one \
             request takes a page down for everybody (CPDoS).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page =
        t.script(
            "page",
            |_, request| {
                if request.fields.wire_len() > 6000 { Reply::new(431) } else { Reply::fresh(3600) }
            },
        );
    for size in [7_000, 60_000] {
        page.get().field("X-Oversized", &"x".repeat(size)).answer_or_close().await?;
        let next = page.get().answer().await?;
        let status = next.status;
        ensure!(
            status == 200,
            "after a request with a field of {size} bytes a plain GET got status {status}"
        );
    }
    Ok(())
}
