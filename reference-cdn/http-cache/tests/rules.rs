//! The rules of HTTP caching as tables: `tests/rules/*.txt`, one file for each concept, one case for each
//! rule.
//!
//! A case begins with `## what it shows`, then tells a story on a clock that starts at 2026-11-21T12:00:00Z:
//!
//! ```text
//! > +60 GET /path | name: value      60 seconds later a client asks (host h, unless PATH is a URI)
//! < 200 | name: value                the origin answers, `content-N` unless `!body: ...`; `!cut`: not all
//! < connect                          or fails: connect, cut (no head), timeout
//! ^ name: value | -name              what the origin must (not) have seen, of its last request
//! = hit 200 | name: value | -name    how the client must be answered: hit, stale, fetched, relayed,
//!                                  validated, combined, broken, refused, failed
//! purge /path                        an operator purges, hard
//! expire /path                       an operator purges, softly
//! honor                              client directives are honoured in this case
//! strip                              tags are kept from clients in this case
//! slice 4                            ranges are fetched in slices of 4 octets in this case
//! ```
//!
//! `{n}` in a value is an HTTP-date n seconds from now (`{0}`), `{t+n}` one n seconds from the start of the
//! case.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod simulated_edge;

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_cache::{ClientDirectives, Ended, Failure, Settings, Standard, TagFields, Time};
use simulated_edge::{Answer, ClientRequest, Edge, OriginAction, Source};

const START: u64 = 1_795_262_400;

struct Case<'a> {
    title: &'a str,
    lines: Vec<(usize, &'a str)>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if let Some(title) = line.strip_prefix("## ") {
            cases.push(Case { title, lines: Vec::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            cases.last_mut().expect("a line before the first case").lines.push((number + 1, line));
        }
    }
    cases
}

/// Replaces `{n}` and `{t+n}` by dates.
fn dated(text: &str, now: u64) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else { panic!("unclosed {{ in {text}") };
        let seconds = match inside.strip_prefix('t') {
            Some(offset) => START as i64 + offset.parse::<i64>().unwrap(),
            None => now as i64 + inside.parse::<i64>().unwrap_or_else(|_| panic!("{text}")),
        };
        out.push_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds as u64)));
        rest = after;
    }
    out + rest
}

/// `name: value` parts, and the others (`-name`, `!body: ...`).
fn parts(text: &str, now: u64) -> (HeaderMap, Vec<String>) {
    let mut headers = HeaderMap::new();
    let mut others = Vec::new();
    for part in text.split(" | ").map(|part| dated(part, now)).filter(|part| !part.is_empty()) {
        match part.split_once(':') {
            Some((name, value)) if !part.starts_with(['-', '!']) => {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap_or_else(|_| panic!("{part}"));
                let value = HeaderValue::from_bytes(value.trim_ascii_start().as_bytes())
                    .unwrap_or_else(|_| panic!("{part}"));
                headers.append(name, value);
            }
            _ => others.push(part),
        }
    }
    (headers, others)
}

fn split(line: &str) -> (&str, &str) {
    line.split_once(" | ").unwrap_or((line, ""))
}

struct Run<'a> {
    edge: Edge<Standard>,
    now: u64,
    bodies: usize,
    pending: Option<ClientRequest>,
    origin: Vec<OriginAction>,
    answer: Option<Answer>,
    seen: usize,
    place: String,
    title: &'a str,
}

