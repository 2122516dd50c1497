//! A small world for authority tests: zones, a steering that is easy to reckon with, queries as text, responses as text.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use domain::base::Message;
use domain::base::iana::{Class, Rtype};
use domain::base::opt::AllOptData;
use domain::rdata::AllRecordData;
use mapper::authority::load::{Plan, name_servers_of, parse};
use mapper::authority::zone::Zones;
use mapper::authority::{Authority, Current, Settings};
use mapper::dns::name;
use mapper::network::{NameServer, ServiceId};
use mapper::respond::{Asked, LONGEST_MESSAGE, Now, Respond as _, Transport};
use mapper::steer::{Client, Scopes, Steerable, Steered, Steering};

pub const NOW: Now = Now { unix: 1_800_000_000, monotonic: 5_000 };

pub const TOP: &str = include_str!("cdn.test.zone");
pub const LOW: &str = include_str!("g.cdn.test.zone");
pub const PLAIN: &str = include_str!("plain.test.zone");

/// Names below the steered zone: `a1` has two addresses of each family, by the first half of the client's IPv4 space or IPv6;
/// `four` has no IPv6; `down` is an alias out of our zones, `back` one to `a1`, `moved` one to nothing; `deep.er` makes `er` an empty non-terminal;
/// `*.wild` takes any labels; `many` has eight addresses of each family.
pub struct World {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
    servers: Vec<NameServer>,
    pub epoch: u64,
}

impl World {
    pub fn new() -> Self {
        Self { v4: Vec::new(), v6: Vec::new(), servers: Vec::new(), epoch: 12_345 }
    }
}

const SERVICES: &[&[u8]] = &[
    b"\x02a1",
    b"\x04four",
    b"\x04down",
    b"\x04back",
    b"\x05moved",
    b"\x04deep\x02er",
    b"\x04many",
    b"\x02aa",
];

impl Steering for World {
    fn find(&self, labels: &[u8]) -> Option<Steerable> {
        let named = SERVICES.iter().position(|name| *name == labels);
        let service = named.or_else(|| {
            let mut ends = (0..labels.len()).scan(0, |at, _| {
                *at += 1 + usize::from(*labels.get(*at)?);
                Some(*at)
            });
            ends.any(|end| labels.get(end..) == Some(b"\x04wild")).then_some(0)
        })?;
        let (service, content) = (ServiceId(service as u32), name::hash(labels));
        Some(Steerable { service, content, wildcard: named.is_none().then_some(5) })
    }

    fn is_above_names(&self, labels: &[u8]) -> bool {
        labels == b"\x02er" || labels == b"\x04wild"
    }

    fn steer(&mut self, name: Steerable, client: Client, turn: u32) -> Steered<'_> {
        let (half, scope) = match client.address {
            IpAddr::V4(v4) => (v4.octets()[0] >> 7, 1),
            IpAddr::V6(_) => (2, 0),
        };
        match name.service.0 {
            2 => return Steered::Alias { target: b"\x06origin\x07example\x00", ttl: 20, scope: 8 },
            3 => return Steered::Alias { target: b"\x02a1\x01g\x03cdn\x04test\x00", ttl: 20, scope: 24 },
            4 => return Steered::Alias { target: b"\x07nowhere\x01g\x03cdn\x04test\x00", ttl: 20, scope: 0 },
            _ => {}
        }
        let count = if name.service.0 == 6 { 8 } else { 2 };
        self.v4 = (1..=count).map(|at| Ipv4Addr::new(192, 0, 2 + half, at)).collect();
        self.v6 =
            (1..=count).map(|at| Ipv6Addr::new(0x2001, 0xdb8, 0, half.into(), 0, 0, 0, at.into())).collect();
        if name.service.0 == 1 {
            self.v6.clear();
        }
        if name.service.0 == 6 && turn % 2 == 1 {
            self.v4.reverse();
        }
        Steered::Addresses { v4: &self.v4, v6: &self.v6, ttl: 20, scopes: Scopes::both(scope) }
    }

    fn https(&self, name: Steerable) -> Option<&[u8]> {
        (name.service.0 != 1).then_some(b"\x00\x01\x00\x03\x02h2")
    }

    /// Nine for most; the second without IPv4, the third with nothing. None for 203.0.113.0/24.
    fn name_servers(&mut self, resolver: IpAddr) -> &[NameServer] {
        let site = match resolver {
            IpAddr::V4(v4) if v4.octets()[..3] == [203, 0, 113] => 255,
            IpAddr::V4(v4) => v4.octets()[0] >> 7,
            IpAddr::V6(_) => 2,
        };
        self.servers = (0..9)
            .map(|at| NameServer {
                v4: (site != 255 && at != 1 && at != 2).then(|| Ipv4Addr::new(198, 51, 100 + site, at)),
                v6: (site != 255 && at != 2)
                    .then(|| Ipv6Addr::new(0x2001, 0xdb8, 0xf, site.into(), 0, 0, 0, at.into())),
            })
            .collect();
        &self.servers
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn refresh(&mut self) {}
}

