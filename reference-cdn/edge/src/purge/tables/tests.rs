//! What each scope takes, as tables of cases; and random purges and responses against an oracle that tries every purge
//! on every response.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::purge::scope::What;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// Whether a hard purge takes a response.
fn takes(scope: &Scope, customer: &str, url: &str, fields: &HeaderMap) -> bool {
    let mut tables = Tables::default();
    tables.raise(scope, 5, Mode::Hard, Time::default());
    let key = Key::of(&url.parse().expect("a URL"));
    let it = Identity { customer, key: &key, fields: Some(fields) };
    assert_eq!(tables.judge(&it, 5, 0), Verdict::Alive, "what was born with it or later is never taken");
    tables.judge(&it, 4, 0) == Verdict::Gone
}

fn all(what: What) -> Scope {
    Scope { customer: None, what }
}

/// Checks a scope of every customer against URLs.
fn check(what: &What, yes: &[&str], no: &[&str]) {
    for (urls, expected) in [(yes, true), (no, false)] {
        for url in urls {
            assert_eq!(takes(&all(what.clone()), "c", url, &HeaderMap::new()), expected, "{what:?} {url}");
        }
    }
}

#[test]
fn a_url_is_all_keys_that_the_decisions_give() {
    let keys = vec!["http://a/x?y".to_owned(), "https://a/x?y".to_owned()];
    let url = What::Url { url: "http://a/x?y".into(), keys };
    check(
        &url,
        &["http://a/x?y", "https://a/x?y", "http://A:80/x?y"],
        &["http://a/x", "http://a/x?Y", "http://a/x?y&z", "http://b/x?y", "http://a:81/x?y", "http://a/X?y"],
    );
}

#[test]
fn a_prefix_goes_by_segments() {
    let prefix = |authority: Option<&str>, path: &str| What::Prefix {
        authority: authority.map(str::to_owned),
        path: path.to_owned(),
    };
    check(
        &prefix(Some("h"), "/a"),
        &["http://h/a", "https://h/a", "http://h/a?x", "http://h/a/", "http://h/a/b", "http://h/a//b?c"],
        &[
            "http://h/ab",
            "http://h/",
            "http://h/A",
            "http://h/b/a",
            "http://g/a",
            "http://h:8080/a",
            "http://h/a%2Fb",
        ],
    );
    check(
        &prefix(Some("h"), "/a/"),
        &["http://h/a/", "http://h/a/?x", "http://h/a/b"],
        &["http://h/a", "http://h/a?/"],
    );
    check(&prefix(Some("h"), "/"), &["http://h", "http://h/x/y?z"], &["http://g/"]);
    check(&prefix(Some("h:8080"), "/a"), &["http://h:8080/a", "https://h:8080/a"], &["http://h/a"]);
    check(&prefix(None, "/a"), &["http://h/a", "http://g:1/a/b"], &["http://h/ab"]);
    check(
        &prefix(Some("h"), "/a/b"),
        &["http://h/a/b/c"],
        &["http://h/a", "http://h/a/bc", "http://h/a?/a/b"],
    );
    check(&prefix(Some("h"), "/ä"), &["http://h/ä/b"], &["http://h/a"]);
}

#[test]
fn a_pattern_is_of_path_and_query() {
    let pattern = |authority: Option<&str>, pattern: &str| What::Pattern {
        authority: authority.map(str::to_owned),
        pattern: pattern.to_owned(),
    };
    check(
        &pattern(Some("h"), "/a/*.css"),
        &["http://h/a/x.css", "https://h/a/b/x.css", "http://h/a/?x.css"],
        &["http://h/a/x.css?v", "http://h/a/x.CSS", "http://g/a/x.css", "http://h/b/a/x.css"],
    );
    check(
        &pattern(None, "*.css?v=*"),
        &["http://h/x.css?v=", "http://g/x.css?v=1"],
        &["http://h/x.css", "http://h/xZcssXv=1"],
    );
    check(&pattern(Some("h"), "/a?b"), &["http://h/a?b"], &["http://h/aXb"]);
}

