//! The content of a request that comes in a stream.
//!
//! The client may send as much as the windows allow. They are opened again only when the consumer comes back for more: it
//! has then done with what it got, so that a slow origin holds back the client and nothing piles up here.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::head::are_fields;
use crate::client::content::{BodyError, may_trail};

/// Tells the stream that its client spoiled the content: there is nothing to answer but that.
#[derive(Clone, Debug, Default)]
pub struct Spoiled(Arc<(Mutex<Option<BodyError>>, Notify)>);

impl Spoiled {
    fn tell(&self, error: BodyError) {
        let (cell, told) = &*self.0;
        *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        told.notify_one();
    }

    /// Waits for it.
    pub async fn told(&self) -> BodyError {
        let (cell, told) = &*self.0;
        loop {
            if let Some(error) = *cell.lock().unwrap_or_else(PoisonError::into_inner) {
                return error;
            }
            told.notified().await;
        }
    }
}

/// Content being received.
#[derive(Debug)]
pub struct StreamContent {
    stream: RecvStream,
    /// Octets given out, for which the window has not been opened again.
    held: usize,
    /// Octets that may still come.
    left: u64,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    spoiled: Spoiled,
    over: bool,
}

impl StreamContent {
    /// At most `most` octets; the client may send nothing for `stall`.
    pub fn new(stream: RecvStream, most: u64, stall: Duration, spoiled: Spoiled) -> Self {
        Self { stream, held: 0, left: most, stall, waiting: None, spoiled, over: false }
    }

    /// The next piece, the trailer section last.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.open_window();
        let next = match self.next(context) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                let stall = self.stall;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(stall)));
                ready!(waiting.as_mut().poll(context));
                Err(BodyError::Stalled)
            }
        };
        self.waiting = None;
        if let Err(error) = next {
            self.spoiled.tell(error);
        }
        self.over = !matches!(&next, Ok(Some(frame)) if frame.is_data());
        Poll::Ready(next.transpose())
    }

    fn open_window(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            // It fails where the stream has ended, and then there is no window to open.
            let _ = self.stream.flow_control().release_capacity(held);
        }
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.held = data.len();
                    let left = self.left.checked_sub(data.len() as u64);
                    return Poll::Ready(match left {
                        None => Err(BodyError::TooLarge),
                        Some(left) => {
                            self.left = left;
                            Ok(Some(Frame::data(data)))
                        }
                    });
                }
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Incomplete)),
                None => break,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(context)) {
            Ok(None) => Ok(None),
            Ok(Some(fields)) if !are_fields(&fields) => Err(BodyError::Trailers),
            Ok(Some(fields)) => {
                let mut trailers = http::HeaderMap::new();
                for (name, value) in &fields {
                    if may_trail(name) {
                        trailers.append(name, value.clone());
                    }
                }
                Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)))
            }
            Err(_) => Err(BodyError::Incomplete),
        })
    }
}
