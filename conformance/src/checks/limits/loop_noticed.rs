//! RFC 8586 section 3: a request that comes round again is refused.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "limits/loop-noticed",
    area: Area::Limits,
    level: Level::Behaviour,
    cite: "RFC 8586 section 2; RFC 9110 section 7.6",
    rule: "A request that carries the Via and CDN-Loop fields the candidate itself adds is refused.",
    reason: "A wrong origin setting can point a cache at itself. Each request then becomes an endless stream of them, \
             until connections run out.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let first = t.page("first", Reply::ok());
    first.fill().await?;
    let request = first.request(1)?;
    let text = |name: &str| request.fields.combined(name).map(|v| String::from_utf8_lossy(&v).into_owned());
    let (via, cdn_loop) = (text("Via"), text("CDN-Loop"));
    need!(
        via.is_some() || cdn_loop.is_some(),
        "the candidate adds neither Via nor CDN-Loop to what it forwards"
    );
    let page = t.page("page", Reply::ok());
    let mut ask = page.get();
    if let Some(via) = via {
        ask = ask.field("Via", &via);
    }
    if let Some(cdn_loop) = cdn_loop {
        ask = ask.field("CDN-Loop", &cdn_loop);
    }
    ask.answer_or_close().await?;
    ensure!(page.count() == 0, "a request with the candidate's own Via or CDN-Loop was forwarded again");
    Ok(())
}