#[test]
fn a_host_is_whatever_port_and_a_star_is_what_lies_below() {
    let host = |host: &str| What::Host(host.to_owned());
    check(
        &host("a.b"),
        &["http://a.b/", "https://a.b:8443/x"],
        &["http://x.a.b/", "http://b/", "http://a.b.c/"],
    );
    check(
        &host("*.a.b"),
        &["http://x.a.b/", "http://x.y.a.b:8080/"],
        &["http://a.b/", "http://xa.b/", "http://a.b.c/", "http://b/"],
    );
    check(&host("[::1]"), &["http://[::1]/", "http://[::1]:8080/"], &["http://[::2]/"]);
    let deep = format!("http://{}a.b/", "x.".repeat(500));
    check(&host("*.a.b"), &[&deep], &[]);
}

#[test]
fn tags_are_of_both_fields_and_groups_of_one_origin() {
    let fields = headers(&[
        ("surrogate-key", "one two"),
        ("cache-tag", "three, Four"),
        ("cache-groups", "\"five\", \"two\""),
    ]);
    let tags = |names: &[&str]| all(What::Tags(names.iter().map(|name| (*name).to_owned()).collect()));
    let groups = |origin: &str, name: &str| {
        all(What::Groups { origin: origin.to_owned(), names: vec![name.to_owned(), "other".to_owned()] })
    };
    for (scope, url, expected) in [
        (tags(&["one"]), "http://h/", true),
        (tags(&["x", "two"]), "http://h/", true),
        (tags(&["three"]), "http://h/", true),
        (tags(&["four"]), "http://h/", false),
        (tags(&["five"]), "http://h/", false),
        (tags(&["on"]), "http://h/", false),
        (groups("http://h", "five"), "http://h/x", true),
        (groups("http://h", "five"), "http://h:80/x", true),
        (groups("http://h", "five"), "https://h/x", false),
        (groups("http://h", "five"), "http://h:8080/x", false),
        (groups("http://h", "Five"), "http://h/x", false),
        (groups("http://h", "one"), "http://h/x", false),
    ] {
        assert_eq!(takes(&scope, "c", url, &fields), expected, "{scope:?} {url}");
    }
    assert!(!takes(&tags(&["one"]), "c", "http://h/", &HeaderMap::new()));
}

#[test]
fn more_tags_than_are_read_go_with_any() {
    let many = vec!["t"; http_cache::MOST_TAGS + 1].join(" ");
    let fields = headers(&[("surrogate-key", &many)]);
    assert!(takes(&all(What::Tags(vec!["other".into()])), "c", "http://h/", &fields));
    let group = all(What::Groups { origin: "http://h".into(), names: vec!["other".into()] });
    assert!(!takes(&group, "c", "http://h/", &fields));
    let many = vec!["\"g\""; http_cache::MOST_TAGS + 1].join(", ");
    let fields = headers(&[("cache-groups", &many)]);
    assert!(takes(&group, "c", "http://h/", &fields));
    assert!(!takes(&group, "c", "http://g/", &fields));
    assert!(!takes(&all(What::Tags(vec!["other".into()])), "c", "http://h/", &fields));
}

#[test]
fn no_purge_of_one_customer_takes_anothers_content() {
    let fields = headers(&[("surrogate-key", "t"), ("cache-groups", "\"g\"")]);
    for what in [
        What::Everything,
        What::Url { url: "http://h/a".into(), keys: vec!["http://h/a".into()] },
        What::Tags(vec!["t".into()]),
        What::Groups { origin: "http://h".into(), names: vec!["g".into()] },
        What::Prefix { authority: Some("h".into()), path: "/".into() },
        What::Prefix { authority: None, path: "/a".into() },
        What::Pattern { authority: None, pattern: "*".into() },
        What::Host("h".into()),
    ] {
        let own = Scope { customer: Some("mine".into()), what: what.clone() };
        assert!(takes(&own, "mine", "http://h/a", &fields), "{what:?}");
        for other in ["yours", "", "min", "minee", "Mine"] {
            assert!(!takes(&own, other, "http://h/a", &fields), "{what:?} {other}");
        }
        assert!(takes(&all(what), "yours", "http://h/a", &fields));
    }
}

