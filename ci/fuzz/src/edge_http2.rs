//! The edge's HTTP/2 connection: whatever frames come, it ends in good order, what it writes is frames, and a request that
//! it takes is the same one for `wire` when it is written in HTTP/1.1, as for the origin: nothing in it can become a field,
//! a line or a request of its own.

use crate::input::{Input, pieces};
use bytes::{Bytes, BytesMut};
use edge::client::{Downstream, HeadError, Request, RequestHead, Service, Shared, Stop};
use edge::http2::connection::serve;
use edge::http2::frames::{Found, FrameScan, GOAWAY, HEADERS, SETTINGS};
use edge::http2::{Http2Limits, PREFACE};
use exchange::{Ending, Seen, Time};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use wire::{Assembler, Close, Event, Limits, Parser};

/// Takes each request with its content, and answers with as much.
#[derive(Debug, Default)]
struct Echo {
    taken: Mutex<Vec<(RequestHead, Option<Bytes>)>>,
}

impl Service for Echo {
    async fn call<D: Downstream>(&self, request: Request, downstream: &mut D) -> Result<(), Stop> {
        let Request { head, content, .. } = request;
        let mut whole = Some(BytesMut::new());
        if let Some(mut content) = content {
            while let Some(frame) = content.frame().await {
                match (frame, &mut whole) {
                    (Ok(frame), Some(whole)) => {
                        whole.extend_from_slice(&frame.into_data().unwrap_or_default());
                    }
                    _ => whole = None,
                }
            }
        }
        let (fields, content) = (head.headers.clone(), whole.map(BytesMut::freeze));
        self.taken.lock().unwrap().push((head, content.clone()));
        let Some(content) = content else { return Err(Stop::Content) };
        downstream.interim(StatusCode::EARLY_HINTS, &HeaderMap::new()).await?;
        downstream.start(StatusCode::OK, None, &fields, Some(content.len() as u64), true);
        downstream.push(content)?;
        downstream.finish(&HeaderMap::new()).await
    }

    fn refused(&self, _: SocketAddr, _: HeadError) {}
}

/// What the edge makes of a connection, and what it wrote.
fn at_edge(pieces: Vec<Bytes>) -> (Vec<(RequestHead, Option<Bytes>)>, Vec<u8>) {
    let limits = crate::edge_http1::patient();
    let http2 = Arc::new(Http2Limits { streams: 10, resets: 20, frames: 50, ..Http2Limits::default() });
    let (_stop, stopping) = watch::channel(false);
    let shared = Shared { http2: Some(Arc::clone(&http2)), ..Shared::new(limits, stopping) };
    let service = Arc::new(Echo::default());
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let written = runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let served = serve(ours, BytesMut::new(), peer, shared, http2, Arc::clone(&service));
        let client = async move {
            for piece in pieces {
                if theirs.write_all(&piece).await.is_err() {
                    break;
                }
                // What has come so far is looked at before there is more.
                tokio::task::yield_now().await;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let _ = theirs.shutdown().await;
            let mut written = Vec::new();
            let _ = theirs.read_to_end(&mut written).await;
            written
        };
        let ended = async { tokio::join!(served, client).1 };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("an end")
    });
    drop(runtime);
    let taken = std::mem::take(&mut *service.taken.lock().unwrap());
    (taken, written)
}

/// Whole frames, the first of them SETTINGS, none that a server may not send.
fn are_frames(written: &[u8], shown: &dyn Fn() -> String) {
    let (mut scan, mut at, mut heads, mut ends) = (FrameScan::default(), 0, Vec::new(), 0);
    scan.piece();
    while let Some(found) = scan.next(written, &mut at) {
        match found {
            Found::Head { head, .. } => heads.push(head),
            Found::Setting { .. } => {}
            Found::End { .. } => ends += 1,
        }
    }
    assert_eq!((heads.len(), at), (ends, written.len()), "whole frames\n{}", shown());
    assert!(heads.first().is_none_or(|first| first.kind == SETTINGS), "{heads:?}\n{}", shown());
    for head in &heads {
        assert!(head.length <= 16_384 && head.kind <= 9 && head.kind != 5, "{head:?}\n{}", shown());
        assert_eq!(
            head.stream == 0,
            matches!(head.kind, SETTINGS | 6 | GOAWAY) || (head.kind == 8 && head.stream == 0)
        );
        assert!(head.stream % 2 == 1 || head.kind != HEADERS, "{head:?}\n{}", shown());
    }
}

