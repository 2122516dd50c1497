//! Defects that other name servers shipped with, one test each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use authority_support::*;
use mapper::authority::Authority;

fn top() -> Authority<World> {
    authority(settings(zones_top()))
}

fn low() -> Authority<World> {
    authority(settings(zones_low()))
}

fn shown(authority: &mut Authority<World>, line: &str) -> String {
    show(respond(authority, &asking(line), NOW).as_deref())
}

#[test]
fn edns_version_1_is_not_answered_notimp() {
    let text = shown(&mut top(), "plain.test SOA +edns=1");
    assert!(
        text.starts_with("  BADVERS") && text.contains("edns 1232") && !text.contains("SOA ns"),
        "{text}"
    );
}

#[test]
fn subnet_with_do_does_not_give_two_opt_records() {
    let query = asking("a1.g.cdn.test A +subnet=203.0.113.0/24 +do");
    let response = respond(&mut low(), &query, NOW).unwrap();
    assert_eq!(response[10..12], [0, 1]);
    // `show` fails on a second one.
    assert!(show(Some(&response)).contains("do subnet 203.0.113.0/24 scope 1"));
}

#[test]
fn plain_edns_gets_an_opt_record_and_a_query_without_gets_none() {
    assert!(shown(&mut low(), "a1.g.cdn.test A +edns").contains("edns 1232"));
    assert!(!shown(&mut low(), "a1.g.cdn.test A").contains("edns"));
    assert!(shown(&mut low(), "elsewhere.example A +edns").contains("edns 1232"));
}

/// The scope is what the steering says: neither more specific nor less, and never forced up to what the query has.
#[test]
fn scopes_are_passed_on_as_they_are() {
    for (line, scope) in [
        ("a1.g.cdn.test A +subnet=203.0.113.0/24", "/24 scope 1\n"),
        ("a1.g.cdn.test A +subnet=2001:db8::/56", "/56 scope 0\n"),
        ("back.g.cdn.test A +subnet=203.0.0.0/16", "/16 scope 24\n"),
        ("a1.g.cdn.test A +subnet=0.0.0.0/0", "/0 scope 0\n"),
        ("a1.g.cdn.test TXT +subnet=203.0.113.0/24", "/24 scope 0\n"),
    ] {
        let text = shown(&mut low(), line);
        assert!(text.contains(scope), "{line}: {text}");
    }
}

#[test]
fn no_more_than_512_octets_without_edns() {
    for line in ["big.plain.test TXT", "a1.g.cdn.test A", "toobig.plain.test TXT"] {
        assert!(respond(&mut top(), &asking(line), NOW).unwrap().len() <= 512, "{line}");
    }
}

#[test]
fn responses_are_not_answered() {
    let mut query = asking("a1.g.cdn.test A");
    query.query[2] |= 0x80;
    assert_eq!(respond(&mut low(), &query, NOW), None);
}

#[test]
fn two_questions_are_not_answered() {
    let mut query = asking("a1.g.cdn.test A");
    let question = query.query[12..].to_vec();
    query.query.extend_from_slice(&question);
    query.query[5] = 2;
    let response = respond(&mut low(), &query, NOW).unwrap();
    assert_eq!((response.len(), response[3] & 0xf), (12, 1));
}

#[test]
fn unknown_options_are_not_echoed() {
    let text = shown(&mut low(), "a1.g.cdn.test A +opt=65001:0102 +opt=100:");
    assert!(text.contains("  edns 1232\n"), "{text}");
}

#[test]
fn pointer_loops_end() {
    let mut query = asking("a1.g.cdn.test A");
    query.query.splice(12.., [0xc0, 12, 0, 1, 0, 1]);
    let response = respond(&mut low(), &query, NOW).unwrap();
    assert_eq!(response[3] & 0xf, 1);
}

#[test]
fn the_spelling_of_the_question_is_kept() {
    let query = asking("A1.g.CDN.tEsT A");
    let response = respond(&mut low(), &query, NOW).unwrap();
    assert_eq!(response[12..query.query.len()], query.query[12..]);
    assert!(show(Some(&response)).contains("= A1.g.CDN.tEsT 20 A 192.0.3.1"));
}

#[test]
fn any_is_small_and_transfers_are_refused() {
    assert!(shown(&mut top(), "plain.test ANY").lines().filter(|line| line.contains("= ")).count() <= 2);
    for line in ["plain.test AXFR +tcp", "plain.test IXFR +tcp", "plain.test AXFR"] {
        assert!(shown(&mut top(), line).starts_with("  REFUSED"), "{line}");
    }
}

#[test]
fn no_data_is_not_no_name() {
    for (line, code) in
        [("plain.test A", "NOERROR"), ("_tcp.plain.test A", "NOERROR"), ("missing.plain.test A", "NXDOMAIN")]
    {
        assert!(shown(&mut top(), line).starts_with(&format!("  {code}")), "{line}");
    }
    assert!(shown(&mut low(), "er.g.cdn.test A").starts_with("  NOERROR"));
}

/// RFC 2308 section 3: the smaller of the SOA record's lifetime and its last field.
#[test]
fn denials_live_as_long_as_the_soa_says() {
    assert!(shown(&mut top(), "missing.plain.test A").contains("^ plain.test 600 SOA"));
    assert!(shown(&mut low(), "a1.g.cdn.test MX").contains("^ g.cdn.test 60 SOA"));
}

#[test]
fn an_alias_into_the_cut_comes_with_the_referral() {
    let text = shown(&mut top(), "www.cdn.test A +edns");
    assert!(
        text.contains(" aa")
            && text.contains("= www.cdn.test 300 CNAME")
            && text.contains("^ g.cdn.test 1800 NS")
    );
}

/// Everything down is a matter of the map's fallback; the name stays.
#[test]
fn all_down_is_not_no_such_name() {
    for line in
        ["down.g.cdn.test A", "down.g.cdn.test AAAA", "four.g.cdn.test AAAA", "moved.g.cdn.test CNAME"]
    {
        assert!(shown(&mut low(), line).starts_with("  NOERROR"), "{line}");
    }
    // No name server that the resolver could use: try again, not "no such name".
    assert!(shown(&mut top(), "a1.g.cdn.test A +from=203.0.113.1").starts_with("  SERVFAIL"));
}
