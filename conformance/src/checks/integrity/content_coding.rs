//! RFC 9110 section 8.4: coding, length and bytes of the content belong together.

use crate::prelude::*;

pub const CHECK: Check = Check {
    id: "integrity/content-coding",
    area: Area::Integrity,
    level: Level::Must,
    cite: "RFC 9110 sections 8.4 and 8.6",
    rule: "A gzip response reaches the client as gzip with its coding named, or decoded with neither coding nor old length.",
    reason: "Intermediaries decode for clients that cannot. Leaving Content-Encoding or the compressed length in place \
             gives the client bytes it cannot read, or cuts them off.",
    depends_on: &[],
    judge: |t| Box::pin(judge(t)),
};

const PLAIN: &[u8; 37] = b"plain text, compressed by the origin\n";

async fn judge(t: Trial) -> Outcome {
    let gzip = gzip_of_plain();
    let reply = Reply::fresh(3600)
        .field("Content-Encoding", "gzip")
        .field("Content-Type", "text/plain")
        .body(gzip.clone());
    let page = t.page("page", reply);
    for which in ["first", "second"] {
        let answer = page.get().field("Accept-Encoding", "identity").answer().await?;
        need!(answer.status == 200, "the {which} answer has status {}", answer.status);
        let coded = answer.fields.members("Content-Encoding").any(|c| c.eq_ignore_ascii_case(b"gzip"));
        let body = answer.body.whole().cloned().unwrap_or_default();
        let expected = if coded { &gzip[..] } else { &PLAIN[..] };
        let says = if coded { "Content-Encoding: gzip" } else { "no Content-Encoding" };
        ensure!(
            answer.complete() && body == expected,
            "the {which} answer has {says} and {} bytes that are not that",
            body.len()
        );
    }
    Ok(())
}

/// [`PLAIN`] in gzip format (RFC 1952), as one stored block (RFC 1951 section 3.2.4).
fn gzip_of_plain() -> Vec<u8> {
    let length = PLAIN.len() as u16;
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    gzip.extend(length.to_le_bytes());
    gzip.extend((!length).to_le_bytes());
    gzip.extend(PLAIN);
    gzip.extend(CRC32.to_le_bytes());
    gzip.extend(u32::from(length).to_le_bytes());
    gzip
}

/// CRC-32 of [`PLAIN`].
const CRC32: u32 = 0x31db_ae82;