/// The request as it goes to the origin.
fn in_http11(head: &RequestHead, content: &[u8]) -> Vec<u8> {
    let target = head.target.path_and_query().map_or("*", |path| path.as_str());
    let mut text = format!("{} {target} HTTP/1.1\r\n", head.method).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if head.headers.contains_key("transfer-encoding") {
        text.extend_from_slice(b"\r\n");
        if !content.is_empty() {
            text.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
            text.extend_from_slice(content);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n\r\n");
        return text;
    }
    if !head.headers.contains_key("content-length") {
        text.extend_from_slice(format!("content-length: {}\r\n", content.len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(content);
    text
}

/// `wire` reads the same request, and nothing after it.
fn same(head: &RequestHead, content: &[u8], shown: &dyn Fn() -> String) {
    let text = in_http11(head, content);
    let limits = Limits::default();
    let mut parser = Parser::requests(limits.clone());
    parser.push(Time(1), Bytes::copy_from_slice(&text));
    parser.finish(Time(2), Close::Fin);
    let (mut message, mut over) = (Assembler::new(&limits), false);
    while let Some(event) = parser.next_event() {
        let event = event.unwrap_or_else(|error| panic!("{error:?}\n{}", shown()));
        assert!(!over, "more than one request\n{}", shown());
        over = matches!(event, Event::End(_));
        message.add(event);
    }
    let (request, notes) = message.into_request(Seen::default());
    let Some(request) = request else { panic!("{notes:?}\n{}", shown()) };
    assert!(notes.anomalies.is_empty() && notes.error.is_none(), "{notes:?}\n{}", shown());
    assert_eq!(request.method[..], *head.method.as_str().as_bytes(), "{}", shown());
    let fields: Vec<_> = request.fields.iter().filter(|it| &it.name[..] != b"content-length").collect();
    let given: Vec<_> = head.headers.iter().filter(|(name, _)| *name != "content-length").collect();
    assert_eq!(fields.len(), given.len(), "{}", shown());
    for (field, (name, value)) in fields.iter().zip(given) {
        assert_eq!(
            (&field.name[..], &field.value[..]),
            (name.as_str().as_bytes(), value.as_bytes()),
            "{}",
            shown()
        );
    }
    assert_eq!(request.body.ending, Ending::Complete, "{}", shown());
    assert_eq!(request.body.whole().map(|body| &body[..]), Some(content), "{}", shown());
    let authority = head.target.authority().map(|authority| authority.as_str().as_bytes());
    assert_eq!(request.authority(), authority, "{}", shown());
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let cut = input.word();
    let octets = [PREFACE, &b"\0\0\0\x04\0\0\0\0\0"[..], input.0].concat();
    let shown = || exchange::escape(&octets);
    let (taken, written) = at_edge(pieces(&octets, cut));
    are_frames(&written, &shown);
    for (head, content) in &taken {
        // Content that broke off is never whole for the origin. CONNECT and `*` have no place in HTTP/1.1's origin form, and
        // are answered by the edge itself.
        if let Some(content) = content
            && head.method != http::Method::CONNECT
            && head.target.path() != "*"
        {
            same(head, content, &shown);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/b?c")];
    let with = |more: &[(&str, &str)]| block(&[&get[..], more].concat());
    let post = |more: &[(&str, &str)]| block(&[&[(":method", "POST")], &get[1..], more].concat());
    let connections = [
        frame(HEADERS, 5, 1, &block(&get)),
        // Indexed, and in Huffman's code.
        frame(HEADERS, 5, 1, b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
        frame(
            HEADERS,
            5,
            1,
            &with(&[("cookie", "a=b"), ("x", "y z"), ("cookie", "c=d"), ("te", "trailers")]),
        ),
        frame(HEADERS, 5, 1, &with(&[("host", "a.test"), ("content-length", "0")])),
        frame(
            HEADERS,
            5,
            1,
            &with(&[("host", "b.test"), ("transfer-encoding", "chunked"), ("x", "a\r\nb: c")]),
        ),
        frame(HEADERS, 5, 1, &block(&[(":method", "OPTIONS"), get[1], get[2], (":path", "*")])),
        frame(HEADERS, 5, 1, &block(&[(":method", "CONNECT"), (":authority", "a:1")])),
        [
            frame(HEADERS, 4, 1, &post(&[("content-length", "4")])),
            frame(0, 0, 1, b"da"),
            frame(0, 1, 1, b"ta"),
        ]
        .concat(),
        [
            frame(HEADERS, 4, 1, &post(&[])),
            frame(0, 0, 1, b"data"),
            frame(HEADERS, 5, 1, &block(&[("x-sum", "1")])),
        ]
        .concat(),
        [frame(HEADERS, 1, 1, &block(&get)[..20]), frame(9, 4, 1, &block(&get)[20..])].concat(),
        [frame(HEADERS, 4, 1, &post(&[])), frame(3, 0, 1, &[0, 0, 0, 8]), frame(HEADERS, 5, 3, &block(&get))]
            .concat(),
        [
            frame(HEADERS, 0x2d, 1, &[&[2, 0, 0, 0, 0, 9][..], &block(&get), &[0, 0]].concat()),
            frame(6, 0, 0, &[7; 8]),
        ]
        .concat(),
        [
            frame(4, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
            frame(HEADERS, 5, 1, &block(&get)),
            frame(8, 0, 1, &[0, 0, 0, 3]),
            frame(8, 0, 0, &[0, 1, 0, 0]),
            frame(2, 0, 5, &[0, 0, 0, 1, 3]),
            frame(7, 0, 0, &[0; 8]),
        ]
        .concat(),
    ];
    connections.into_iter().map(|connection| [&[0, 0][..], &connection].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison is not empty.
    #[test]
    fn the_edge_takes_most_seeds() {
        let count = |seed: &Vec<u8>| {
            let octets = [PREFACE, &b"\0\0\0\x04\0\0\0\0\0"[..], &seed[2..]].concat();
            at_edge(pieces(&octets, 0)).0.len()
        };
        let taken = seeds().iter().filter(|seed| count(seed) > 0).count();
        assert!(taken >= 11, "{taken} of {}", seeds().len());
    }

    /// Nor can it not fail.
    #[test]
    fn what_could_be_smuggled_is_noticed() {
        let octets = [PREFACE, &b"\0\0\0\x04\0\0\0\0\0"[..], &seeds()[0][2..]].concat();
        let (head, content) = at_edge(pieces(&octets, 0)).0.remove(0);
        same(&head, &content.unwrap(), &String::new);
        for (name, value) in [("content-length", "5"), ("content-length", "0, 0"), ("host", "b")] {
            let mut head = RequestHead {
                headers: head.headers.clone(),
                target: head.target.clone(),
                method: head.method.clone(),
                ..head
            };
            head.headers.append(name, http::HeaderValue::from_static(value));
            let compare = std::panic::AssertUnwindSafe(|| same(&head, b"", &String::new));
            assert!(std::panic::catch_unwind(compare).is_err(), "{name}: {value} was not noticed");
        }
    }
}
