//! Fields that `http-cache` reads as structured fields, or writes as such: digests (RFC 9530), Proxy-Status (RFC 9209),
//! Cache-Control for some caches (RFC 9213), tags and groups (RFC 9875). What it makes of them is held against what
//! `sfv` reads in the same octets, and what it writes is read again.

use crate::input::{Input, field_lines};
use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use http_cache::{
    Decisions, Digest, DigestAlgorithm, DigestField, ExpectedDigests, Fetch, ForwardReason, Handling,
    LONGEST_TAG, MOST_TAGS, Outcome, ProxyError, ProxyStatus, Received, Reply, Request, Response, Selection,
    Settings, Standard, Stored, Tags, Time, add_digest, wanted_digests,
};
use sfv::{BareItem, Dictionary, FieldType, List, ListEntry, Parser};
use std::sync::Arc;

const NOW: Time = Time::from_secs(1_795_262_400);
const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
const OWN: HeaderName = HeaderName::from_static("reference-cdn-cache-control");
const PROXY: HeaderName = HeaderName::from_static("proxy-status");
const WANT: HeaderName = HeaderName::from_static("want-content-digest");
const SURROGATE: HeaderName = HeaderName::from_static("surrogate-key");
const TAG: HeaderName = HeaderName::from_static("cache-tag");
const GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const INVALID: HeaderName = HeaderName::from_static("cache-group-invalidation");

fn map(section: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in field_lines(section) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// All lines of a field as one, the way RFC 9651 section 4.2 has it; `None`: there is none.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    Parser::new(&joined(headers, name)?).parse().ok()
}

/// With the lines of a field in place of those that it has.
fn with(headers: &HeaderMap, name: &HeaderName, value: Option<&[u8]>) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(name);
    if let Some(value) = value {
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn asking<T>(method: &Method, headers: &HeaderMap, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    let target = Uri::from_static("http://h/");
    ask(&Request { method, target: &target, headers, version: Version::HTTP_11 })
}

fn answer(headers: &HeaderMap) -> Response<'_> {
    Response { status: StatusCode::OK, headers, request_time: NOW, response_time: NOW }
}

fn decisions() -> Standard {
    Standard::new(Settings::default())
}

/// The stored form of a response with these fields.
fn stored(headers: &HeaderMap) -> Option<Stored> {
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let received = asking(&Method::GET, &HeaderMap::new(), |request| {
        decisions().received(request, &fetch, &answer(headers), &[])
    });
    match received {
        Received::Store { stored, .. } => Some(*stored),
        _ => None,
    }
}

pub(crate) fn digest_seeds() -> Vec<Vec<u8>> {
    let sha256 = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let sha512 = format!("sha-512=:{}==:", "A".repeat(86));
    [
        format!("content-digest: {sha256}"),
        format!("content-digest: {sha512}, {sha256};x=1\nrepr-digest: {sha256}"),
        format!("content-digest: {sha512}\ncontent-digest: {sha256}, md5=:AAAA:, unixsum=5"),
        format!("repr-digest: {sha256}\ntrailer: content-digest\nwant-content-digest: sha-512=3, sha-256=10"),
        format!("repr-digest: sha-256=1, {sha256}\nwant-content-digest: sha-256=11, sha-512=1"),
        "content-digest: sha-256=(:AAAA:)\nwant-content-digest: sha-256, sha-512=0".to_owned(),
    ]
    .map(|text| [&[3][..], text.as_bytes()].concat())
    .to_vec()
}

