//! RFC 6265 section 3: Set-Cookie lines are not joined.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/set-cookie-lines",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 6265 section 3; RFC 9110 section 5.3",
    rule: "Several Set-Cookie lines stay separate lines.",
    reason: "A cookie's attributes contain commas (Expires), so joined lines cannot be taken apart again: browsers \
             keep the first cookie and lose the rest, and users are logged out.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let one = "a=1; Expires=Wed, 09 Jun 2038 10:18:14 GMT";
    let page = t.page("page", Reply::ok().field("Set-Cookie", one).field("Set-Cookie", "b=2; Path=/"));
    let answer = page.fill().await?;
    let lines: Vec<_> = answer.fields.get_all("Set-Cookie").collect();
    ensure!(!lines.is_empty(), "no Set-Cookie reached the client");
    ensure!(
        lines == [one, "b=2; Path=/"],
        "two Set-Cookie lines came out as {} other than they were",
        lines.len()
    );
    Ok(())
}
