//! What one direction of a connection means, message by message.

mod described;

use exchange::Time;
use proptest::prelude::*;
use wire::{Asked, Close, Limits, Parser};

fn requests(input: &[u8]) -> Vec<String> {
    parse(Parser::requests(Limits::default()), &[input])
}

fn responses(methods: &[&str], input: &[u8]) -> Vec<String> {
    let mut parser = Parser::responses(Limits::default());
    methods.iter().for_each(|m| parser.expect(Asked::with_method(m.as_bytes())));
    parse(parser, &[input])
}

fn parse(mut parser: Parser, pieces: &[&[u8]]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in pieces {
        parser.push(Time(1), piece.to_vec());
        drain(&mut parser, &mut lines);
        assert!(parser.counts().balance(), "{:?}", parser.counts());
    }
    parser.finish(Time(2), Close::Fin);
    drain(&mut parser, &mut lines);
    assert!(parser.counts().balance(), "{:?}", parser.counts());
    assert_eq!(parser.counts().waiting, 0);
    lines
}

/// Takes all events; no protocol but HTTP is ever switched to.
fn drain(parser: &mut Parser, lines: &mut Vec<String>) {
    described::drain(parser, lines);
    while parser.awaits_switch() {
        parser.switch(false);
        described::drain(parser, lines);
    }
}

#[track_caller]
fn check(actual: Vec<String>, expected: &[&str]) {
    assert_eq!(actual, expected, "\n{}", actual.join("\n"));
}

#[test]
fn spelling_and_order_are_kept() {
    check(
        requests(b"GET /a?b HTTP/1.1\r\nhOsT: x\r\nB: 2\r\nA: 1\r\nb:\r\n\r\n"),
        &["GET /a?b HTTP/1.1 [hOsT: x, B: 2, A: 1, b: ] None", "end Complete 46"],
    );
}