pub fn zones_top() -> Zones {
    let top = Plan::Top { cut: "g.cdn.test.".into(), names: name_servers_of("cdn.test."), ttl: 1800 };
    Zones::new(vec![
        Arc::new(parse(TOP, Path::new("cdn.test.zone"), "cdn.test.", &top).unwrap()),
        Arc::new(parse(PLAIN, Path::new("plain.test.zone"), "plain.test.", &Plan::Static).unwrap()),
    ])
}

pub fn zones_low() -> Zones {
    Zones::new(vec![Arc::new(parse(LOW, Path::new("g.cdn.test.zone"), "g.cdn.test.", &Plan::Low).unwrap())])
}

pub fn settings(zones: Zones) -> Settings {
    Settings {
        nsid: b"ns1.site7".to_vec(),
        version: Some("mapper".into()),
        hostname: Some("ns1.site7".into()),
        ..Settings::new(zones)
    }
}

pub fn authority(settings: Settings) -> Authority<World> {
    Authority::new(Current::new(arc_swap::ArcSwap::from_pointee(settings)), World::new(), [7; 16])
}

/// A query and how it comes.
#[derive(Clone, Debug)]
pub struct Asking {
    pub query: Vec<u8>,
    pub from: IpAddr,
    pub transport: Transport,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// `NAME TYPE`, and then what differs from a bare query over UDP from 192.0.2.53: `+edns`, `+do`, `+subnet=192.0.2.0/24`, ….
/// The name keeps its spelling.
pub fn asking(text: &str) -> Asking {
    let mut words = text.split_whitespace();
    let (owner, kind) = (words.next().unwrap(), words.next().unwrap());
    let (mut flags, mut class, mut from) = (0_u16, 1_u16, "192.0.2.53".parse().unwrap());
    let (mut transport, mut payload, mut version, mut edns_flags) = (Transport::Udp, 1232_u16, 0_u8, 0_u16);
    let (mut edns, mut tsig, mut options) = (false, false, Vec::<u8>::new());
    let mut option = |code: u16, data: &[u8]| {
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&(data.len() as u16).to_be_bytes());
        options.extend_from_slice(data);
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        edns |= !matches!(
            key,
            "+tcp"
                | "+tls"
                | "+rd"
                | "+cd"
                | "+ad"
                | "+z"
                | "+aa"
                | "+ra"
                | "+opcode"
                | "+class"
                | "+from"
                | "+tsig"
        );
        match key {
            "+edns" => version = value.parse().unwrap_or(0),
            "+do" => edns_flags |= 0x8000,
            "+co" => edns_flags |= 0x4000,
            "+ednsflags" => edns_flags |= u16::from_str_radix(value, 16).unwrap(),
            "+bufsize" => payload = value.parse().unwrap(),
            "+nsid" => option(3, b""),
            "+cookie" => option(10, &hex(value)),
            "+keepalive" => option(11, b""),
            "+padding" => option(12, &[0; 5]),
            "+epoch" => option(65_313, b""),
            "+opt" => {
                let (code, data) = value.split_once(':').unwrap();
                option(code.parse().unwrap(), &hex(data));
            }
            "+subnet" => {
                let (address, source) = value.split_once('/').unwrap();
                let (address, source): (IpAddr, u8) = (address.parse().unwrap(), source.parse().unwrap());
                let (family, octets) = match address {
                    IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                    IpAddr::V6(v6) => (2, v6.octets().to_vec()),
                };
                let known = &octets[..usize::from(source).div_ceil(8)];
                option(8, &[&[0, family, source, 0], known].concat());
            }
            "+tsig" => tsig = true,
            "+tcp" => transport = Transport::Tcp,
            "+tls" => transport = Transport::Tls,
            "+rd" => flags |= 0x0100,
            "+cd" => flags |= 0x0010,
            "+ad" => flags |= 0x0020,
            "+z" => flags |= 0x0040,
            "+ra" => flags |= 0x0080,
            "+aa" => flags |= 0x0400,
            "+opcode" => flags |= value.parse::<u16>().unwrap() << 11,
            "+class" => class = if value == "CH" { 3 } else { value.parse().unwrap() },
            "+from" => from = value.parse().unwrap(),
            other => panic!("{other} means nothing"),
        }
    }
    let mut query = vec![0xab, 0xcd];
    for word in [flags, 1, 0, 0, u16::from(edns) + u16::from(tsig)] {
        query.extend_from_slice(&word.to_be_bytes());
    }
    for label in owner.split('.').filter(|label| !label.is_empty()) {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    let kind: Rtype = kind.parse().unwrap();
    query.extend_from_slice(&kind.to_int().to_be_bytes());
    query.extend_from_slice(&class.to_be_bytes());
    if edns {
        query.extend_from_slice(&[0, 0, 41]);
        query.extend_from_slice(&payload.to_be_bytes());
        query.extend_from_slice(&[0, version]);
        query.extend_from_slice(&edns_flags.to_be_bytes());
        query.extend_from_slice(&(options.len() as u16).to_be_bytes());
        query.extend_from_slice(&options);
    }
    if tsig {
        // A key that nobody knows, with a MAC of four octets.
        query.extend_from_slice(b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x21\x0bhmac-sha256\0");
        query.extend_from_slice(&[
            0, 0, 0x67, 0x89, 0xab, 0xcd, 1, 44, 0, 4, 7, 7, 7, 7, 0xab, 0xcd, 0, 0, 0, 0,
        ]);
    }
    Asking { query, from, transport }
}

/// What an authority says, or nothing.
pub fn respond<S: Steering>(authority: &mut Authority<S>, asking: &Asking, now: Now) -> Option<Vec<u8>> {
    let mut response = vec![0xee; LONGEST_MESSAGE];
    let asked = Asked {
        now,
        peer: SocketAddr::new(asking.from, 4053),
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: asking.transport,
        query: &asking.query,
    };
    let length = authority.respond(&asked, &mut response)?;
    response.truncate(length);
    Some(response)
}

/// A response as `domain` reads it: a line for the header and the question, one for EDNS, one for each record.
pub fn show(response: Option<&[u8]>) -> String {
    let Some(octets) = response else { return "  no response\n".into() };
    let message = Message::from_octets(octets).unwrap();
    let (header, counts) = (message.header(), message.header_counts());
    let mut text = String::new();
    let opt = message.opt();
    let code = opt.as_ref().map_or(u16::from(header.rcode().to_int()), |opt| opt.rcode(header).to_int());
    let code = domain::base::iana::OptRcode::masked_from_int(code);
    write!(text, "  {code} {} octets", octets.len()).unwrap();
    for (set, flag) in [
        (header.aa(), "aa"),
        (header.tc(), "TC"),
        (header.rd(), "rd"),
        (header.ra(), "RA"),
        (header.z(), "Z"),
        (header.ad(), "AD"),
        (header.cd(), "cd"),
    ] {
        if set {
            write!(text, " {flag}").unwrap();
        }
    }
    if header.opcode().to_int() != 0 {
        write!(text, " opcode {}", header.opcode().to_int()).unwrap();
    }
    assert!(header.qr() && header.id() == 0xabcd);
    for question in message.question() {
        let question = question.unwrap();
        write!(text, "; {} {}", question.qname(), question.qtype()).unwrap();
        if question.qclass() != Class::IN {
            write!(text, " {}", question.qclass()).unwrap();
        }
    }
    text.push('\n');
    if let Some(opt) = &opt {
        write!(text, "  edns {}", opt.udp_payload_size()).unwrap();
        assert_eq!(opt.version(), 0);
        if opt.dnssec_ok() {
            text.push_str(" do");
        }
        let additional = message.additional().unwrap();
        let opts: Vec<_> =
            additional.map(Result::unwrap).filter(|record| record.rtype() == Rtype::OPT).collect();
        assert_eq!(opts.len(), 1);
        if opts[0].ttl().as_secs() & 0x4000 != 0 {
            text.push_str(" co");
        }
        for option in opt.opt().iter::<AllOptData<_, _>>() {
            let option = match option {
                Ok(option) => option,
                Err(error) => {
                    write!(text, " ({error})").unwrap();
                    continue;
                }
            };
            match option {
                AllOptData::ClientSubnet(it) => {
                    write!(
                        text,
                        " subnet {}/{} scope {}",
                        it.addr(),
                        it.source_prefix_len(),
                        it.scope_prefix_len()
                    )
                    .unwrap();
                }
                AllOptData::Nsid(it) => {
                    write!(text, " nsid {}", String::from_utf8_lossy(it.as_slice())).unwrap()
                }
                AllOptData::ExtendedError(it) => write!(text, " error {}", it.code().to_int()).unwrap(),
                AllOptData::Cookie(it) => write!(text, " cookie {it}").unwrap(),
                AllOptData::TcpKeepalive(it) => {
                    write!(text, " keepalive {:?}", it.timeout().map(u16::from)).unwrap()
                }
                AllOptData::Padding(it) => write!(text, " padding {}", it.as_slice().len()).unwrap(),
                AllOptData::Other(it) => {
                    write!(text, " option {} {:?}", it.code().to_int(), it.as_slice()).unwrap()
                }
                other => write!(text, " {other:?}").unwrap(),
            }
        }
        text.push('\n');
    }
    let (_, answer, authority, additional) = message.sections().unwrap();
    let mut seen = 0;
    for (section, mark) in [(answer, "="), (authority, "^"), (additional, "+")] {
        for record in section {
            let record = record.unwrap();
            seen += 1;
            if record.rtype() == Rtype::OPT {
                continue;
            }
            let parsed = record.to_any_record::<AllRecordData<_, _>>().unwrap();
            let class =
                if record.class() == Class::IN { String::new() } else { format!(" {}", record.class()) };
            writeln!(
                text,
                "  {mark} {} {}{class} {} {}",
                record.owner(),
                record.ttl().as_secs(),
                record.rtype(),
                parsed.data()
            )
            .unwrap();
        }
    }
    assert_eq!(seen, counts.ancount() + counts.nscount() + counts.arcount());
    text
}

/// Asks each line of a text and shows it with its response.
pub fn ask_all(authority: &mut Authority<World>, lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            writeln!(text, "{line}").unwrap();
            continue;
        }
        let response = respond(authority, &asking(line), NOW);
        writeln!(text, "{line}\n{}", show(response.as_deref())).unwrap();
    }
    text
}
