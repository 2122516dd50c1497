//! Whatever comes in: no panic, nothing beyond the limit, no answer to an answer, and responses that two other libraries read alike.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use authority_support::*;
use domain::base::Message as DomainMessage;
use hickory_proto::op::Message as HickoryMessage;
use hickory_proto::serialize::binary::{BinDecodable as _, BinEncodable as _, BinEncoder, NameEncoding};
use mapper::authority::cookies::Secrets;
use mapper::authority::rates::Rates;
use mapper::authority::{Authority, Settings, WithoutCookie};
use mapper::dns::codes::opcode;
use mapper::dns::name::Name;
use mapper::dns::query::{self, Fault};
use mapper::respond::Transport;
use proptest::prelude::*;
use std::cell::RefCell;

/// Queries that mean something, to begin with.
const SEEDS: &[&str] = &[
    "a1.g.cdn.test A",
    "A1.g.cdn.test AAAA +subnet=203.0.113.0/24 +do +co",
    "many.g.cdn.test HTTPS +edns +cookie=0102030405060708",
    "back.g.cdn.test A +nsid +epoch +padding +keepalive",
    "nothing.g.cdn.test MX +subnet=2001:db8::/32",
    "x.a1.g.cdn.test A +bufsize=100",
    "www.cdn.test A +do",
    "a1.g.cdn.test A +from=2001:db8::1 +edns",
    "n0g.cdn.test AAAA",
    "g.cdn.test DS +do",
    "chain.plain.test A",
    "big.plain.test TXT",
    "x.sub.plain.test A",
    "plain.test ANY",
    "plain.test IXFR",
    "plain.test SOA +opcode=5",
    "plain.test SOA +do +tsig",
    "version.bind TXT +class=CH",
    "elsewhere.example A +edns=1",
];

fn whole(zones: mapper::authority::zone::Zones) -> Authority<World> {
    authority(Settings {
        cookies: Some(Secrets { current: [7; 16], others: vec![[8; 16]] }),
        without_cookie: WithoutCookie::ChallengeWhenLimited,
        ..settings(zones)
    })
}

thread_local! {
    static BOTH: RefCell<[Authority<World>; 2]> = RefCell::new([whole(zones_top()), whole(zones_low())]);
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![3 => Just(Transport::Udp), 1 => Just(Transport::Tcp), 1 => Just(Transport::Tls)]
}

/// A seed with some octets changed, taken out or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (prop::sample::select(SEEDS), prop::collection::vec(change, 0..6)).prop_map(|(seed, changes)| {
        let mut query = asking(seed).query;
        for (at, octet, how) in changes {
            let at = at.index(query.len().max(1));
            match how {
                0 if at < query.len() => query[at] = octet,
                1 => query.insert(at, octet),
                2 if at < query.len() => drop(query.remove(at)),
                3 => query.truncate(at.max(12)),
                _ => {}
            }
        }
        query
    })
}

/// What must hold of any response.
fn check(query: &[u8], transport: Transport) {
    let asking = Asking { query: query.to_vec(), from: "192.0.2.53".parse().unwrap(), transport };
    BOTH.with_borrow_mut(|both| {
        for authority in both {
            let Some(response) = respond(authority, &asking, NOW) else {
                assert!(query.len() < 12 || query[2] & 0x80 != 0, "no response to {query:02x?}");
                continue;
            };
            assert!(query.len() >= 12 && query[2] & 0x80 == 0, "a response to {query:02x?}");
            let read = query::read(query, &mut Name::default()).unwrap();
            assert_eq!(response[..2], query[..2]);
            if transport == Transport::Udp {
                let limit = read.edns.map_or(512, |edns| usize::from(edns.payload).clamp(512, 1232));
                assert!(response.len() <= limit, "{} octets of {limit} for {query:02x?}", response.len());
            }
            let ours = DomainMessage::from_octets(&response).unwrap();
            let opts = ours
                .additional()
                .unwrap()
                .filter(|it| it.as_ref().unwrap().rtype() == domain::base::Rtype::OPT);
            assert_eq!(
                opts.count(),
                usize::from(read.edns.is_some()),
                "OPT in {response:02x?} for {query:02x?}"
            );
            assert!(!ours.header().ra() && !ours.header().ad() && !ours.header().z());
            same_in_both(&response);
        }
    });
}

