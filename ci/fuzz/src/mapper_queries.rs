//! The mapper's name server: any octets as a query, and as a zone file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use domain::base::{Message, Rtype};
use mapper::authority::load::{Plan, name_servers_of, parse};
use mapper::authority::zone::Zones;
use mapper::authority::{Authority, Settings};
use mapper::dns::Name;
use mapper::dns::query;
use mapper::network::{NameServer, ServiceId};
use mapper::respond::{Asked, LONGEST_MESSAGE, Now, Respond as _, Transport};
use mapper::steer::{Client, Scopes, Steerable, Steered, Steering};

use crate::input::Input;

const TOP: &str = "$TTL 300\n@ SOA ns a 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww CNAME a.g\n*.w TXT \"w\"\nsub NS ns.sub\nns.sub A 192.0.2.2\n";
const LOW: &str = "$TTL 300\n@ SOA n0g.t. a.t. 1 2 3 4 5\n@ NS n0g.t.\nc CNAME a\n";

/// `a` has addresses, `b` is an alias for `a`.
struct Two([Ipv4Addr; 2], [NameServer; 9]);

impl Steering for Two {
    fn find(&self, labels: &[u8]) -> Option<Steerable> {
        let service = [&b"\x01a"[..], b"\x01b"].iter().position(|it| *it == labels)?;
        Some(Steerable { service: ServiceId(service as u32), content: 1, wildcard: None })
    }

    fn is_above_names(&self, _: &[u8]) -> bool {
        false
    }

    fn steer(&mut self, name: Steerable, client: Client, _: u32) -> Steered<'_> {
        let scope = client.length.min(20);
        if name.service.0 == 1 {
            return Steered::Alias { target: b"\x01a\x01g\x01t\x00", ttl: 20, scope };
        }
        Steered::Addresses { v4: &self.0, v6: &[], ttl: 20, scopes: Scopes::both(scope) }
    }

    fn https(&self, _: Steerable) -> Option<&[u8]> {
        Some(b"\x00\x01\x00\x03\x02h2")
    }

    fn name_servers(&mut self, _: IpAddr) -> &[NameServer] {
        &self.1
    }

    fn epoch(&self) -> u64 {
        7
    }

    fn refresh(&mut self) {}
}

fn authority() -> Authority<Two> {
    let top = Plan::Top { cut: "g.t.".into(), names: name_servers_of("t."), ttl: 1800 };
    let both = Zones::new(vec![
        Arc::new(parse(TOP, Path::new("t.zone"), "t.", &top).unwrap()),
        Arc::new(parse(LOW, Path::new("g.t.zone"), "g.t.", &Plan::Low).unwrap()),
    ]);
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let server = NameServer { v4: Some(address), v6: None };
    Authority::new(
        Arc::new(arc_swap::ArcSwap::from_pointee(Settings::new(both))),
        Two([address; 2], [server; 9]),
        [1; 16],
    )
}

thread_local! {
    static AUTHORITY: std::cell::RefCell<Authority<Two>> = std::cell::RefCell::new(authority());
}

/// The first octet is how the query comes.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let transport = match input.byte() % 4 {
        0 => Transport::Tcp,
        1 => Transport::Tls,
        _ => Transport::Udp,
    };
    let bytes = input.0;
    let shown = || exchange::escape(bytes);
    let mut response = vec![0; LONGEST_MESSAGE];
    let asked = Asked {
        now: Now { unix: 1_800_000_000, monotonic: 1 },
        peer: SocketAddr::from(([192, 0, 2, 9], 53)),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport,
        query: bytes,
    };
    let length = AUTHORITY.with_borrow_mut(|authority| authority.respond(&asked, &mut response));
    let answerable = bytes.len() >= 12 && bytes[2] & 0x80 == 0;
    assert_eq!(length.is_some(), answerable, "{}", shown());
    let Some(length) = length else { return };
    let read = query::read(bytes, &mut Name::default()).unwrap();
    if transport == Transport::Udp {
        let limit = read.edns.map_or(512, |edns| usize::from(edns.payload).clamp(512, 1232));
        assert!(length <= limit, "{length} octets of {limit}\n{}", shown());
    }
    let message = Message::from_octets(&response[..length]).unwrap();
    assert!(message.header().qr() && message.header().id() == read.id, "{}", shown());
    if let (Some(question), Some(Ok(ours))) = (read.question, message.question().next()) {
        assert_eq!(ours.qtype().to_int(), question.qtype, "{}", shown());
        assert_eq!(
            &response[12..12 + question.wire.len()],
            question.wire,
            "the question is not as it was\n{}",
            shown()
        );
    }
    let (_, answer, authorities, additional) =
        message.sections().unwrap_or_else(|error| panic!("{error}\n{}", shown()));
    let (mut opts, mut records) = (0, 0);
    for record in [answer, authorities, additional].into_iter().flatten() {
        let record = record.unwrap_or_else(|error| panic!("{error}\n{}", shown()));
        record
            .to_any_record::<domain::rdata::AllRecordData<_, _>>()
            .unwrap_or_else(|error| panic!("{error}\n{}", shown()));
        opts += usize::from(record.rtype() == Rtype::OPT);
        records += 1;
    }
    assert_eq!(opts, usize::from(read.edns.is_some()), "{}", shown());
    let counts = message.header_counts();
    assert_eq!(records, usize::from(counts.ancount() + counts.nscount() + counts.arcount()), "{}", shown());
}

