//! `http_cache` over a short history of requests and answers with any fields: nothing that concerns one connection is
//! passed on, what is served unasked is fresh or allowed to be stale, parts lie within what is stored, and the same
//! question has the same answer.

use crate::input::{Input, field_lines};
use http::header::{AGE, CONTENT_LENGTH, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_cache::{
    ClientDirectives, Decisions, Ended, Failure, ForwardReason, Handling, Keep, Key, Lookup, Outcome, Plan,
    Received, Reply, Request, Response, Selection, Settings, Standard, Stored, Time,
};
use std::sync::Arc;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let histories: [&[&str]; 7] = [
        &[
            "accept: */*",
            "cache-control: max-age=60\ncontent-length: 10\netag: \"a\"",
            "range: bytes=2-4",
            "",
        ],
        &[
            "accept-encoding: gzip;q=0.5, br",
            "vary: Accept-Encoding\ncache-control: s-maxage=5, stale-while-revalidate=9",
            "accept-encoding: br",
            "etag: W/\"b\"",
        ],
        &[
            "",
            "expires: Sat, 21 Nov 2026 12:01:00 GMT\ndate: Sat, 21 Nov 2026 12:00:00 GMT\nage: 7\nlast-modified: Fri, 20 Nov 2026 12:00:00 GMT",
            "if-modified-since: Saturday, 21-Nov-26 12:00:00 GMT",
            "date: 0",
        ],
        &[
            "range: bytes=0-3",
            "content-range: bytes 0-3/10\ncontent-length: 4\ncache-control: max-age=9\netag: \"c\"",
            "range: bytes=0-1,3-4,-2",
            "content-range: bytes 4-9/10\ncontent-length: 6\netag: \"c\"",
        ],
        &[
            "cache-control: no-cache, max-stale, min-fresh=5\nconnection: close, x-a\nx-a: 1",
            "cache-control: no-cache=\"x-b\", private=\"set-cookie\"\ncdn-cache-control: max-age=5;a=\"b\", no-store=?0\nset-cookie: a",
            "if-none-match: \"a\", W/\"b\", *",
            "connection: x-b\nx-b: 2",
        ],
        &[
            "cookie: a\nauthorization: b",
            "cache-control: public, must-understand, no-store\nlocation: http://h/b\ncontent-location: //other/",
            "",
            "cache-control: max-age=99999999999999999999",
        ],
        &[
            "cdn-loop: reference-cdn; a=\"b\\\"\", x\nvia: 1.1 a\nmax-forwards: 0",
            "vary: *, a",
            "te: trailers\nupgrade: h2c",
            "keep-alive: 5\ntransfer-encoding: gzip",
        ],
    ];
    histories.map(|sections| [&[0; 12][..], sections.join("\n%%\n").as_bytes()].concat()).into()
}

fn fields(section: &[u8]) -> HeaderMap {
    let lines = field_lines(section).filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.trim_ascii()).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in lines.take(200) {
        headers.append(name, value);
    }
    headers
}

/// Connection's own fields, and those that it names.
fn end_to_end(what: &str, sent: &HeaderMap, source: &HeaderMap) {
    for name in ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"] {
        assert!(!sent.contains_key(name), "{name} was passed on in {what}");
    }
    let named = source.get_all("connection").iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    for name in named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()) {
        // The cache makes these anew.
        let own =
            ["age", "cache-status", "cdn-loop", "content-length", "content-range", "date", "host", "via"];
        let condition = ["if-none-match", "if-modified-since", "if-range", "range"];
        let known = own.iter().chain(&condition).any(|own| name == *own);
        assert!(
            known || !sent.contains_key(&name),
            "{name}, which Connection names, was passed on in {what}"
        );
    }
}

const STATUS: [u16; 12] = [200, 206, 304, 404, 500, 204, 301, 410, 416, 503, 599, 999];

