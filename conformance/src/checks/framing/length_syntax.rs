//! RFC 9112 section 6.3: a Content-Length that is no number.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/length-syntax",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9112 section 6.3; RFC 9110 section 8.6",
    rule: "A request whose Content-Length is not made of digits is refused.",
    reason: "Number parsers of programming languages accept a sign, a prefix or trailing text. Two that differ in it \
             see two lengths.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    for length in ["+5", "0x5", "5 5", "-5", "5;a"] {
        let page = t.page("page", Reply::ok());
        let mut line = t.connect().await?;
        line.send(page.line("POST") + &format!("Content-Length: {length}\r\n\r\nhello")).await?;
        refused(&mut line, &page, &format!("Content-Length: {length}")).await?;
    }
    Ok(())
}