#[test]
fn pipelined_requests_with_bodies() {
    check(
        requests(
            b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
              PUT /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
              2;n=v\r\nde\r\n1\r\nf\r\n0\r\nX-Sum: 1\r\n\r\n\
              GET /3 HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        &[
            "POST /1 HTTP/1.1 [Host: x, Content-Length: 3] Length(3)",
            "body abc",
            "end Complete 51",
            "PUT /2 HTTP/1.1 [Host: x, Transfer-Encoding: chunked] Chunked",
            "body def",
            "trailers [X-Sum: 1]",
            "end Complete 88 ;n=v@0 <chunk extensions>",
            "GET /3 HTTP/1.1 [Host: x] None",
            "end Complete 28",
        ],
    );
}

#[test]
fn liberties_are_noted_and_read() {
    for (input, expected) in [
        (
            &b"\r\n\nGET / HTTP/1.0\r\n\r\n"[..],
            "GET / HTTP/1.0 [] None <2 empty line(s) before the start line>",
        ),
        (b"GET / HTTP/1.0\nA: b\n\n", "GET / HTTP/1.0 [A: b] None <a line ends with LF alone>"),
        (
            b"GET  /a b\tHTTP/1.0\r\n\r\n",
            "GET /a b HTTP/1.0 [] None <other whitespace in the start line than single spaces> <whitespace inside the request target>",
        ),
        (
            b"G@T /\xff HTTP/1.0\r\n\r\n",
            "G@T /\\xff HTTP/1.0 [] None <the method is not a token> <a character in the request target that no URI has>",
        ),
        (
            b"GET / HTTP/1.7\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 [Host: a] None <version \"HTTP/1.7\", read as HTTP/1.1>",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 [] None <0 Host lines in an HTTP/1.1 request>"),
        (
            b"GET / HTTP/1.0\r\n X: y\r\nA: b\r\n\r\n",
            "GET / HTTP/1.0 [A: b] None <whitespace before the first field line>",
        ),
        (
            b"GET / HTTP/1.0\r\nA: b \r\n\t c\r\n\r\n",
            "GET / HTTP/1.0 [A: b c] None <unusual whitespace around the value of \"A\"> <a folded field line>",
        ),
        (
            b"GET / HTTP/1.0\r\nA : b\r\n\r\n",
            "GET / HTTP/1.0 [A: b] None <whitespace between \"A\" and its colon>",
        ),
        (
            b"GET / HTTP/1.0\r\nA b: c\0\r\nnothing\r\n\r\n",
            "GET / HTTP/1.0 [A b: c\\x00] None <field name \"A b\" is not a token> <a control character in the value of \"A b\"> <a line without colon: \"nothing\">",
        ),
        (
            b"GET / HTTP/1.0\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.0 [A: b\\x0dc] None <CR without LF inside a line>",
        ),
        (b"GET /\r\n", "GET / HTTP/0.9 [] None <an HTTP/0.9 message>"),
    ] {
        assert_eq!(requests(input)[0], expected, "{}", input.escape_ascii());
    }
}

#[test]
fn request_framing() {
    for (fields, expected) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", "Length(1) <Content-Length more than once>"),
        ("Content-Length: 1, 1\r\n", "Length(1) <Content-Length more than once>"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "Undefined"),
        ("Content-Length: +1\r\n", "Undefined"),
        ("Content-Length: \r\n", "Undefined"),
        ("Content-Length: 18446744073709551616\r\n", "Undefined"),
        ("Content-Length: 00000000000000000000000001\r\n", "Length(1)"),
        ("Transfer-Encoding: gzip\r\n", "Undefined"),
        ("Transfer-Encoding: chunked, identity\r\n", "Undefined <transfer coding \"identity\">"),
        ("Transfer-Encoding: xchunked\r\n", "Undefined <transfer coding \"xchunked\">"),
        (
            "Content-Length: 1\r\nTransfer-Encoding: CHUNKED\r\n",
            "Chunked <Content-Length beside Transfer-Encoding>",
        ),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Chunked <several Transfer-Encoding lines>",
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", "Chunked <chunked more than once>"),
        ("Content-Length : 1\r\n", "Length(1) <whitespace between \"Content-Length\" and its colon>"),
    ] {
        let lines = requests(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n").as_bytes());
        let framing = lines[0].split_once("] ").unwrap().1;
        assert_eq!(framing, expected, "{fields}");
        assert_eq!(expected.starts_with("Undefined"), lines[1].starts_with("end Truncated"), "{lines:?}");
    }
    let lines = requests(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert!(lines[0].ends_with("Chunked <Transfer-Encoding in an HTTP/1.0 message>"), "{lines:?}");
}

#[test]
fn response_framing_depends_on_status_and_request() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 No Content\r\n\r\n";
    check(
        responses(&["GET", "GET"], length),
        &[
            "200 OK HTTP/1.1 [Content-Length: 2] Length(2)",
            "body ab",
            "end Complete 40",
            "204 No Content HTTP/1.1 [] None",
            "end Complete 27",
        ],
    );
    check(
        responses(
            &["HEAD", "GET", "GET"],
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
              HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n\
              HTTP/1.0 200 Fine\r\n\r\nto the end\r\n",
        ),
        &[
            "103 Early Hints HTTP/1.1 [Link: a] None",
            "end Complete 37",
            "200 OK HTTP/1.1 [Content-Length: 9] None",
            "end Complete 38",
            "304  HTTP/1.1 [Content-Length: 9] None <no space after the status code>",
            "end Complete 35",
            "200 Fine HTTP/1.0 [] UntilClose",
            "body to the end\\x0d\\x0a",
            "end Complete 33",
        ],
    );
    check(
        responses(&["GET"], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxyz"),
        &[
            "200 OK HTTP/1.1 [Transfer-Encoding: gzip] UntilClose <chunked is not the last transfer coding>",
            "body xyz",
            "end Complete 47",
        ],
    );
    check(
        responses(&["CONNECT"], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x16\x03"),
        &[
            "200 OK HTTP/1.1 [Content-Length: 5] Tunnel <Content-Length or Transfer-Encoding where neither is allowed>",
            "end Complete 38",
            "tunnel \\x16\\x03",
        ],
    );
    check(
        responses(&[], b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        &[
            "408 Request Timeout HTTP/1.1 [Content-Length: 0] Length(0) <a response nobody asked for>",
            "end Complete 51",
        ],
    );
}

#[test]
fn what_is_cut_short_says_so() {
    check(
        responses(&["GET"], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        &["200 OK HTTP/1.1 [Content-Length: 9] Length(9)", "body abc", "end Truncated 41"],
    );
    check(
        responses(&["GET"], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        &["200 OK HTTP/1.1 [Transfer-Encoding: chunked] Chunked", "body abc", "end Truncated 55"],
    );
    check(responses(&["GET"], b"HTTP/1.1 200 O"), &["partial head HTTP/1.1 200 O"]);
    check(requests(b"GET / HTT"), &["partial head GET / HTT"]);
}

#[test]
fn chunk_errors_and_oddities() {
    for (chunks, expected) in [
        ("0x3\r\nabc\r\n0\r\n\r\n", "this is no chunk size"),
        ("-1\r\n", "this is no chunk size"),
        ("\r\n", "this is no chunk size"),
        ("3 4\r\nabc\r\n", "this is no chunk size"),
        ("10000000000000000\r\n", "this is no chunk size"),
        ("3\r\nabcd\r\n0\r\n\r\n", "a chunk longer than its size"),
        ("3\r\nabc\rx", "a chunk longer than its size"),
        ("3\nabc\n0\n\n", "end Complete 56 <a line ends with LF alone>"),
        ("3 \r\nabc\r\n0\r\n\r\n", "end Complete 61 <whitespace around a chunk size>"),
        ("00000000000000003\r\nabc\r\n0\r\n\r\n", "<a chunk size of more than 16 digits>"),
        ("0\r\nContent-Length: 5\r\n\r\n", "<\"Content-Length\" must not be a trailer>"),
    ] {
        let input = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let lines = responses(&["GET"], input.as_bytes());
        assert!(lines.iter().any(|l| l.contains(expected)), "{chunks:?}: {lines:#?}");
    }
}

#[test]
fn what_has_no_meaning_is_an_error() {
    for (input, expected) in [
        (
            &b"\x16\x03\x01\x02\x00"[..],
            "error at byte 0: this is no HTTP/1 request line, near \"\\\\x16\\\\x03\\\\x01\\\\x02\\\\x00\"",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "error at byte 0: this is an HTTP/2 connection preface (RFC 9113 section 3.4), near \"PRI * HTTP/2.0\\\\x0d\\\\x0a\"",
        ),
        (b"HELLO\r\n", "error at byte 0: this is no HTTP/1 request line, near \"HELLO\\\\x0d\\\\x0a\""),
        (b"POST /\r\n", "error at byte 0: this is no HTTP/1 request line, near \"POST /\\\\x0d\\\\x0a\""),
    ] {
        check(requests(input), &[expected]);
    }
    for input in [
        &b"SSH-2.0-OpenSSH\r\n"[..],
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/x 200 OK\r\n\r\n",
    ] {
        let lines = responses(&["GET"], input);
        assert!(lines[0].starts_with("error at byte 0: this is no HTTP/1 status line"), "{lines:?}");
    }
}

#[test]
fn bounds_hold() {
    let limits = Limits {
        head: 100,
        fields: 3,
        chunk_line: 8,
        trailers: 20,
        interim: 2,
        extensions: 0,
        ..Limits::default()
    };
    let long_head = [&b"HTTP/1.1 200 OK\r\nA: "[..], &[b'a'; 200]].concat();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (input, name) in [
        (long_head, "head"),
        (vec![b'\n'; 101], "head"),
        (b"HTTP/1.1 200 OK\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n".to_vec(), "fields"),
        ([chunked, &b"1;aaaaaaaaaaaaaa"[..]].concat(), "chunk_line"),
        ([chunked, &b"0\r\na: bbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n"[..]].concat(), "trailers"),
        (b"HTTP/1.1 100 A\r\n\r\n".repeat(3), "interim"),
    ] {
        let mut parser = Parser::responses(limits.clone());
        parser.expect(Asked::default());
        let lines = parse(parser, &[&input]);
        let expected = format!("over the limit `{name}`");
        assert!(lines.last().unwrap().contains(&expected), "{name}: {lines:?}");
    }
}

#[test]
fn resumes_after_a_gap() {
    let mut parser = Parser::responses(Limits::default());
    let mut lines = Vec::new();
    parser.expect(Asked::default());
    parser.push(Time(1), &b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"[..]);
    parser.resync(Time(2));
    parser.expect(Asked::default());
    parser.push(Time(3), &b"...pngHTTP/1."[..]);
    parser.push(Time(4), &b"1 404 No\r\nContent-Length: 0\r\n\r\n"[..]);
    described::drain(&mut parser, &mut lines);
    check(
        lines,
        &[
            "200 OK HTTP/1.1 [Content-Length: 99] Length(99)",
            "body abc",
            "end Truncated 42",
            "resumed after 6",
            "404 No HTTP/1.1 [Content-Length: 0] Length(0)",
            "end Complete 38",
        ],
    );
    assert!(parser.counts().balance());
}

#[test]
fn http09_response_is_all_body() {
    let mut parser = Parser::responses(Limits::default());
    parser.expect(Asked { http09: true, ..Asked::default() });
    check(
        parse(parser, &[b"<html>", b"HTTP/1.1"]),
        &["200  HTTP/0.9 [] UntilClose <an HTTP/0.9 message>", "body <html>HTTP/1.1", "end Complete 14"],
    );
}

#[test]
fn waits_where_another_protocol_may_follow() {
    for (to_tunnel, expected) in
        [(true, "tunnel GET /2 HTTP/1.0\\x0d\\x0a\\x0d\\x0a"), (false, "GET /2 HTTP/1.0 [] None")]
    {
        let mut parser = Parser::requests(Limits::default());
        parser.push(Time(1), &b"GET /1 HTTP/1.0\r\nUpgrade: x\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"[..]);
        let mut lines = Vec::new();
        described::drain(&mut parser, &mut lines);
        assert_eq!(lines.len(), 2);
        assert!(parser.awaits_switch());
        parser.switch(to_tunnel);
        described::drain(&mut parser, &mut lines);
        assert_eq!(lines[2], expected);
    }
}

/// Pieces of messages, right and wrong, that meet in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        &b"GET / HTTP/1.1\r\n"[..],
        &b"POST /x HTTP/1.0\r\n"[..],
        &b"HTTP/1.1 200 OK\r\n"[..],
        &b"HTTP/1.1 103 Early\n"[..],
        &b"Host: a\r\n"[..],
        &b"Content-Length: 5\r\n"[..],
        &b"Content-Length : 7\r\n"[..],
        &b"Transfer-Encoding: chunked\r\n"[..],
        &b" folded\r\n"[..],
        &b"Upgrade: x\r\n"[..],
        &b"\r\n"[..],
        &b"\n"[..],
        &b"\r"[..],
        &b"5\r\nabcde\r\n"[..],
        &b"3;x=y\nabc\n"[..],
        &b"0\r\n"[..],
        &b"0\r\nA: b\r\n\r\n"[..],
        &b"\0\xff"[..],
        &b"hello"[..],
    ]);
    proptest::collection::vec(pieces, 0..24).prop_map(|p| p.concat())
}

fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|c| c.index(input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|w| &input[w[0]..w[1]]).collect()
}

/// Early errors quote what was there when they were found; everything else must not depend on cutting.
fn without_quotes(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|l| match l.find(", near") {
            Some(at) if l.contains("error") => l[..at].to_owned(),
            _ => l,
        })
        .collect()
}

proptest! {
    #[test]
    fn cutting_makes_no_difference(input in soup(), cuts: Vec<prop::sample::Index>, head: bool) {
        let parser = |request| if request {
            Parser::requests(Limits::default())
        } else {
            let mut parser = Parser::responses(Limits::default());
            parser.expect(Asked { head, ..Asked::default() });
            parser.expect(Asked::default());
            parser
        };
        for request in [true, false] {
            let whole = without_quotes(parse(parser(request), &[&input]));
            let cut = without_quotes(parse(parser(request), &cut(&input, &cuts)));
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn resuming_does_not_depend_on_cutting(input in soup(), cuts: Vec<prop::sample::Index>) {
        for request in [true, false] {
            let parser = || {
                let mut parser =
                    if request { Parser::requests(Limits::default()) } else { Parser::responses(Limits::default()) };
                parser.resync(Time(0));
                parser
            };
            let whole = without_quotes(parse(parser(), &[&input]));
            let cut = without_quotes(parse(parser(), &cut(&input, &cuts)));
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn tiny_limits_hold_and_do_not_panic(input in soup(), cuts: Vec<prop::sample::Index>, most in 0..24usize) {
        let limits = Limits {
            head: 2 * most,
            fields: most / 4,
            chunk_line: most / 2,
            extensions: most,
            trailers: most,
            anomalies: most / 8,
            interim: most / 8,
            ..Limits::default()
        };
        for parser in [Parser::requests(limits.clone()), Parser::responses(limits.clone())] {
            parse(parser, &cut(&input, &cuts));
        }
    }

    #[test]
    fn no_bytes_panic(input: Vec<u8>) {
        requests(&input);
        responses(&["GET"], &input);
    }
}
