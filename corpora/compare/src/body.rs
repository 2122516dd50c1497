//! Bodies: how they ended, and what they say under their codings.

use crate::collect::{Collector, show};
use crate::message::{Message, Section};
use crate::multipart::Parts;
use crate::{Class, Rule, Settings, coding, json, message, rules, syntax, text};
use exchange::{Body, Ending};
use std::borrow::Cow;

/// How a body is compared, by its Content-Type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Binary,
}

/// How far around a difference secrets are looked for, in bytes.
const NEAR: usize = 4096;

/// A body's bytes, decoded or as they are.
type Bytes<'m> = Cow<'m, [u8]>;

/// The bodies of two messages, decoded where that helps.
pub(crate) struct Content<'m> {
    left: &'m Body,
    right: &'m Body,
    codings: (Vec<u8>, Vec<u8>),
    /// Both bodies without their content codings, where both could be decoded.
    decoded: Option<(Bytes<'m>, Bytes<'m>)>,
    parts: Option<(Parts<'m>, Parts<'m>)>,
    form: Form,
}

impl<'m> Content<'m> {
    pub fn new(settings: &Settings, left: &Message<'m>, right: &Message<'m>) -> Self {
        let codings = |m: &Message<'_>| {
            m.fields
                .members("content-encoding")
                .map(<[u8]>::to_ascii_lowercase)
                .collect::<Vec<_>>()
                .join(&b","[..])
        };
        let codings = (codings(left), codings(right));
        let (bl, br) = (left.body, right.body);
        let types = [left, right].map(|m| m.fields.get("content-type").map(|v| &v[..]).unwrap_or_default());
        let form = match (form(types[0]), form(types[1])) {
            (l, r) if l == r => l,
            (Form::Binary, _) | (_, Form::Binary) => Form::Binary,
            _ => Form::Text,
        };
        let mut content = Content { left: bl, right: br, codings, decoded: None, parts: None, form };
        if let (false, Some(l), Some(r)) = (content.alike(), bl.whole(), br.whole()) {
            let max = settings.max_decoded;
            content.decoded =
                coding::decode(&content.codings.0, l, max).zip(coding::decode(&content.codings.1, r, max));
            content.parts = Parts::parse(types[0], l).zip(Parts::parse(types[1], r));
        }
        content
    }

    fn alike(&self) -> bool {
        self.left.length == self.right.length && self.left.sha256 == self.right.sha256
    }

    /// Whether the bytes differ and what they encode does not, both being whole.
    pub fn same_when_decoded(&self) -> bool {
        self.whole() && self.decoded.as_ref().is_some_and(|(l, r)| l == r)
    }

    fn whole(&self) -> bool {
        self.left.ending == Ending::Complete && self.right.ending == Ending::Complete
    }

    /// Whether both bodies are multipart/byteranges, whose boundary means nothing.
    pub fn parts_on_both(&self) -> bool {
        self.parts.is_some()
    }

    /// Adds that another content coding carries the same content.
    pub fn encoding(&self, out: &mut Collector<'_>) {
        let (l, r) = (&self.codings.0, &self.codings.1);
        if l == r {
            return;
        }
        let shown = |coding: &'_ Vec<u8>| if coding.is_empty() { None } else { Some(coding.clone()) };
        let (l, r) = (shown(l), shown(r));
        let explanation =
            format!("the same content, in {} bytes against {}", self.left.length, self.right.length);
        let values = (l.as_deref(), r.as_deref());
        out.add("fields.content-encoding", values, &rules::CODING, Class::Encoding, explanation);
    }

    /// Adds what differs in ending and bytes.
    pub fn compare(&self, out: &mut Collector<'_>) {
        let (left, right) = (self.left, self.right);
        if left.ending != right.ending {
            let told = |b: &Body| format!("{} after {} bytes", ending(b.ending), b.length);
            let (l, r) = (told(left), told(right));
            let (cut, name) = if right.ending == Ending::Complete {
                (l.clone(), out.names().0)
            } else {
                (r.clone(), out.names().1)
            };
            let explanation = format!("the {name}'s body is {cut}");
            let values = (Some(l.as_bytes()), Some(r.as_bytes()));
            out.add("body.ending", values, &rules::ENDING, Class::Framing, explanation);
            // What was cut short differs because of that, as far as it agrees until then.
            if cut_of(left, right) || cut_of(right, left) {
                return;
            }
        }
        if self.alike() || self.same_when_decoded() {
            return;
        }
        if let Some((l, r)) = &self.parts {
            return parts(out, l, r);
        }
        match &self.decoded {
            Some((l, r)) if self.whole() => contents(out, "body", l, r, self.form),
            _ => match (left.whole(), right.whole()) {
                (Some(l), Some(r)) => contents(out, "body", l, r, Form::Binary),
                _ => digests(out, left, right),
            },
        }
    }
}

fn form(content_type: &[u8]) -> Form {
    let essence =
        content_type.split(|&b| b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let Ok(essence) = std::str::from_utf8(&essence) else { return Form::Binary };
    if essence == "application/json" || essence.ends_with("+json") {
        return Form::Json;
    }
    let text = essence.starts_with("text/")
        || essence.ends_with("+xml")
        || [
            "xml",
            "javascript",
            "ecmascript",
            "x-www-form-urlencoded",
            "graphql",
            "yaml",
            "toml",
            "x-ndjson",
        ]
        .iter()
        .any(|name| essence.strip_prefix("application/") == Some(name));
    if text { Form::Text } else { Form::Binary }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::Truncated => "truncated",
        Ending::Reset => "reset",
    }
}

