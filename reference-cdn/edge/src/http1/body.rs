//! Reads the content of a request from an HTTP/1.1 connection.

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::chunked::{ChunkError, Decoded, Decoder};
use crate::client::{BodyError, ConnectionLimits, Framing, RequestBody};

/// Pieces that may wait between the client's connection and the origin's.
const PIECES: usize = 2;
/// How much is read from a client at once.
const READ: usize = 32 * 1024;

/// The connection's end of a request's content.
#[derive(Debug)]
pub struct Intake {
    source: Source,
    left_over: u64,
    sender: Option<mpsc::Sender<Result<Frame<Bytes>, BodyError>>>,
    pub(super) finished: bool,
    pub(super) started: bool,
}

#[derive(Debug)]
enum Source {
    Length(u64),
    Chunked(Box<Decoder>),
}

/// Two ends of a pipe for content framed as `framing`; none for none.
pub fn content(framing: Framing, limits: &ConnectionLimits) -> Option<(Intake, RequestBody)> {
    let (source, length) = match framing {
        Framing::None => return None,
        Framing::Length(length) => (Source::Length(length), Some(length)),
        Framing::Chunked => (Source::Chunked(Box::new(Decoder::new(limits.head.bytes))), None),
    };
    let (sender, pieces) = mpsc::channel(PIECES);
    let left_over = limits.request_content;
    let intake = Intake { source, left_over, sender: Some(sender), finished: false, started: false };
    Some((intake, RequestBody::of_pieces(length, pieces)))
}

impl Intake {
    /// Reads the content and passes it on, as fast as it is taken, until its end or until nobody wants it.
    ///
    /// # Errors
    /// As the client failed to send it. The receiving end is told too. The connection cannot be used further.
    pub async fn pump<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        buffer: &mut BytesMut,
        limits: &ConnectionLimits,
    ) -> Result<(), BodyError> {
        while !self.finished {
            let next = self.next(reader, buffer, limits).await;
            let Some(sender) = &self.sender else { return Ok(()) };
            let wanted = match next {
                Ok(Some(frame)) => sender.send(Ok(frame)).await.is_ok(),
                Ok(None) => true,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return Err(error);
                }
            };
            if !wanted {
                self.sender = None;
                return Ok(());
            }
        }
        self.sender = None;
        Ok(())
    }

    /// Reads and drops what is left, at most `limits.unread_content` octets of it. True when the connection can carry
    /// another request.
    pub async fn drain<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        buffer: &mut BytesMut,
        limits: &ConnectionLimits,
    ) -> bool {
        self.sender = None;
        self.left_over = self.left_over.min(limits.unread_content);
        if matches!(self.source, Source::Length(length) if length > limits.unread_content) {
            return false;
        }
        let all = async {
            while !self.finished {
                if self.next(reader, buffer, limits).await.is_err() {
                    return false;
                }
            }
            true
        };
        timeout(limits.drain_time, all).await.unwrap_or(false)
    }

    async fn next<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        buffer: &mut BytesMut,
        limits: &ConnectionLimits,
    ) -> Result<Option<Frame<Bytes>>, BodyError> {
        loop {
            if !buffer.is_empty() {
                self.started = true;
            }
            match self.decode(buffer)? {
                Decoded::Data(data) => {
                    self.left_over =
                        self.left_over.checked_sub(data.len() as u64).ok_or(BodyError::TooLarge)?;
                    return Ok(Some(Frame::data(data)));
                }
                Decoded::End(trailers) => {
                    self.finished = true;
                    return Ok((!trailers.is_empty()).then(|| Frame::trailers(trailers)));
                }
                Decoded::Pending => {}
            }
            buffer.reserve(READ);
            match timeout(limits.content_stall, reader.read_buf(buffer)).await {
                Err(_) => return Err(BodyError::Stalled),
                Ok(Ok(0) | Err(_)) => return Err(BodyError::Incomplete),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ChunkError> {
        match &mut self.source {
            Source::Length(0) => Ok(Decoded::End(http::HeaderMap::new())),
            Source::Length(_) if buffer.is_empty() => Ok(Decoded::Pending),
            Source::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= take as u64;
                Ok(Decoded::Data(buffer.split_to(take).freeze()))
            }
            Source::Chunked(decoder) => decoder.decode(buffer),
        }
    }
}
