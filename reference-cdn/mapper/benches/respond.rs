//! What one query costs without sockets: a steered name with EDNS Client Subnet, of 1 000 names, and other kinds beside it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use criterion::{Criterion, criterion_group, criterion_main};
use domain::utils::base64;
use mapper::authority::cookies::Secrets;
use mapper::authority::dnssec::{Key, Signer};
use mapper::authority::load::{Plan, parse};
use mapper::authority::rates::Rates;
use mapper::authority::zone::Zones;
use mapper::authority::{Authority, Current, Settings};
use mapper::dns::name::{self, Table};
use mapper::network::{NameServer, ServiceId};
use mapper::respond::{Asked, Now, Respond as _, Transport};
use mapper::steer::{Client, Scopes, Steerable, Steered, Steering};

const NAMES: usize = 1000;
const QUERIES: usize = 10_000;
const ZONE: &str =
    "$TTL 1800\n@ SOA n0g.cdn.test. admin.cdn.test. 1 2 3 4 60\n@ NS n0g.cdn.test.\nlocal CNAME a1\n";

/// Answers by a table of names and one of prefixes: what a map does at least.
struct Prepared {
    names: Table<u64>,
    answers: Vec<[Ipv4Addr; 2]>,
}

impl Steering for Prepared {
    fn find(&self, labels: &[u8]) -> Option<Steerable> {
        self.names.get(labels).map(|content| Steerable {
            service: ServiceId(0),
            content: *content,
            wildcard: None,
        })
    }

    fn is_above_names(&self, _: &[u8]) -> bool {
        false
    }

    fn steer(&mut self, name: Steerable, client: Client, _: u32) -> Steered<'_> {
        let IpAddr::V4(address) = client.address else {
            return Steered::Addresses { v4: &[], v6: &[], ttl: 20, scopes: Scopes::default() };
        };
        let unit = u64::from(u32::from(address) >> 8);
        let at = (unit ^ name.content) as usize % self.answers.len();
        Steered::Addresses { v4: &self.answers[at], v6: &[], ttl: 20, scopes: Scopes::both(24) }
    }

    fn https(&self, _: Steerable) -> Option<&[u8]> {
        None
    }

    fn name_servers(&mut self, _: IpAddr) -> &[NameServer] {
        &[]
    }

    fn epoch(&self) -> u64 {
        1
    }

    fn refresh(&mut self) {}
}

fn authority(rates: Option<Rates>, signed: bool) -> Option<Authority<Prepared>> {
    let zone = parse(ZONE, Path::new("bench.zone"), "g.cdn.test.", &Plan::Low).ok()?;
    let zone = if signed { zone.signed(signer()?) } else { zone };
    let settings = Settings {
        rates,
        cookies: Some(Secrets { current: [7; 16], others: Vec::new() }),
        ..Settings::new(Zones::new(vec![Arc::new(zone)]))
    };
    let mut names = Table::default();
    for at in 0..NAMES {
        let label = format!("a{at}");
        names.insert([&[label.len() as u8], label.as_bytes()].concat().into(), name::hash(label.as_bytes()));
    }
    let answers = (0..4096_u32)
        .map(|at| [Ipv4Addr::from(0xc000_0000 | at), Ipv4Addr::from(0xc010_0000 | at)])
        .collect();
    Some(Authority::new(
        Current::new(arc_swap::ArcSwap::from_pointee(settings)),
        Prepared { names, answers },
        [1; 16],
    ))
}

/// A key made for this run.
fn signer() -> Option<Signer> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let secret = AsBigEndian::<EcPrivateKeyBin<'_>>::as_be_bytes(&pair.private_key()).ok()?;
    let private = format!("PrivateKey: {}\n", base64::encode_string(secret.as_ref()));
    let public = format!(
        "g.cdn.test. IN DNSKEY 257 3 13 {}\n",
        base64::encode_string(&pair.public_key().as_ref()[1..])
    );
    let apex = name::from_text("g.cdn.test.").ok()?;
    let key = Key::parse(&private, &public, &apex, Path::new("K")).ok()?;
    Some(Signer::new(&apex, vec![key], 7 * 86_400, 3600))
}

/// A query for a name, with these options in its OPT record.
fn query(name: &str, options: &[u8], flags: u8) -> Vec<u8> {
    let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, flags, 0, 0, options.len() as u8]);
    query.extend_from_slice(options);
    query
}

fn run(criterion: &mut Criterion) {
    let by_subnet: Vec<_> = (0..QUERIES)
        .map(|at| {
            let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 10 + (at % 100) as u8, (at / 100) as u8, 7];
            query(&format!("a{}.g.cdn.test", at * 7 % NAMES), &subnet, 0)
        })
        .collect();
    let signed: Vec<_> = by_subnet
        .iter()
        .map(|query| {
            let mut query = query.clone();
            let flags_at = query.len() - 11 - 4;
            query[flags_at] = 0x80;
            query
        })
        .collect();
    let plain: Vec<_> =
        (0..QUERIES).map(|at| query(&format!("a{}.g.cdn.test", at * 7 % NAMES), &[], 0)).collect();
    let cookie: Vec<_> = (0..QUERIES)
        .map(|at| {
            query(
                &format!("a{}.g.cdn.test", at * 7 % NAMES),
                &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, at as u8],
                0,
            )
        })
        .collect();
    let alias = vec![query("local.g.cdn.test", &[], 0)];
    let missing = vec![query("missing.g.cdn.test", &[], 0)];
    let cases = [
        ("a with subnet", &by_subnet, None),
        ("a with subnet, signed", &signed, None),
        ("a with subnet, rates limited", &by_subnet, Some(Rates { positive: 1 << 20, ..Rates::default() })),
        ("a", &plain, None),
        ("a with cookie", &cookie, None),
        ("alias", &alias, None),
        ("no such name", &missing, None),
    ];
    for (case, queries, rates) in cases {
        let Some(mut authority) = authority(rates, case.ends_with("signed")) else { return };
        let mut response = vec![0; 4096];
        let mut at = 0;
        criterion.bench_function(case, |bencher| {
            bencher.iter(|| {
                at = if at + 1 == queries.len() { 0 } else { at + 1 };
                let asked = Asked {
                    now: Now { unix: 1_800_000_000, monotonic: 1 },
                    peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 4053),
                    local: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    transport: Transport::Udp,
                    query: black_box(&queries[at]),
                };
                black_box(authority.respond(&asked, &mut response))
            });
        });
    }
}

criterion_group!(benches, run);
criterion_main!(benches);
