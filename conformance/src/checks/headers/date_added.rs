//! RFC 9110 section 6.6.1: a response that came without Date gets one.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/date-added",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 6.6.1",
    rule: "A response received without Date is relayed with the Date of its receipt.",
    reason: "Every cache after this one counts age from Date. A response without it can be kept too long by all of \
             them, and nobody can tell.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok().undated());
    let answer = page.fill().await?;
    let dates: Vec<_> = answer.fields.get_all("Date").collect();
    ensure!(!dates.is_empty(), "the origin sent no Date, and the client got none");
    ensure!(dates.len() == 1, "the client got {} Date lines", dates.len());
    let text = answer.fields.get_str("Date").unwrap_or_default();
    ensure!(httpdate::parse_http_date(text).is_ok(), "the Date given, `{text}`, is no HTTP date");
    Ok(())
}
