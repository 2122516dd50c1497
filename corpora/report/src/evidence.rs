//! What was seen, as text a person can read.

use exchange::{Request, Response, Secrets, escape};
use serde::{Deserialize, Serialize};

/// One block of text that shows what happened. Bytes that are not printable are escaped as `\xNN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it shows: `request`, `answer`, `seen at the origin`, `reproduce`.
    pub label: String,
    pub kind: EvidenceKind,
    pub text: String,
}

/// How to show a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// A message, or other text that is shown as it is.
    Text,
    /// A unified diff.
    Diff,
    /// A command to run.
    Command,
}

impl Evidence {
    /// Longest body shown, in bytes.
    const BODY: usize = 2048;

    pub fn text(label: impl Into<String>, text: impl Into<String>) -> Self {
        Evidence { label: label.into(), kind: EvidenceKind::Text, text: text.into() }
    }

    pub fn diff(label: impl Into<String>, diff: impl Into<String>) -> Self {
        Evidence { label: label.into(), kind: EvidenceKind::Diff, text: diff.into() }
    }

    /// The command that reproduces what is shown.
    pub fn command(label: impl Into<String>, command: impl Into<String>) -> Self {
        Evidence { label: label.into(), kind: EvidenceKind::Command, text: command.into() }
    }

    /// A request: request line, fields, the first bytes of its body.
    pub fn request(label: impl Into<String>, request: &Request, secrets: &Secrets) -> Self {
        let target = escape(&secrets.text(&request.target));
        let mut text = format!("{} {target} {}\n", escape(&request.method), request.version);
        section(&mut text, &request.fields, secrets);
        body(&mut text, &request.body, secrets);
        section(&mut text, &request.trailers, secrets);
        Evidence::text(label, text)
    }

    /// A response with its interim responses: status line, fields, the first bytes of its body, trailers.
    pub fn response(label: impl Into<String>, response: &Response, secrets: &Secrets) -> Self {
        let mut text = String::new();
        for one in response.interim.iter().chain([response]) {
            if !text.is_empty() {
                text.push('\n');
            }
            let line = format!("{} {} {}", one.version, one.status, escape(&one.reason));
            text += line.trim_end();
            text.push('\n');
            section(&mut text, &one.fields, secrets);
        }
        body(&mut text, &response.body, secrets);
        section(&mut text, &response.trailers, secrets);
        Evidence::text(label, text)
    }
}

fn section(text: &mut String, fields: &exchange::Fields, secrets: &Secrets) {
    for field in fields {
        *text += &format!("{}: {}\n", escape(&field.name), escape(&secrets.field(&field.name, &field.value)));
    }
}

/// After an empty line: the body's first bytes, its line ends kept, and what is to say about the rest.
fn body(text: &mut String, body: &exchange::Body, secrets: &Secrets) {
    let whole = body.ending == exchange::Ending::Complete;
    if body.is_empty() && whole {
        return;
    }
    *text += "\n";
    let shown = body.bytes.as_ref().map_or(&[][..], |bytes| &bytes[..bytes.len().min(Evidence::BODY)]);
    for line in secrets.text(shown).split_inclusive(|&b| b == b'\n') {
        *text += &escape(line.strip_suffix(b"\n").unwrap_or(line));
        text.push('\n');
    }
    if shown.len() as u64 == body.length && whole {
        return;
    }
    *text += &format!("[body: {} bytes, SHA-256 {}, {:?}]\n", body.length, body.sha256, body.ending);
}
