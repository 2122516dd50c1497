//! Sends stored content, or content passing through, to a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode, Version};
use http_cache::{Decisions, Reply, Selection, Stored};
use tokio::time::timeout;

use crate::access_log::Record;
use crate::ask::{Incoming, error_of};
use crate::client::request::content_length;
use crate::client::{Downstream, ENOUGH, RequestHead, Stop};
use crate::slices::{SliceError, Slices};
use crate::state::Edge;
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
    /// Content that is not kept went on without it before it began to read; nothing was sent.
    Overrun,
    /// The first slice of the content cannot be had; nothing was sent.
    Slice(SliceError),
    Stop(Stop),
}

impl From<Stop> for NotSent {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// How often the content of one response is mended: a slice that is bad or broke off is fetched again, and the response
/// goes on where it was.
const MENDS: usize = 8;

/// Sends `reply`, its content from `object`, or from the slices that it is kept in.
///
/// The blocks that go out with the head are verified before the head is sent. What comes from disk is waited for before
/// that, for up to `patience` each time: nobody has seen anything yet, and the origin can still be asked.
pub async fn stored<D: Downstream>(
    decisions: &dyn Decisions,
    request: &RequestHead,
    (object, slices, patience): (&Object, Option<Slices<'_>>, Duration),
    reply: Reply,
    down: &mut D,
    record: &mut Record,
) -> Result<(), NotSent> {
    let has_content = has_content(&request.method, reply.status);
    let mut length = announced(&reply.headers);
    let selection = if has_content { reply.content } else { Selection::None };
    let mut feed = Feed::new(decisions, object, slices, selection);
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
            Ok(Step::Wait) if feed.is_loading() => {
                if timeout(patience, feed.arrival()).await.is_err() && !feed.mend(Fault::Unread) {
                    return Err(NotSent::Unread);
                }
                step = feed.step();
            }
            Ok(Step::Open) => {
                // With some octets at hand there is no hurry to wait for more.
                if octets > 0 {
                    break;
                }
                feed.open().await.map_err(NotSent::Slice)?;
                step = feed.step();
            }
            Err(fault) if feed.mend(fault) => step = feed.step(),
            Err(Fault::BadBlock) => return Err(NotSent::BadBlock),
            Err(Fault::Unread) => return Err(NotSent::Unread),
            Err(Fault::Overrun) => return Err(NotSent::Overrun),
            _ => break,
        }
    }
    // RFC 9110 section 6.5.1 lets a cache discard trailer fields; a hit that lacks what the first client got would be of
    // less worth, so they are kept. In HTTP/1.1 they need the chunked coding to travel in, in place of a length: most
    // origins could not tell one either, for the same reason. Where they are not known yet, because the content is still
    // coming in, and the origin told its length (in HTTP/2 it can do both), the length is kept and they are not. They are
    // about all of the content, and go with no part of it. In HTTP/2 there is always a place for them, in HTTP/1.0 none.
    if object.body.has_trailers()
        && request.version == Version::HTTP_11
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
                if !feed.is_loading() {
                    feed.arrival().await;
                } else if timeout(patience, feed.arrival()).await.is_err() {
                    record.error = Some("disk_timeout");
                    return Err(NotSent::UnreadLater);
                }
            }
            Ok(Step::Open) => {
                if let Err(error) = feed.open().await {
                    // Why is logged where it was fetched, once for all that wait for it.
                    tracing::debug!(target = %request.target, ?error, "response broken off: a slice cannot be had");
                    record.error = Some(match error {
                        SliceError::Changed => "slice_changed",
                        SliceError::Failed(_, error) => error.name(),
                    });
                    down.flush().await?;
                    return Err(NotSent::Stop(Stop::Content));
                }
            }
            Err(fault) if feed.mend(fault) => {}
            Ok(Step::Done(trailers)) => {
                let none = HeaderMap::new();
                let seen = crate::state::view(request);
                let trailers = trailers.filter(|trailers| !trailers.is_empty());
                let trailers = trailers.map(|trailers| decisions.trailers(&seen, &trailers));
                return Ok(down.finish(trailers.as_ref().unwrap_or(&none)).await?);
            }
            Err(fault) => {
                match fault {
                    // As above.
                    Fault::Truncated => {
                        tracing::debug!(target = %request.target, error = %fault, "response broken off");
                    }
                    _ => tracing::warn!(target = %request.target, error = %fault, "response broken off"),
                }
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
    edge: &Edge,
    decisions: &dyn Decisions,
    request: &RequestHead,
    answer: Incoming,
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
                edge.spoiled(&request.target, &error);
                record.error = Some(error_of(&error).name());
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
    /// [`Feed::open`] the next slice.
    Open,
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
    slices: Option<Slices<'a>>,
    mends: usize,
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
    /// `None`: the slice has to be opened.
    reader: Option<Reader>,
    /// Where the reader is in the representation.
    offset: u64,
    left: u64,
}

