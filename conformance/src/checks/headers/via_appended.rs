//! RFC 9110 section 7.6.3: a Via field that is there already is kept and added to.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/via-appended",
    area: Area::Headers,
    level: Level::Must,
    cite: "RFC 9110 section 7.6.3",
    rule: "The members of a received Via field stay, in order, before the intermediary's own.",
    reason: "The field is the list of hops a message took. Overwriting it hides every hop before, and with it the \
             loop or the downgrade that somebody is looking for.",
    depends_on: &["headers/via-request"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.get().field("Via", "1.0 first-hop, 1.1 second-hop (a, b)").answer().await?;
    let request = page.request(1)?;
    let via: Vec<Vec<u8>> = request.fields.members("Via").map(<[u8]>::to_vec).collect();
    let text = request.fields.combined("Via").map(|v| exchange::escape(&v)).unwrap_or_default();
    // A comment may be removed.
    let starts = via.first().is_some_and(|m| m == b"1.0 first-hop")
        && via.get(1).is_some_and(|m| m.starts_with(b"1.1 second-hop"));
    ensure!(starts, "Via was `1.0 first-hop, 1.1 second-hop (a, b)`; the origin got `{text}`");
    ensure!(
        via.len() > 2 && !text.ends_with("second-hop (a, b)"),
        "the candidate did not add itself: `{text}`"
    );
    Ok(())
}
