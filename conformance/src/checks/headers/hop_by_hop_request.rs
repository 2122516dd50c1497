//! RFC 9110 section 7.6.1: fields known to concern one hop are removed even where Connection does not name them.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/hop-by-hop-request",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 section 7.6.1",
    rule: "Keep-Alive and Proxy-Connection are removed from a request whether or not Connection names them.",
    reason: "Old clients send these without naming them. Forwarded, they make an origin keep a connection open, or \
             close it, for reasons that are not the intermediary's.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    page.get().field("Keep-Alive", "timeout=77").field("Proxy-Connection", "keep-alive").answer().await?;
    let request = page.request(1)?;
    for name in ["Keep-Alive", "Proxy-Connection"] {
        let own = request.fields.get_str(name).is_some_and(|v| v != "timeout=77" && v != "keep-alive");
        ensure!(own || !request.fields.contains(name), "the client's {name} reached the origin");
    }
    Ok(())
}