/// The digests that a field tells, by the letter.
fn told(headers: &HeaderMap, field: DigestField) -> Vec<Digest> {
    let Some(dictionary) = dictionary(headers, &field.name()) else { return Vec::new() };
    let known = [(DigestAlgorithm::Sha256, "sha-256", 32), (DigestAlgorithm::Sha512, "sha-512", 64)];
    let digest = |(algorithm, key, octets): (DigestAlgorithm, &str, usize)| match dictionary.get(key)? {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::ByteSequence(value) if value.len() == octets => {
                Some(Digest { algorithm, value: value.clone() })
            }
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    known.into_iter().filter_map(digest).collect()
}

/// What is told is what content must have, all of it, and nothing else; what is written is read again; and a digest that is
/// made is one that the client prefers.
pub(crate) fn digests(input: &[u8]) {
    let mut input = Input(input);
    let spoilt = usize::from(input.byte());
    let headers = map(input.0);
    let expected =
        asking(&Method::GET, &HeaderMap::new(), |request| ExpectedDigests::of(request, &answer(&headers)));
    let fields = [DigestField::Content, DigestField::Representation];
    let told = fields.map(|field| told(&headers, field));
    let all: Vec<Digest> = told.iter().flatten().cloned().collect();
    assert_eq!(expected.is_told(), !all.is_empty());
    let algorithms = expected.algorithms();
    assert!(all.iter().all(|digest| algorithms.contains(&digest.algorithm)));
    // Content that has all of them, if they agree; with one octet of one of them changed it has not.
    let contradict = |digest: &Digest| all.iter().any(|it| it.algorithm == digest.algorithm && it != digest);
    let agree = !all.iter().any(contradict);
    let computed: Vec<Digest> = DigestAlgorithm::ALL
        .into_iter()
        .filter_map(|algorithm| all.iter().find(|digest| digest.algorithm == algorithm).cloned())
        .collect();
    assert_eq!(expected.check(&computed).is_ok(), agree, "{all:?}");
    assert_eq!(expected.check(&[]).is_ok(), all.is_empty());
    if !computed.is_empty() {
        let mut other = computed.clone();
        let digest = &mut other[spoilt % computed.len()];
        let at = spoilt % digest.value.len();
        digest.value[at] ^= 1;
        assert!(expected.check(&other).is_err());
    }
    // Written one by one, each in a line of its own, they are read as the same.
    let mut again = headers.clone();
    for (field, digests) in fields.into_iter().zip(&told) {
        again.remove(field.name());
        digests.iter().for_each(|digest| add_digest(&mut again, field, digest));
    }
    let read =
        asking(&Method::GET, &HeaderMap::new(), |request| ExpectedDigests::of(request, &answer(&again)));
    assert_eq!(read, expected);
    want(&headers);
}

fn want(asked: &HeaderMap) {
    let fields = [(CACHE_CONTROL, HeaderValue::from_static("max-age=60"))];
    let Some(stored) = stored(&fields.into_iter().collect()) else { panic!("it may be stored") };
    let stored = stored.with_length(10);
    let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), content: Selection::Whole };
    let found = asking(&Method::GET, asked, |request| wanted_digests(request, &stored, &reply));
    let found = found.iter().find(|wanted| wanted.field == DigestField::Content);
    let weight = |key: &str| -> Option<i64> {
        let dictionary = dictionary(asked, &WANT)?;
        let ListEntry::Item(item) = dictionary.get(key)? else { return None };
        let BareItem::Integer(weight) = item.bare_item else { return None };
        Some(i64::from(weight)).filter(|weight| (1..=10).contains(weight))
    };
    let weights = DigestAlgorithm::ALL.map(|algorithm| weight(algorithm.key()));
    let most = weights.into_iter().flatten().max();
    let chosen = found.map(|wanted| weight(wanted.algorithm.key()));
    assert_eq!(chosen.flatten(), most);
    assert_eq!(found.is_some(), most.is_some());
}

pub(crate) fn proxy_seeds() -> Vec<Vec<u8>> {
    [
        "cdn\n%%\n",
        "an edge\n%%\nproxy-status: other; error=dns_timeout; details=\"a \\\"b\\\"\"",
        "reference-cdn\n%%\nproxy-status: a, \"b c\";received-status=200\nproxy-status: (bad",
        "\"\\\u{e9}\n%%\nproxy-status: ",
    ]
    .iter()
    .zip([[0, 0, 0, 0], [7, 1, 200, 1], [20, 3, 0, 2], [31, 2, 99, 3]])
    .map(|(text, choice)| [&choice[..], text.as_bytes()].concat())
    .collect()
}

