//! The recorded world answers as the recorded servers did.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use endpoint::Clock;
use exchange::{Body, Ending, Fields, Request, Response, Time, Transaction, Version};
use replay::extract::Recorded;
use replay::world::{Answer, How, MARK, Service, Unrecorded, World};
use std::sync::Arc;
use wire::Notes;

const RECORDED: i64 = 1_795_298_820;
const MODIFIED: &str = "Sat, 21 Nov 2026 20:00:00 GMT";

type Lines<'a> = &'a [(&'a str, &'a str)];

fn fields(lines: Lines<'_>) -> Fields {
    lines.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

fn get(target: &str, lines: Lines<'_>) -> Request {
    let mut all = vec![("Host", "www.test")];
    all.extend(lines);
    Request::new("GET", target.to_owned(), fields(&all))
}

fn ok(body: &str, lines: Lines<'_>) -> Response {
    let length = body.len().to_string();
    let mut all = vec![("Content-Length", &*length)];
    all.extend(lines);
    let mut response = Response::new(200, fields(&all), Body::complete(body.to_owned()));
    response.reason = "OK".into();
    response
}

fn status(status: u16, lines: Lines<'_>) -> Response {
    Response::new(status, fields(lines), Body::empty())
}

/// One recorded transaction a second.
fn world(recorded: Vec<(Request, Response)>) -> World {
    let all: Vec<Recorded> = recorded
        .into_iter()
        .enumerate()
        .map(|(index, (request, mut response))| {
            response.seen.start = Time::new(RECORDED + index as i64, 0);
            let transaction = Transaction {
                client_request: Some(request),
                client_response: Some(response),
                ..Transaction::default()
            };
            Recorded::new(transaction, Notes::default(), Notes::default())
        })
        .collect();
    World::of(&all)
}

fn answer(world: &World, request: &Request, moment: Option<usize>) -> Answer {
    world.answer(request, moment, Time::new(RECORDED + 3600, 0))
}

fn text(answer: &Answer) -> String {
    format!("{} {}", answer.response.status, exchange::escape(answer.response.body.whole().unwrap()))
}

fn why(answer: Answer) -> Unrecorded {
    assert_eq!(answer.response.status, 599);
    match answer.how {
        How::Unrecorded(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn targets_are_told_apart_by_method_host_path_and_query() {
    let other_host = Request::new("GET", "/a", fields(&[("Host", "WWW.other:80")]));
    let mut post = Request::new("POST", "/a", fields(&[("Host", "www.test")]));
    post.body = Body::complete("x=1");
    let w = world(vec![
        (get("/a", &[]), ok("one", &[])),
        (get("/a?q", &[]), ok("two", &[])),
        (other_host, ok("three", &[])),
        (post.clone(), ok("four", &[])),
    ]);
    for (request, expected) in [
        (get("/a", &[]), "200 one"),
        (get("http://www.test/a", &[]), "200 one"),
        (get("/a?q", &[]), "200 two"),
        (Request::new("GET", "/a", fields(&[("Host", "www.OTHER")])), "200 three"),
        (Request::new("GET", "http://www.other:80/a", fields(&[("Host", "ignored")])), "200 three"),
        (post.clone(), "200 four"),
    ] {
        assert_eq!(text(&answer(&w, &request, None)), expected, "{request:?}");
    }
    assert_eq!(why(answer(&w, &get("/b", &[]), None)), Unrecorded::Path);
    let hosts = ["www.other", "www.test"].map(str::to_owned).into();
    let elsewhere = Request::new("GET", "/a", fields(&[("Host", "127.0.0.1:8")]));
    assert_eq!(why(answer(&w, &elsewhere, None)), Unrecorded::Host(hosts));
    assert_eq!(why(answer(&w, &Request { method: "PUT".into(), ..post.clone() }, None)), Unrecorded::Method);
    assert_eq!(why(answer(&w, &Request { body: Body::complete("x=2"), ..post }, None)), Unrecorded::Content);
}

#[test]
fn an_unrecorded_request_is_explained() {
    let w = world(vec![(get("/a", &[]), ok("one", &[]))]);
    let answer = answer(&w, &get("/b?\u{1}", &[]), None);
    assert_eq!(answer.response.fields.get_str("cache-control"), Some("no-store"));
    insta::assert_snapshot!(exchange::escape(answer.response.body.whole().unwrap()).replace("\\x0a", "\n"));
}

#[test]
fn conditions_and_ranges_are_evaluated_on_what_was_recorded() {
    let w = world(vec![(
        get("/a", &[]),
        ok("0123456789", &[("ETag", "\"v1\""), ("Last-Modified", MODIFIED), ("Content-Type", "text/plain")]),
    )]);
    let at = |lines: Lines<'_>| answer(&w, &get("/a", lines), None);
    for (lines, expected) in [
        (&[][..], "200 0123456789"),
        (&[("If-None-Match", "\"v1\"")], "304 "),
        (&[("If-None-Match", "W/\"v1\"")], "304 "),
        (&[("If-None-Match", "\"v0\"")], "200 0123456789"),
        (&[("If-Modified-Since", MODIFIED)], "304 "),
        (&[("If-Match", "\"v0\"")], "412 "),
        (&[("Range", "bytes=2-4")], "206 234"),
        (&[("Range", "bytes=-2")], "206 89"),
        (&[("Range", "bytes=20-")], "416 "),
        (&[("Range", "lines=1-2")], "200 0123456789"),
        (&[("Range", "bytes=2-4"), ("If-Range", "\"v1\"")], "206 234"),
        (&[("Range", "bytes=2-4"), ("If-Range", "\"v0\"")], "200 0123456789"),
        (&[("Range", "bytes=2-4"), ("If-None-Match", "\"v1\"")], "304 "),
    ] {
        assert_eq!(text(&at(lines)), expected, "{lines:?}");
    }
    let part = at(&[("Range", "bytes=2-4")]);
    assert_eq!(part.response.fields.get_str("content-range"), Some("bytes 2-4/10"));
    assert_eq!(part.response.fields.get_str("content-length"), Some("3"));
    assert_eq!(part.how, How::Derived(0));
    let fresh = at(&[("If-None-Match", "\"v1\"")]);
    let names: Vec<String> = fresh.response.fields.iter().map(|f| exchange::escape(&f.name)).collect();
    assert_eq!(names, ["ETag", "Last-Modified"]);
    let head = answer(&w, &Request { method: "HEAD".into(), ..get("/a", &[]) }, None);
    assert_eq!((text(&head), head.response.fields.get_str("content-length")), ("200 ".into(), Some("10")));
}

#[test]
fn recorded_answers_to_the_same_question_come_first() {
    let w = world(vec![
        (get("/a", &[]), ok("0123456789", &[("ETag", "\"v1\"")])),
        (
            get("/a", &[("If-None-Match", "\"v1\"")]),
            status(304, &[("ETag", "\"v1\""), ("X-From", "recording")]),
        ),
        (get("/a", &[("If-Match", "\"v0\"")]), status(412, &[("X-From", "recording")])),
        // This server does not do ranges.
        (get("/b", &[("Range", "bytes=0-1")]), ok("abc", &[])),
    ]);
    let fresh = answer(&w, &get("/a", &[("If-None-Match", "\"v1\"")]), None);
    assert_eq!((fresh.response.status, fresh.how), (304, How::Recorded(1)));
    assert_eq!(fresh.response.fields.get_str("x-from"), Some("recording"));
    // Whatever the moment is: a refusal is no version of its own.
    for moment in [None, Some(0), Some(2), Some(9)] {
        let refused = answer(&w, &get("/a", &[("If-Match", "\"v0\"")]), moment);
        assert_eq!((refused.response.status, refused.how), (412, How::Recorded(2)), "{moment:?}");
        assert_eq!(text(&answer(&w, &get("/a", &[]), moment)), "200 0123456789", "{moment:?}");
    }
    assert_eq!(text(&answer(&w, &get("/b", &[("Range", "bytes=1-2")]), None)), "200 abc");
}

#[test]
fn the_moment_decides_between_versions() {
    let w = world(vec![
        (get("/a", &[]), ok("old", &[("ETag", "\"1\"")])),
        (get("/b", &[]), ok("b", &[])),
        (get("/a", &[("If-None-Match", "\"1\"")]), status(304, &[("ETag", "\"1\"")])),
        (get("/a", &[]), ok("new", &[("ETag", "\"2\"")])),
        (get("/a", &[]), status(404, &[("Content-Length", "0")])),
    ]);
    let at = |lines: Lines<'_>, moment| text(&answer(&w, &get("/a", lines), moment));
    let old = &[("If-None-Match", "\"1\"")][..];
    for (lines, moment, expected) in [
        (&[][..], None, "200 old"),
        (&[], Some(1), "200 old"),
        (&[], Some(2), "200 old"),
        (&[], Some(3), "200 new"),
        (&[], Some(4), "404 "),
        (&[], Some(99), "404 "),
        (old, Some(1), "304 "),
        (old, Some(2), "304 "),
        // What was fresh then is not now.
        (old, Some(3), "200 new"),
        (&[("If-None-Match", "\"2\"")], Some(3), "304 "),
        (old, Some(4), "404 "),
    ] {
        assert_eq!(at(lines, moment), expected, "{lines:?} at {moment:?}");
    }
    let marked: Vec<bool> = (0..5).map(|index| w.needs_mark(index)).collect();
    assert_eq!(marked, [true, false, true, true, true]);
}

#[test]
fn variants_are_chosen_by_the_fields_that_vary_names() {
    let vary = ("Vary", "Accept-Encoding, Accept-Language");
    let w = world(vec![
        (
            get("/a", &[("Accept-Encoding", "gzip, br"), ("Accept-Language", "en")]),
            ok("gzipped", &[vary, ("Content-Encoding", "gzip")]),
        ),
        (get("/a", &[("Accept-Language", "en")]), ok("english", &[vary])),
        (get("/a", &[("Accept-Language", "de")]), ok("deutsch", &[vary])),
    ]);
    let at = |lines: Lines<'_>| answer(&w, &get("/a", lines), None);
    for (lines, expected) in [
        (&[("Accept-Encoding", "gzip,br"), ("Accept-Language", "en")][..], "200 gzipped"),
        (&[("Accept-Language", "en")], "200 english"),
        (&[("Accept-Language", "de")], "200 deutsch"),
        // A cache may rewrite Accept-Encoding: what it accepts will do.
        (&[("Accept-Encoding", "gzip"), ("Accept-Language", "en")], "200 gzipped"),
        (&[("Accept-Encoding", "gzip;q=0"), ("Accept-Language", "en")], "200 english"),
        (&[("Accept-Encoding", "br"), ("Accept-Language", "de")], "200 deutsch"),
    ] {
        assert_eq!(text(&at(lines)), expected, "{lines:?}");
    }
    assert_eq!(why(at(&[("Accept-Language", "fr")])), Unrecorded::Variant);
}

#[test]
fn a_whole_is_put_together_from_its_parts() {
    let part = |range: &str, body: &str, tag: &str| {
        let mut response = ok(body, &[("Content-Range", range), ("ETag", tag)]);
        response.status = 206;
        response
    };
    let first = || (get("/a", &[("Range", "bytes=0-4")]), part("bytes 0-4/10", "01234", "\"v\""));
    let second = || (get("/a", &[("Range", "bytes=3-")]), part("bytes 3-9/10", "3456789", "\"v\""));
    let w = world(vec![second(), first()]);
    let whole = answer(&w, &get("/a", &[]), None);
    assert_eq!(text(&whole), "200 0123456789");
    assert_eq!(whole.response.fields.get_str("content-length"), Some("10"));
    assert!(!whole.response.fields.contains("content-range"));
    assert_eq!(text(&answer(&w, &get("/a", &[("Range", "bytes=4-5")]), None)), "206 45");
    // Not all of it: the rest is made up, and a client that gets the recorded part sees nothing of that.
    let w = world(vec![first()]);
    let filled = answer(&w, &get("/a", &[]), None);
    assert_eq!((text(&filled), filled.how), ("200 01234recor".into(), How::Filled(0)));
    assert_eq!(text(&answer(&w, &get("/a", &[("Range", "bytes=0-4")]), None)), "206 01234");
    assert_eq!(text(&answer(&w, &get("/a", &[("Range", "bytes=1-2")]), None)), "206 12");
    // Of another version: not mixed.
    let changed = (get("/a", &[("Range", "bytes=3-")]), part("bytes 3-9/10", "3456789", "\"w\""));
    let w = world(vec![first(), changed]);
    assert_eq!(text(&answer(&w, &get("/a", &[]), Some(0))), "200 01234recor");
    assert_eq!(text(&answer(&w, &get("/a", &[]), Some(1))), "200 (no3456789");
    // A download that was cut short and resumed.
    let mut cut = ok("012", &[("ETag", "\"v\"")]);
    cut.fields.set("Content-Length", "10");
    cut.body.ending = Ending::Truncated;
    let w = world(vec![(get("/a", &[]), cut), second()]);
    assert_eq!(text(&answer(&w, &get("/a", &[]), None)), "200 0123456789");
}

#[test]
fn what_only_conditions_and_heads_tell_of_is_filled() {
    let only_304 = (get("/a", &[("If-None-Match", "\"v\"")]), status(304, &[]));
    let w = world(vec![only_304]);
    let whole = answer(&w, &get("/a", &[]), None);
    assert_eq!((whole.response.status, &whole.how), (200, &How::Filled(0)));
    assert_eq!(whole.response.fields.get_str("etag"), Some("\"v\""));
    assert_eq!(text(&answer(&w, &get("/a", &[("If-None-Match", "\"v\"")]), None)), "304 ");
    let head = Request { method: "HEAD".into(), ..get("/a", &[]) };
    let w = world(vec![(head, status(200, &[("Content-Length", "7")]))]);
    assert_eq!(text(&answer(&w, &get("/a", &[]), None)), "200 (not re");
    let w =
        world(vec![(get("/a", &[("Range", "bytes=9-")]), status(416, &[("Content-Range", "bytes */5")]))]);
    assert_eq!(text(&answer(&w, &get("/a", &[]), None)), "200 (not ");
    let failed = (get("/a", &[("If-Match", "\"v\"")]), status(412, &[]));
    assert_eq!(why(answer(&world(vec![failed]), &get("/a", &[]), None)), Unrecorded::Partial);
}

#[test]
fn what_was_cut_short_is_not_given_as_whole() {
    let mut cut = ok("0123", &[("ETag", "\"v\"")]);
    cut.body.ending = Ending::Truncated;
    let w = world(vec![(get("/a", &[]), cut.clone())]);
    assert_eq!(why(answer(&w, &get("/a", &[]), None)), Unrecorded::Incomplete);
    let head = Request { method: "HEAD".into(), ..get("/a", &[]) };
    assert_eq!(text(&answer(&w, &head, None)), "200 ");
    // The same version was seen whole at another time.
    let w = world(vec![(get("/a", &[]), cut), (get("/a", &[]), ok("0123456789", &[("ETag", "\"v\"")]))]);
    assert_eq!(text(&answer(&w, &get("/a", &[]), Some(0))), "200 0123456789");
}

#[test]
fn dates_are_shifted_and_http10_gets_no_chunks() {
    let mut chunked = Response::new(
        200,
        fields(&[
            ("Date", "Sat, 21 Nov 2026 22:07:00 GMT"),
            ("Transfer-Encoding", "chunked"),
            ("Trailer", "X"),
            ("Age", "9"),
        ]),
        Body::complete("abc"),
    );
    chunked.trailers = fields(&[("X", "1")]);
    chunked.interim = vec![status(100, &[]), status(103, &[("Link", "</a>")])];
    let w = world(vec![(get("/a", &[]), chunked)]);
    let new = answer(&w, &get("/a", &[]), None).response;
    assert_eq!(new.fields.get_str("date"), Some("Sat, 21 Nov 2026 23:07:00 GMT"));
    assert_eq!(new.fields.get_str("age"), Some("9"));
    assert_eq!(new.trailers.len(), 1);
    assert_eq!(new.interim.iter().map(|i| i.status).collect::<Vec<_>>(), [103]);
    let old = answer(&w, &Request { version: Version::Http10, ..get("/a", &[]) }, None).response;
    assert!(!old.fields.contains("transfer-encoding") && !old.fields.contains("trailer"));
    assert!(old.trailers.is_empty() && old.interim.is_empty());
}

#[test]
fn a_service_takes_prefix_pass_and_mark() {
    let w = world(vec![
        (get("/a", &[]), ok("old", &[("ETag", "\"1\"")])),
        (get("/a", &[]), ok("new", &[("ETag", "\"2\"")])),
    ]);
    let service = Service::new(Arc::new(w), "/n", Clock::new(|| Time::new(RECORDED, 0)));
    let ask = |target: &str, mark: Option<&str>| {
        let request = get(target, &mark.map(|m| (MARK, m)).into_iter().collect::<Vec<_>>());
        text(&service.answer(&request))
    };
    assert_eq!(ask("/n/a", None), "200 old");
    assert_eq!(ask("/n/a", Some("1")), "200 new");
    // What comes without a mark is at the latest moment of its side.
    assert_eq!(ask("/n/a", None), "200 new");
    assert_eq!(ask("/n~2/a", None), "200 old");
    assert_eq!(ask("http://www.test/n~2/a", Some("0")), "200 old");
    assert_eq!(ask("/n/a", Some("no number")), "200 new");
    assert!(ask("/a", None).starts_with("599"));
    let counters = service.counters();
    assert_eq!((counters.requests, counters.recorded, counters.derived, counters.unrecorded), (7, 6, 0, 1));
    assert_eq!(counters.unanswered[0].reason, "path not recorded");
}
