//! Small networks for tests.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::conditions::{Conditions, Hot, PARTS, ServerNow, SiteNow, Standing};
use crate::decide::mix;
use crate::map::content_of;
use crate::network::{
    Fallback, NameServer, Network, Order, Prefixes, Ranked, Server, Service, Site, SiteId, UnitId, Units,
};

pub fn service(hosts: &[&str]) -> Service {
    Service {
        name: "web".into(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        needs: 0,
        copies: 2,
        near: 2,
        elsewhere: 0,
        ttl: 20,
        order: Order::Fixed,
        fallback: Fallback::LastKnown,
        https: None,
    }
}

/// Sites with so many servers each, all alike; one unit for each /24 below 10.0.0.0/16, nearest to the sites in turn.
pub fn network(servers: &[usize]) -> Network {
    let mut network = Network { features: vec!["video".into()], ..Network::default() };
    for (at, count) in servers.iter().enumerate() {
        let first = network.servers.len() as u32;
        for number in 0..*count {
            let name = format!("s{at}-{number}");
            network.servers.push(Server {
                key: mix(content_of(name.as_bytes())),
                site: SiteId(at as u32),
                v4: Some(Ipv4Addr::new(192, 0, at as u8, number as u8)),
                v6: Some(Ipv6Addr::new(0x2001, 0xdb8, at as u16, 0, 0, 0, 0, number as u16)),
                capacity: 1,
                rack: (number % 4) as u16,
                features: 0,
            });
            network.server_names.push(name);
        }
        network.sites.push(Site {
            name: format!("site{at}"),
            domain: at as u32,
            latitude: 0.0,
            longitude: at as f32,
            asn: 0,
            bandwidth: 0,
            servers: first..network.servers.len() as u32,
            name_servers: vec![
                NameServer { v4: Some(Ipv4Addr::new(198, 51, 100, at as u8 * 2)), v6: None },
                NameServer { v4: Some(Ipv4Addr::new(198, 51, 100, at as u8 * 2 + 1)), v6: None },
            ],
        });
    }
    network.services.push(service(&["a0", "a1", "a2", "*"]));
    let mut units = Units::default();
    let mut prefixes = Prefixes { v4: vec![(0, UnitId(0))], v6: vec![(0, UnitId(0))] };
    for third in 0..=255_u32 {
        let ranking: Vec<_> = (0..servers.len())
            .map(|step| Ranked {
                site: SiteId(((third as usize + step) % servers.len()) as u32),
                score: 10_000 * (step as u32 + 1),
                confidence: 255,
            })
            .collect();
        let unit = units.push(mix(u64::from(third)), 1, &ranking);
        prefixes.v4.push(((10 << 24) | (third << 8), unit));
        prefixes.v6.push((0x2001_0db8_0000_0000 + u64::from(third), unit));
    }
    prefixes.v4.push(((10 << 24) | (1 << 16), UnitId(0)));
    prefixes.v6.push((0x2001_0db8_0000_0100, UnitId(0)));
    (network.units, network.prefixes) = (units, prefixes);
    network
}

/// Any network of up to 6 sites and 40 servers, with any conditions.
pub fn any_map() -> impl Strategy<Value = (Network, Conditions)> {
    let site = (0_u32..3, proptest::collection::vec(any_server(), 0..8));
    let sites = proptest::collection::vec(site, 1..6);
    let services = proptest::collection::vec(any_service(), 1..4);
    let units = proptest::collection::vec((any::<u64>(), proptest::collection::vec(0_u32..6, 0..6)), 1..12);
    let cuts4 = proptest::collection::btree_map(any_cut(), any::<prop::sample::Index>(), 0..24);
    let cuts6 = proptest::collection::btree_map(any_cut(), any::<prop::sample::Index>(), 0..24);
    let now = proptest::collection::vec(any_server_now(), 40);
    let shifted = proptest::collection::vec(prop_oneof![3 => Just(0), 1 => 0..=PARTS], 6);
    (sites, services, units, cuts4, cuts6, now, shifted).prop_map(
        |(sites, services, units, cuts4, cuts6, now, shifted)| {
            let mut network = network(&[]);
            (network.services, network.units, network.prefixes) = Default::default();
            for (at, (domain, servers)) in sites.iter().enumerate() {
                let first = network.servers.len() as u32;
                for (number, (family, capacity, rack, features)) in servers.iter().enumerate() {
                    let name = format!("s{at}-{number}");
                    network.servers.push(Server {
                        key: mix(content_of(name.as_bytes())),
                        site: SiteId(at as u32),
                        v4: (family & 1 == 0).then(|| Ipv4Addr::new(192, 0, at as u8, number as u8)),
                        v6: (family & 2 == 0)
                            .then(|| Ipv6Addr::new(0x2001, 0xdb8, at as u16, 0, 0, 0, 0, number as u16)),
                        capacity: *capacity,
                        rack: *rack,
                        features: *features,
                    });
                    network.server_names.push(name);
                }
                network.sites.push(Site {
                    name: format!("site{at}"),
                    domain: *domain,
                    latitude: 0.0,
                    longitude: 0.0,
                    asn: 0,
                    bandwidth: 0,
                    servers: first..network.servers.len() as u32,
                    name_servers: vec![NameServer {
                        v4: Some(Ipv4Addr::new(198, 51, 100, at as u8)),
                        v6: None,
                    }],
                });
            }
            let count = network.sites.len() as u32;
            for (at, mut service) in services.into_iter().enumerate() {
                service.hosts = vec![format!("a{at}"), format!("b{at}")];
                if let Fallback::Site(site) = &mut service.fallback {
                    site.0 %= count;
                }
                network.services.push(service);
            }
            for (key, sites) in &units {
                let mut ranking: Vec<Ranked> = Vec::new();
                for site in sites {
                    let site = SiteId(site % count);
                    if ranking.iter().all(|ranked| ranked.site != site) {
                        let score = 10_000 * (ranking.len() as u32 + 1);
                        ranking.push(Ranked { site, score, confidence: 0 });
                    }
                }
                network.units.push(*key, 1, &ranking);
            }
            let unit = |index: &prop::sample::Index| UnitId(index.index(units.len()) as u32);
            network.prefixes.v4.push((0, UnitId(0)));
            network.prefixes.v6.push((0, UnitId(0)));
            for (cut, index) in &cuts4 {
                network.prefixes.v4.push((*cut, unit(index)));
            }
            for (cut, index) in &cuts6 {
                network.prefixes.v6.push((u64::from(*cut) << 30, unit(index)));
            }
            network.prefixes.v4.dedup_by_key(|(start, _)| *start);
            network.prefixes.v6.dedup_by_key(|(start, _)| *start);
            let mut conditions = Conditions {
                servers: now[..network.servers.len()].to_vec(),
                sites: shifted[..network.sites.len()]
                    .iter()
                    .map(|shifted| SiteNow { shifted: *shifted, names_down: false })
                    .collect(),
                hot: Vec::new(),
            };
            for site in 0..count {
                let content = content_of(b"\x02a0");
                conditions.hot.push(Hot { site: SiteId(site), content, copies: (site % 4) as u16 });
            }
            (network, conditions)
        },
    )
}

fn any_cut() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (1_u32..64).prop_map(|low| low << 26),
        (0_u32..300).prop_map(|low| (10 << 24) + low)
    ]
}

