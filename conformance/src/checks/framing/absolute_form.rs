//! RFC 9112 section 3.2.2: the host in an absolute target counts, not the Host field.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/absolute-form",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 3.2.2",
    rule: "For a request with an absolute target the Host field is replaced by the target's host.",
    reason: "A hop that routes by the target and keys by Host, or the reverse, can be made to store one host's page \
             for another.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let probe = t.page("probe", Reply::ok());
    probe.get().host(OTHER_HOST).answer().await?;
    let keeps = probe.request(1)?.authority() == Some(OTHER_HOST.as_bytes());
    need!(keeps, "the candidate does not keep the client's Host");
    let page = t.page("page", Reply::ok());
    let mut line = t.connect().await?;
    line.send(format!("GET http://{OTHER_HOST}{} HTTP/1.1\r\nHost: {}\r\n\r\n", page.path(), t.authority()))
        .await?;
    let status = line.answer_or_close().await?.map_or(0, |a| a.status);
    need!(page.count() > 0, "an absolute target was answered with status {status} and not forwarded");
    let request = page.request(1)?;
    let got = request.authority().map(exchange::escape).unwrap_or_default();
    ensure!(got == OTHER_HOST, "the target named {OTHER_HOST}; the origin was asked for `{got}`");
    Ok(())
}
