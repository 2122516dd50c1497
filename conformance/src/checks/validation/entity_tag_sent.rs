//! RFC 9111 section 4.3.1: a validation request carries the stored entity tag.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/entity-tag-sent",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9111 section 4.3.1",
    rule: "A cache that validates a stored response with an entity tag sends that tag, as it came, in If-None-Match.",
    reason: "Asking by date alone misses changes within a second; asking with a mangled tag never matches, and every \
             validation becomes a full transfer.",
    depends_on: &["freshness/max-age-elapses"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let old = http_date(exchange::Time::new(t.now().seconds() - 1000, 0));
    let reply = Reply::fresh(3).etag("W/\"a,b:1\"").field("Last-Modified", &old);
    let page = t.page("page", reply);
    page.gone_stale().await?;
    page.get().answer().await?;
    let request = page
        .requests()
        .last()
        .cloned()
        .ok_or_else(|| Stop::Nothing("no request reached the origin".into()))?;
    let conditional =
        request.fields.contains("If-None-Match") || request.fields.contains("If-Modified-Since");
    need!(conditional, "the candidate asked again without a condition: it does not validate");
    let tag = request.fields.combined("If-None-Match").unwrap_or_default();
    let text = exchange::escape(&tag);
    ensure!(
        text == "W/\"a,b:1\"",
        "the stored tag is W/\"a,b:1\"; the validation has If-None-Match `{text}`"
    );
    Ok(())
}
