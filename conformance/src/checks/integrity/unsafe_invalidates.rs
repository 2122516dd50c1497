//! RFC 9111 section 4.4: a successful unsafe request invalidates what is stored for its URI.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/unsafe-invalidates",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 4.4",
    rule: "After a POST, PUT or DELETE was answered without error, the stored response for that URI is not reused.",
    reason: "A user who saves a change and reloads must see the change. With the old page from the cache the change \
             looks lost, and is made again.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let mut judged = 0;
    for method in ["POST", "PUT", "DELETE"] {
        let page = t.page(method, Reply::fresh(3600));
        page.stored().await?;
        let change = page.ask(method).body("x=1").answer().await?;
        if change.asked == 0 || change.status >= 400 {
            continue;
        }
        judged += 1;
        let answer = page.get().answer().await?;
        ensure!(!answer.from_store(), "after {method} the response stored before it was served");
    }
    need!(judged > 0, "the candidate forwards neither POST nor PUT nor DELETE");
    Ok(())
}
