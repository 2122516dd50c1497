//! `compare` on answers with any fields and bodies: deterministic, nothing differs from itself, two answers that mean the
//! same do so from either side, and what is shown is printable and bounded.

use crate::input::{Input, field_lines};
use compare::{Comparison, Settings, requests, responses};
use exchange::{Body, Ending, Fields, Request, Response, Seen, Time};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let cases: [(&str, &str, &str, &str); 6] = [
        (
            "Content-Type: application/json\nVary: a, b",
            "{\"a\":[1,2,{\"b\":null}]}",
            "vary: B,A\ncontent-type: application/json",
            "{ \"a\" : [1,2,{\"b\":0}] }",
        ),
        (
            "Content-Type: text/html; charset=\"utf-8\"\nETag: \"1\"",
            "<p>\none\n",
            "content-type: text/html;charset=utf-8\nETag: W/\"1\"",
            "<p>\ntwo\n",
        ),
        (
            "Date: Sat, 21 Nov 2026 12:00:00 GMT\nCache-Control: max-age=60, private=\"a\"\nAge: 5",
            "",
            "Date: Sat, 21 Nov 2026 12:00:09 GMT\nCache-Control: max-age=61\nExpires: 0",
            "",
        ),
        (
            "Set-Cookie: a=1; Path=/; HttpOnly\nSet-Cookie: b=2",
            "x",
            "Set-Cookie: b=2\nSet-Cookie: a=1; httponly; path=/",
            "x",
        ),
        (
            "Content-Type: multipart/byteranges; boundary=x",
            "--x\r\nContent-Range: bytes 0-0/2\r\n\r\na\r\n--x--",
            "Content-Type: multipart/byteranges; boundary=y",
            "--y\r\nContent-Range: bytes 0-0/2\r\n\r\na\r\n--y--\r\n",
        ),
        (
            "Via: 1.1 a (b), 1.0 c\nCache-Status: x; hit; ttl=5\nLink: </a>; rel=preload\nContent-Encoding: gzip",
            "\u{1f}\u{8b}",
            "Via: 1.1 d\nX-Cache: MISS\nServer: z\nConnection: x-hop\nX-Hop: 1",
            "gz",
        ),
    ];
    cases
        .map(|(fields, body, other, other_body)| {
            [&[0, 0, 0, 0, 0][..], [fields, body, other, other_body].join("\n%%\n").as_bytes()].concat()
        })
        .into()
}

const STATUS: [u16; 8] = [200, 206, 304, 404, 500, 204, 999, 103];

fn response(choice: u8, time: u8, fields: &[u8], body: &[u8]) -> Response {
    let fields: Fields = field_lines(fields).map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let trailers = if choice & 64 != 0 { fields.clone() } else { Fields::new() };
    let ending = if choice & 32 != 0 { Ending::Truncated } else { Ending::Complete };
    let start = Time(i64::from(time) * (1_795_262_400_000_000_000 / 64));
    Response {
        trailers,
        seen: Seen { start, head_end: Some(start), ..Seen::default() },
        interim: if choice & 16 != 0 {
            vec![Response::new(103, fields.clone(), Body::empty())]
        } else {
            Vec::new()
        },
        ..Response::new(
            STATUS[usize::from(choice & 7)],
            fields,
            Body { ending, ..Body::complete(body.to_vec()) },
        )
    }
}

fn shown(settings: &Settings, comparison: &Comparison) {
    assert!(comparison.differences.len() <= settings.max_differences);
    for difference in &comparison.differences {
        let texts = [&difference.left, &difference.right].into_iter().flatten();
        for text in texts.chain([&difference.path, &difference.explanation]) {
            assert!(!text.chars().any(char::is_control), "{difference:?}");
            assert!(text.len() < 16 * settings.max_value + 1024, "{} bytes shown", text.len());
        }
        if let Some(diff) = &difference.diff {
            assert!(!diff.chars().any(|c| c.is_control() && c != '\n'), "{diff:?}");
            assert!(diff.len() < 2 * settings.max_diff + 1024, "{} bytes of diff", diff.len());
        }
    }
    let json = serde_json::to_string(comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), *comparison);
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (choice, left_choice, right_choice, left_time, right_time) =
        (input.byte(), input.byte(), input.byte(), input.byte(), input.byte());
    let sections = input.sections();
    let section = |at: usize| sections.get(at).copied().unwrap_or_default();
    let left = response(left_choice, left_time, section(0), section(1));
    let right = response(right_choice, right_time, section(2), section(3));
    let small = Settings {
        max_differences: 3,
        max_value: 20,
        max_text: 60,
        max_diff: 80,
        max_decoded: 200,
        hop_by_hop: true,
        ..Settings::default()
    };
    let settings = if choice & 1 != 0 { small } else { Settings::default() };
    let method = if choice & 2 != 0 { "HEAD" } else { "GET" };
    let request = Request::new(method, "/", left.fields.clone());

    let there = responses(&settings, &request, &left, &right);
    shown(&settings, &there);
    assert_eq!(responses(&settings, &request, &left, &right), there, "twice the same, two outcomes");
    for one in [&left, &right] {
        let own = responses(&settings, &request, one, one);
        assert!(own.differences.is_empty() && own.omitted == 0, "it differs from itself: {own:?}");
    }
    let back = responses(&settings, &request, &right, &left);
    shown(&settings, &back);
    assert_eq!(there.agrees(), back.agrees(), "{there:?}\n{back:?}");
    let count = |comparison: &Comparison| comparison.differences.len() as u64 + comparison.omitted;
    assert_eq!(count(&there) == 0, count(&back) == 0, "{there:?}\n{back:?}");

    let other = Request::new("GET", "/", right.fields.clone());
    let asked = requests(&settings, &request, &other);
    shown(&settings, &asked);
    assert_eq!(asked.agrees(), requests(&settings, &other, &request).agrees(), "{asked:?}");
    assert!(requests(&settings, &other, &other).differences.is_empty());
}
