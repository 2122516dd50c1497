//! RFC 9110 section 5.1: response fields an intermediary does not know are relayed.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/unknown-response-relayed",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 sections 5.1 and 7.6",
    rule: "A response field that the intermediary does not recognise is relayed unchanged.",
    reason: "Security policies, experiment labels and everything invented after the cache was built travel in fields \
             it does not know. Losing one changes what browsers do, for that cache's users only.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page =
        t.page("page", Reply::ok().field("Zz-Unheard-Of", "a;b=\"c, d\"").field("Cache-Control", "no-store"));
    let answer = page.fill().await?;
    let got = answer.fields.combined("Zz-Unheard-Of");
    ensure!(got.is_some(), "Zz-Unheard-Of did not reach the client");
    ensure!(got.as_deref() == Some(b"a;b=\"c, d\""), "Zz-Unheard-Of reached the client changed");
    Ok(())
}
