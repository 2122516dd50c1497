//! RFC 9111 section 4.2.4: a response past its max-age is not reused without validation.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/max-age-elapses",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 4.2.4",
    rule: "Once max-age has passed, a stored response is not reused without asking the origin.",
    reason: "The lifetime is the one promise a cache makes to whoever publishes: a price, a score or a recall notice \
             is out of date for that long and no longer.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3));
    page.gone_stale().await?;
    let late = page.get().answer().await?;
    ensure!(
        !late.from_store() && late.number() != Some(1),
        "answer 1 had max-age=3 and was reused after more than 4 s"
    );
    Ok(())
}