#[test]
fn of_what_has_no_head_yet_any_tag_is_assumed() {
    let key = Key::of(&"http://h/a".parse().expect("uri"));
    let unknown = Identity { customer: "c", key: &key, fields: None };
    for (what, expected) in [
        (What::Tags(vec!["t".into()]), Verdict::Gone),
        (What::Groups { origin: "http://h".into(), names: vec!["g".into()] }, Verdict::Gone),
        (What::Groups { origin: "http://g".into(), names: vec!["g".into()] }, Verdict::Alive),
        (What::Host("g".into()), Verdict::Alive),
        (What::Prefix { authority: None, path: "/b".into() }, Verdict::Alive),
    ] {
        let mut tables = Tables::default();
        tables.raise(&all(what.clone()), 5, Mode::Hard, Time::default());
        assert_eq!(tables.judge(&unknown, 4, 0), expected, "{what:?}");
        let mut tables = Tables::default();
        tables.raise(&Scope { customer: Some("d".into()), what }, 5, Mode::Hard, Time::default());
        assert_eq!(tables.judge(&unknown, 4, 0), Verdict::Alive);
    }
}

#[test]
fn groups_that_origins_invalidate_have_a_bound_and_then_more_goes_than_need_be() {
    let judged = |tables: &Tables, url: &str, groups: &str| {
        let key = Key::of(&url.parse().expect("uri"));
        let fields = headers(&[("cache-groups", groups)]);
        tables.judge(&Identity { customer: "c", key: &key, fields: Some(&fields) }, 0, 0) == Verdict::Gone
    };
    let mut tables = Tables::default();
    let invalidate = |tables: &mut Tables, origin: &str, name: &str| {
        tables.invalidate_groups(("c", origin), &[name.to_owned()], 7, 2);
    };
    invalidate(&mut tables, "http://h", "a");
    invalidate(&mut tables, "http://h", "b");
    invalidate(&mut tables, "http://h", "a");
    assert!(judged(&tables, "http://h/", "\"a\"") && !judged(&tables, "http://h/", "\"c\""));
    // No room: all groups of the origin.
    invalidate(&mut tables, "http://h", "c");
    assert!(judged(&tables, "http://h/", "\"d\""));
    assert!(!judged(&tables, "http://h/", "") && !judged(&tables, "http://g/", "\"d\""));
    // No room for another origin: all groups of the customer.
    invalidate(&mut tables, "http://g", "a");
    assert!(judged(&tables, "http://f/", "\"d\"") && !judged(&tables, "http://f/", ""));
    let it = Key::of(&"http://h/".parse().expect("uri"));
    let fields = headers(&[("cache-groups", "\"a\"")]);
    let other = Identity { customer: "d", key: &it, fields: Some(&fields) };
    assert_eq!(tables.judge(&other, 0, 0), Verdict::Alive, "not those of others");
    tables.forget(7, Time::default());
    assert!(tables.is_empty());
}

#[test]
fn a_pattern_is_tried_once_on_what_was_judged() {
    let key = Key::of(&"http://h/a".parse().expect("uri"));
    let none = HeaderMap::new();
    let it = Identity { customer: "c", key: &key, fields: Some(&none) };
    let mut tables = Tables::default();
    let pattern = |pattern: &str| all(What::Pattern { authority: None, pattern: pattern.into() });
    tables.raise(&pattern("/a"), 1, Mode::Soft, Time::from_secs(1));
    let checked = tables.version();
    assert_ne!(tables.judge(&it, 0, 0), Verdict::Alive);
    assert_eq!(tables.judge(&it, 0, checked), Verdict::Alive, "it was told before");
    tables.raise(&pattern("/b"), 2, Mode::Hard, Time::from_secs(2));
    assert_eq!(tables.judge(&it, 0, checked), Verdict::Alive);
    tables.raise(&pattern("/a"), 3, Mode::Hard, Time::from_secs(3));
    assert_eq!(tables.judge(&it, 0, checked), Verdict::Gone);
    tables.forget(2, Time::from_secs(3));
    assert_eq!(tables.judge(&it, 0, 0), Verdict::Gone);
    assert_eq!(tables.judge_arriving(&it, 1), Verdict::Gone, "nobody knows any more");
    tables.forget(3, Time::from_secs(3));
    assert!(tables.is_empty());
    assert_eq!(tables.judge_arriving(&it, 3), Verdict::Alive);
}