/// What is said of an answer is one member of a List, behind those that came with the response; it names this CDN, and what
/// it says is read again as what was meant.
pub(crate) fn proxy_status(input: &[u8]) {
    let mut input = Input(input);
    let error = ProxyError::ALL.get(usize::from(input.byte())).copied();
    let choice = input.byte();
    let status = StatusCode::from_u16(100 + u16::from(input.byte()) * 2).ok();
    let details = ["plain", "with \"quotes\" and \\", "line\nbreak", "\u{e9}\u{1f4a9}\u{7f}", ""];
    let details = details.get(usize::from(input.byte())).copied();
    let sections = input.sections();
    let name = String::from_utf8_lossy(sections[0]).into_owned();
    let headers = map(sections.get(1).copied().unwrap_or_default());
    let status = |bit: u8| status.filter(|_| choice & bit != 0);
    let told = ProxyStatus { error, received: status(1), generated: status(2), details };
    let decisions = Standard::new(Settings { name, ..Settings::default() });
    let generated = choice & 4 != 0;
    let outcome = if generated {
        Outcome::Generated
    } else {
        Outcome::Forward { reason: ForwardReason::UriMiss, status: None }
    };
    let handling = Handling { proxy: Some(told), ..Handling::of(outcome) };
    let written = asking(&Method::GET, &HeaderMap::new(), |request| match generated {
        true => decisions.generated(request, NOW, &handling),
        false => decisions.relay(request, &answer(&headers), NOW, &handling).headers,
    });
    let before: Vec<&HeaderValue> = headers.get_all(PROXY).iter().filter(|_| !generated).collect();
    let lines: Vec<&HeaderValue> = written.get_all(PROXY).iter().collect();
    let (own, others) = lines.split_last().unwrap();
    let hidden = http_cache::has_greedy_ranges(&headers) || headers.contains_key(http::header::CONNECTION);
    assert!(hidden || others == before, "{others:?}");
    let list: List = Parser::new(own.as_bytes()).parse().unwrap_or_else(|why| panic!("{own:?}: {why}"));
    let [ListEntry::Item(item)] = &list[..] else { panic!("{own:?} is not one member") };
    let named = match &item.bare_item {
        BareItem::Token(name) => name.as_str(),
        BareItem::String(name) => name.as_str(),
        other => panic!("{other:?} names nobody"),
    };
    assert_eq!(named, decisions.settings().name);
    let parameter = |name: &str| item.params.get(name);
    let said = parameter("error").map(|value| value.as_token().unwrap().as_str().to_owned());
    let may_be_said = error.filter(|error| generated || !error.is_only_generated());
    assert_eq!(said.as_deref().and_then(ProxyError::from_name), may_be_said);
    let number = |name: &str| {
        parameter(name)
            .map(|value| StatusCode::from_u16(i64::from(value.as_integer().unwrap()) as u16).unwrap())
    };
    assert_eq!(number("received-status"), told.received);
    let of_request = told.generated.filter(|_| said.as_deref() == Some("http_request_error"));
    assert_eq!(number("status-code"), of_request);
    let shown: Option<String> = details.map(|text| text.chars().filter(|c| matches!(c, ' '..='~')).collect());
    let shown =
        shown.or_else(|| error.filter(|_| may_be_said.is_none()).map(|error| error.name().to_owned()));
    assert_eq!(parameter("details").map(|value| value.as_string().unwrap().as_str().to_owned()), shown);
    // Written by the library, it is the same again.
    let again = FieldType::serialize(&list).unwrap();
    assert_eq!(Parser::new(&again).parse::<List>().unwrap(), list);
}

