//! Content to and from the origin.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Origin;
use super::group::Attempt;
use super::pool::{Connection, Stream};
use crate::client::{BodyError, RequestBody};
use crate::limits::Limit;

/// Content of a request to the origin.
#[derive(Debug)]
pub struct OutboundContent {
    content: Option<RequestBody>,
    progress: Progress,
}

/// How far a request has come.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    pieces: AtomicU64,
    interims: AtomicU32,
    spoilt: AtomicBool,
}

impl Progress {
    /// Pieces of content that the origin's connection has taken.
    pub fn pieces(&self) -> u64 {
        self.0.pieces.load(Ordering::Relaxed)
    }

    /// Interim responses that came.
    pub fn interims(&self) -> u32 {
        self.0.interims.load(Ordering::Relaxed)
    }

    /// Did the client fail to send its content?
    pub fn is_spoilt(&self) -> bool {
        self.0.spoilt.load(Ordering::Relaxed)
    }

    pub fn piece(&self) {
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
    }

    pub fn interim(&self) {
        self.0.interims.fetch_add(1, Ordering::Relaxed);
    }

    fn spoil(&self) {
        self.0.spoilt.store(true, Ordering::Relaxed);
    }
}

impl OutboundContent {
    pub fn new(content: Option<RequestBody>, progress: Progress) -> Self {
        Self { content, progress }
    }

    /// What nobody has taken any of.
    pub fn into_inner(self) -> Option<RequestBody> {
        self.content
    }
}

