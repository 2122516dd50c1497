//! One change of meaning gives exactly one difference, at its path; any number of rewrites that keep the meaning give
//! none, and hide nothing.

use compare::{Settings, responses};
use exchange::{Body, Ending, Fields, Request, Response, Time, Version};
use proptest::prelude::*;
use proptest::sample::Index;

/// A field: its name, a value, other spellings of that value, and values of another meaning, each with what stands
/// after the field's name in the path of the difference.
struct Row {
    name: &'static str,
    value: &'static str,
    same: &'static [&'static str],
    other: &'static [(&'static str, &'static str)],
}

const fn row(
    name: &'static str,
    value: &'static str,
    same: &'static [&'static str],
    other: &'static [(&'static str, &'static str)],
) -> Row {
    Row { name, value, same, other }
}

/// `Date`, 10 s before the answers are received, so that their Age is 10.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const RECEIVED: Time = Time(784_111_787_000_000_000);

/// A line break in a value stands for two lines.
const ROWS: &[Row] = &[
    row(
        "Date",
        DATE,
        &["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:38 GMT"],
        &[("Sun, 06 Nov 1994 09:49:37 GMT", ""), ("Sun, 06 Nov 1994 08:40:00 GMT", ""), ("now", "")],
    ),
    row(
        "Age",
        "10",
        &["010", "11"],
        &[("0", ""), ("500", ""), ("-1", ""), ("10, 10", ""), ("ten", ""), ("", "")],
    ),
    row(
        "Expires",
        "Sun, 06 Nov 1994 09:49:37 GMT",
        &["Sun Nov  6 09:49:37 1994"],
        &[("0", ""), ("Sun, 06 Nov 1994 09:59:37 GMT", ""), ("Sun, 06 Nov 1994 08:00:00 GMT", "")],
    ),
    row(
        "Cache-Control",
        "public, max-age=3600, no-cache=\"a, b\"",
        &["Max-Age=03600,PUBLIC\nno-cache=\"B,a\"", ", no-cache=\"a,b\" ,, max-age=\"3600\", public"],
        &[
            ("public, max-age=3601, no-cache=\"a, b\"", "[max-age]"),
            ("max-age=3600, no-cache=\"a, b\"", "[public]"),
            ("public, max-age=3600, no-cache=\"a\"", "[no-cache]"),
            ("public, max-age=3600, no-cache=\"a, b\", no-store", "[no-store]"),
            ("no-store", ""),
            ("", ""),
        ],
    ),
    row(
        "Last-Modified",
        DATE,
        &["Sun Nov  6 08:49:37 1994"],
        &[("Sun, 06 Nov 1994 08:49:38 GMT", ""), ("never", "")],
    ),
    row("ETag", "\"a\"", &[], &[("W/\"a\"", ""), ("\"A\"", ""), ("\"a\", \"b\"", ""), ("", "")]),
    row(
        "Vary",
        "Accept, Cookie",
        &["cookie,ACCEPT", "Accept\nCookie", ",Accept,, Cookie"],
        &[("Accept", ""), ("Accept, Cookie, Origin", ""), ("*", ""), ("", "")],
    ),
    row(
        "Content-Type",
        "text/html; charset=UTF-8; x=A",
        &["Text/HTML;Charset=\"utf-8\";x=A", "text/html;x=\"A\"; charset=utf-8"],
        &[
            ("text/html; charset=utf-8; x=a", ""),
            ("text/html; charset=latin1; x=A", ""),
            ("text/plain; charset=utf-8; x=A", ""),
        ],
    ),
    row("Content-Language", "en, de", &["DE,en", "de\nen"], &[("en", ""), ("en, fr", "")]),
    row("Allow", "GET, HEAD", &["HEAD,GET", "GET\nHEAD"], &[("GET", ""), ("GET, head", "")]),
    row("Accept-Ranges", "bytes", &["Bytes"], &[("none", "")]),
    row(
        "Link",
        "</a,b>; rel=preload; as=style, </c>; rel=next",
        &["</a,b>;as=\"style\"; REL=preload\n</c>;rel=\"next\""],
        &[
            ("</c>; rel=next, </a,b>; rel=preload; as=style", ""),
            ("</a,b>; rel=preload, </c>; rel=next", ""),
            ("</A,b>; rel=preload; as=style, </c>; rel=next", ""),
        ],
    ),
    row(
        "Set-Cookie",
        "a=1; Path=/; Secure\nb=2; Domain=x.test",
        &["b=2;domain=.X.test\na=1; secure; path=/"],
        &[
            ("a=2; Path=/; Secure\nb=2; Domain=x.test", "[a]"),
            ("a=1; Path=/\nb=2; Domain=x.test", "[a]"),
            ("a=1; Path=/; Secure", "[b]"),
            ("a=1; Path=/; Secure\nb=2; Domain=x.test\nc=3", "[c]"),
            ("a=1; Path=/; Secure\nB=2; Domain=x.test", ""),
        ],
    ),
    row(
        "Via",
        "1.1 edge",
        &["HTTP/1.1 other (x, y)"],
        &[("1.0 edge", ""), ("1.1 edge, 1.1 b", ""), ("edge", "")],
    ),
    row(
        "Cache-Status",
        "edge; hit; ttl=3590",
        &["\"Edge 2\";hit;ttl=3590;key=\"k\"", "edge;hit; ttl=3591"],
        &[("edge; hit; ttl=10", "[ttl]"), ("edge; hit; ttl=3590;", "")],
    ),
    row("Retry-After", "120", &["0120"], &[("121", ""), (DATE, "")]),
    row(
        "Strict-Transport-Security",
        "max-age=1; includeSubDomains",
        &["includesubdomains;max-age=\"1\""],
        &[("max-age=2; includeSubDomains", "")],
    ),
    row(
        "CDN-Cache-Control",
        "max-age=60, public",
        &["public,max-age=60", "max-age=60\npublic=?1"],
        &[("max-age=61, public", ""), ("max-age=60,", "")],
    ),
    row(
        "Content-Disposition",
        "attachment; filename=\"a;b\"",
        &["attachment;FileName=\"a;b\""],
        &[("attachment; filename=a", "")],
    ),
    row("X-Unknown", "a, b", &["a\nb"], &[("A, b", ""), ("b, a", ""), ("", ""), ("a,b", "")]),
    row("X-Bytes", "\u{e9}\u{1}", &[], &[("\u{e9}\u{2}", "")]),
    row("Location", "http://x.test/%7ea", &[], &[("http://x.test/~a", "")]),
];

