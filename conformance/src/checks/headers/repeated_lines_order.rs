//! RFC 9110 section 5.3: lines of one name keep their order.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "headers/repeated-lines-order",
    area: Area::Headers,
    level: Level::Should,
    cite: "RFC 9110 sections 5.2 and 5.3",
    rule: "Several lines of one field name keep their order, both ways, whether or not they are joined into one.",
    reason: "The order of list members carries meaning (preference, the path a message took, which policy applies \
             first). An intermediary that sorts or reverses lines changes that meaning without a trace.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

async fn judge(t: Trial) -> Outcome {
    let reply = ["c", "a", "b"].iter().fold(Reply::ok(), |reply, v| reply.field("Zz-List", v));
    let page = t.page("page", reply);
    let ask = ["z", "x", "y"].iter().fold(page.get(), |ask, v| ask.field("Zz-List", v));
    let answer = ask.answer().await?;
    let request = page.request(1)?;
    let asked: Vec<_> = request.fields.members("Zz-List").collect();
    let answered: Vec<_> = answer.fields.members("Zz-List").collect();
    need!(
        !asked.is_empty() && !answered.is_empty(),
        "the candidate does not pass on a field it does not know"
    );
    ensure!(asked == [b"z", b"x", b"y"], "the client sent Zz-List z, x, y; the origin got {}", list(&asked));
    ensure!(
        answered == [b"c", b"a", b"b"],
        "the origin sent Zz-List c, a, b; the client got {}",
        list(&answered)
    );
    Ok(())
}

fn list(members: &[&[u8]]) -> String {
    if members.is_empty() {
        return "none".to_owned();
    }
    members.iter().map(|m| exchange::escape(m)).collect::<Vec<_>>().join(", ")
}
