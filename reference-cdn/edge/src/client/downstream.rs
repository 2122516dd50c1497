//! What answers a request, and where the answer goes: the same for every version of HTTP.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::request::{HeadError, Request};

/// Once this much waits to be sent, a producer should flush.
pub const ENOUGH: usize = 256 * 1024;

/// The exchange cannot be completed: the connection is closed, or the stream reset, without the mark that ends the content,
/// so that the client sees that it is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("the client is gone, or takes nothing")]
    Client,
    #[error("the content ended early or could not be trusted")]
    Content,
}

/// Where the answer to one request goes: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
pub trait Downstream: Send {
    /// Sends an interim response, unless the client cannot understand it.
    fn interim(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Queues the head of the final response. `length` is that of the content that will be pushed; `None`: not known
    /// yet. Fields about framing and the connection are replaced by the connection's own. `has_content` is false for
    /// answers to HEAD and the like: nothing is pushed, and Content-Length is sent as it is in `fields`.
    fn start(
        &mut self,
        status: StatusCode,
        reason: Option<&[u8]>,
        fields: &HeaderMap,
        length: Option<u64>,
        has_content: bool,
    );

    /// Queues content.
    ///
    /// # Errors
    /// More than was announced.
    fn push(&mut self, data: Bytes) -> Result<(), Stop>;

    /// Octets that wait to be sent; from [`ENOUGH`] on, [`flush`](Self::flush).
    fn queued(&self) -> usize;

    /// Sends all that is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Ends the response and flushes it. Trailer fields are sent where the framing has a place for them.
    fn finish(&mut self, trailers: &HeaderMap) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Whether the head of the final response has been queued.
    fn started(&self) -> bool;
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request: interim responses, then one final response, finished. On an error the connection is closed
    /// (the stream reset); whoever leaves without having finished the response closes it as well.
    fn call<D: Downstream>(
        &self,
        request: Request,
        downstream: &mut D,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    /// A head was refused; it is answered by the connection itself.
    fn refused(&self, peer: SocketAddr, error: HeadError);

    /// The fields of an answer that a connection gives by itself, with this status, beside those about its content.
    fn refusal(&self, _status: StatusCode) -> HeaderMap {
        HeaderMap::new()
    }
}
