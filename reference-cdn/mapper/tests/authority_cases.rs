//! Queries as text, responses as text: everything that a name server in full standing owes (issue row D8).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use authority_support::*;
use mapper::authority::Settings;

/// Without the queries a second time.
macro_rules! snapshot {
    ($($arguments:tt)+) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($($arguments)+));
    }};
}

fn top() -> mapper::authority::Authority<World> {
    authority(settings(zones_top()))
}

fn low() -> mapper::authority::Authority<World> {
    authority(settings(zones_low()))
}

#[test]
fn steered_names() {
    snapshot!(ask_all(
        &mut low(),
        "a1.g.cdn.test A
         a1.g.cdn.test AAAA
         # Who comes from the other half gets other addresses.
         a1.g.cdn.test A +from=10.0.0.9
         a1.g.cdn.test A +from=2001:db8::9
         a1.g.cdn.test A +from=::ffff:10.0.0.9
         # By client, with its scope; or by resolver, if the client tells nothing of itself.
         a1.g.cdn.test A +subnet=10.9.8.0/24
         a1.g.cdn.test A +subnet=2001:db8::/32
         a1.g.cdn.test A +subnet=0.0.0.0/0
         a1.g.cdn.test A +subnet=203.0.113.0/24 +do
         a1.g.cdn.test HTTPS
         a1.g.cdn.test HTTPS +subnet=203.0.113.0/24
         four.g.cdn.test HTTPS
         four.g.cdn.test AAAA +subnet=203.0.113.0/24
         a1.g.cdn.test TXT +subnet=203.0.113.0/24
         a1.g.cdn.test MX
         a1.g.cdn.test ANY +tcp
         many.g.cdn.test A
         many.g.cdn.test A
         x.wild.g.cdn.test A
         # All down: an alias, for each type.
         down.g.cdn.test A +subnet=203.0.113.0/24
         down.g.cdn.test AAAA
         down.g.cdn.test TXT
         down.g.cdn.test CNAME
         back.g.cdn.test A +subnet=203.0.113.0/24
         moved.g.cdn.test A"
    ));
}

#[test]
fn what_is_not_there_in_a_steered_zone() {
    snapshot!(ask_all(
        &mut low(),
        "# The name server's own records.
         g.cdn.test SOA
         g.cdn.test NS
         g.cdn.test A
         g.cdn.test DS
         # An empty non-terminal, and names that are there stop wildcards.
         er.g.cdn.test A
         wild.g.cdn.test A
         x.a1.g.cdn.test A +subnet=203.0.113.0/24
         x.er.g.cdn.test TXT
         nothing.g.cdn.test TXT
         nothing.g.cdn.test A
         deeper.nothing.g.cdn.test TXT
         x.st.g.cdn.test A
         st.g.cdn.test A
         # Aliases of the file.
         local.g.cdn.test A +subnet=203.0.113.0/24
         twice.g.cdn.test AAAA
         gone.g.cdn.test A
         loop1.g.cdn.test A
         local.g.cdn.test CNAME
         cdn.test SOA +edns
         . NS"
    ));
}

#[test]
fn the_top_level() {
    snapshot!(ask_all(
        &mut top(),
        "cdn.test SOA
         cdn.test NS
         a1.g.cdn.test A +edns
         g.cdn.test NS +edns
         g.cdn.test SOA +edns +from=203.0.112.1
         # By the resolver's address, whatever the client's is.
         a1.g.cdn.test A +subnet=203.0.113.0/24
         a1.g.cdn.test A +edns +from=2001:db8::53
         # Not all fits without EDNS, and it need not.
         a1.g.cdn.test A
         a1.g.cdn.test A +do
         # The parent's side of the cut.
         g.cdn.test DS
         x.g.cdn.test DS +edns
         # What the referral names is answered alike.
         n0g.cdn.test A
         n0g.cdn.test AAAA
         n0g.cdn.test A +from=2001:db8::53
         n1g.cdn.test A
         n2g.cdn.test A
         n8g.cdn.test ANY
         n0g.cdn.test MX
         n9g.cdn.test A
         # An alias into the cut is our own, what follows is not.
         www.cdn.test A +edns
         www.cdn.test CNAME
         into.plain.test A +edns
         # No name server can be named.
         a1.g.cdn.test A +edns +from=203.0.113.1
         n0g.cdn.test A +from=203.0.113.1"
    ));
}

