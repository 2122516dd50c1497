//! What orders mean, and what is said of those that mean nothing.

use http_cache::{Decisions as _, Settings, Standard};
use proptest::prelude::*;

use super::*;

const NOW: Time = Time::from_secs(1_795_773_600);

fn read(text: &str) -> Result<Order, Refusal> {
    let decisions = Standard::new(Settings::default());
    Order::parse(text.as_bytes(), NOW, |uri| decisions.purged(uri))
}

fn admin() -> Asker {
    Asker { name: "admin".into(), customer: None }
}

fn shop() -> Asker {
    Asker { name: "shop/ci".into(), customer: Some("shop".into()) }
}

fn draft(text: &str) -> Draft {
    read(text).and_then(|order| order.draft(&admin())).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_can_be_purged() {
    let url = |url: &str, keys: &[&str]| What::Url {
        url: url.into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let tags = |names: &[&str]| What::Tags(names.iter().map(|name| (*name).to_owned()).collect());
    let groups = |origin: &str, names: &[&str]| What::Groups {
        origin: origin.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let prefix = |authority: Option<&str>, path: &str| What::Prefix {
        authority: authority.map(Into::into),
        path: path.into(),
    };
    let pattern = |authority: Option<&str>, pattern: &str| What::Pattern {
        authority: authority.map(Into::into),
        pattern: pattern.into(),
    };
    for (text, what) in [
        (
            r#"{"url": "HTTP://Shop.Test:80/A?b#c"}"#,
            url("HTTP://Shop.Test:80/A?b#c", &["http://shop.test/A?b", "https://shop.test/A?b"]),
        ),
        (r#"{"url": "https://h:8443"}"#, url("https://h:8443", &["https://h:8443/", "http://h:8443/"])),
        (r#"{"tag": "a b"}"#, tags(&["a b"])),
        (r#"{"tags": ["b", "a", "b"]}"#, tags(&["a", "b"])),
        (r#"{"group": "g", "origin": "https://H:443"}"#, groups("https://h", &["g"])),
        (r#"{"groups": ["g", "f"], "origin": "http://h:443/"}"#, groups("http://h:443", &["f", "g"])),
        (r#"{"prefix": "http://H/a"}"#, prefix(Some("h"), "/a")),
        (r#"{"prefix": "https://h:443/a/"}"#, prefix(Some("h"), "/a/")),
        (r#"{"prefix": "http://h:8080"}"#, prefix(Some("h:8080"), "/")),
        (r#"{"prefix": "/A/b"}"#, prefix(None, "/A/b")),
        (r#"{"pattern": "http://H/*.css?v=*"}"#, pattern(Some("h"), "/*.css?v=*")),
        (r#"{"pattern": "*.css"}"#, pattern(None, "*.css")),
        (r#"{"pattern": "/a://b*"}"#, pattern(None, "/a://b*")),
        (r#"{"pattern": "*://b"}"#, pattern(None, "*://b")),
        (r#"{"host": "WWW.Shop.Test"}"#, What::Host("www.shop.test".into())),
        (r#"{"host": "*.Shop.Test"}"#, What::Host("*.shop.test".into())),
        (r#"{"host": "[::1]"}"#, What::Host("[::1]".into())),
        (r#"{"all": true}"#, What::Everything),
    ] {
        assert_eq!(draft(text).scope, Scope { customer: None, what }, "{text}");
    }
    let of_customer = draft(r#"{"customer": "shop"}"#).scope;
    assert_eq!(of_customer, Scope { customer: Some("shop".into()), what: What::Everything });
    let narrower = draft(r#"{"customer": "shop", "host": "h", "mode": "soft"}"#);
    assert_eq!(narrower.scope, Scope { customer: Some("shop".into()), what: What::Host("h".into()) });
    assert_eq!((narrower.mode, draft(r#"{"all": true}"#).mode), (Mode::Soft, Mode::Hard));
}

#[test]
fn what_is_wrong_is_said() {
    let many: Vec<String> = (0..=MOST_NAMES).map(|n| format!("\"t{n}\"")).collect();
    let many = format!("{{\"tags\": [{}]}}", many.join(","));
    let long = format!("{{\"tag\": \"{}\"}}", "x".repeat(LONGEST_TAG + 1));
    let unknown = format!("{{\"{}\": 1}}", "y".repeat(300));
    for (text, says) in [
        ("", "EOF"),
        ("[]", "send JSON such as"),
        ("{}", "nothing to purge is named"),
        (r#"{"id": "x"}"#, "nothing to purge is named"),
        (r#"{"urls": []}"#, "unknown field `urls`"),
        // However much there is to be said, where it is.
        (&unknown, "… at line 1 column 303"),
        (r#"{"url": "http://h/", "tag": "t"}"#, "url and tag are given"),
        (r#"{"tag": "t", "tags": ["t"]}"#, "send one of them"),
        (r#"{"url": "/a"}"#, "not an absolute URL"),
        (r#"{"url": "ftp://h/a"}"#, "not an absolute URL"),
        (r#"{"url": "http://h /a"}"#, "write it as http://host/path"),
        (r#"{"tag": ""}"#, "tag is empty"),
        (r#"{"tag": " t"}"#, "begins or ends with space"),
        (r#"{"tag": "a\u0000b"}"#, "control characters"),
        (r#"{"tags": []}"#, "1 to 256"),
        (&many, "1 to 256"),
        (&long, "longer than 1024"),
        (r#"{"group": "g"}"#, "\"origin\": \"https://host\""),
        (r#"{"group": "g", "origin": "https://h/x"}"#, "has a path"),
        (r#"{"tag": "g", "origin": "https://h"}"#, "origin goes with group"),
        (r#"{"prefix": "a"}"#, "does not begin with /"),
        (r#"{"prefix": "h/a"}"#, "does not begin with /"),
        (r#"{"prefix": "*"}"#, "does not begin with /"),
        (r#"{"prefix": "/a?b"}"#, "use pattern or url"),
        (r#"{"prefix": "/a*"}"#, "use pattern or url"),
        (r#"{"prefix": "/a b"}"#, "no request target has"),
        (r#"{"prefix": "/a#b"}"#, "no request target has"),
        (r#"{"prefix": "ftp://h/a"}"#, "http or https"),
        (r#"{"prefix": "http:///a"}"#, "prefix"),
        (r#"{"pattern": "http://h*/a"}"#, "no / behind its host"),
        (r#"{"pattern": "http://*.h/a"}"#, "no / behind its host"),
        (r#"{"host": "h:80"}"#, "has a port"),
        (r#"{"host": "http://h"}"#, "has a port or scheme"),
        (r#"{"host": "h/a"}"#, "is no host"),
        (r#"{"host": "a.*.b"}"#, "is no host"),
        (r#"{"host": "*"}"#, "is no host"),
        (r#"{"host": "*."}"#, "1 to 255"),
        (r#"{"host": "u@h"}"#, "is no host"),
        (r#"{"all": false}"#, "true is the only value"),
        (r#"{"all": true, "customer": "shop"}"#, "all and customer"),
        (r#"{"customer": ""}"#, "customer is empty"),
        (r#"{"tag": "t", "mode": "medium"}"#, "unknown variant `medium`"),
        (r#"{"tag": "t", "at": "tomorrow"}"#, "2026-11-27T10:00:00Z"),
        (r#"{"tag": "t", "at": "2026-11-27T10:00:00+01:00"}"#, "no time in UTC"),
        (r#"{"tag": "t", "until": "2026-11-27T10:00:00Z"}"#, "give its interval"),
        (r#"{"tag": "t", "times": 3}"#, "give its interval"),
        (r#"{"tag": "t", "every": "1h"}"#, "either \"until\""),
        (r#"{"tag": "t", "every": "1h", "times": 1, "until": "2027-01-01T00:00:00Z"}"#, "either \"until\""),
        (r#"{"tag": "t", "every": "1h", "times": 0}"#, "end before it began"),
        (r#"{"tag": "t", "every": "1h", "until": "2020-01-01T00:00:00Z"}"#, "end before it began"),
        (r#"{"tag": "t", "every": "0s", "times": 1}"#, "from 1s to 366d"),
        (r#"{"tag": "t", "every": "367d", "times": 1}"#, "from 1s to 366d"),
        (r#"{"tag": "t", "every": "1 h", "times": 1}"#, "no interval"),
        (r#"{"tag": "t", "id": ""}"#, "are an id"),
        (r#"{"tag": "t", "id": "a/b"}"#, "are an id"),
        (r#"{"tag": "t", "id": "edge-1"}"#, "choose another"),
    ] {
        match read(text) {
            Err(Refusal::Order(error)) => assert!(error.contains(says), "{text}: {error}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_is_quoted_is_escaped_and_not_too_long() {
    for text in [
        r#"{"url": "\n2026 INFO forged"}"#.to_owned(),
        r#"{"\n2026 INFO forged": 1}"#.to_owned(),
        format!("{{\"{}\": 1}}", "x".repeat(50_000)),
        format!("{{\"prefix\": \"{}\"}}", "x".repeat(50_000)),
        format!("{{\"tag\": \"t\", \"at\": \"{}\"}}", "é".repeat(20_000)),
    ] {
        match read(&text) {
            Err(Refusal::Order(error)) => {
                assert!(error.len() < 600 && !error.contains(char::is_control), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn when_it_comes_into_force() {
    let schedule = |text: &str| draft(text).schedule;
    assert_eq!(schedule(r#"{"tag": "t"}"#), None);
    let at = Time::from_secs(1_795_777_200);
    assert_eq!(schedule(r#"{"tag": "t", "at": "2026-11-27T11:00:00Z"}"#), Some(Schedule::once(at)));
    let hours = |from, end| Schedule::repeated(from, Duration::from_secs(3600), end);
    assert_eq!(schedule(r#"{"tag": "t", "every": "1h", "times": 3}"#), hours(NOW, End::After(3)));
    assert_eq!(
        schedule(
            r#"{"tag": "t", "at": "2026-11-27T11:00:00Z", "every": "60m", "until": "2026-11-27T13:30:00Z"}"#
        ),
        hours(at, End::After(3))
    );
}

#[test]
fn customers_reach_their_own_content_only() {
    let by_shop = |text: &str| read(text).and_then(|order| order.draft(&shop()));
    let own = |what| Scope { customer: Some("shop".into()), what };
    let host = by_shop(r#"{"host": "anybody.test"}"#).expect("allowed");
    assert_eq!(host.scope, own(What::Host("anybody.test".into())));
    assert_eq!((host.by.as_str(), host.owner.as_deref()), ("shop/ci", Some("shop")));
    assert_eq!(by_shop(r#"{"customer": "shop"}"#).expect("allowed").scope, own(What::Everything));
    for text in [r#"{"all": true}"#, r#"{"customer": "other"}"#, r#"{"customer": "other", "tag": "t"}"#] {
        match by_shop(text) {
            Err(Refusal::Forbidden(error)) => assert!(error.contains("shop"), "{error}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn an_order_is_the_same_whatever_its_id() {
    let digest = |text: &str| draft(text).digest;
    let same = digest(r#"{"tag": "t", "mode": "soft"}"#);
    assert_eq!(digest(r#"{"mode": "soft", "id": "x", "tag": "t"}"#), same);
    for other in [
        r#"{"tag": "t"}"#,
        r#"{"tag": "u", "mode": "soft"}"#,
        r#"{"tag": "t", "mode": "soft", "at": "2026-11-27T11:00:00Z"}"#,
        r#"{"tag": "t", "mode": "soft", "customer": "c"}"#,
    ] {
        assert_ne!(digest(other), same, "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, it is refused, or is an order that fits into a record of the log.
    #[test]
    fn any_text_is_an_order_or_is_refused(members in proptest::collection::vec((
        proptest::sample::select(vec!["url", "tag", "tags", "group", "groups", "origin", "prefix", "pattern", "host",
            "customer", "all", "mode", "at", "every", "until", "times", "id", "coarser", "x"]),
        prop_oneof![
            "\"\\PC{0,20}\"",
            "\"(https?://)?[a-z*.:@\\[\\]]{0,6}[/?*#a-z%]{0,8}\"",
            "\\[(\"\\PC{0,5}\",)*\"a\"\\]",
            Just("true".to_owned()), Just("7".to_owned()), Just("\"soft\"".to_owned()), Just("\"1h\"".to_owned()),
            Just("\"2026-11-27T11:00:00Z\"".to_owned()),
        ]), 0..5)) {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        if let Ok(order) = read(&format!("{{{}}}", members.join(","))) {
            let draft = order.draft(&admin()).expect("the operator may");
            let text = serde_json::to_string(&draft.scope).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Scope>(&text).expect("reads back"), draft.scope);
        }
    }
}
