//! RFC 9110 section 5.5: CR, LF and NUL in field values.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "framing/control-in-value",
    area: Area::Framing,
    level: Level::Must,
    cite: "RFC 9110 section 5.5; RFC 9112 section 2.2",
    rule: "A request with NUL or a bare CR in a field value is refused, or the character is replaced by a space.",
    reason: "Origins written in C end the value at NUL, and some take a bare CR for the end of the line: what follows \
             is then read as a field, or as a request.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    for (control, name) in [("\0", "NUL"), ("\r", "a bare CR")] {
        let page = t.page("page", Reply::ok());
        let mut line = t.connect().await?;
        line.send(page.line("GET") + &format!("X-Control: a{control}b\r\n\r\n")).await?;
        line.drain().await?;
        let Some(received) = page.received(1) else { continue };
        let through = received.raw_head.windows(2).any(|w| w[0] == b'a' && w[1] == control.as_bytes()[0]);
        ensure!(!through, "{name} in a field value reached the origin");
    }
    Ok(())
}
