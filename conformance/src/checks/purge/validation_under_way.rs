//! A validation that was under way when the purge came does not bring the object back.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/validation-under-way",
    area: Area::Purge,
    level: Level::Behaviour,
    cite: "RFC 9111 section 4.3.4; the profile's purge",
    rule: "A 304 to a validation that began before the purge does not make the purged object fresh again.",
    reason: "The 304 says that the object was unchanged when the origin was asked, not that it may be shown after \
             somebody withdrew it.",
    depends_on: &["purge/removes", "purge/fetch-under-way", "freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let gate = t.gate();
    let held = Reply::not_modified().etag("\"v1\"").field("Cache-Control", "max-age=3600").held(&gate);
    let stale = t.switch();
    let waiting = stale.clone();
    let page = t.script("page", move |_, request| match request.fields.contains("If-None-Match") {
        true if waiting.on() => held.clone(),
        _ if waiting.on() => Reply::fresh(3600).etag("\"v2\""),
        _ => Reply::fresh(3).etag("\"v1\""),
    });
    let purge = t.purger()?;
    page.gone_stale().await?;
    stale.turn_on();
    let before = page.count();
    let validating = page.get().start();
    let second = page.arrival(before + 1).await?;
    if !second.fields.contains("If-None-Match") {
        validating.answer().await?;
        return Err(Stop::Nothing(
            "the candidate asked again without a condition: it does not validate".into(),
        ));
    }
    purge.accepted(&page).await?;
    gate.open();
    validating.answer().await?;
    let next = page.get().answer().await?;
    ensure!(
        next.number().is_none_or(|n| n > before),
        "the purged object was served after its validation ended"
    );
    Ok(())
}
