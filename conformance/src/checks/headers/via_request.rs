//! RFC 9110 section 7.6.3: an intermediary names itself in the Via field of requests it forwards.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/via-request",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.3",
    rule: "A forwarded request carries a Via field with the intermediary's protocol and name.",
    reason: "Via is how the origin knows which protocol the far side speaks and how a forwarding loop is noticed. \
             Without it, two caches pointed at each other go round until something breaks.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.fill().await?;
    let request = page.request(1)?;
    let via: Vec<_> = request.fields.members("Via").collect();
    ensure!(!via.is_empty(), "the forwarded request has no Via field");
    let own = via[via.len() - 1];
    ensure!(
        own.split(|b| *b == b' ').count() >= 2,
        "the Via member {:?} is not `protocol name`",
        exchange::escape(own)
    );
    Ok(())
}