/// A response as the oracle sees it.
#[derive(Clone, Debug)]
struct Response {
    customer: &'static str,
    url: String,
    fields: HeaderMap,
    tags: Vec<&'static str>,
    groups: Vec<&'static str>,
    born: u64,
    checked: u64,
    /// Soft purges that it has met.
    since: Option<Time>,
}

const CUSTOMERS: [&str; 2] = ["c", "d"];
const AUTHORITIES: [&str; 4] = ["h", "h:8080", "x.h", "y.x.h"];
const SCHEMES: [&str; 2] = ["http", "https"];
const PATHS: [&str; 10] = ["/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/bc", "/a?b", "/a/b?c=/d", "//a"];
const NAMES: [&str; 3] = ["t", "u", "v"];

/// Straight from the definitions, one purge and one response at a time.
fn oracle(scope: &Scope, it: &Response) -> bool {
    if scope.customer.as_ref().is_some_and(|customer| customer != it.customer) {
        return false;
    }
    let (origin, rest) = it.url.split_at(it.url[8..].find('/').map_or(it.url.len(), |at| at + 8));
    let authority = origin.split_once("://").expect("scheme").1;
    let host = authority.split(':').next().expect("host");
    let path = rest.split('?').next().expect("path");
    let on = |wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| wanted == authority);
    match &scope.what {
        What::Everything => true,
        What::Url { keys, .. } => keys.contains(&it.url),
        What::Tags(names) => names.iter().any(|name| it.tags.contains(&name.as_str())),
        What::Groups { origin: wanted, names } => {
            wanted == origin && names.iter().any(|name| it.groups.contains(&name.as_str()))
        }
        What::Prefix { authority, path: prefix } => {
            on(authority)
                && match prefix.strip_suffix('/') {
                    Some(_) => path.starts_with(prefix.as_str()),
                    None => path == prefix || path.starts_with(&format!("{prefix}/")),
                }
        }
        What::Pattern { authority, pattern } => on(authority) && matches(pattern.as_bytes(), rest.as_bytes()),
        What::Host(name) => match name.strip_prefix("*.") {
            Some(parent) => host.ends_with(&format!(".{parent}")),
            None => host == name,
        },
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((first, rest)) => text.first() == Some(first) && matches(rest, &text[1..]),
    }
}

fn pick<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(of)
}

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(&NAMES[..], 0..=3)
}

