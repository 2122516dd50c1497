//! The content of a request, on its way from the client's connection to whoever wants it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::HeaderName;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::http1::chunked::ChunkError;
use crate::http2::content::StreamContent;

/// Why content did not arrive whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client closed the connection, or reset the stream, before the end of its content")]
    Incomplete,
    #[error("the client sent no content for too long")]
    Stalled,
    #[error("the content is larger than the limit")]
    TooLarge,
    /// In HTTP/2.
    #[error("malformed trailer section")]
    Trailers,
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

impl BodyError {
    /// What the client is told.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Chunk(ChunkError::TrailersTooLarge) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Incomplete | Self::Trailers | Self::Chunk(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Content being received. Handed to the origin side as an `http_body::Body`.
#[derive(Debug)]
pub struct RequestBody {
    /// From Content-Length; `None` where it was not announced.
    length: Option<u64>,
    source: Source,
}

/// Pieces of content, or why there will be no more.
pub type Pieces = mpsc::Receiver<Result<Frame<Bytes>, BodyError>>;

#[derive(Debug)]
enum Source {
    /// Read by an HTTP/1.1 connection.
    Pieces(Pieces),
    /// A stream of an HTTP/2 connection.
    Stream(Box<StreamContent>),
}

impl RequestBody {
    pub fn of_pieces(length: Option<u64>, pieces: Pieces) -> Self {
        Self { length, source: Source::Pieces(pieces) }
    }

    pub fn of_stream(length: Option<u64>, stream: StreamContent) -> Self {
        Self { length, source: Source::Stream(Box::new(stream)) }
    }

    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// All of it, unless it is longer than `most` octets.
    ///
    /// # Errors
    /// As the client failed to send it, or [`BodyError::TooLarge`].
    pub async fn collect(&mut self, most: usize) -> Result<Bytes, BodyError> {
        let mut all = BytesMut::new();
        while let Some(piece) = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await {
            if let Ok(data) = piece?.into_data() {
                if all.len() + data.len() > most {
                    return Err(BodyError::TooLarge);
                }
                all.extend_from_slice(&data);
            }
        }
        Ok(all.freeze())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Pieces(pieces) => pieces.poll_recv(context),
            Source::Stream(stream) => stream.poll_frame(context),
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Only what Content-Length announced; hyper then refuses to send more or less than that.
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// RFC 9110 section 6.5.1: framing, routing, authentication and control have no business after the content.
pub fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 21] = [
        http::header::AGE,
        http::header::AUTHORIZATION,
        http::header::CACHE_CONTROL,
        http::header::CONNECTION,
        http::header::CONTENT_ENCODING,
        http::header::CONTENT_LENGTH,
        http::header::CONTENT_RANGE,
        http::header::CONTENT_TYPE,
        http::header::COOKIE,
        http::header::DATE,
        http::header::EXPECT,
        http::header::EXPIRES,
        http::header::HOST,
        http::header::LOCATION,
        http::header::PROXY_AUTHORIZATION,
        http::header::SET_COOKIE,
        http::header::TE,
        http::header::TRAILER,
        http::header::TRANSFER_ENCODING,
        http::header::UPGRADE,
        http::header::VARY,
    ];
    !NEVER.contains(name)
}
