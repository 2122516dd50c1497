//! What the scripted origin answers, and the bytes of it.

use super::Gate;
use bytes::Bytes;
use endpoint::Script;
use exchange::{Body, Ending, Fields, Request, Response, Time, Version};
use std::time::{Duration, SystemTime};

/// One scripted answer.
///
/// Unless a check says otherwise the origin adds `Date` (now), `X-Answer` (how many requests for this page it has
/// answered, from 1) and a body that names page and number, so that whoever holds an answer knows which it is.
#[derive(Clone, Debug)]
pub struct Reply {
    interim: Vec<(u16, Fields)>,
    status: u16,
    fields: Fields,
    body: Option<Bytes>,
    framing: Framing,
    cut: Option<(usize, How)>,
    trailers: Fields,
    head_gate: Option<Gate>,
    body_gate: Option<(usize, Gate)>,
    dated: bool,
    raw: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    /// The check wrote the framing fields itself; the body goes out as it is.
    AsWritten,
}

/// How the origin leaves in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Close,
    Reset,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Reply {
            interim: Vec::new(),
            status,
            fields: Fields::new(),
            body: None,
            framing: Framing::Length,
            cut: None,
            trailers: Fields::new(),
            head_gate: None,
            body_gate: None,
            dated: true,
            raw: None,
        }
    }

    pub fn ok() -> Self {
        Reply::new(200)
    }

    /// 200 that may be reused for `seconds`.
    pub fn fresh(seconds: u32) -> Self {
        Reply::ok().field("Cache-Control", &format!("max-age={seconds}"))
    }

    pub fn not_modified() -> Self {
        Reply::new(304)
    }

    /// Closes the connection without a byte.
    pub fn nothing() -> Self {
        Reply::raw("")
    }

    /// These bytes and then the end of the connection.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Reply { raw: Some(bytes.into()), ..Reply::new(0) }
    }

    /// Appends a field line.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn etag(self, tag: &str) -> Self {
        self.field("ETag", tag)
    }

    /// `Date` as given, not now.
    #[must_use]
    pub fn date(self, time: Time) -> Self {
        self.field("Date", &http_date(time)).undated()
    }

    /// No `Date` from the origin.
    #[must_use]
    pub fn undated(mut self) -> Self {
        self.dated = false;
        self
    }

    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Some(bytes.into());
        self
    }

    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// The check gave the framing fields itself.
    #[must_use]
    pub fn framed_as_written(mut self) -> Self {
        self.framing = Framing::AsWritten;
        self
    }

    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name.to_owned(), value.to_owned());
        self.chunked()
    }

    /// An interim response before the final one.
    #[must_use]
    pub fn interim(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.interim.push((status, fields));
        self
    }

    /// Closes the connection after `bytes` of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, How::Close));
        self
    }

    /// Resets the connection (TCP RST) after `bytes` of the body.
    #[must_use]
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, How::Reset));
        self
    }

    /// Sends nothing before the gate opens.
    #[must_use]
    pub fn held(mut self, gate: &Gate) -> Self {
        self.head_gate = Some(gate.clone());
        self
    }

    /// Sends head and `bytes` of the body, then waits for the gate.
    #[must_use]
    pub fn held_after(mut self, bytes: usize, gate: &Gate) -> Self {
        self.body_gate = Some((bytes, gate.clone()));
        self
    }

    /// The steps that answer request `number` (from 1) for `page`, and the answer as a record.
    pub(super) fn script(
        &self,
        request: &Request,
        number: usize,
        page: &str,
        now: Time,
    ) -> (Script, Response) {
        // An origin must not answer HTTP/1.0 with a transfer coding (RFC 9112 section 6.1), nor may ours.
        if self.framing == Framing::Chunked && request.version == Version::Http10 {
            let whole = self.cut.unwrap_or((usize::MAX, How::Close));
            let unframed = Reply { framing: Framing::AsWritten, cut: Some(whole), ..self.clone() };
            return unframed.script(request, number, page, now);
        }
        let method = &request.method[..];
        let mut script = Script::new();
        if let Some(gate) = &self.head_gate {
            script = script.wait(&gate.name);
        }
        if let Some(raw) = &self.raw {
            let body = Body { ending: Ending::Truncated, ..Body::complete(raw.clone()) };
            let script = if raw.is_empty() { script } else { script.send(raw.clone()) };
            return (script.close(), Response { body, ..Response::default() });
        }
        let mut head = self.head(method, number, page, now);
        let body = std::mem::take(&mut head.body).bytes.unwrap_or_default();
        for interim in &head.interim {
            script = script.send(wire::write::response_head(interim));
        }
        script = script.send(wire::write::response_head(&head));
        if bodiless(method, self.status) {
            return (script, head);
        }
        let end = self.cut.map_or(body.len(), |(at, _)| at.min(body.len()));
        let pause = self.body_gate.as_ref().map_or(end, |(at, _)| (*at).min(end));
        script = self.part(script, body.slice(..pause));
        if let Some((_, gate)) = &self.body_gate {
            script = script.wait(&gate.name);
        }
        script = self.part(script, body.slice(pause..end));
        let (script, ending) = match self.cut {
            None if self.framing == Framing::Chunked => {
                head.trailers = self.trailers.clone();
                (script.send(wire::write::last_chunk(&self.trailers)), Ending::Complete)
            }
            None => (script, Ending::Complete),
            Some((_, How::Reset)) => (script.reset(), Ending::Reset),
            Some((at, How::Close)) if at >= body.len() && self.framing == Framing::AsWritten => {
                (script.close(), Ending::Complete)
            }
            Some((_, How::Close)) => (script.close(), Ending::Truncated),
        };
        head.body = Body { ending, ..Body::complete(body.slice(..end)) };
        (script, head)
    }

    /// Head and whole content, whatever of it will be sent.
    fn head(&self, method: &[u8], number: usize, page: &str, now: Time) -> Response {
        let body = self.body.clone().unwrap_or_else(|| Bytes::from(format!("answer {number} for {page}\n")));
        let mut fields = self.fields.clone();
        if self.dated {
            fields.push("Date", http_date(now));
        }
        fields.push("X-Answer", number.to_string());
        match self.framing {
            Framing::Length if method != b"HEAD" && bodiless(method, self.status) => {}
            Framing::Length => fields.push("Content-Length", body.len().to_string()),
            Framing::Chunked => fields.push("Transfer-Encoding", "chunked"),
            Framing::AsWritten => {}
        }
        Response {
            status: self.status,
            reason: wire::write::reason(self.status).into(),
            fields,
            body: Body { bytes: Some(body), ..Body::empty() },
            interim: self.interim.iter().map(|(s, f)| interim(*s, f)).collect(),
            ..Response::default()
        }
    }

    /// A stretch of the content, framed.
    fn part(&self, script: Script, bytes: Bytes) -> Script {
        match self.framing {
            _ if bytes.is_empty() => script,
            Framing::Chunked => script.send(wire::write::chunk(&bytes)),
            Framing::Length | Framing::AsWritten => script.send(bytes),
        }
    }
}

fn interim(status: u16, fields: &Fields) -> Response {
    let reason = wire::write::reason(status).into();
    Response { reason, ..Response::new(status, fields.clone(), Body::empty()) }
}

fn bodiless(method: &[u8], status: u16) -> bool {
    method == b"HEAD" || matches!(status, 204 | 304)
}

/// IMF-fixdate (RFC 9110 section 5.6.7). Times before 1970 print as its first second.
pub fn http_date(time: Time) -> String {
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
