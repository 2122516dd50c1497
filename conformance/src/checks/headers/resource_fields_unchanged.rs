//! RFC 9110 section 7.7: fields that describe the resource are not rewritten.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/resource-fields-unchanged",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 section 7.7",
    rule: "Date, ETag, Last-Modified, Expires, Content-Type and Content-Location leave as they came, from origin and \
           from the store.",
    reason: "Clients compare validators byte by byte and compute freshness from dates. A rewritten ETag disables \
             revalidation and ranges; a rewritten Date makes old content look new to every cache downstream.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

const NAMES: [&str; 6] = ["Date", "ETag", "Last-Modified", "Expires", "Content-Type", "Content-Location"];

async fn judge(t: Trial) -> Outcome {
    let day = |days: i64| http_date(exchange::Time::new(t.now().seconds() + days * 86_400, 0));
    let reply = Reply::ok()
        .date(exchange::Time::new(t.now().seconds() - 100, 0))
        .etag("\"x-1:Gz/é\"")
        .field("Last-Modified", &day(-400))
        .field("Expires", &day(2))
        .field("Content-Type", "text/x-odd; Charset=\"utf-8\"")
        .field("Content-Location", "other?a=%7e");
    let page = t.page("page", reply);
    let first = page.fill().await?;
    let again = page.get().answer().await?;
    let sent = page.reply(1)?;
    for (answer, which) in [(&first, "first"), (&again, "second")] {
        for name in
            NAMES.iter().filter(|n| answer.from_store() || answer.number() == Some(1) || **n != "Date")
        {
            let (was, is) = (sent.fields.combined(name), answer.fields.combined(name));
            let text = |v: &Option<Vec<u8>>| v.as_ref().map_or("missing".into(), |v| exchange::escape(v));
            ensure!(
                is == was,
                "{name} of the {which} answer: sent `{}`, received `{}`",
                text(&was),
                text(&is)
            );
        }
    }
    Ok(())
}
