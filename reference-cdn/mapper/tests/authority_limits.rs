//! Cookies, response rate limiting, settings that change while queries come, and what the hot path allocates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use authority_support::*;
use mapper::authority::cookies::Secrets;
use mapper::authority::rates::Rates;
use mapper::authority::{Authority, Current, Settings, WithoutCookie};
use mapper::respond::Now;

fn with_cookies(without_cookie: WithoutCookie, rates: Option<Rates>) -> Authority<World> {
    let cookies = Some(Secrets { current: [7; 16], others: vec![[8; 16]] });
    authority(Settings { cookies, without_cookie, rates, ..settings(zones_low()) })
}

fn shown(authority: &mut Authority<World>, asking: &Asking) -> String {
    show(respond(authority, asking, NOW).as_deref())
}

/// The cookie option of a response, in hexadecimal.
fn cookie_of(response: &[u8]) -> String {
    let at = response.windows(4).position(|it| it == [0, 10, 0, 24]).unwrap() + 4;
    response[at..at + 24].iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn a_client_cookie_gets_a_server_cookie_that_is_valid_then() {
    let mut authority = with_cookies(WithoutCookie::Challenge, None);
    let first = respond(&mut authority, &asking("a1.g.cdn.test A +cookie=0102030405060708"), NOW).unwrap();
    assert!(show(Some(&first)).starts_with("  BADCOOKIE"), "{}", show(Some(&first)));
    let cookie = cookie_of(&first);
    assert!(cookie.starts_with("0102030405060708"));
    let again = asking(&format!("a1.g.cdn.test A +cookie={cookie}"));
    assert!(shown(&mut authority, &again).contains("192.0.3.1"));
    // Another address, another secret, a long time: not valid.
    for other in [
        Asking { from: "192.0.2.54".parse().unwrap(), ..again.clone() },
        asking(&format!("a1.g.cdn.test A +cookie={}00", &cookie[..46])),
    ] {
        assert!(shown(&mut authority, &other).starts_with("  BADCOOKIE"));
    }
    let later = Now { unix: NOW.unix + 3601, ..NOW };
    assert!(show(respond(&mut authority, &again, later).as_deref()).starts_with("  BADCOOKIE"));
    // Over TCP the address is known without, and the cookie is renewed all the same.
    let stream = asking("a1.g.cdn.test A +tcp +cookie=0102030405060708");
    let response = respond(&mut authority, &stream, NOW).unwrap();
    assert!(show(Some(&response)).contains("192.0.3.1"));
    assert_eq!(cookie_of(&response), cookie);
    let counters = authority.counters();
    assert_eq!(
        (
            counters.cookie_new.get(),
            counters.cookie_valid.get(),
            counters.cookie_invalid.get(),
            counters.badcookie.get()
        ),
        (2, 1, 3, 4)
    );
}

/// The secret before the last change is good for checking only.
#[test]
fn secrets_roll() {
    let mut old = authority(Settings {
        cookies: Some(Secrets { current: [8; 16], others: Vec::new() }),
        ..settings(zones_low())
    });
    let mut new = with_cookies(WithoutCookie::Challenge, None);
    let first = respond(&mut old, &asking("a1.g.cdn.test A +cookie=0102030405060708"), NOW).unwrap();
    let again = asking(&format!("a1.g.cdn.test A +cookie={}", cookie_of(&first)));
    let response = respond(&mut new, &again, NOW).unwrap();
    assert!(show(Some(&response)).contains("192.0.3.1"));
    assert_ne!(cookie_of(&response), cookie_of(&first));
}

#[test]
fn malformed_cookies() {
    let mut authority = with_cookies(WithoutCookie::Answer, None);
    for (cookie, code) in
        [("01", "FORMERR"), ("010203040506070809", "FORMERR"), ("0102030405060708", "NOERROR")]
    {
        let text = shown(&mut authority, &asking(&format!("a1.g.cdn.test A +cookie={cookie}")));
        assert!(text.starts_with(&format!("  {code}")), "{cookie}: {text}");
    }
    // Not one of ours: answered by this policy, with a new one.
    let strange = asking(&format!("a1.g.cdn.test A +cookie={}", "07".repeat(24)));
    assert!(shown(&mut authority, &strange).contains("192.0.3.1"));
}

/// RFC 7873 section 5.4.
#[test]
fn a_query_for_a_cookie_alone() {
    let mut query = asking("a1.g.cdn.test A +cookie=0102030405060708");
    let mut bare = query.query[..12].to_vec();
    (bare[4], bare[5]) = (0, 0);
    let opt_at = query.query.len() - 11 - 12;
    bare.extend_from_slice(&query.query[opt_at..]);
    query.query = bare;
    let response = respond(&mut with_cookies(WithoutCookie::Challenge, None), &query, NOW).unwrap();
    assert_eq!(response[3] & 0xf, 0);
    assert_eq!(response[4..12], [0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(cookie_of(&response).starts_with("0102030405060708"));
    // Without cookies it is no query.
    let response = respond(&mut authority(settings(zones_low())), &query, NOW).unwrap();
    assert_eq!(response[3] & 0xf, 1);
}

#[test]
fn limited_clients_are_challenged_and_those_with_a_cookie_are_not_limited() {
    let rates = Rates { positive: 1, burst: 1, slip: 0, ..Rates::default() };
    let mut authority = with_cookies(WithoutCookie::ChallengeWhenLimited, Some(rates));
    let with_client_cookie = asking("a1.g.cdn.test A +cookie=0102030405060708");
    assert!(shown(&mut authority, &with_client_cookie).contains("192.0.3.1"));
    let challenge = respond(&mut authority, &with_client_cookie, NOW).unwrap();
    assert!(show(Some(&challenge)).starts_with("  BADCOOKIE"));
    let with_cookie = asking(&format!("a1.g.cdn.test A +cookie={}", cookie_of(&challenge)));
    for _ in 0..5 {
        assert!(shown(&mut authority, &with_cookie).contains("192.0.3.1"));
    }
    // Who has none is dropped.
    assert_eq!(respond(&mut authority, &asking("a1.g.cdn.test A"), NOW), None);
    assert_eq!(authority.counters().rate_dropped.get(), 1);
}

#[test]
fn each_kind_has_its_rate() {
    let rates =
        Rates { positive: 3, negative: 2, referral: 2, error: 1, burst: 1, slip: 1, ..Rates::default() };
    let mut authority = authority(Settings { rates: Some(rates), ..settings(zones_top()) });
    for (names, allowed) in [
        (&["www.plain.test A", "www.plain.test A"][..], 3),
        // Random names below a wildcard are one, as are random names that do not exist.
        (&["r1.wild.plain.test A", "r2.wild.plain.test A", "r3.wild.plain.test A"], 3),
        (&["r1.plain.test A", "r2.plain.test A", "r3.plain.test MX"], 2),
        (&["r1.g.cdn.test A", "r2.g.cdn.test A"], 2),
        (&["elsewhere.example A", "else.where A"], 1),
    ] {
        let sent = names
            .iter()
            .cycle()
            .take(12)
            .filter(|name| !shown(&mut authority, &asking(name)).contains(" TC"));
        assert_eq!(sent.count(), allowed, "{names:?}");
    }
}

#[test]
fn new_settings_are_taken_while_queries_come() {
    let current = Current::new(arc_swap::ArcSwap::from_pointee(settings(zones_low())));
    let mut authority = Authority::new(current.clone(), World::new(), [7; 16]);
    let query = asking("plain.test SOA");
    assert!(shown(&mut authority, &query).starts_with("  REFUSED"));
    current.store(std::sync::Arc::new(settings(zones_top())));
    mapper::respond::Respond::refresh(&mut authority);
    assert!(shown(&mut authority, &query).starts_with("  NOERROR"));
}

#[test]
fn settings_that_are_refused() {
    let check = |change: fn(&mut Settings)| {
        let mut settings = settings(zones_top());
        change(&mut settings);
        settings.check().unwrap_or_else(|(_, error)| panic!("{error}"));
    };
    check(|_| {});
    for change in [
        (|it| it.payload = 100) as fn(&mut Settings),
        |it| it.nsid = vec![0; 129],
        |it| it.version = Some("x".repeat(256)),
    ] {
        assert!(std::panic::catch_unwind(|| check(change)).is_err());
    }
}

/// A response has room whatever the query asks for: the longest name, all options, the smallest limit.
#[test]
fn the_longest_question_and_all_options_fit() {
    let cookies = Some(Secrets { current: [7; 16], others: Vec::new() });
    let mut authority = authority(Settings { cookies, nsid: vec![b'n'; 128], ..settings(zones_top()) });
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    let all = "+bufsize=512 +nsid +epoch +cookie=0102030405060708 +subnet=2001:db8::1/128";
    let text = shown(&mut authority, &asking(&format!("{name} A {all}")));
    assert!(text.contains("REFUSED") && text.contains("error 20") && text.contains("option 65313"), "{text}");
}

/// Parse, find, steer, write: nothing is allocated for the queries that make up the load.
#[test]
fn the_hot_path_allocates_nothing() {
    let rates = Some(Rates { positive: 1 << 20, negative: 1 << 20, ..Rates::default() });
    let mut low = with_cookies(WithoutCookie::Answer, rates);
    let mut response = vec![0; 65_535];
    for line in [
        "er.g.cdn.test MX +subnet=203.0.113.0/24",
        "down.g.cdn.test A +subnet=203.0.113.0/24",
        "nothing.g.cdn.test A +edns",
        "x.a1.g.cdn.test A +edns",
        "g.cdn.test SOA +edns",
        "g.cdn.test NS",
        "elsewhere.example A",
    ] {
        let asking = asking(line);
        let asked = mapper::respond::Asked {
            now: NOW,
            peer: std::net::SocketAddr::new(asking.from, 4053),
            local: "127.0.0.1".parse().unwrap(),
            transport: asking.transport,
            query: &asking.query,
        };
        let counted = allocation_counter::measure(|| {
            mapper::respond::Respond::respond(&mut low, &asked, &mut response).unwrap();
        });
        assert_eq!(counted.count_total, 0, "{line}");
    }
    // The steering of these tests allocates for addresses itself, as often as it is asked; nothing comes on top.
    let by_steering = allocation_counter::measure(|| {
        let mut world = World::new();
        let client = mapper::steer::Client { address: "192.0.2.1".parse().unwrap(), length: 32 };
        let found = mapper::steer::Steering::find(&world, b"\x02a1").unwrap();
        mapper::steer::Steering::steer(&mut world, found, client, 0);
    });
    for line in
        ["A1.g.cdn.test A +subnet=203.0.113.0/24 +cookie=0102030405060708 +do", "a1.g.cdn.test HTTPS +edns"]
    {
        let asking = asking(line);
        let counted = allocation_counter::measure(|| {
            let asked = mapper::respond::Asked {
                now: NOW,
                peer: std::net::SocketAddr::new(asking.from, 4053),
                local: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
                transport: asking.transport,
                query: &asking.query,
            };
            mapper::respond::Respond::respond(&mut low, &asked, &mut response).unwrap();
        });
        assert_eq!(counted.count_total, by_steering.count_total, "{line}");
    }
}
