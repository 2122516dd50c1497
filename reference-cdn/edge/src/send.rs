//! Sends stored content, or content passing through, to a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};
use http_cache::{Decisions, Reply, Selection, Stored};
use tokio::time::timeout;

use crate::access_log::Record;
use crate::http1::head::{RequestHead, content_length};
use crate::http1::respond::{Downstream, ENOUGH, Stop};
use crate::origin::Answer;
use crate::store::{Body, Fault, Next, Object, Reader};

/// Why a stored response was not sent.
pub enum NotSent {
    /// A block failed its check before anything was sent: the caller may still do something else.
    BadBlock,
    /// A block failed its check after the response had begun.
    BadBlockLater,
    /// The disk gave nothing in time, and nothing was sent.
    Unread,
    /// The same after the response had begun.
    UnreadLater,
    Stop(Stop),
}

impl From<Stop> for NotSent {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Sends `reply`, its content from `object`.
///
/// The blocks that go out with the head are verified before the head is sent. What comes from disk is waited for before
/// that, for up to `patience` each time: nobody has seen anything yet, and the origin can still be asked.
pub async fn stored<D: Downstream>(
    decisions: &dyn Decisions,
    request: &RequestHead,
    object: &Object,
    reply: Reply,
    patience: Duration,
    down: &mut D,
    record: &mut Record,
) -> Result<(), NotSent> {
    let has_content = has_content(&request.method, reply.status);
    let mut length = announced(&reply.headers);
    let mut feed = Feed::new(decisions, object, if has_content { reply.content } else { Selection::None });
    if has_content && matches!(feed.selection, Kind::None) {
        length = Some(0);
    }
    let mut first = Vec::with_capacity(4);
    let mut octets = 0;
    let mut step = feed.step();
    loop {
        match step {
            Ok(Step::Data(data)) if octets + data.len() <= ENOUGH => {
                octets += data.len();
                first.push(data);
                step = feed.step();
            }
            Ok(Step::Wait) if object.body.is_loading() => {
                if timeout(patience, feed.arrival()).await.is_err() {
                    return Err(NotSent::Unread);
                }
                step = feed.step();
            }
            Err(Fault::BadBlock) => return Err(NotSent::BadBlock),
            Err(Fault::Unread) => return Err(NotSent::Unread),
            _ => break,
        }
    }
    // Stored trailer fields need the chunked coding to travel in.
    if let Ok(Step::Done(Some(trailers))) = &step
        && !trailers.is_empty()
        && request.http11
        && matches!(feed.selection, Kind::Whole)
    {
        length = None;
    }
    record.status = Some(reply.status);
    down.start(reply.status, None, &reply.headers, length, has_content);
    for data in first {
        record.octets += data.len() as u64;
        down.push(data)?;
    }
    loop {
        match step {
            Ok(Step::Data(data)) => {
                record.octets += data.len() as u64;
                down.push(data)?;
                if down.queued() >= ENOUGH {
                    down.flush().await?;
                }
            }
            Ok(Step::Wait) => {
                down.flush().await?;
                if !object.body.is_loading() {
                    feed.arrival().await;
                } else if timeout(patience, feed.arrival()).await.is_err() {
                    record.error = Some("disk_timeout");
                    return Err(NotSent::UnreadLater);
                }
            }
            Ok(Step::Done(trailers)) => {
                let none = HeaderMap::new();
                let seen = crate::state::view(request);
                let trailers = trailers.filter(|trailers| !trailers.is_empty());
                let trailers = trailers.map(|trailers| decisions.trailers(&seen, &trailers));
                return Ok(down.finish(trailers.as_ref().unwrap_or(&none)).await?);
            }
            Err(fault) => {
                tracing::warn!(target = %request.target, error = %fault, "response broken off");
                record.error = Some(match fault {
                    Fault::Truncated => "http_response_incomplete",
                    Fault::BadBlock => "bad_block",
                    Fault::Unread => "disk_error",
                    Fault::Overrun => "reader_overrun",
                });
                // What came before is good and worth having.
                down.flush().await?;
                return Err(match fault {
                    Fault::BadBlock => NotSent::BadBlockLater,
                    Fault::Unread => NotSent::UnreadLater,
                    Fault::Truncated | Fault::Overrun => NotSent::Stop(Stop::Content),
                });
            }
        }
        step = feed.step();
    }
}

/// Sends `reply`, its content from `answer` as it arrives.
pub async fn relayed<D: Downstream>(
    decisions: &dyn Decisions,
    request: &RequestHead,
    answer: Answer,
    reply: Reply,
    down: &mut D,
    record: &mut Record,
) -> Result<(), Stop> {
    let has_content = has_content(&request.method, reply.status);
    let reason = answer.reason.as_ref().filter(|_| reply.status == answer.status);
    record.status = Some(reply.status);
    down.start(
        reply.status,
        reason.map(|reason| reason.as_bytes()),
        &reply.headers,
        answer.length,
        has_content,
    );
    let mut content = answer.content;
    let mut trailers = HeaderMap::new();
    let mut offset = 0;
    if answer.length.is_none() {
        // The first content may be long in coming: the head should not wait for it.
        down.flush().await?;
    }
    while let Some(frame) = content.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => {
                let octets = data.len() as u64;
                down.push(decisions.content(None, offset, data))?;
                offset += octets;
                record.octets += octets;
                down.flush().await?;
            }
            Ok(Err(frame)) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            Err(error) => {
                tracing::warn!(target = %request.target, %error, "incomplete response from the origin");
                record.error = Some("http_response_incomplete");
                down.flush().await?;
                return Err(Stop::Content);
            }
        }
    }
    if !trailers.is_empty() {
        trailers = decisions.trailers(&crate::state::view(request), &trailers);
    }
    down.finish(&trailers).await
}

