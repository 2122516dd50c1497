//! The edge's strict HTTP/1.1 connection against `wire`, which forgives: what the edge takes for a request, `wire` must
//! take for the same one, up to the last byte of its content, or a request could be smuggled between the two. What the
//! edge writes, `wire` must find beyond reproach. And cutting makes no difference to the edge.

use crate::input::{Input, pieces};
use bytes::{Bytes, BytesMut};
use edge::client::{
    ConnectionLimits, Downstream, HeadError, HeadLimits, Request, RequestHead, Service, Shared, Stop,
};
use edge::http1::connection::serve;
use exchange::{Ending, Fields, Seen, Time};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use http_body_util::BodyExt as _;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use wire::{Anomaly, Asked, Assembler, Close, Event, Limits, Parser};

/// A request that the edge took, its content read to the end.
#[derive(Debug)]
struct Taken {
    head: RequestHead,
    content: Bytes,
    trailers: HeaderMap,
    /// The content ended as it was announced.
    whole: bool,
}

/// Answers each request with its own content, fields and trailers.
#[derive(Debug, Default)]
struct Echo {
    taken: Mutex<Vec<Taken>>,
    refused: Mutex<Option<HeadError>>,
}

impl Service for Echo {
    async fn call<D: Downstream>(&self, request: Request, downstream: &mut D) -> Result<(), Stop> {
        let Request { head, content, .. } = request;
        let (mut bytes, mut trailers, mut whole) = (BytesMut::new(), HeaderMap::new(), true);
        if let Some(mut content) = content {
            while let Some(frame) = content.frame().await {
                match frame.map(|frame| frame.into_data()) {
                    Ok(Ok(data)) => bytes.extend_from_slice(&data),
                    Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
        }
        let content = bytes.freeze();
        let (method, fields) = (head.method.clone(), head.headers.clone());
        let taken = Taken { head, content: content.clone(), trailers: trailers.clone(), whole };
        self.taken.lock().unwrap().push(taken);
        if !whole {
            return Err(Stop::Content);
        }
        let length = trailers.is_empty().then_some(content.len() as u64);
        let has_content = method != Method::HEAD;
        downstream.start(StatusCode::OK, None, &fields, length, has_content);
        if has_content {
            downstream.push(content)?;
        }
        downstream.finish(&trailers).await
    }

    fn refused(&self, _: SocketAddr, error: HeadError) {
        *self.refused.lock().unwrap() = Some(error);
    }
}

/// Gives one piece a read, then the end.
struct Pieces(VecDeque<Bytes>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let now = piece.split_to(piece.len().min(buffer.remaining()));
            buffer.put_slice(&now);
            if !piece.is_empty() {
                self.0.push_front(piece);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Keeps what is written, a few bytes at a time.
#[derive(Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let some = bytes.len().min(700);
        self.0.lock().unwrap().extend_from_slice(&bytes[..some]);
        Poll::Ready(Ok(some))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Limits on sizes that inputs can reach, and none on time.
pub(crate) fn patient() -> ConnectionLimits {
    let time = Duration::from_secs(3600);
    ConnectionLimits {
        head: HeadLimits { bytes: 4096, target: 2048, fields: 64 },
        idle: time,
        head_time: time,
        content_stall: time,
        write_stall: time,
        write_time: time,
        request_content: 1 << 20,
        unread_content: 1 << 16,
        drain_time: time,
    }
}

/// What the edge makes of a connection: requests, why it refused one, what it wrote.
fn at_edge(pieces: Vec<Bytes>) -> (Vec<Taken>, Option<HeadError>, Vec<u8>) {
    let limits = patient();
    let (_stop, stopping) = watch::channel(false);
    let shared = Shared::new(limits, stopping);
    let (service, written) = (Echo::default(), Written::default());
    let output = Arc::clone(&written.0);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(serve(Pieces(pieces.into()), written, peer, shared, &service));
    let written = output.lock().unwrap().clone();
    (service.taken.into_inner().unwrap(), service.refused.into_inner().unwrap(), written)
}

/// All messages in `bytes` as `wire` reads them, the last one perhaps unfinished.
fn at_wire(mut parser: Parser, bytes: &[u8]) -> Vec<Assembler> {
    let limits = Limits::default();
    parser.push(Time(1), Bytes::copy_from_slice(bytes));
    parser.finish(Time(2), Close::Fin);
    let (mut all, mut now, mut begun) = (Vec::new(), Assembler::new(&limits), false);
    loop {
        match parser.next_event() {
            Some(Ok(event)) => {
                let ends = matches!(event, Event::End(_) | Event::PartialHead { .. });
                now.add(event);
                begun = true;
                if ends && (now.is_complete() || now.head().is_none()) {
                    all.push(std::mem::replace(&mut now, Assembler::new(&limits)));
                    begun = false;
                }
            }
            // The edge knows no other protocol: it reads on after Upgrade and CONNECT.
            None if parser.awaits_switch() => parser.switch(false),
            Some(Err(_)) | None => break,
        }
    }
    if begun {
        all.push(now);
    }
    all
}

/// Fields by name, in lower case and in the order of the names; those of one name in the order they came.
fn by_name<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn of_map(fields: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    by_name(fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

fn of_wire(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    by_name(fields.iter().map(|field| (&field.name[..], &field.value[..])))
}

/// Liberties that leave no doubt what a request is, so that even a strict reader may take it.
fn harmless(anomaly: &Anomaly) -> bool {
    matches!(
        anomaly,
        Anomaly::BlankLinesBefore(_)
            | Anomaly::OddWhitespace(_)
            | Anomaly::ChunkExtension
            | Anomaly::ChunkWhitespace
            | Anomaly::ForbiddenTrailer(_)
    )
}

/// The edge took a request; `wire` must have seen the same.
fn same(taken: &Taken, message: Assembler, shown: &dyn Fn() -> String) {
    let (request, notes) = message.into_request(Seen::default());
    let Some(request) = request else { panic!("wire saw no request: {notes:?}\n{}", shown()) };
    let odd: Vec<_> = notes.anomalies.iter().filter(|anomaly| !harmless(anomaly)).collect();
    assert!(
        odd.is_empty() && notes.error.is_none(),
        "the edge took a doubtful request: {odd:?}, {:?}\n{}",
        notes.error,
        shown()
    );
    assert_eq!(taken.head.method.as_str().as_bytes(), &request.method[..], "method\n{}", shown());

    let target = &taken.head.target;
    let mut expected = of_wire(&request.fields);
    if taken.head.method == Method::CONNECT {
        let authority = target.authority().map_or("", |authority| authority.as_str());
        assert_eq!(authority.as_bytes(), &request.target[..], "authority form\n{}", shown());
    } else {
        let path = target.path_and_query().map_or("", |path| path.as_str()).as_bytes();
        match request.path_and_query() {
            query if query.starts_with(b"?") => {
                assert_eq!(path, [b"/", query].concat(), "target\n{}", shown())
            }
            // Absolute form without a path, for the server as a whole (RFC 9112 section 3.2.4).
            b"/" if taken.head.method == Method::OPTIONS => {
                assert!(path == b"/" || path == b"*", "{}", shown())
            }
            whole => assert_eq!(path, whole, "target\n{}", shown()),
        }
        let authority = target.authority().map(|authority| authority.as_str().as_bytes());
        assert_eq!(authority, request.authority(), "authority\n{}", shown());
    }
    if !matches!(request.target[..], [b'/', ..] | [b'*'])
        && let Some(authority) = target.authority()
    {
        // Host gives way to the target (RFC 9112 section 3.2.2).
        expected.retain(|(name, _)| name != b"host");
        expected.push((b"host".to_vec(), authority.as_str().as_bytes().to_vec()));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
    }
    assert_eq!(of_map(&taken.head.headers), expected, "fields\n{}", shown());
    if !taken.whole {
        return;
    }
    assert_eq!(request.body.ending, Ending::Complete, "content\n{}", shown());
    assert_eq!(request.body.whole(), Some(&taken.content), "content\n{}", shown());
    let mut trailers = of_wire(&request.trailers);
    trailers.retain(|(name, _)| {
        HeaderName::from_bytes(name).is_ok_and(|name| edge::client::content::may_trail(&name))
    });
    assert_eq!(of_map(&taken.trailers), trailers, "trailers\n{}", shown());
}

/// What the edge wrote is one faultless response for each request, and perhaps a refusal.
fn faultless(taken: &[Taken], refused: Option<HeadError>, written: &[u8], shown: &dyn Fn() -> String) {
    let mut parser = Parser::responses(Limits::default());
    for one in taken {
        // An edge opens no tunnel: a 2xx to CONNECT is the harness's own.
        parser.expect(Asked { head: one.head.method == Method::HEAD, ..Asked::default() });
    }
    parser.expect(Asked::default());
    let responses = at_wire(parser, written);
    let answered = taken.iter().filter(|one| one.whole).count();
    assert!(responses.len() >= answered, "{} of {answered} answers\n{}", responses.len(), shown());
    assert!(responses.len() <= taken.len() + 1, "{} answers\n{}", responses.len(), shown());
    for (at, response) in responses.into_iter().enumerate() {
        let (response, notes) = response.into_response(Seen::default());
        let Some(response) = response else { panic!("{notes:?}\n{}", shown()) };
        assert!(notes.anomalies.is_empty() && notes.error.is_none(), "{notes:?}\n{}", shown());
        assert_eq!(response.body.ending, Ending::Complete, "{}", shown());
        match taken.get(at).filter(|one| one.whole) {
            Some(one) if one.head.method != Method::HEAD => {
                assert_eq!(response.body.whole(), Some(&one.content), "{}", shown());
            }
            Some(_) => {}
            None => assert!(response.status >= 400, "{refused:?}\n{}", shown()),
        }
    }
}

/// Empty lines before a request are skipped, but only in so many reads: in tiny pieces they can be too many.
fn many_empty_lines(bytes: &[u8]) -> bool {
    bytes.windows(8).any(|window| window == b"\r\n\r\n\r\n\r\n")
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (cut, _) = (input.word(), input.byte());
    let bytes = input.0;
    let shown = || exchange::escape(bytes);
    let (taken, refused, written) = at_edge(pieces(bytes, 0));
    faultless(&taken, refused, &written, &shown);
    let mut messages = at_wire(Parser::requests(Limits::default()), bytes).into_iter();
    for one in &taken {
        let Some(message) = messages.next() else {
            panic!("wire saw fewer requests than the edge\n{}", shown())
        };
        same(one, message, &shown);
    }
    if !many_empty_lines(bytes) {
        let (again, refused_again, written_again) = at_edge(pieces(bytes, cut));
        let text = |taken: &[Taken]| format!("{taken:?}");
        assert_eq!(text(&again), text(&taken), "cut differently\n{}", shown());
        assert_eq!(refused_again, refused, "cut differently\n{}", shown());
        assert_eq!(
            exchange::escape(&written_again),
            exchange::escape(&written),
            "cut differently\n{}",
            shown()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison is not empty: the edge takes the requests of most recordings and seeds.
    #[test]
    fn the_edge_takes_most_seeds() {
        let seeds = crate::seeds::requests();
        let taken =
            seeds.iter().filter(|seed| at_edge(pieces(&seed[3..], 0)).0.iter().any(|one| one.whole)).count();
        assert!(taken * 2 > seeds.len(), "{taken} of {}", seeds.len());
    }

    /// Nor can it not fail: a `wire` that read anything else would be noticed.
    #[test]
    fn each_difference_is_noticed() {
        let bytes = "POST /a HTTP/1.1\r\nHost: h\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n";
        let agrees = |other: &str| {
            let taken = at_edge(pieces(bytes.as_bytes(), 0)).0.remove(0);
            let message = at_wire(Parser::requests(Limits::default()), other.as_bytes()).remove(0);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| same(&taken, message, &String::new)))
                .is_ok()
        };
        assert!(agrees(bytes));
        for (from, to) in [
            ("POST", "PUT"),
            ("/a", "/b"),
            ("Host: h", "Host: g"),
            ("X: 1", "X: 2"),
            ("X: 1", "Y: 1"),
            ("X: 1", "X: 1\r\nX: 1"),
            ("X: 1", "X : 1"),
            ("X: 1\r\n", "X: 1\n"),
            ("hi", "ho"),
            ("2\r\nhi\r\n", "2\r\nhi\r\n1\r\n!\r\n"),
            ("T: 1", "T: 2"),
            ("0\r\nT: 1\r\n\r\n", ""),
        ] {
            assert!(!agrees(&bytes.replacen(from, to, 1)), "{from} for {to} was not noticed");
        }
    }
}