#[test]
fn zone_files() {
    snapshot!(ask_all(
        &mut top(),
        "plain.test SOA
         plain.test NS
         plain.test MX
         plain.test TXT
         plain.test CAA
         plain.test TYPE65280
         plain.test A
         _https._tcp.plain.test SRV
         _tcp.plain.test SRV
         www.plain.test HTTPS
         svc.plain.test SVCB
         # Wildcards and what stops them.
         x.wild.plain.test A
         x.y.wild.plain.test A
         x.wild.plain.test MX
         wild.plain.test A
         a.wild.plain.test A
         ent.wild.plain.test A
         x.ent.wild.plain.test A
         *.wild.plain.test A
         # Chains.
         chain.plain.test A
         chain.plain.test MX
         chain.plain.test CNAME
         out.plain.test A
         nowhere.plain.test A
         wildalias.plain.test TXT
         # Delegations.
         sub.plain.test NS
         x.sub.plain.test A
         ns.sub.plain.test A
         sub.plain.test DS
         unsigned.plain.test DS
         x.unsigned.plain.test A +do
         missing.plain.test A
         x.missing.plain.test A +subnet=203.0.113.0/24"
    ));
}

#[test]
fn sizes() {
    snapshot!(ask_all(
        &mut top(),
        "# 512 octets without EDNS, and with less than that.
         big.plain.test TXT
         big.plain.test TXT +bufsize=100
         toobig.plain.test TXT +bufsize=600 +nsid
         big.plain.test TXT +bufsize=1232
         # No more than ours.
         big.plain.test TXT +bufsize=65535
         big.plain.test TXT +tcp"
    ));
}

#[test]
fn operations_types_and_classes() {
    snapshot!(ask_all(
        &mut top(),
        "plain.test AXFR +tcp
         plain.test AXFR
         plain.test IXFR +tcp +edns
         plain.test ANY
         www.plain.test ANY +tcp
         x.wild.plain.test ANY
         missing.plain.test ANY
         elsewhere.example AXFR +tcp
         plain.test OPT +edns
         plain.test TSIG
         plain.test TKEY
         plain.test TYPE65281
         plain.test TYPE1000
         plain.test MAILA
         plain.test SOA +opcode=4
         plain.test SOA +opcode=5 +edns
         plain.test SOA +opcode=2
         plain.test SOA +opcode=15 +edns
         plain.test SOA +opcode=15 +rd +cd +ad
         plain.test SOA +opcode=5 +rd
         plain.test SOA +class=2
         plain.test SOA +class=255
         plain.test SOA +class=CH
         version.bind TXT +class=CH
         VERSION.server TXT +class=CH
         hostname.bind TXT +class=CH +edns
         id.server TXT +class=CH
         id.server A +class=CH
         authors.bind TXT +class=CH
         id.server TXT
         elsewhere.example A
         elsewhere.example A +edns
         com A +subnet=203.0.113.0/24"
    ));
    let silent =
        Settings { version: None, hostname: None, nsid: Vec::new(), epoch: false, ..settings(zones_top()) };
    snapshot!(
        "nothing_is_told",
        ask_all(
            &mut authority(silent),
            "version.bind TXT +class=CH
             id.server TXT +class=CH
             plain.test A +nsid +epoch"
        )
    );
}

/// RFC 8906 section 8: what a server must do with what it does not know.
#[test]
fn flags_and_edns() {
    snapshot!(ask_all(
        &mut top(),
        "plain.test SOA +rd +cd
         plain.test SOA +ad +z +ra +aa
         plain.test SOA +edns
         plain.test SOA +edns=1
         plain.test SOA +edns=100 +opt=100: +do
         plain.test SOA +opt=100:00
         plain.test SOA +edns=1 +opt=8:ff
         plain.test SOA +ednsflags=0040
         plain.test SOA +do +co
         plain.test SOA +co
         plain.test SOA +nsid +epoch +opt=3:41
         plain.test SOA +keepalive +padding
         plain.test SOA +keepalive +tcp
         plain.test SOA +padding +tls
         big.plain.test TXT +padding +keepalive +tls
         # Subnets that are no subnets.
         plain.test SOA +opt=8:0001180001020304
         plain.test SOA +opt=8:0001170001020300
         plain.test SOA +opt=8:00011800010203
         plain.test SOA +opt=8:00011818010203
         plain.test SOA +opt=8:00031800010203
         plain.test SOA +opt=8:00000000
         plain.test SOA +subnet=1.2.3.0/24 +subnet=1.2.3.0/24
         plain.test SOA +subnet=2001:db8:8000::/33
         # The client's spelling comes back.
         WwW.pLaIn.TeSt A
         cHaIn.PLAIN.test A"
    ));
}