impl<'a> Feed<'a> {
    fn new(
        decisions: &'a dyn Decisions,
        object: &'a Object,
        slices: Option<Slices<'a>>,
        selection: Selection,
    ) -> Self {
        let complete = object.stored.extent().complete.unwrap_or(0);
        let (kind, parts) = match selection {
            Selection::None => (Kind::None, Vec::new()),
            Selection::Whole if slices.is_some() => (Kind::Parts, vec![Piece::Octets(0..complete)]),
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
            slices,
            mends: 0,
            selection: kind,
            parts: parts.into_iter(),
            reading: None,
        };
        if matches!(kind, Kind::Whole) {
            feed.begin(feed.first()..u64::MAX);
        }
        feed
    }

    /// What is being read comes from disk.
    fn is_loading(&self) -> bool {
        let reader = self.reading.as_ref().and_then(|reading| reading.reader.as_ref());
        reader.is_some_and(|reader| reader.body().is_loading())
    }

    fn first(&self) -> u64 {
        self.stored.extent().first
    }

    fn begin(&mut self, range: std::ops::Range<u64>) {
        let at = range.start.saturating_sub(self.first());
        let left = range.end.saturating_sub(range.start);
        let reader = self.slices.is_none().then(|| self.body.read(at));
        self.reading = Some(Reading { reader, offset: range.start, left });
    }

    /// Opens the slice that holds the next octet.
    async fn open(&mut self) -> Result<(), SliceError> {
        let (Some(slices), Some(reading)) = (&self.slices, &mut self.reading) else { return Ok(()) };
        let slice = slices.open(reading.offset, reading.offset.saturating_add(reading.left - 1)).await?;
        let within = reading.offset - slice.stored.extent().first;
        reading.reader = Some(slice.body.read(within));
        Ok(())
    }

    /// What is left of a slice that failed can be had again from the origin. False if it cannot, or was too often.
    fn mend(&mut self, fault: Fault) -> bool {
        let (Some(slices), Some(reading)) = (&self.slices, &mut self.reading) else { return false };
        let Some(reader) = reading.reader.take() else { return false };
        match fault {
            Fault::Truncated => tracing::debug!(offset = reading.offset, "a slice is fetched again"),
            _ => tracing::warn!(error = %fault, offset = reading.offset, "a slice is fetched again"),
        }
        slices.forget(reader.body(), reading.offset);
        self.mends += 1;
        self.mends <= MENDS
    }

    fn step(&mut self) -> Result<Step, Fault> {
        loop {
            if let Some(reading) = &mut self.reading {
                if reading.left == 0 {
                    self.reading = None;
                    continue;
                }
                let Some(reader) = &mut reading.reader else { return Ok(Step::Open) };
                let most = match &self.slices {
                    Some(slices) => reading.left.min(slices.range(reading.offset).end - reading.offset),
                    None => reading.left,
                };
                match reader.next(most)? {
                    Next::Data(data) => {
                        let octets = data.len() as u64;
                        let data = self.decisions.content(Some(self.stored), reading.offset, data);
                        reading.offset += octets;
                        reading.left -= octets;
                        if self.slices.as_ref().is_some_and(|slices| {
                            octets == most && slices.range(reading.offset).start == reading.offset
                        }) {
                            reading.reader = None;
                        }
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
        if let Some(reader) = self.reading.as_ref().and_then(|reading| reading.reader.as_ref()) {
            reader.arrival().await;
        }
    }
}