/// Whether `short` was cut short and holds the first bytes of `long`, as far as both are known.
fn cut_of(short: &Body, long: &Body) -> bool {
    if short.ending == Ending::Complete || short.length > long.length {
        return false;
    }
    match (&short.bytes, &long.bytes) {
        (Some(s), Some(l)) => {
            let both = s.len().min(l.len());
            s[..both] == l[..both]
        }
        _ => short.length < long.length || short.sha256 == long.sha256,
    }
}

/// Bodies of which not all bytes were kept.
fn digests(out: &mut Collector<'_>, left: &Body, right: &Body) {
    let told = |b: &Body| format!("{} bytes, SHA-256 {}", b.length, b.sha256);
    let (l, r) = (told(left), told(right));
    let explanation = match (&left.bytes, &right.bytes) {
        (Some(a), Some(b)) => match first_difference(a, b) {
            Some(at) if at < a.len().min(b.len()) => format!("the bytes differ, first at offset {at}"),
            _ => format!("the bytes differ, after the first {} that were kept", a.len().min(b.len())),
        },
        _ => "length or digest differs; the bytes were not kept".to_owned(),
    };
    out.add("body", (Some(l.as_bytes()), Some(r.as_bytes())), &rules::BYTES, Class::Body, explanation);
}

/// The first offset at which two byte strings differ, which is the shorter's length where it starts the longer.
pub(crate) fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    let at = left.iter().zip(right).position(|(l, r)| l != r);
    at.or_else(|| (left.len() != right.len()).then(|| left.len().min(right.len())))
}

fn contents(out: &mut Collector<'_>, path: &str, left: &[u8], right: &[u8], form: Form) {
    let small = left.len().max(right.len()) <= out.settings.max_text;
    if form == Form::Json
        && small
        && let (Some(l), Some(r)) = (json::parse(left), json::parse(right))
    {
        return json::compare(out, path, &l, &r);
    }
    let Some(at) = first_difference(left, right) else { return };
    // Enough of both to know secrets by what stands before them.
    let start = at.saturating_sub(NEAR);
    let near = |bytes: &'_ [u8]| {
        let piece = &bytes[start.min(bytes.len())..(at + NEAR).min(bytes.len())];
        out.settings.secrets.text(piece).into_owned()
    };
    let (near_left, near_right) = (near(left), near(right));
    let shown_at = first_difference(&near_left, &near_right).unwrap_or(0);
    let around = |near: &[u8], bytes: &[u8]| {
        let (from, to) = (shown_at.saturating_sub(24), (shown_at + 40).min(near.len()));
        let lead = if start + from > 0 { "..." } else { "" };
        let tail = if to < near.len() || at + NEAR < bytes.len() { "..." } else { "" };
        let piece = near.get(from..to).unwrap_or_default();
        format!("{} bytes: {lead}{}{tail}", bytes.len(), exchange::escape(piece))
    };
    let textual = form != Form::Binary && small;
    let rule: &Rule = if textual { &rules::TEXT } else { &rules::BYTES };
    let explanation = format!("the bytes differ, first at offset {at}");
    let diff = textual.then(|| text::unified(left, right, out.settings)).flatten();
    let (l, r) = (around(&near_left, left), around(&near_right, right));
    push_printable(out, path, (l, r), rule, explanation, diff);
}

/// Adds a difference whose values are printable already.
fn push_printable(
    out: &mut Collector<'_>,
    path: &str,
    (left, right): (String, String),
    rule: &Rule,
    explanation: String,
    diff: Option<String>,
) {
    if let Some(difference) = out.add(path, (None, None), rule, Class::Body, explanation) {
        difference.left = Some(left);
        difference.right = Some(right);
        difference.diff = diff;
    }
}

/// Parts of multipart/byteranges, in order.
fn parts(out: &mut Collector<'_>, left: &Parts<'_>, right: &Parts<'_>) {
    if left.0.len() != right.0.len() {
        let (l, r) = (format!("{} parts", left.0.len()), format!("{} parts", right.0.len()));
        let explanation = "another number of parts";
        out.add("body", (Some(l.as_bytes()), Some(r.as_bytes())), &rules::PARTS, Class::Body, explanation);
        return;
    }
    for (index, (l, r)) in left.0.iter().zip(&right.0).enumerate() {
        let path = format!("body.parts[{index}].fields");
        let section = Section { path: &path, class: Class::Body };
        message::plain_fields(out, &section, &l.fields, &r.fields, |name| name == "content-length");
        if l.bytes != r.bytes {
            let form = form(l.fields.get("content-type").map(|v| &v[..]).unwrap_or_default());
            // A piece of JSON is no JSON.
            let form = if form == Form::Json { Form::Text } else { form };
            contents(out, &format!("body.parts[{index}]"), l.bytes, r.bytes, form);
        }
    }
}

/// What a value shows of itself where it is long.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    show(bytes, 160)
}

/// The boundary parameter of a multipart/byteranges type.
pub(crate) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = syntax::split(content_type, b';', None).into_iter();
    if !pieces.next()?.eq_ignore_ascii_case(b"multipart/byteranges") {
        return None;
    }
    let mut parameters = pieces.map(syntax::parameter);
    parameters.find(|(name, _)| name == b"boundary").and_then(|(_, value)| value).filter(|b| !b.is_empty())
}