fn check_reply(reply: &Reply, stored: &Stored, hit: bool) {
    assert!(!hit || reply.headers.get_all(AGE).iter().count() == 1, "a stored response needs one Age");
    let extent = stored.extent();
    let (first, end) = (extent.first, extent.end().unwrap_or(u64::MAX));
    let told = reply
        .headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
    let told: Vec<_> = told.collect();
    assert!(told.len() <= 1, "{told:?}");
    let within =
        |range: &std::ops::Range<u64>| range.start < range.end && first <= range.start && range.end <= end;
    match &reply.content {
        Selection::None | Selection::Whole => {}
        Selection::Range(range) => {
            assert!(within(range), "{range:?} of {extent:?}");
            assert_eq!(told, [range.end - range.start]);
        }
        Selection::Multipart { parts, close } => {
            assert!(parts.iter().all(|part| within(&part.range)), "{parts:?} of {extent:?}");
            let content = parts.iter().map(|part| part.head.len() as u64 + part.range.end - part.range.start);
            assert_eq!(told, [content.sum::<u64>() + close.len() as u64]);
        }
    }
}

fn key(text: &[u8]) {
    let Ok(uri) = Uri::try_from(text) else { return };
    let key = Key::of(&uri);
    if uri.scheme().is_some() && uri.authority().is_some() {
        let again = key.as_str().parse::<Uri>().map(|uri| Key::of(&uri));
        assert_eq!(again.ok().as_ref(), Some(&key), "a key is no URI of its own: {}", key.as_str());
    }
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let settings = Settings {
        client_directives: if choice & 1 != 0 { ClientDirectives::Honor } else { ClientDirectives::Ignore },
        ..Settings::default()
    };
    let decisions = Standard::new(settings);
    let methods = [Method::GET, Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::OPTIONS];
    let steps: Vec<_> = (0..3).map(|_| (input.byte(), input.byte(), input.byte())).collect();
    let _ = input.take(2);
    let sections = input.sections();
    sections.iter().for_each(|section| key(section));
    let section = |at: usize| sections.get(at).copied().unwrap_or_default();

    let mut seconds = 1_795_262_400;
    let mut stored: Vec<Arc<Stored>> = Vec::new();
    for (at, (method, status, after)) in steps.into_iter().enumerate() {
        seconds += u64::from(after) * u64::from(after);
        let now = Time::from_secs(seconds);
        let method = &methods[usize::from(method) % methods.len()];
        let target = Uri::from_static("http://h/a?b");
        let headers = fields(section(2 * at));
        let request = Request { method, target: &target, headers: &headers, version: http::Version::HTTP_11 };
        let status = StatusCode::from_u16(STATUS[usize::from(status) % STATUS.len()]).unwrap();
        step(&decisions, &request, status, &fields(section(2 * at + 1)), &mut stored, now);
    }
}