/// Both libraries see the same records.
fn same_in_both(response: &[u8]) {
    let text = show_records(response);
    let message = HickoryMessage::from_bytes(response)
        .unwrap_or_else(|error| panic!("hickory cannot read it: {error}\n{text}\n{response:02x?}"));
    let domain = DomainMessage::from_octets(response).unwrap();
    let mut theirs = [&message.answers, &message.authorities, &message.additionals].into_iter().flatten();
    let (_, answer, authority, additional) = domain.sections().unwrap();
    for record in [answer, authority, additional].into_iter().flatten() {
        let record = record.unwrap();
        if record.rtype() == domain::base::Rtype::OPT {
            continue;
        }
        let other = theirs.next().unwrap_or_else(|| panic!("hickory sees fewer records\n{text}"));
        // Not as text: one writes odd octets in octal digits, the other in decimal ones.
        let owner = record.owner();
        let owner = domain::base::name::ToLabelIter::iter_labels(&owner);
        let owner =
            owner.map(|label| label.as_slice().to_ascii_lowercase()).filter(|label| !label.is_empty());
        assert!(owner.eq(other.name.iter().map(<[u8]>::to_ascii_lowercase)), "{text}");
        assert_eq!(u16::from(other.record_type()), record.rtype().to_int(), "{text}");
        assert_eq!(other.ttl, record.ttl().as_secs());
        // Names in it may be compressed, so the data are compared as each library writes them on its own.
        let data = record.to_any_record::<domain::rdata::AllRecordData<_, _>>().unwrap();
        let mut one = Vec::new();
        domain::base::rdata::ComposeRecordData::compose_rdata(data.data(), &mut one).unwrap();
        let mut two = Vec::new();
        let mut encoder = BinEncoder::new(&mut two);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        other.data.emit(&mut encoder).unwrap();
        assert!(one.eq_ignore_ascii_case(&two), "{one:02x?} {two:02x?}\n{text}");
    }
    assert!(theirs.next().is_none(), "domain sees fewer records\n{text}");
}

fn show_records(response: &[u8]) -> String {
    let mut response = response.to_vec();
    (response[0], response[1]) = (0xab, 0xcd);
    show(Some(&response))
}

/// Whether `domain` reads a whole message: all records, and nothing after them.
fn domain_takes(query: &[u8]) -> bool {
    let Ok(message) = DomainMessage::from_octets(query) else { return false };
    let walk = || -> Result<(), domain::base::wire::ParseError> {
        for question in message.question() {
            question?;
        }
        let (_, answer, authority, additional) = message.sections()?;
        for record in [answer, authority, additional].into_iter().flatten() {
            let record = record?;
            if record.rtype() == domain::base::Rtype::OPT {
                let data = record.to_any_record::<domain::rdata::AllRecordData<_, _>>()?;
                let domain::rdata::AllRecordData::Opt(opt) = data.data() else { continue };
                for option in opt.iter::<domain::base::opt::AllOptData<_, _>>() {
                    option?;
                }
            }
        }
        Ok(())
    };
    walk().is_ok()
}

