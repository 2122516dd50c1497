//! RFC 9111 section 3: only final responses are stored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/interim-not-stored",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9111 section 3; RFC 9110 section 15.2",
    rule: "An interim response is neither stored as the answer nor are its fields mixed into the stored one.",
    reason: "An origin that starts to send Early Hints must not break its pages: a cache that takes the first head it \
             sees for the answer stores a page with no content, or the hint's fields as if the page had them.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = Reply::fresh(3600).interim(103, &[("Link", "</a.css>; rel=preload"), ("Zz-Hint", "1")]);
    let page = t.page("page", reply);
    let first = page.get().answer().await?;
    let again = page.get().answer().await?;
    for (answer, which) in [(&first, "first"), (&again, "second")] {
        let status = answer.status;
        ensure!(status == 200, "after a 103 the origin answered 200; the {which} answer has status {status}");
        ensure!(!answer.fields.contains("Zz-Hint"), "a field of the 103 is in the {which} final answer");
    }
    Ok(())
}
