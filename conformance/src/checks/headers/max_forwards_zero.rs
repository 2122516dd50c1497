//! RFC 9110 section 7.6.2: a request that may go no further is answered where it is.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/max-forwards-zero",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.2",
    rule: "An OPTIONS request with Max-Forwards: 0 is answered by the intermediary and not forwarded.",
    reason: "Max-Forwards is the tool for finding out which hop of a chain fails or loops. It works only when every \
             hop counts.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.ask("OPTIONS").field("Max-Forwards", "0").answer().await?;
    ensure!(page.count() == 0, "the origin got the OPTIONS request although Max-Forwards was 0");
    Ok(())
}