impl Body for OutboundContent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(content) = &mut self.content else { return Poll::Ready(None) };
        let frame = Pin::new(content).poll_frame(context);
        match &frame {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => self.progress.spoil(),
            Poll::Ready(_) => self.progress.piece(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Sends a request's content on a stream, as fast as the origin takes it (RFC 9113 section 5.2). Content that the client
/// does not send whole is cancelled: it must not look complete.
pub async fn upload(mut content: RequestBody, mut stream: SendStream<Bytes>, progress: Progress) {
    while let Some(frame) = content.frame().await {
        let Ok(frame) = frame else {
            progress.spoil();
            stream.send_reset(Reason::CANCEL);
            return;
        };
        match frame.into_data() {
            Ok(mut data) => {
                while !data.is_empty() {
                    stream.reserve_capacity(data.len());
                    // Nothing more is wanted when the stream is over: whoever waits for the response is told why.
                    let Some(Ok(room)) = poll_fn(|context| stream.poll_capacity(context)).await else {
                        return;
                    };
                    let piece = data.split_to(room.min(data.len()));
                    if stream.send_data(piece, false).is_err() {
                        return;
                    }
                    progress.piece();
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = stream.send_trailers(trailers);
                    return;
                }
            }
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

/// A task that ends with what it is for.
#[derive(Debug)]
pub struct Uploading(pub JoinHandle<()>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Content of a response, as it arrives. Its connection goes back to the pool once all of it has been taken, and is
/// closed, or its stream reset, if it is dropped before.
#[derive(Debug)]
pub struct OriginContent {
    source: Source,
    stall: Duration,
    /// When the whole fetch has to be over, and how long that is after its beginning.
    until: (Instant, Duration),
    /// Told how it ended, where origins are watched.
    attempt: Option<Attempt>,
}

#[derive(Debug)]
enum Source {
    H1(Box<Received>),
    H2(Box<Streamed>),
    /// All of it has been taken, or it broke off.
    Over,
}

#[derive(Debug)]
struct Received {
    incoming: Incoming,
    connection: Connection,
    origin: Arc<Origin>,
    /// The connection is good for another request.
    keep: bool,
}

#[derive(Debug)]
struct Streamed {
    receiving: RecvStream,
    /// Nothing may come: it answers HEAD, or has a status without content.
    bodiless: bool,
    uploading: Option<Uploading>,
    _stream: Stream,
}

/// The content of a response broke off.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("the origin sent no content for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("the fetch took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    #[error("the origin's response broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the origin's response broke off: {0}")]
    Reset(#[from] h2::Error),
    #[error("the origin sent content where there is none")]
    Unexpected,
}

impl ContentError {
    /// The limit that it ran into, if it did.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Stalled(_) => Some(Limit::OriginContentStall),
            Self::TooLong(_) => Some(Limit::OriginFetch),
            Self::Broken(_) | Self::Reset(_) | Self::Unexpected => None,
        }
    }
}

impl OriginContent {
    pub(super) fn h1(
        incoming: Incoming,
        origin: Arc<Origin>,
        connection: Connection,
        keep: bool,
        stall: Duration,
        until: (Instant, Duration),
    ) -> Self {
        let is_over = incoming.is_end_stream();
        let source = Source::H1(Box::new(Received { incoming, connection, origin, keep }));
        let mut content = Self { source, stall, until, attempt: None };
        if is_over {
            content.end();
        }
        content
    }

    pub(super) fn h2(
        receiving: RecvStream,
        stream: Stream,
        uploading: Option<Uploading>,
        bodiless: bool,
        stall: Duration,
        until: (Instant, Duration),
    ) -> Self {
        let is_over = receiving.is_end_stream() && uploading.is_none();
        let source = if is_over {
            Source::Over
        } else {
            Source::H2(Box::new(Streamed { receiving, bodiless, uploading, _stream: stream }))
        };
        Self { source, stall, until, attempt: None }
    }

    /// `attempt` is told how the content ends.
    pub(super) fn watch(&mut self, attempt: Attempt) {
        match self.source {
            Source::Over => attempt.succeeded(),
            Source::H1(_) | Source::H2(_) => self.attempt = Some(attempt),
        }
    }

    /// The next piece of content or the trailer fields; `None` at the end.
    ///
    /// # Errors
    /// When the response breaks off; nothing follows.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, ContentError>> {
        let now = Instant::now();
        let (end, total) = self.until;
        let stalled = now + self.stall;
        let frame = match timeout_at(stalled.min(end), self.source.frame()).await {
            Err(_) if end <= stalled => Some(Err(ContentError::TooLong(total))),
            Err(_) => Some(Err(ContentError::Stalled(self.stall))),
            Ok(frame) => frame,
        };
        match &frame {
            None => self.end(),
            Some(Err(error)) => {
                self.source = Source::Over;
                match (self.attempt.take(), error) {
                    // The client may have been the slow one.
                    (None, _) | (Some(_), ContentError::TooLong(_)) => {}
                    (Some(attempt), _) => attempt.failed(None),
                }
            }
            Some(Ok(_)) => {}
        }
        frame
    }

    fn end(&mut self) {
        if let Source::H1(received) = std::mem::replace(&mut self.source, Source::Over)
            && received.keep
        {
            let Received { origin, connection, .. } = *received;
            origin.pool.give_back(connection);
        }
        if let Some(attempt) = self.attempt.take() {
            attempt.succeeded();
        }
    }
}

impl Source {
    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, ContentError>> {
        match self {
            Self::Over => None,
            Self::H1(received) => poll_fn(|context| received.poll_frame(context)).await,
            Self::H2(streamed) => streamed.frame().await,
        }
    }
}

impl Received {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ContentError>>> {
        let Self { incoming, connection, .. } = self;
        let mut incoming = Pin::new(incoming);
        let mut frame = incoming.as_mut().poll_frame(context);
        if frame.is_pending() {
            // Asked for, the next piece is read.
            connection.driver.drive(context);
            frame = incoming.poll_frame(context);
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(ContentError::from)))
    }
}

impl Streamed {
    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, ContentError>> {
        loop {
            match self.receiving.data().await {
                Some(Ok(data)) => {
                    // Whoever asks for the next piece is done with this one. It fails for streams that are over.
                    let _ = self.receiving.flow_control().release_capacity(data.len());
                    if data.is_empty() {
                        continue;
                    }
                    if self.bodiless {
                        return Some(Err(ContentError::Unexpected));
                    }
                    return Some(Ok(Frame::data(data)));
                }
                Some(Err(error)) => return Some(Err(error.into())),
                None => break,
            }
        }
        match self.receiving.trailers().await {
            Ok(None) => {
                // What is left of the request is not wanted (RFC 9113 section 8.1): its stream is reset.
                self.uploading = None;
                None
            }
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(error.into())),
        }
    }
}
