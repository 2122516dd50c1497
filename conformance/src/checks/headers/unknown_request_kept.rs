//! RFC 9110 section 5.1: request fields an intermediary does not know are forwarded.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/unknown-request-kept",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 sections 5.1 and 7.6",
    rule: "A request field that the intermediary does not recognise is forwarded unchanged.",
    reason: "HTTP grows by new fields. One that a cache on the way swallows or rewrites can never be introduced, and \
             the origin answers a question the client did not ask.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::ok());
    let value = "a;b=\"c, d\" , (e) \u{fc}";
    page.get().field("Zz-Unheard-Of", value).answer().await?;
    let request = page.request(1)?;
    let got = request.fields.combined("Zz-Unheard-Of");
    ensure!(got.is_some(), "Zz-Unheard-Of did not reach the origin");
    ensure!(got.as_deref() == Some(value.as_bytes()), "Zz-Unheard-Of reached the origin changed");
    Ok(())
}