fn step(
    decisions: &Standard,
    request: &Request<'_>,
    status: StatusCode,
    answer: &HeaderMap,
    stored: &mut Vec<Arc<Stored>>,
    now: Time,
) {
    let handling = Handling::of;
    let _ = decisions.admit(request);
    assert_eq!(decisions.key(request), Key::of(request.target));
    let plan = match decisions.lookup(request) {
        Lookup::Store => decisions.plan(request, stored, now),
        Lookup::Forward(reason) => Plan::Fetch(http_cache::Fetch::forward(reason)),
    };
    if decisions.lookup(request) == Lookup::Store {
        assert_eq!(decisions.plan(request, stored, now), plan, "twice the same, two plans");
    }
    let fetch = match plan {
        Plan::Refuse(refusal) => return assert!(refusal.status.is_server_error()),
        Plan::Serve { index, stale, refresh } => {
            let chosen = &stored[index];
            assert_eq!(stale, !chosen.is_fresh(now));
            let reply = decisions.reply(request, chosen, now, &handling(Outcome::Hit));
            assert_eq!(reply, decisions.reply(request, chosen, now, &handling(Outcome::Hit)));
            end_to_end("a stored response", &reply.headers, &HeaderMap::new());
            check_reply(&reply, chosen, true);
            match refresh {
                Some(fetch) => fetch,
                None => return,
            }
        }
        Plan::Fetch(fetch) => fetch,
    };
    assert!(fetch.validate.is_none_or(|index| index < stored.len()), "{fetch:?} of {}", stored.len());
    let _ = decisions.collapsing(request, &fetch);
    let sent = decisions.origin_request(request, &fetch, fetch.validate.map(|index| &*stored[index]));
    end_to_end("a request", &sent, request.headers);
    assert!(sent.contains_key(VIA));
    assert!(!http_cache::has_greedy_ranges(&sent), "the origin is asked for too much: {sent:?}");
    for failure in [Failure::Connect, Failure::Response, Failure::Timeout] {
        let stand_in = decisions.failed(request, &fetch, failure, stored, now);
        assert!(stand_in.is_none_or(|index| index < stored.len()));
    }
    let response = Response { status, headers: answer, request_time: now, response_time: now };
    let _ = decisions.invalidated(request, &response);
    match decisions.received(request, &fetch, &response, stored) {
        Received::Store { stored: new, replaces } => {
            end_to_end("what is stored", &new.headers(), answer);
            let reply = decisions.reply(request, &new, now, &handling(forward(status)));
            check_reply(&reply, &new, false);
            assert!(replaces.iter().all(|index| *index < stored.len()));
            let length = new.extent().length.unwrap_or(5).min(1 << 40);
            let kept = new.with_length(length);
            assert_eq!(decisions.keep(&kept, Ended::Complete, true), Keep::Discard, "it was purged");
            if decisions.keep(&kept, Ended::Complete, false) == Keep::Store {
                let mut index = 0;
                stored.retain(|_| {
                    index += 1;
                    !replaces.contains(&(index - 1))
                });
                stored.push(Arc::new(kept));
            }
        }
        Received::Combine { index, stored: new, .. } => {
            assert!(index < stored.len());
            let length = new.extent().length.unwrap_or(5).min(1 << 40);
            stored[index] = Arc::new(new.with_length(length));
        }
        Received::Copy { index, stored: new } => {
            assert_eq!(new.extent(), stored[index].extent());
            end_to_end("what is stored", &new.headers(), answer);
            stored.push(Arc::new(new.at_rest()));
        }
        Received::Slice { stored: new, replaces, range } => {
            let whole = new.extent().complete.expect("a length");
            let size = new.slices().expect("slices").size.get();
            assert!(
                range.start % size == 0 && range.end == whole.min(range.start + size),
                "{range:?} of {whole}"
            );
            assert_eq!((new.status(), new.extent().partial), (StatusCode::OK, false));
            assert!(replaces.iter().all(|index| *index < stored.len()));
            check_reply(&decisions.reply(request, &new, now, &handling(forward(status))), &new, false);
            let slice = new.slice(range.clone()).extent();
            assert_eq!((slice.first, slice.end()), (range.start, Some(range.end)));
            stored.push(Arc::new(new.at_rest()));
        }
        Received::Pass { stored: new, forget, .. } => {
            assert!(forget.iter().all(|index| *index < stored.len()));
            check_reply(&decisions.reply(request, &new, now, &handling(forward(status))), &new, false);
        }
        Received::Freshen { updated, forget } => {
            assert!(!updated.is_empty());
            assert!(forget.iter().all(|index| *index < stored.len()));
            assert!(forget.iter().all(|index| !updated.iter().any(|(other, _)| other == index)));
            for (index, new) in updated {
                assert_eq!(new.extent(), stored[index].extent());
                end_to_end("what is stored", &new.headers(), answer);
                stored[index] = Arc::from(new);
            }
        }
        Received::ServeStale { index } => {
            let outcome = Outcome::Stale { status: Some(status) };
            let reply = decisions.reply(request, &stored[index], now, &handling(outcome));
            check_reply(&reply, &stored[index], true);
        }
        Received::Again(fetch) => assert!(fetch.validate.is_none() && fetch.complete.is_none(), "{fetch:?}"),
        Received::Relay { forget, .. } => {
            assert!(forget.iter().all(|index| *index < stored.len()));
            let reply = decisions.relay(request, &response, now, &handling(forward(status)));
            end_to_end("a relayed response", &reply.headers, answer);
        }
    }
    assert!(decisions.trailers(request, answer).keys().all(|name| *name != CONTENT_LENGTH));
}

fn forward(status: StatusCode) -> Outcome {
    Outcome::Forward { reason: ForwardReason::UriMiss, status: Some(status) }
}