/// Refused by us alone, and why that is so. Everything else that `domain` or hickory takes, we take.
fn stricter_on_purpose(query: &[u8], fault: Fault) -> bool {
    match fault {
        // RFC 9619: others leave the count to the application.
        Fault::Questions => true,
        // Records that no query has.
        Fault::Sections => true,
        // Others leave it to the application which OPT counts, and where it stands.
        Fault::SecondOpt => true,
        // What comes after the last record is nothing to them.
        Fault::Trailing => true,
        // A question's name has nothing before it to point to, but they follow a pointer into the header.
        Fault::Name => query[12..].iter().any(|octet| *octet >= 0xc0),
        // Subnets with bits beyond their prefix, cookies of no known length, a scope in a query (see `edns`): an option each.
        Fault::Option => true,
        // They leave it to the application where it stands.
        Fault::Tsig => true,
        Fault::Record => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_octets(query in prop::collection::vec(any::<u8>(), 0..600), transport in transport()) {
        check(&query, transport);
    }

    #[test]
    fn nearly_queries(query in mutated(), transport in transport()) {
        check(&query, transport);
    }

    /// Our parser takes what the others take, but for a list; and never what they refuse, but for another.
    #[test]
    fn three_parsers(query in mutated()) {
        let mut name = Name::default();
        if let Some(ours) = query::read(&query, &mut name).filter(|it| it.opcode() == opcode::QUERY) {
            let hickory = HickoryMessage::from_bytes(&query);
            let domain = domain_takes(&query);
            match ours.fault {
                None => {
                    // What means nothing to us in a query is not read, so it may be malformed: options (RFC 6891 section 6.1.2) and
                    // records beside OPT.
                    let unread = query[6..12] != [0; 6];
                    prop_assert!(domain || unread, "domain refuses {query:02x?}");
                    prop_assert!(hickory.is_ok() || unread, "hickory refuses {query:02x?}: {:?}", hickory.err());
                    if let (Ok(theirs), Some(question)) = (&hickory, ours.question) {
                        let asked = &theirs.queries[0];
                        let mut wire = Vec::new();
                        for label in asked.name().iter() {
                            wire.push(label.len() as u8);
                            wire.extend(label.iter().map(u8::to_ascii_lowercase));
                        }
                        wire.push(0);
                        prop_assert_eq!(&wire[..], name.wire());
                        prop_assert_eq!(u16::from(asked.query_type()), question.qtype);
                    }
                    if let (Ok(theirs), Some(edns)) = (&hickory, ours.edns) {
                        let other = theirs.edns.as_ref().unwrap();
                        prop_assert_eq!(other.version(), edns.version);
                        prop_assert_eq!(other.flags().dnssec_ok, edns.dnssec_ok);
                    }
                }
                Some(fault) => {
                    let both = domain && hickory.is_ok();
                    prop_assert!(!both || stricter_on_purpose(&query, fault), "we alone refuse ({fault:?}) {query:02x?}");
                }
            }
        }
    }
}

/// The lists above are not so wide that nothing is compared: the seeds are taken by all three.
#[test]
fn seeds_are_taken_by_all() {
    for seed in SEEDS {
        let query = asking(seed).query;
        assert_eq!(query::read(&query, &mut Name::default()).unwrap().fault, None, "{seed}");
        assert!(domain_takes(&query), "{seed}");
        assert!(HickoryMessage::from_bytes(&query).is_ok(), "{seed}");
        check(&query, Transport::Udp);
    }
}

/// Reflection: packets that are responses are never answered, nor are scraps.
#[test]
fn responses_are_not_answered() {
    let mut query = asking("a1.g.cdn.test A +edns");
    query.query[2] |= 0x80;
    let mut authority = whole(zones_low());
    assert_eq!(respond(&mut authority, &query, NOW), None);
    query.query.truncate(11);
    assert_eq!(respond(&mut authority, &query, NOW), None);
    assert_eq!(authority.counters().dropped_silently.get(), 2);
}

#[test]
fn rates_do_not_hold_back_what_is_asked_over_tcp() {
    let mut authority = authority(Settings {
        rates: Some(Rates { positive: 1, burst: 1, slip: 1, ..Rates::default() }),
        ..settings(zones_low())
    });
    let udp = asking("a1.g.cdn.test A +edns");
    let tcp = asking("a1.g.cdn.test A +edns +tcp");
    let shown = |response: Option<Vec<u8>>| show(response.as_deref());
    assert!(shown(respond(&mut authority, &udp, NOW)).contains("192.0.3.1"));
    let slipped = shown(respond(&mut authority, &udp, NOW));
    assert!(slipped.contains(" TC") && !slipped.contains("192.0"), "{slipped}");
    for _ in 0..10 {
        assert!(shown(respond(&mut authority, &tcp, NOW)).contains("192.0.3.1"));
    }
    let counters = authority.counters();
    assert_eq!(
        (counters.rate_slipped.get(), counters.queries_tcp.get(), counters.steered.get()),
        (1, 10, 11)
    );
}
