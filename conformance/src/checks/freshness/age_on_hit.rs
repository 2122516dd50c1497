//! RFC 9111 section 4: a response from the store says how old it is.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/age-on-hit",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 sections 4 and 5.1",
    rule: "A response reused without validation carries one Age field, a whole number of seconds.",
    reason: "Without Age the next cache and the browser start the lifetime anew: with three caches in a row content \
             lives three times as long as its publisher allowed.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let hit = page.stored().await?.hit;
    let ages: Vec<_> = hit.fields.get_all("Age").collect();
    ensure!(!ages.is_empty(), "the response came from the store without Age");
    ensure!(ages.len() == 1, "the response came from the store with {} Age lines", ages.len());
    let digits = !ages[0].is_empty() && ages[0].iter().all(u8::is_ascii_digit);
    ensure!(digits, "Age is `{}`, not a number of seconds", exchange::escape(ages[0]));
    Ok(())
}
