//! One request on its stream, from its head to the end of its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::content::{Spoiled, StreamContent};
use super::head::{refusal, request_head};
use super::respond::{Half, StreamResponder};
use crate::client::{
    BodyError, Downstream, Framing, HeadError, Request, RequestBody, RequestHead, Service, Shared, Stop,
};
use crate::limits::Limit;
use crate::tls;

/// Answers one request. Dropping this, too, resets the stream.
pub async fn run<S: Service>(
    request: http::Request<RecvStream>,
    response: SendResponse<Bytes>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    service: Arc<S>,
) {
    let half = Half::new(response);
    let mut responder = StreamResponder::new(half.clone(), &shared.limits);
    let stream = Stream { half, shared };
    stream.answer(request, &mut responder, peer, &*service).await;
    if let Some(limit) = responder.reached() {
        stream.shared.metrics.reached(limit);
    }
}

struct Stream {
    half: Half,
    shared: Arc<Shared>,
}

impl Stream {
    async fn answer<S: Service>(
        &self,
        request: http::Request<RecvStream>,
        responder: &mut StreamResponder,
        peer: SocketAddr,
        service: &S,
    ) {
        let (parts, content) = request.into_parts();
        let method = parts.method.clone();
        let head = match self.head(parts, &content) {
            Ok(head) => head,
            Err(error) => {
                service.refused(peer, error);
                if error.is_malformed() {
                    return self.half.reset(Reason::PROTOCOL_ERROR);
                }
                let fields = service.refusal(error.status());
                return self.refuse(fields, responder, &method, error.status(), &error.to_string()).await;
            }
        };
        let limits = &self.shared.limits;
        if matches!(head.framing, Framing::Length(length) if length > limits.request_content) {
            self.shared.metrics.reached(Limit::Content);
            let why = "request content larger than the limit";
            let fields = service.refusal(StatusCode::PAYLOAD_TOO_LARGE);
            return self.refuse(fields, responder, &method, StatusCode::PAYLOAD_TOO_LARGE, why).await;
        }
        let spoiled = Spoiled::default();
        let stream = |content| {
            StreamContent::new(content, limits.request_content, limits.content_stall, spoiled.clone())
        };
        let content = match head.framing {
            Framing::None => None,
            Framing::Length(length) => Some(RequestBody::of_stream(Some(length), stream(content))),
            Framing::Chunked => Some(RequestBody::of_stream(None, stream(content))),
        };
        let mut broken = None;
        let answered = {
            let answer = service.call(Request { head, content, peer }, responder);
            tokio::select! {
                biased;
                // Before the answer: what the origin says to content that broke off is not what the client did wrong.
                error = spoiled.told() => {
                    broken = Some(error);
                    Err(Stop::Content)
                }
                answered = answer => answered,
                // Nobody is there to be answered; a fetch that others may wait for goes on without this one.
                () = self.half.gone() => Err(Stop::Client),
            }
        };
        match broken {
            Some(BodyError::Stalled) => self.shared.metrics.reached(Limit::ContentStall),
            Some(BodyError::TooLarge) => self.shared.metrics.reached(Limit::Content),
            _ => {}
        }
        match (answered, broken) {
            (Ok(()), _) if responder.finished() => {}
            (_, Some(BodyError::Trailers)) => self.half.reset(Reason::PROTOCOL_ERROR),
            (_, Some(error)) if error != BodyError::Incomplete && !responder.started() => {
                let fields = service.refusal(error.status());
                self.refuse(fields, responder, &method, error.status(), &error.to_string()).await;
            }
            // The client is gone, which makes this nothing, or takes nothing.
            (Err(Stop::Client), _) => self.half.reset(Reason::CANCEL),
            // Never a clean end for what is not whole.
            _ => self.half.reset(Reason::INTERNAL_ERROR),
        }
    }

    fn head(&self, parts: http::request::Parts, content: &RecvStream) -> Result<RequestHead, HeadError> {
        let shared = &self.shared;
        let head = request_head(parts, content.is_end_stream(), &shared.scheme, &shared.limits.head)?;
        tls::admit(&head, shared.secured.as_deref())?;
        Ok(head)
    }

    /// Answers what cannot be handled further. What is left of its content is not wanted (RFC 9113 section 8.1).
    async fn refuse(
        &self,
        mut fields: HeaderMap,
        responder: &mut StreamResponder,
        method: &Method,
        status: StatusCode,
        why: &str,
    ) {
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let text = refusal(status, why);
        let has_content = method != Method::HEAD;
        responder.start(status, None, &fields, Some(text.len() as u64), has_content);
        if has_content && responder.push(text).is_err() {
            return self.half.reset(Reason::INTERNAL_ERROR);
        }
        if responder.finish(&HeaderMap::new()).await.is_err() {
            self.half.reset(Reason::CANCEL);
        }
    }
}