pub(crate) fn targeted_seeds() -> Vec<Vec<u8>> {
    [
        "cdn-cache-control: max-age=60\ncache-control: no-store\nexpires: 0",
        "cdn-cache-control: max-age=60;a=\"b\", no-store=?0\ncdn-cache-control: must-revalidate",
        "cdn-cache-control: max-age=\"60\", public=1, private=\"a b\"\ncache-control: max-age=5",
        "cdn-cache-control: no-cache=\"x\", stale-while-revalidate=10, max-age=1.5\ncache-control: max-age=9",
        "cdn-cache-control: MAX-AGE=60\ncache-control: s-maxage=7",
        "reference-cdn-cache-control: max-age=30, immutable\ncdn-cache-control: no-store\ncache-control: private",
        "cdn-cache-control: \ncache-control: max-age=5\nlast-modified: Fri, 20 Nov 2026 12:00:00 GMT",
        "cdn-cache-control: max-age=99999999999, s-maxage=-1\nage: 5",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// All that a cache would do with a response, as words.
fn outcome(headers: &HeaderMap) -> String {
    let Some(stored) = stored(headers) else { return "not stored".into() };
    let (lifetime, age) = (stored.lifetime(), stored.age(NOW));
    let stored = [Arc::new(stored.with_length(10))];
    let plans = [0, 3, 8, 12, 61, 100_000].map(|later| {
        let now = Time::from_secs(NOW.as_secs() + later);
        asking(&Method::GET, &HeaderMap::new(), |request| decisions().plan(request, &stored, now))
    });
    format!("{lifetime:?} {age:?} {plans:?}")
}

/// A targeted field is a Dictionary with something in it, and then Cache-Control and Expires do not count; or it is as if it
/// were not there. How it is cut into lines, and how it is spelt, makes no difference.
pub(crate) fn targeted(input: &[u8]) {
    let headers = map(input);
    let found = outcome(&headers);
    let first =
        [OWN, CDN].into_iter().find(|name| dictionary(&headers, name).is_some_and(|it| !it.is_empty()));
    let Some(first) = first else {
        assert_eq!(outcome(&with(&with(&headers, &OWN, None), &CDN, None)), found);
        return;
    };
    let others: &[HeaderName] =
        if first == OWN { &[CDN, CACHE_CONTROL, EXPIRES] } else { &[OWN, CACHE_CONTROL, EXPIRES] };
    let mut without = headers.clone();
    for name in others {
        without.remove(name);
    }
    assert_eq!(outcome(&without), found, "{first} alone");
    let mut otherwise = without.clone();
    otherwise.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, private, max-age=7"));
    otherwise.insert(EXPIRES, HeaderValue::from_static("Sat, 21 Nov 2026 13:00:00 GMT"));
    assert_eq!(outcome(&otherwise), found, "{first} beside other words");
    let line = joined(&headers, &first);
    assert_eq!(outcome(&with(&headers, &first, line.as_deref())), found, "in one line");
    let again = FieldType::serialize(&dictionary(&headers, &first).unwrap()).unwrap();
    assert_eq!(outcome(&with(&headers, &first, Some(again.as_bytes()))), found, "{again}");
}

pub(crate) fn tag_seeds() -> Vec<Vec<u8>> {
    [
        "surrogate-key: a b,c  d\ncache-tag: x, y z,,\ncache-groups: \"g\", \"h i\";x=1",
        "surrogate-key: a\nsurrogate-key: b a\ncache-tag: a",
        "cache-groups: \"a\\\"b\\\\\"\ncache-groups: \"c\"",
        "cache-groups: a, \"b\"",
        "cache-groups: (\"a\")",
        "cache-groups: \ncache-tag: ,\nsurrogate-key:  ",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Tags are what stands between separators, groups are a List of Strings or nothing; both are bounded, are kept with what
/// is stored, and are the same when they are written again.
pub(crate) fn tags(input: &[u8]) {
    let headers = map(input);
    let tags = Tags::of(&headers);
    assert!(tags.names.len() <= MOST_TAGS && tags.groups.len() <= MOST_TAGS);
    let short = |length: usize| (1..=LONGEST_TAG).contains(&length);
    assert!(tags.names.iter().all(|name| short(name.len()) && name.trim_ascii() == *name));
    // With what makes it storable, whatever else it says.
    let mut kept = headers.clone();
    for name in [&OWN, &CDN] {
        kept.insert(name, HeaderValue::from_static("max-age=60"));
    }
    kept.remove(http::header::CONNECTION);
    kept.remove(http::header::VARY);
    if let Some(stored) = stored(&kept) {
        assert_eq!(stored.tags(), tags, "as they are kept");
    }
    if !tags.more_names {
        let mut again = HeaderMap::new();
        for name in &tags.names {
            // One with a comma came between spaces, one with a space between commas.
            let field = if name.contains(&b',') { SURROGATE } else { TAG };
            again.append(field, HeaderValue::from_bytes(name).unwrap());
        }
        let (mut before, mut after) = (tags.names.clone(), Tags::of(&again).names);
        before.sort_unstable();
        after.sort_unstable();
        assert_eq!(after, before);
    }
    let list = joined(&headers, &GROUPS).and_then(|line| Parser::new(&line).parse::<List>().ok());
    let strings: Option<Vec<String>> = list.and_then(|list| {
        let string = |member: ListEntry| match member {
            ListEntry::Item(item) => item.bare_item.as_string().map(|text| text.as_str().to_owned()),
            ListEntry::InnerList(_) => None,
        };
        list.into_iter().map(string).collect()
    });
    let mut strings = strings.unwrap_or_default();
    strings.retain(|text| text.len() <= LONGEST_TAG);
    assert_eq!(tags.more_groups, strings.len() > MOST_TAGS);
    strings.truncate(MOST_TAGS);
    assert_eq!(tags.groups, strings);
    // The same value on the answer to an unsafe request declares them invalid; on that to a safe one, nothing.
    let line = joined(&headers, &GROUPS);
    let declared = with(&HeaderMap::new(), &INVALID, line.as_deref());
    let invalid = |method: &Method| {
        asking(method, &HeaderMap::new(), |request| {
            decisions().invalidated_groups(request, &answer(&declared))
        })
    };
    assert!(invalid(&Method::GET).is_empty());
    if !tags.more_groups {
        assert_eq!(invalid(&Method::POST), tags.groups);
    }
}