fn any_server() -> impl Strategy<Value = (u8, u32, u16, u64)> {
    (
        prop_oneof![6 => Just(0_u8), 1 => Just(1), 1 => Just(2)],
        1_u32..4,
        0_u16..3,
        prop_oneof![Just(0), Just(1), Just(3)],
    )
}

fn any_service() -> impl Strategy<Value = Service> {
    let fallback = prop_oneof![
        Just(Fallback::LastKnown),
        (0_u32..6).prop_map(|site| Fallback::Site(SiteId(site))),
        Just(Fallback::Alias("origin.example.".into())),
    ];
    (prop_oneof![Just(0_u64), Just(1), Just(2)], 1_u8..4, 1_u8..4, 0_u8..3, fallback).prop_map(
        |(needs, copies, near, elsewhere, fallback)| Service {
            needs,
            copies,
            near,
            elsewhere,
            fallback,
            ..service(&[])
        },
    )
}

pub fn any_server_now() -> impl Strategy<Value = ServerNow> {
    let standing = prop_oneof![
        4 => Just(Standing::Serving),
        1 => Just(Standing::Overloaded),
        1 => Just(Standing::Failed),
        1 => Just(Standing::Withdrawn),
        1 => Just(Standing::Leaving),
    ];
    (standing, any::<bool>(), prop_oneof![Just(0), 0_u16..200])
        .prop_map(|(standing, busy, spread)| ServerNow { standing, busy, spread })
}
