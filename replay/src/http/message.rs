//! The bytes of a recorded request, as they are sent again.

use crate::extract::Recorded;
use crate::world::MARK;
use bytes::{BufMut as _, Bytes, BytesMut};
use exchange::Request;

/// A request to send: its head, and what follows when the server may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub head: Bytes,
    /// Body with its framing and trailers.
    pub rest: Bytes,
    /// Whether to wait for a 100 before the rest is sent.
    pub expects: bool,
}

/// Longest chunk written.
const CHUNK: usize = 64 << 10;

/// The request of a recorded transaction: the head's exact bytes where they are known, but for the prefix before its path,
/// and the mark.
pub(super) fn outgoing(
    recorded: &Recorded,
    request: &Request,
    prefix: &str,
    mark: Option<usize>,
) -> Outgoing {
    let raw = &recorded.request_notes.raw_head;
    let head = if raw.is_empty() { wire::write::request_head(request) } else { raw.clone() };
    let head = with_mark(with_prefix(head, request, prefix), mark);
    let body = request.body.whole().cloned().unwrap_or_default();
    let rest = if wire::write::is_chunked(&request.fields) { chunked(&body, request) } else { body };
    let expects =
        !rest.is_empty() && request.fields.members("expect").any(|e| e.eq_ignore_ascii_case(b"100-continue"));
    Outgoing { head, rest, expects }
}

fn with_prefix(head: Bytes, request: &Request, prefix: &str) -> Bytes {
    let path = request.path_and_query();
    // `*` and authority form have no path that a prefix could stand before.
    if prefix.is_empty() || !path.starts_with(b"/") {
        return head;
    }
    // The target follows the method; an absolute one ends with the path.
    let at = position(&head, &request.method).and_then(|method| {
        let after = method + request.method.len();
        let target = after + position(&head[after..], &request.target)?;
        let path = if request.target.ends_with(path) { path.len() } else { 0 };
        Some(target + request.target.len() - path)
    });
    let Some(at) = at else { return head };
    let mut out = BytesMut::with_capacity(head.len() + prefix.len());
    out.put_slice(&head[..at]);
    out.put_slice(prefix.as_bytes());
    // An absolute target without a path stands for one with a slash (RFC 9110 section 4.2.3).
    if !request.target.ends_with(path) {
        out.put_slice(b"/");
    }
    out.put_slice(&head[at..]);
    out.freeze()
}

/// Adds the mark as the last field.
fn with_mark(head: Bytes, mark: Option<usize>) -> Bytes {
    let Some(mark) = mark else { return head };
    let blank = [&b"\r\n"[..], b"\n"].into_iter().find(|end| head.ends_with(end)).unwrap_or_default();
    let mut out = BytesMut::from(&head[..head.len() - blank.len()]);
    out.put_slice(format!("{MARK}: {mark}\r\n").as_bytes());
    out.put_slice(blank);
    out.freeze()
}

fn chunked(body: &Bytes, request: &Request) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 64);
    body.chunks(CHUNK).for_each(|chunk| out.put_slice(&wire::write::chunk(chunk)));
    out.put_slice(&wire::write::last_chunk(&request.trailers));
    out.freeze()
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() { Some(0) } else { text.windows(part.len()).position(|w| w == part) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{Body, Fields, Transaction};
    use wire::Notes;

    fn check(raw: &str, request: &Request, prefix: &str, mark: Option<usize>, expected: &str) {
        let notes = Notes { raw_head: Bytes::copy_from_slice(raw.as_bytes()), ..Notes::default() };
        let recorded = Recorded::new(Transaction::default(), notes, Notes::default());
        let outgoing = outgoing(&recorded, request, prefix, mark);
        assert_eq!(exchange::escape(&outgoing.head), exchange::escape(expected.as_bytes()));
    }

    #[test]
    fn heads_keep_their_bytes() {
        let get = |target: &'static str| Request::new("GET", target, [("Host", "h")].into_iter().collect());
        let odd = "\r\nGET  /a  HTTP/1.1\nhOST:h\r\nX:\r\n\n";
        check(odd, &get("/a"), "", None, odd);
        check(
            odd,
            &get("/a"),
            "/p",
            Some(7),
            "\r\nGET  /p/a  HTTP/1.1\nhOST:h\r\nX:\r\nReplay-Transaction: 7\r\n\n",
        );
        check("GET /a?b HTTP/1.1\r\n\r\n", &get("/a?b"), "/p~2", None, "GET /p~2/a?b HTTP/1.1\r\n\r\n");
        check("GET / HTTP/1.1\r\n\r\n", &get("/"), "/p", None, "GET /p/ HTTP/1.1\r\n\r\n");
        check(
            "GET http://x/a HTTP/1.1\r\n\r\n",
            &get("http://x/a"),
            "/p",
            None,
            "GET http://x/p/a HTTP/1.1\r\n\r\n",
        );
        check(
            "GET http://x HTTP/1.1\r\n\r\n",
            &get("http://x"),
            "/p",
            None,
            "GET http://x/p/ HTTP/1.1\r\n\r\n",
        );
        check(
            "OPTIONS * HTTP/1.1\r\n\r\n",
            &Request::new("OPTIONS", "*", Fields::new()),
            "/p",
            None,
            "OPTIONS * HTTP/1.1\r\n\r\n",
        );
        check("", &get("/a"), "/p", Some(1), "GET /p/a HTTP/1.1\r\nHost: h\r\nReplay-Transaction: 1\r\n\r\n");
    }

    #[test]
    fn bodies_keep_their_framing() {
        let recorded = Recorded::new(Transaction::default(), Notes::default(), Notes::default());
        let fields = [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
        let mut request = Request::new("POST", "/", fields.into_iter().collect());
        request.body = Body::complete("abc");
        request.trailers = [("X", "1")].into_iter().collect();
        let sent = outgoing(&recorded, &request, "", None);
        assert_eq!((&sent.rest[..], sent.expects), (&b"3\r\nabc\r\n0\r\nX: 1\r\n\r\n"[..], true));
        request.fields = [("Content-Length", "3")].into_iter().collect();
        let sent = outgoing(&recorded, &request, "", None);
        assert_eq!((&sent.rest[..], sent.expects), (&b"abc"[..], false));
    }
}