/// A wildcard is for names that are not there: a name server of the zone keeps its address, an alias leads where it did.
#[test]
fn a_steered_wildcard_gives_way_to_what_the_file_has() {
    use mapper::authority::load::{Plan, parse};
    for more in ["", "sub IN NS ns.elsewhere.test.\n"] {
        let text = format!(
            "{LOW}\nns1.wild IN A 203.0.113.53\nal.wild IN CNAME a1\n*.ent.wild IN TXT \"below\"\n{more}"
        );
        let zone = parse(&text, std::path::Path::new("low.zone"), "g.cdn.test.", &Plan::Low).unwrap();
        let zones = mapper::authority::zone::Zones::new(vec![std::sync::Arc::new(zone)]);
        let answers = ask_all(
            &mut authority(settings(zones)),
            "ns1.wild.g.cdn.test A
             ns1.wild.g.cdn.test AAAA
             al.wild.g.cdn.test A
             ent.wild.g.cdn.test A
             x.wild.g.cdn.test A
             x.y.wild.g.cdn.test A
             x.y.ent.wild.g.cdn.test A
             x.y.ent.wild.g.cdn.test TXT
             x.ns1.wild.g.cdn.test A",
        );
        snapshot!("wildcards", answers);
    }
}

/// RFC 8945 section 5.2: no key is known here, which is said without a signature; what is behind the record is malformed.
#[test]
fn signed_queries_are_told_that_their_key_is_not_known() {
    const ANSWERED: [u8; 10] = [0, 0, 0, 0, 0x67, 0x89, 0xab, 0xcd, 1, 44];
    let record = |owner: &[u8], more: &[u8]| {
        let head = [&[0, 250, 0, 255, 0, 0, 0, 0, 0, 61][..], b"\x0bhmac-sha256\0", &ANSWERED[2..], &[0, 32]]
            .concat();
        [owner, &head, &[7; 32], &[0xab, 0xcd, 0, 0, 0, 0], more].concat()
    };
    let signed = |line: &str, records: &[&[u8]]| {
        let mut asking = asking(line);
        asking.query[11] += records.len() as u8;
        asking.query.extend(records.concat());
        let length = respond(&mut top(), &asking, NOW).unwrap();
        (length[3] & 0xf, length)
    };
    let key: &[u8] = b"\x03key\x05plain\x04test\0";
    let error = |owner: &[u8]| {
        let data = [b"\x0bhmac-sha256\0", &ANSWERED[2..], &[0, 0, 0xab, 0xcd, 0, 17, 0, 0]].concat();
        [owner, &[0, 250, 0, 255, 0, 0, 0, 0, 0, data.len() as u8], &data].concat()
    };
    for line in [
        "plain.test SOA",
        "plain.test AXFR +tcp",
        "plain.test SOA +do +nsid",
        "plain.test SOA +opcode=4",
        "a.example A",
    ] {
        for owner in [key, b"\x03key\xc0\x0c"] {
            let (rcode, response) = signed(line, &[&record(owner, b"")]);
            assert_eq!(rcode, 9, "{line}");
            assert!(response.ends_with(&error(owner)), "{line}: {response:?}");
            assert_eq!(response[11], 1 + u8::from(line.contains("+do")), "{line}");
            domain::base::Message::from_octets(&response)
                .unwrap()
                .additional()
                .unwrap()
                .for_each(|it| _ = it.unwrap());
        }
    }
    // A name that ends where the answer has something else is not repeated.
    let (rcode, response) =
        signed("plain.test SOA", &[b"\x01x\0\0\x01\0\x01\0\0\0\0\0\0", &record(&[0xc0, 28], b"")]);
    assert_eq!((rcode, response[11]), (9, 0));
    for records in [&[&record(key, b"")[..], b"\x01x\0\0\x01\0\x01\0\0\0\0\0\0"][..], &[&record(key, b"x")]] {
        assert_eq!(signed("plain.test SOA", records).0, 1);
    }
}
