//! A client that does not read does not hold up others.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "collapsing/slow-reader",
    area: Area::Collapsing,
    level: Level::Behaviour,
    cite: "RFC 9112 section 9.5",
    rule: "While one client reads nothing of a large response, another gets all of it.",
    reason: "One phone in a tunnel must not stop a download for everybody who asked after it.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let size = 8 << 20;
    let page = t.page("page", Reply::fresh(3600).body(vec![b'x'; size]));
    let mut slow = t.connect().await?;
    slow.send(page.line("GET") + "\r\n").await?;
    page.arrival(1).await?;
    let other = match page.get().answer().await {
        Err(Stop::Hung(_)) => {
            return Err(Stop::Hung("another client got nothing while the first did not read".into()));
        }
        answer => answer?,
    };
    let length = other.body.length;
    need!(other.status == 200, "the second answer has status {}", other.status);
    ensure!(length == size as u64 && other.complete(), "another client got {length} of {size} bytes");
    Ok(())
}
