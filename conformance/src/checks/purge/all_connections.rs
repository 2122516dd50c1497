//! Nothing purged is served on connections that are open already.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "purge/all-connections",
    area: Area::Purge,
    level: Level::Must,
    cite: "RFC 9111 section 4.4 (invalidation); the profile's purge",
    rule: "After a purge was acknowledged, no worker or connection serves the old object.",
    reason: "Caches with several workers or tiers may purge one of them. Users then see old and new in turns, and \
             purging again helps only now and then.",
    depends_on: &["purge/removes"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let purge = t.purger()?;
    page.stored().await?;
    let line = page.line("GET") + "\r\n";
    let mut lines = Vec::new();
    for _ in 0..8 {
        let mut one = t.connect().await?;
        one.send(line.clone()).await?;
        one.answer().await?;
        lines.push(one);
    }
    let before = page.count();
    purge.accepted(&page).await?;
    for (number, one) in lines.iter_mut().enumerate() {
        one.send(line.clone()).await?;
        // A candidate may close an idle connection at any time; that one has nothing to say.
        let Some(answer) = one.answer_or_close().await? else { continue };
        let old = answer.number().is_some_and(|n| n <= before);
        ensure!(!old, "after the purge was acknowledged, open connection {number} got the old object");
    }
    Ok(())
}
