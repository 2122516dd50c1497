//! Content to and from the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Origin;
use super::pool::Connection;
use crate::client::{BodyError, RequestBody};

/// Content of a request to the origin.
#[derive(Debug)]
pub struct OutboundContent {
    content: Option<RequestBody>,
    taken: Taken,
}

/// How many pieces of a request's content the origin's connection has taken.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicU64>);

impl Taken {
    pub fn pieces(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl OutboundContent {
    pub fn none() -> Self {
        Self { content: None, taken: Taken::default() }
    }

    pub fn some(content: RequestBody) -> Self {
        Self { content: Some(content), taken: Taken::default() }
    }

    pub fn taken(&self) -> Taken {
        self.taken.clone()
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
        if frame.is_ready() {
            self.taken.0.fetch_add(1, Ordering::Relaxed);
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

/// Content of a response, as it arrives. Its connection goes back to the pool once all of it has been taken, and is
/// closed if it is dropped before.
#[derive(Debug)]
pub struct OriginContent {
    incoming: Incoming,
    lease: Option<(Arc<Origin>, Connection)>,
    stall: Duration,
}

/// The content of a response broke off.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("the origin sent no content for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("the origin's response broke off: {0}")]
    Broken(#[from] hyper::Error),
}

impl OriginContent {
    pub(super) fn new(
        incoming: Incoming,
        origin: Arc<Origin>,
        connection: Connection,
        keep: bool,
        stall: Duration,
    ) -> Self {
        let mut content = Self { incoming, lease: keep.then_some((origin, connection)), stall };
        if content.incoming.is_end_stream() {
            content.give_back();
        }
        content
    }

    /// The next piece of content or the trailer fields; `None` at the end.
    ///
    /// # Errors
    /// When the response breaks off; nothing follows.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, ContentError>> {
        let frame = match timeout(self.stall, self.incoming.frame()).await {
            Err(_) => Some(Err(ContentError::Stalled(self.stall))),
            Ok(frame) => frame.map(|frame| frame.map_err(ContentError::from)),
        };
        match &frame {
            None => self.give_back(),
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) => {}
        }
        frame
    }

    fn give_back(&mut self) {
        if let Some((origin, connection)) = self.lease.take() {
            origin.pool.give_back(connection);
        }
    }
}
