//! RFC 9111 section 4.4: one origin's answer does not invalidate another origin's content.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/unsafe-other-host",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 section 4.4",
    rule: "A Location or Content-Location that names another host does not invalidate what is stored for that host.",
    reason: "Otherwise any customer of a shared cache can empty another customer's part of it, one answer to a POST \
             at a time.",
    depends_on: &["integrity/host-in-key"],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    let ask = || page.get().host(OTHER_HOST).answer();
    ask().await?;
    let stored = ask().await?;
    need!(stored.from_store(), "nothing was stored for another host than the candidate's own");
    let other = page.request(1)?.authority().map(<[u8]>::to_vec);
    need!(other.as_deref() == Some(OTHER_HOST.as_bytes()), "the candidate does not keep the client's Host");
    let url = format!("http://{OTHER_HOST}{}", page.path());
    let form = t.page("form", Reply::new(201).field("Location", &url).field("Content-Location", &url));
    let change = form.ask("POST").body("x=1").answer().await?;
    need!(
        change.asked > 0 && change.status < 400,
        "the candidate does not forward POST: status {}",
        change.status
    );
    let after = ask().await?;
    ensure!(after.from_store(), "a POST to {} made the candidate forget {url}", t.authority());
    Ok(())
}