impl Run<'_> {
    /// Sends the pending request, once all that the origin will do is known.
    fn settle(&mut self) {
        let Some(client) = self.pending.take() else { return };
        let mut actions = std::mem::take(&mut self.origin).into_iter();
        let place = format!("{} ({})", self.place, self.title);
        self.edge.now = Time::from_secs(self.now);
        self.seen = self.edge.sent.len();
        let answer = self.edge.exchange(&client, &mut |_| {
            actions.next().unwrap_or_else(|| panic!("{place}: the origin was asked"))
        });
        assert!(actions.next().is_none(), "{place}: the origin was not asked");
        self.answer = Some(answer);
    }

    fn line(&mut self, line: &str) {
        let place = format!("{} ({})", self.place, self.title);
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "honor" => {
                let settings = Settings { client_directives: ClientDirectives::Honor, ..Settings::default() };
                self.edge.decisions = Standard::new(settings);
            }
            "strip" => {
                let settings = Settings { tag_fields: TagFields::Strip, ..Settings::default() };
                self.edge.decisions = Standard::new(settings);
            }
            "slice" => {
                let settings = Settings { slice: Some(rest.parse().unwrap()), ..Settings::default() };
                self.edge.decisions = Standard::new(settings);
            }
            "purge" => {
                self.settle();
                self.edge.purge(&uri(rest));
            }
            "expire" => {
                self.settle();
                self.edge.now = Time::from_secs(self.now);
                self.edge.expire(&uri(rest));
            }
            ">" => {
                self.settle();
                let (words, fields) = split(rest);
                let mut words: Vec<&str> = words.split_whitespace().collect();
                if let Some(seconds) = words[0].strip_prefix('+') {
                    self.now += seconds.parse::<u64>().unwrap();
                    words.remove(0);
                }
                let (headers, _) = parts(fields, self.now);
                let method = Method::from_bytes(words[0].as_bytes()).unwrap();
                self.pending = Some(ClientRequest { method, target: uri(words[1]), headers });
            }
            "<" => {
                let (status, fields) = split(rest);
                let action = match status {
                    "connect" => OriginAction::Fail(Failure::Connect),
                    "cut" => OriginAction::Fail(Failure::Response),
                    "timeout" => OriginAction::Fail(Failure::Timeout),
                    status => {
                        let (headers, others) = parts(fields, self.now);
                        self.bodies += 1;
                        let given = others.iter().find_map(|other| other.strip_prefix("!body: "));
                        let body = given.map_or_else(|| format!("content-{}", self.bodies), str::to_owned);
                        let cut = others.iter().any(|other| other == "!cut");
                        let status: http::StatusCode =
                            status.parse().unwrap_or_else(|_| panic!("{place}: {status}"));
                        let silent = matches!(status.as_u16(), 204 | 304)
                            || self.pending.as_ref().is_some_and(|request| request.method == Method::HEAD);
                        OriginAction::Answer {
                            status,
                            headers,
                            body: if silent { Vec::new() } else { body.into_bytes() },
                            ended: if cut { Ended::Truncated } else { Ended::Complete },
                        }
                    }
                };
                self.origin.push(action);
            }
            "^" => {
                self.settle();
                assert!(self.edge.sent.len() > self.seen, "{place}: the origin was not asked");
                let (_, headers) = self.edge.sent.last().unwrap();
                expect(headers, rest, self.now, &place);
            }
            "=" => {
                self.settle();
                let answer = self.answer.as_ref().unwrap_or_else(|| panic!("{place}: no request before"));
                let (words, fields) = split(rest);
                let (source, status) = words.split_once(' ').unwrap_or((words, "200"));
                let source = match source {
                    "hit" => Source::Hit,
                    "stale" => Source::Stale,
                    "fetched" => Source::Fetched,
                    "relayed" => Source::Relayed,
                    "validated" => Source::Validated,
                    "combined" => Source::Combined,
                    "broken" => Source::Broken,
                    "refused" => Source::Refused,
                    "failed" => Source::Failed,
                    other => panic!("{place}: no such source as {other}"),
                };
                assert_eq!((answer.source, answer.status.as_str()), (source, status), "{place}");
                expect(&answer.headers, fields, self.now, &place);
                for other in parts(fields, self.now).1 {
                    if let Some(body) = other.strip_prefix("!body: ") {
                        assert_eq!(String::from_utf8_lossy(&answer.body), body, "{place}");
                    }
                }
            }
            other => panic!("{place}: what is {other}?"),
        }
    }
}

fn uri(text: &str) -> Uri {
    if text.starts_with('/') { format!("http://h{text}") } else { text.to_owned() }.parse().unwrap()
}

fn expect(headers: &HeaderMap, fields: &str, now: u64, place: &str) {
    let (expected, others) = parts(fields, now);
    for name in expected.keys() {
        let found: Vec<_> = headers.get_all(name).iter().collect();
        let wanted: Vec<_> = expected.get_all(name).iter().collect();
        assert_eq!(found, wanted, "{place}: {name}");
    }
    for absent in others.iter().filter_map(|other| other.strip_prefix('-')) {
        assert_eq!(headers.get(absent), None, "{place}: {absent} should be absent");
    }
}

#[test]
fn rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    let mut failures = Vec::new();
    // Failures are reported together at the end, not one trace each.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for case in cases(&text) {
            count += 1;
            let outcome = std::panic::catch_unwind(|| {
                let mut run = Run {
                    edge: Edge::new(Standard::new(Settings::default()), Time::from_secs(START)),
                    now: START,
                    bodies: 0,
                    pending: None,
                    origin: Vec::new(),
                    answer: None,
                    seen: 0,
                    place: String::new(),
                    title: case.title,
                };
                for (number, line) in &case.lines {
                    run.place = format!("{name}:{number}");
                    run.line(line);
                }
                run.settle();
            });
            if let Err(panic) = outcome {
                let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                failures.push(message);
            }
        }
    }
    std::panic::set_hook(hook);
    assert!(failures.is_empty(), "{} of {count} cases failed:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= 100, "only {count} cases were found");
}
