//! An HTTP/1.1 connection, driven by whoever uses it: by the request that waits for its response, then by whoever takes
//! the content. A task of its own would have to be woken for each of these, and wake the other in turn.
//!
//! While nobody uses it nobody drives it: [`Driver::settle`] before the next use finds what came meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use super::content::OutboundContent;
use super::stream::Watched;

type Http1 = Connection<TokioIo<Watched>, OutboundContent>;

/// See the module.
#[derive(Debug)]
pub struct Driver(Option<Pin<Box<Http1>>>);

impl Driver {
    pub fn new(connection: Http1) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Reads and writes what can be now. How a connection ends is told to whoever waits for a response on it.
    pub fn drive(&mut self, context: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }

    /// The same while nobody waits.
    pub fn settle(&mut self) {
        self.drive(&mut Context::from_waker(Waker::noop()));
    }
}