fn what() -> impl Strategy<Value = What> {
    let authority = || proptest::option::of(pick(&AUTHORITIES).prop_map(str::to_owned));
    let owned = |names: Vec<&'static str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let url = (pick(&SCHEMES), pick(&AUTHORITIES), pick(&PATHS));
    prop_oneof![
        1 => Just(What::Everything),
        4 => url.prop_map(|(scheme, authority, path)| {
            let url = format!("{scheme}://{authority}{path}");
            What::Url { keys: vec![url.clone()], url }
        }),
        4 => some_names().prop_map(move |names| What::Tags(owned(names))),
        4 => (pick(&SCHEMES), pick(&AUTHORITIES), some_names()).prop_map(move |(scheme, authority, names)| {
            What::Groups { origin: format!("{scheme}://{authority}"), names: owned(names) }
        }),
        4 => (authority(), pick(&["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "//", "/x"])).prop_map(|(authority, path)| {
            What::Prefix { authority, path: path.to_owned() }
        }),
        4 => (authority(), pick(&["*", "/a*", "/*b", "*?*", "/a/b", "*a*b*", "/a/*/", "/x*"])).prop_map(|(authority, pattern)| {
            What::Pattern { authority, pattern: pattern.to_owned() }
        }),
        3 => pick(&["h", "x.h", "*.h", "*.x.h", "g"]).prop_map(|host| What::Host(host.to_owned())),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let url = (pick(&SCHEMES), pick(&AUTHORITIES), pick(&PATHS));
    (pick(&CUSTOMERS), url, some_names(), some_names()).prop_map(
        |(customer, (scheme, authority, path), tags, groups)| {
            let quoted: Vec<_> = groups.iter().map(|group| format!("\"{group}\"")).collect();
            let fields = headers(&[("surrogate-key", &tags.join(" ")), ("cache-groups", &quoted.join(", "))]);
            Response {
                customer,
                url: format!("{scheme}://{authority}{path}"),
                fields,
                tags,
                groups,
                born: 0,
                checked: 0,
                since: None,
            }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Purge(Scope, Mode),
    /// A response arrives whose fetch began so many purges ago.
    Store(Response, u64),
    /// A response is looked at.
    Look(usize),
    /// All are.
    Walk,
    /// The purges that had come when the last walk began are forgotten.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let scope = (proptest::option::of(pick(&CUSTOMERS)), what())
        .prop_map(|(customer, what)| Scope { customer: customer.map(str::to_owned), what });
    let mode = prop_oneof![Just(Mode::Hard), Just(Mode::Soft)];
    prop_oneof![
        5 => (scope, mode).prop_map(|(scope, mode)| Step::Purge(scope, mode)),
        6 => (response(), 0..4_u64).prop_map(|(response, ago)| Step::Store(response, ago)),
        4 => (0..50_usize).prop_map(Step::Look),
        1 => Just(Step::Walk),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, a response is gone, stale or alive as the purges since its birth say, and
    /// forgetting what all have met changes nothing.
    #[test]
    fn verdicts_are_those_of_the_purges_since_birth(steps in proptest::collection::vec(step(), 1..60)) {
        let mut tables = Tables::default();
        let mut purges: Vec<(u64, Scope, Mode, Time)> = Vec::new();
        let mut store: Vec<Response> = Vec::new();
        let (mut number, mut now) = (0, 1000);
        let mut walk = (0, Time::default());
        for step in steps {
            now += 10;
            match step {
                Step::Purge(scope, mode) => {
                    number += 1;
                    tables.raise(&scope, number, mode, Time::from_secs(now));
                    purges.push((number, scope, mode, Time::from_secs(now)));
                }
                Step::Store(response, ago) => {
                    let born = number.saturating_sub(ago);
                    store.push(Response { born, ..response });
                    let at = store.len() - 1;
                    if born < tables.horizon() {
                        let key = Key::of(&store[at].url.parse().expect("uri"));
                        let it = Identity { customer: store[at].customer, key: &key, fields: None };
                        prop_assert_eq!(tables.judge_arriving(&it, born), Verdict::Gone);
                        store.pop();
                    } else {
                        look(&tables, &purges, &mut store, at)?;
                    }
                }
                Step::Look(at) => {
                    if !store.is_empty() {
                        let at = at % store.len();
                        look(&tables, &purges, &mut store, at)?;
                    }
                }
                Step::Walk => {
                    for at in (0..store.len()).rev() {
                        look(&tables, &purges, &mut store, at)?;
                    }
                    walk = (number, Time::from_secs(now));
                }
                Step::Forget => {
                    tables.forget(walk.0, walk.1);
                    prop_assert!(tables.horizon() == walk.0 && (walk.0 < number || tables.is_empty()));
                }
            }
        }
        for at in (0..store.len()).rev() {
            look(&tables, &purges, &mut store, at)?;
        }
    }
}

fn look(
    tables: &Tables,
    purges: &[(u64, Scope, Mode, Time)],
    store: &mut Vec<Response>,
    at: usize,
) -> Result<(), TestCaseError> {
    let it = &mut store[at];
    let key = Key::of(&it.url.parse().expect("uri"));
    let identity = Identity { customer: it.customer, key: &key, fields: Some(&it.fields) };
    let verdict = tables.judge(&identity, it.born, it.checked);
    it.checked = tables.version();
    let later = || purges.iter().filter(|(number, scope, ..)| *number > it.born && oracle(scope, it));
    let gone = later().any(|(_, _, mode, _)| *mode == Mode::Hard);
    let stale = later().find(|(_, _, mode, _)| *mode == Mode::Soft).map(|(.., at)| *at);
    prop_assert_eq!(verdict == Verdict::Gone, gone, "{:?} of {:?}", it, purges);
    if gone {
        store.swap_remove(at);
        return Ok(());
    }
    if let Verdict::Soft { since } = verdict {
        it.since = Some(it.since.map_or(since, |before| before.min(since)));
    }
    // Rather a little too early than too late.
    prop_assert_eq!(it.since.is_some(), stale.is_some(), "{:?} of {:?}", it, purges);
    prop_assert!(it.since <= stale, "{:?} of {:?}: {:?}", it, purges, stale);
    Ok(())
}
