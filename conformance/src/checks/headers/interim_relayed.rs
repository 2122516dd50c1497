//! RFC 9110 section 15.2: interim responses are relayed.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/interim-relayed",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 section 15.2; RFC 8297",
    rule: "A 103 (Early Hints) response from the origin reaches the client before the final response.",
    reason: "The standard obliges proxies to forward 1xx responses. For a gateway, which is an origin to its \
             clients, this suite reads it as SHOULD: a gateway without it costs users the time Early Hints saves.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().interim(103, &[("Link", "</a.css>; rel=preload")]));
    let answer = page.fill().await?;
    let hint = answer.interim.iter().find(|i| i.status == 103);
    ensure!(
        hint.is_some(),
        "the origin sent 103 before its answer; the client got {} interim answers",
        answer.interim.len()
    );
    let link = hint.and_then(|h| h.fields.get_str("Link"));
    ensure!(link == Some("</a.css>; rel=preload"), "the 103 came without its Link field");
    Ok(())
}
