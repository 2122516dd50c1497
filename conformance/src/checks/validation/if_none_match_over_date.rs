//! RFC 9110 section 13.1.3: with If-None-Match, If-Modified-Since is ignored.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "validation/if-none-match-over-date",
    area: Area::Validation,
    level: Level::Must,
    cite: "RFC 9110 section 13.1.3",
    rule: "When If-None-Match does not match, an If-Modified-Since that would give 304 is ignored.",
    reason: "Dates have whole seconds, so two versions made within one look the same by date. Browsers send both; a \
             cache that lets the date decide keeps them on the older version.",
    depends_on: &["validation/if-none-match-other"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let old = http_date(exchange::Time::new(t.now().seconds() - 1000, 0));
    let page = t.page("page", Reply::fresh(3600).etag("\"v2\"").field("Last-Modified", &old));
    page.stored().await?;
    let answer =
        page.get().field("If-None-Match", "\"v1\"").field("If-Modified-Since", &old).answer().await?;
    ensure!(
        answer.status == 200,
        "the tag differs and the date does not: status {} instead of 200",
        answer.status
    );
    Ok(())
}
