//! RFC 9111 section 4: a response answers requests for its own URI only, and the host is part of it.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/host-in-key",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9111 sections 2 and 4",
    rule: "A response stored for one host does not answer a request for the same path on another.",
    reason: "On a shared cache the same path exists for every customer. Leaving the host out of the key serves one \
             customer's page under another's name (CVE-2026-2836).",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let page = t.page("page", Reply::fresh(3600));
    page.fill().await?;
    let other = page.get().host(OTHER_HOST).answer().await?;
    if !other.from_store() {
        need!(
            other.asked > 0,
            "a request for another host got status {} and was not forwarded",
            other.status
        );
        return Ok(());
    }
    // A candidate may be set up to serve one site under every name: then it sends one name to the origin.
    let probe = t.page("probe", Reply::ok().field("Cache-Control", "no-store"));
    probe.get().host(OTHER_HOST).answer().await?;
    let (own, others) =
        (page.request(1)?.authority().map(<[u8]>::to_vec), probe.request(1)?.authority().map(<[u8]>::to_vec));
    need!(
        own != others,
        "the candidate sends the same Host to the origin whatever the client's: it serves one site"
    );
    Err(Stop::Broken(format!(
        "a request for {OTHER_HOST} was answered with the response stored for {}",
        t.authority()
    )))
}
