//! RFC 9111 section 4.1: Vary: * never matches.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "vary/star",
    area: Area::Vary,
    level: Level::Must,
    cite: "RFC 9111 section 4.1",
    rule: "A stored response with a * among the members of Vary answers no other request.",
    reason: "The star says that something outside the request chose the answer (the client's address, the time). No \
             other request can be known to deserve the same.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    t.page("page", Reply::fresh(3600).field("Vary", "Accept-Language, *"))
        .never_reused("its Vary had a *")
        .await
}
