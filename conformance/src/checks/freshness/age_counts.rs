//! RFC 9111 section 4.2.3: Age grows while a response lies in the store.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "freshness/age-counts",
    area: Area::Freshness,
    level: Level::Must,
    cite: "RFC 9111 section 4.2.3",
    rule: "After three seconds in the store a response has an Age of about three seconds.",
    reason: "An Age that stands still, or runs fast, makes every cache downstream keep content for too long or not at \
             all, and hides it from whoever looks at the headers.",
    depends_on: &["freshness/age-on-hit"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let before = t.now();
    let page = t.page("page", Reply::fresh(3600));
    page.stored().await?;
    let stored = t.now();
    t.pass(Duration::from_millis(3100)).await;
    let least = t.now().since(stored).as_secs();
    let hit = page.get().answer().await?;
    // Age may be rounded up once and Date, cut to whole seconds, adds one more.
    let most = t.now().since(before).as_secs() + 2;
    need!(hit.from_store(), "the response was in the store, and three seconds later it was not");
    let age = hit
        .age()
        .ok_or_else(|| Stop::Broken("the response came from the store without a valid Age".into()))?;
    ensure!(age >= least, "Age is {age} after more than {least} s in the store");
    ensure!(age <= most, "Age is {age} although the response was made less than {most} s ago");
    Ok(())
}