/// Queries with each kind of option, over each transport, and each fault.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let names: [&[u8]; 9] = [
        b"\x01a\x01g\x01t\0",
        b"\x01B\x01g\x01T\0",
        b"\x01c\x01g\x01t\0",
        b"\x03www\x01t\0",
        b"\x01x\x01w\x01t\0",
        b"\x01x\x03sub\x01t\0",
        b"\x03n0g\x01t\0",
        b"\x01t\0",
        b"\0",
    ];
    let options: [&[u8]; 6] = [
        &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2],
        &[0, 8, 0, 8, 0, 2, 32, 0, 0x20, 1, 0xd, 0xb8],
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 3, 0, 0, 0, 11, 0, 0],
        &[0, 12, 0, 2, 0, 0, 0xff, 0x21, 0, 0],
        &[],
    ];
    let mut seeds = Vec::new();
    for (at, name) in names.iter().enumerate() {
        for (transport, qtype) in [(2, 1_u8), (0, 255), (1, 65), (2, 43), (2, 252), (2, 16)] {
            let options = options[(at + usize::from(qtype)) % options.len()];
            let head = [transport, 0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
            let opt = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, options.len() as u8];
            seeds.push([&head, *name, &[0, qtype, 0, 1], &opt, options].concat());
        }
    }
    let bare = [&[2, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], names[0], &[0, 1, 0, 1]].concat();
    seeds.push(bare.clone());
    seeds.push([&bare[..], &[0]].concat());
    seeds.push([&bare[..13], &[0xc0, 12, 0, 1, 0, 1]].concat());
    seeds
}

/// A zone file: the first octet says what the zone is, the rest is the text.
pub(crate) fn zone_file(input: &[u8]) {
    let mut input = Input(input);
    let plan = match input.byte() % 3 {
        0 => Plan::Top { cut: "g.t.".into(), names: name_servers_of("t."), ttl: 1800 },
        1 => Plan::Low,
        _ => Plan::Static,
    };
    let text = String::from_utf8_lossy(input.0);
    match parse(&text, Path::new("some.zone"), "t.", &plan) {
        Ok(zone) => {
            assert_eq!(zone.soa.records.len(), 1);
            for (owner, node) in &zone.nodes {
                assert!(owner.ends_with(&zone.apex), "{owner:?}");
                // The owner above is there too: empty non-terminals are nodes.
                let above = mapper::dns::name::skip(owner, 1);
                assert!(**owner == *zone.apex || zone.nodes.contains_key(above), "{owner:?}");
                for set in &node.sets {
                    assert!(!set.records.is_empty() && set.records.is_sorted(), "{owner:?}");
                }
            }
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("some.zone:") || error.starts_with("zone t.: "), "{error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }
}

pub(crate) fn zone_seeds() -> Vec<Vec<u8>> {
    let more = "$ORIGIN t.\n@ 300 IN MX 10 ns\n  IN TXT \"a b\" c ; d\nx CAA 0 issue \"ca\"\ny HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1\nz TYPE65280 \\# 2 0a0b\n$INCLUDE other\n";
    let mut seeds = Vec::new();
    for kind in 0..3 {
        for text in [TOP.to_owned(), LOW.to_owned(), format!("{TOP}{more}"), format!("{TOP}g DS 1 13 2 00\n")]
        {
            seeds.push([&[kind], text.as_bytes()].concat());
        }
    }
    seeds
}