const JSON: &str = r#"{"a":[1,{"b":"x"}],"c":null}"#;
const JSON_SAME: &[&str] = &[r#"{ "c": null, "a": [1.0, {"b": "\u0078"}] }"#, JSON];
const JSON_OTHER: &[(&str, &str)] = &[
    (r#"{"a":[2,{"b":"x"}],"c":null}"#, "body.$.a[0]"),
    (r#"{"a":[1,{"b":"y"}],"c":null}"#, "body.$.a[1].b"),
    (r#"{"a":[1,{"B":"x"}],"c":null}"#, "body.$.a[1]"),
    (r#"{"a":[1],"c":null}"#, "body.$.a"),
    (r#"{"a":[1,{"b":"x"}]}"#, "body.$.c"),
    (r#"{"a":[1,{"b":"x"}],"c":null,"d":0}"#, "body.$.d"),
    (r#"{"a":[1,{"b":"x"}],"c":null,}"#, "body"),
];

/// Which rows and parts a message has.
#[derive(Clone, Debug)]
struct Plan {
    rows: Vec<usize>,
    status: u16,
    body: Vec<u8>,
    json: bool,
    length: bool,
    interim: bool,
    trailers: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let rows = proptest::sample::subsequence((0..ROWS.len()).collect::<Vec<_>>(), 1..ROWS.len());
    let body = proptest::collection::vec(any::<u8>(), 1..200);
    let status = proptest::sample::select(vec![200_u16, 203, 206, 301, 404, 503]);
    (rows, status, body, any::<[bool; 4]>()).prop_map(
        |(rows, status, body, [json, length, interim, trailers])| Plan {
            rows,
            status,
            body,
            json,
            length,
            interim,
            trailers,
        },
    )
}

fn push(fields: &mut Fields, name: &str, value: &str) {
    for line in value.split('\n') {
        fields.push(name.to_owned(), line.trim().to_owned());
    }
}

/// The message, with the value of each row chosen by `value`.
fn build(plan: &Plan, mut value: impl FnMut(&'static Row) -> Option<&'static str>) -> Response {
    let mut response = Response::new(plan.status, Fields::new(), Body::complete(plan.body.clone()));
    for &index in &plan.rows {
        let row = &ROWS[index];
        if plan.json && row.name == "Content-Type" {
            continue;
        }
        if let Some(value) = value(row) {
            push(&mut response.fields, row.name, value);
        }
    }
    if plan.json {
        response.fields.push("Content-Type", "application/json");
        response.body = Body::complete(JSON);
    }
    if plan.length {
        response.fields.push("Content-Length", response.body.length.to_string());
    }
    if plan.interim {
        let fields = [("Link", "</s>; rel=preload"), ("X-I", "1")].into_iter().collect();
        response.interim.push(Response::new(103, fields, Body::empty()));
    }
    if plan.trailers {
        response.trailers = [("X-Sum", "abc"), ("Server-Timing", "a, b")].into_iter().collect();
    }
    response.seen.start = RECEIVED;
    response
}

/// Rewrites that keep the meaning, driven by a stream of choices.
fn rewrite(response: &mut Response, choices: &[Index]) {
    let mut choices = choices.iter().cycle();
    let mut pick = |most: usize| choices.next().map_or(0, |index| index.index(most));
    response.reason = ["OK", "", "Fine"][pick(3)].into();
    response.version = [Version::Http11, Version::Http10, Version::Http2][pick(3)];
    for fields in [&mut response.fields, &mut response.trailers] {
        // Lines of other names change places.
        for at in 1..fields.len() {
            let to = pick(at + 1);
            let crosses_same = (to..at).any(|i| fields.0[i].name.eq_ignore_ascii_case(&fields.0[at].name));
            if !crosses_same {
                let line = fields.0.remove(at);
                fields.0.insert(to, line);
            }
        }
        for field in &mut fields.0 {
            let name = String::from_utf8_lossy(&field.name).into_owned();
            field.name = [name.to_lowercase(), name.to_uppercase(), name][pick(3)].clone().into();
        }
    }
    if pick(2) == 1 {
        response.interim.insert(0, Response::new(100, Fields::new(), Body::empty()));
    }
    match pick(4) {
        0 => response.fields.push("Connection", "close"),
        1 => {
            response.fields.push("Connection", "keep-alive, X-Hop");
            response.fields.push("Keep-Alive", "timeout=5");
            response.fields.push("x-hop", "1");
        }
        2 if response.body.ending == Ending::Complete => {
            let length = response.body.length.to_string();
            let honest = response.fields.get_str("content-length").is_none_or(|l| l == length);
            if honest && response.fields.remove("content-length") > 0 {
                response.fields.push("Transfer-Encoding", "chunked");
            }
        }
        _ => {}
    }
}

/// Changes one thing and says at which path.
fn mutate(plan: &Plan, base: &Response, which: usize, choice: &Index) -> Option<(Response, String)> {
    let mut changed = base.clone();
    let rows: Vec<&Row> =
        plan.rows.iter().map(|&i| &ROWS[i]).filter(|r| base.fields.contains(r.name)).collect();
    let row_of = |choice: &Index| (!rows.is_empty()).then(|| rows[choice.index(rows.len())]);
    let path = match which {
        0 => {
            changed.status = if base.status == 200 { 201 } else { 200 };
            "status".to_owned()
        }
        1 => {
            let row = row_of(choice).filter(|r| r.name != "Content-Type" || !plan.json)?;
            // What a cache says of itself may come and go.
            if row.name == "Cache-Status" {
                return None;
            }
            // A partial response says by itself that ranges are accepted, a stored one where it came from.
            let may_be_stored = ["cache-status", "age"].iter().any(|name| base.fields.contains(name));
            if row.name == "Accept-Ranges" && (plan.status == 206 || may_be_stored) {
                return None;
            }
            // Without Date, an answer without Age may as well be a miss.
            if row.name == "Age" && !base.fields.contains("date") {
                return None;
            }
            changed.fields.remove(row.name);
            let name = row.name.to_lowercase();
            // Each cookie is a field of its own.
            if name == "set-cookie" {
                return None;
            }
            format!("fields.{name}")
        }
        2 => {
            let row = row_of(choice).filter(|r| r.name != "Content-Type" || !plan.json)?;
            let (value, suffix) = row.other[choice.index(row.other.len())];
            changed.fields.remove(row.name);
            push(&mut changed.fields, row.name, value);
            format!("fields.{}{suffix}", row.name.to_lowercase())
        }
        3 => {
            changed.fields.push("X-Added", "");
            "fields.x-added".to_owned()
        }
        4 => {
            changed.fields.push("Proxy-Connection", "keep-alive");
            "fields.proxy-connection".to_owned()
        }
        5 if plan.json => {
            let (json, path) = JSON_OTHER[choice.index(JSON_OTHER.len())];
            changed.body = Body::complete(json);
            if plan.length {
                changed.fields.set("Content-Length", changed.body.length.to_string());
            }
            path.to_owned()
        }
        5 => {
            let mut bytes = plan.body.clone();
            let at = choice.index(bytes.len());
            bytes[at] ^= 1 << choice.index(8);
            changed.body = Body::complete(bytes);
            "body".to_owned()
        }
        6 => {
            let whole = base.body.whole()?;
            let bytes = whole.slice(..choice.index(whole.len()));
            changed.body = Body { ending: Ending::Truncated, ..Body::complete(bytes) };
            "body.ending".to_owned()
        }
        7 if plan.length => {
            changed.fields.set("Content-Length", (base.body.length + 1).to_string());
            "fields.content-length".to_owned()
        }
        8 if plan.trailers => match choice.index(3) {
            0 => {
                changed.trailers.remove("x-sum");
                "trailers.x-sum".to_owned()
            }
            1 => {
                changed.trailers.set("X-Sum", "abd");
                "trailers.x-sum".to_owned()
            }
            _ => {
                changed.trailers.set("Server-Timing", "b, a");
                "trailers.server-timing".to_owned()
            }
        },
        9 => {
            changed.trailers.push("X-Late", "1");
            "trailers.x-late".to_owned()
        }
        10 if plan.interim => match choice.index(3) {
            0 => {
                changed.interim.clear();
                "interim".to_owned()
            }
            1 => {
                changed.interim[0].fields.set("link", "</t>; rel=preload");
                "interim[0].fields.link".to_owned()
            }
            _ => {
                changed.interim[0].status = 102;
                "interim[0].status".to_owned()
            }
        },
        11 => {
            changed.seen.start = changed.seen.start.plus(std::time::Duration::from_secs(60));
            let dated = base.fields.contains("date");
            if !dated {
                return None;
            }
            "fields.date".to_owned()
        }
        _ => return None,
    };
    Some((changed, path))
}

fn get() -> Request {
    Request::new("GET", "/", Fields::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewrites_change_nothing(plan in plan(), choices in proptest::collection::vec(any::<Index>(), 40)) {
        let left = build(&plan, |row| Some(row.value));
        let mut next = choices.iter();
        let mut right = build(&plan, |row| {
            let choice = next.next().map_or(0, |index| index.index(row.same.len() + 1));
            Some(row.same.get(choice).copied().unwrap_or(row.value))
        });
        if plan.json {
            right.body = Body::complete(JSON_SAME[choices[0].index(JSON_SAME.len())]);
            if plan.length {
                right.fields.set("Content-Length", right.body.length.to_string());
            }
        }
        rewrite(&mut right, &choices);
        for (l, r) in [(&left, &right), (&right, &left), (&left, &left)] {
            let comparison = responses(&Settings::default(), &get(), l, r);
            prop_assert!(comparison.differences.is_empty(), "{:#?}\n{:#?}\n{:#?}", comparison.differences, l, r);
        }
    }

    #[test]
    fn one_change_is_one_difference(
        plan in plan(),
        which in 0..12_usize,
        choice in any::<Index>(),
        choices in proptest::collection::vec(any::<Index>(), 40),
    ) {
        let left = build(&plan, |row| Some(row.value));
        let Some((mut right, path)) = mutate(&plan, &left, which, &choice) else { return Ok(()) };
        rewrite(&mut right, &choices);
        for (l, r) in [(&left, &right), (&right, &left)] {
            let comparison = responses(&Settings::default(), &get(), l, r);
            let found: Vec<_> = comparison.standing().map(|d| d.path.as_str()).collect();
            prop_assert_eq!(&found, &[path.as_str()], "{:#?}\n{:#?}\n{:#?}", comparison.differences, l, r);
            prop_assert_eq!(comparison.differences.len(), 1);
        }
    }

    /// Whatever comes in, nothing panics, a message agrees with itself, and sides can be swapped.
    #[test]
    fn hostile_messages(
        left in hostile(), right in hostile(),
    ) {
        let settings = Settings { max_text: 200, max_decoded: 1000, ..Settings::default() };
        prop_assert!(responses(&settings, &get(), &left, &left.clone()).differences.is_empty());
        let there = responses(&settings, &get(), &left, &right);
        let back = responses(&settings, &get(), &right, &left);
        let paths = |c: &compare::Comparison| c.differences.iter().map(|d| (d.path.clone(), d.class, d.counts)).collect::<Vec<_>>();
        prop_assert_eq!(paths(&there), paths(&back));
        for difference in &there.differences {
            let printable = |text: &str| !text.contains(|c: char| c.is_control());
            prop_assert!(printable(&difference.path), "{}", difference.path);
            for value in [&difference.left, &difference.right].into_iter().flatten() {
                prop_assert!(printable(value), "{}", value);
            }
        }
    }
}

fn hostile() -> impl Strategy<Value = Response> {
    let names: Vec<&'static str> = ROWS
        .iter()
        .map(|r| r.name)
        .chain([
            "Content-Encoding",
            "Content-Length",
            "Connection",
            "Cookie",
            "X-Cache",
            "Content-Range",
            "Server",
            "\u{1}",
        ])
        .collect();
    let piece = proptest::sample::select(vec![
        "\"",
        "\\",
        ",",
        ";",
        "=",
        "<",
        ">",
        "(",
        ")",
        " ",
        "a",
        "0",
        "99999999999999999999",
        "-",
        "gzip",
        "max-age",
        "hit",
        "fwd",
        "1.1",
        "multipart/byteranges",
        "boundary",
        "\n",
        "\u{0}",
        "W/",
        "*",
        DATE,
        "bytes",
        ":",
        "application/json",
    ]);
    let value = proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let field = (proptest::sample::select(names), value);
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[\\[\\]{}\",:0-9a\\\\\n-]{0,40}".prop_map(String::into_bytes),
        "(--|\r\n|a|:|b){0,12}".prop_map(String::into_bytes),
    ];
    let ending = proptest::sample::select(vec![Ending::Complete, Ending::Truncated, Ending::Reset]);
    (proptest::collection::vec(field, 0..6), body, ending, any::<i64>()).prop_map(
        |(fields, body, ending, at)| {
            let mut response =
                Response::new(200, fields.into_iter().collect(), Body { ending, ..Body::complete(body) });
            response.seen.start = Time(at);
            response
        },
    )
}