fn has_content(method: &Method, status: StatusCode) -> bool {
    method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn announced(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH).and_then(|value| content_length(value.as_bytes()))
}

enum Step {
    Data(Bytes),
    Wait,
    /// With the trailer fields that came with the whole content.
    Done(Option<Arc<HeaderMap>>),
}

#[derive(Clone, Copy)]
enum Kind {
    None,
    Whole,
    Parts,
}

/// Walks the selected octets of a stored response.
struct Feed<'a> {
    decisions: &'a dyn Decisions,
    stored: &'a Stored,
    body: &'a Arc<Body>,
    selection: Kind,
    /// What is left to send, in order.
    parts: std::vec::IntoIter<Piece>,
    reading: Option<Reading>,
}

enum Piece {
    Text(Bytes),
    Octets(std::ops::Range<u64>),
}

struct Reading {
    reader: Reader,
    /// Where the reader is in the representation.
    offset: u64,
    left: u64,
}

impl<'a> Feed<'a> {
    fn new(decisions: &'a dyn Decisions, object: &'a Object, selection: Selection) -> Self {
        let (kind, parts) = match selection {
            Selection::None => (Kind::None, Vec::new()),
            Selection::Whole => (Kind::Whole, Vec::new()),
            Selection::Range(range) => (Kind::Parts, vec![Piece::Octets(range)]),
            Selection::Multipart { parts, close } => {
                let pieces =
                    parts.into_iter().flat_map(|part| [Piece::Text(part.head), Piece::Octets(part.range)]);
                (Kind::Parts, pieces.chain([Piece::Text(close)]).collect())
            }
        };
        let mut feed = Self {
            decisions,
            stored: &object.stored,
            body: &object.body,
            selection: kind,
            parts: parts.into_iter(),
            reading: None,
        };
        if matches!(kind, Kind::Whole) {
            feed.begin(feed.first()..u64::MAX);
        }
        feed
    }

    fn first(&self) -> u64 {
        self.stored.extent().first
    }

    fn begin(&mut self, range: std::ops::Range<u64>) {
        let at = range.start.saturating_sub(self.first());
        let left = range.end.saturating_sub(range.start);
        self.reading = Some(Reading { reader: self.body.read(at), offset: range.start, left });
    }

    fn step(&mut self) -> Result<Step, Fault> {
        loop {
            if let Some(reading) = &mut self.reading {
                if reading.left == 0 {
                    self.reading = None;
                    continue;
                }
                match reading.reader.next(reading.left)? {
                    Next::Data(data) => {
                        let octets = data.len() as u64;
                        let data = self.decisions.content(Some(self.stored), reading.offset, data);
                        reading.offset += octets;
                        reading.left -= octets;
                        return Ok(Step::Data(data));
                    }
                    Next::Wait => return Ok(Step::Wait),
                    Next::End(trailers) if matches!(self.selection, Kind::Whole) => {
                        return Ok(Step::Done(Some(trailers)));
                    }
                    Next::End(_) => return Err(Fault::Truncated),
                }
            }
            match self.parts.next() {
                None => return Ok(Step::Done(None)),
                Some(Piece::Text(text)) => return Ok(Step::Data(text)),
                Some(Piece::Octets(range)) => self.begin(range),
            }
        }
    }

    async fn arrival(&self) {
        if let Some(reading) = &self.reading {
            reading.reader.arrival().await;
        }
    }
}
