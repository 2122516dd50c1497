use proptest::prelude::*;

use super::placement::Drawn;
use super::*;
use crate::conditions::{Conditions, Hot, Standing};
use crate::map::{Epoch, Map, Published, Steerer, content_of, route_of};
use crate::network::{Fallback, ServerId, UnitId};
use crate::sample::{any_map, any_server_now, network};
use crate::steer::{Client, Scopes, Steered, Steering};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

fn placed(network: &Network, conditions: &Conditions, content: u64) -> Vec<ServerId> {
    let placed = Placed {
        service: &network.services[0],
        content,
        family: Family::V4,
        site: SiteId(0),
        strictness: Strictness::Serving,
    };
    placement(network, conditions, &placed, &mut Vec::<Drawn>::new(), &mut ()).as_slice().to_vec()
}

fn contents(count: u32) -> impl Iterator<Item = u64> {
    (0..count).map(|number| content_of(format!("a{number}").as_bytes()))
}

#[test]
fn content_falls_on_servers_by_their_capacity() {
    let mut network = network(&[8]);
    network.services[0].copies = 1;
    network.services[0].near = 1;
    for (at, server) in network.servers.iter_mut().enumerate() {
        (server.capacity, server.rack) = (if at < 4 { 1 } else { 3 }, 0);
    }
    let calm = Conditions::calm(&network);
    let mut counts = [0_u32; 8];
    for content in contents(16_000) {
        counts[placed(&network, &calm, content)[0].0 as usize] += 1;
    }
    for (at, count) in counts.iter().enumerate() {
        let expected = if at < 4 { 1_000 } else { 3_000 };
        assert!(count.abs_diff(expected) < expected / 8, "server {at} carries {count}, not about {expected}");
    }
}

#[test]
fn copies_are_in_different_racks() {
    let network = network(&[8]);
    let calm = Conditions::calm(&network);
    for content in contents(500) {
        let holders = placed(&network, &calm, content);
        let racks: std::collections::BTreeSet<_> =
            holders.iter().map(|server| network.servers[server.0 as usize].rack).collect();
        assert_eq!(racks.len(), 2);
    }
}

#[test]
fn a_server_that_fails_moves_only_names_that_it_had_and_gets_them_back() {
    let network = network(&[16]);
    let calm = Conditions::calm(&network);
    let mut failed = calm.clone();
    failed.servers[5].standing = Standing::Failed;
    let mut moved = 0;
    for content in contents(8_000) {
        let (before, after) = (placed(&network, &calm, content), placed(&network, &failed, content));
        assert_eq!(after.len(), 2);
        if before.contains(&ServerId(5)) {
            moved += 1;
            assert_eq!(before.iter().filter(|server| !after.contains(server)).count(), 1);
        } else {
            assert_eq!(before, after);
        }
    }
    // Two of sixteen carry each name.
    assert!((800..1_200).contains(&moved), "{moved} of 8 000 names were on one of 16 servers");
}

#[test]
fn what_a_failed_server_had_is_not_given_to_busy_ones() {
    let network = network(&[8]);
    let mut conditions = Conditions::calm(&network);
    conditions.servers[0].standing = Standing::Failed;
    for at in 1..5 {
        conditions.servers[at].busy = true;
    }
    let home = Conditions::calm(&network);
    for content in contents(2_000) {
        let before = placed(&network, &home, content);
        for server in placed(&network, &conditions, content) {
            let had_it = before.contains(&server);
            assert!(had_it || !conditions.server(server).busy, "a busy server was given something new");
        }
    }
}

#[test]
fn a_hot_name_goes_to_more_servers_and_moves_nothing_else() {
    let network = network(&[12]);
    let mut conditions = Conditions::calm(&network);
    let hot = content_of(b"hot");
    let others: Vec<_> = contents(500).map(|content| placed(&network, &conditions, content)).collect();
    let mut before = placed(&network, &conditions, hot);
    for copies in 3..=12 {
        conditions.hot = vec![Hot { site: SiteId(0), content: hot, copies }];
        let after = placed(&network, &conditions, hot);
        assert_eq!(after.len(), usize::from(copies));
        assert!(before.iter().all(|server| after.contains(server)));
        before = after;
    }
    assert!(
        contents(500).zip(others).all(|(content, before)| placed(&network, &conditions, content) == before)
    );
}

#[test]
fn a_busy_server_shares_the_part_of_its_content_that_its_spread_says() {
    let network = network(&[16]);
    let mut conditions = Conditions::calm(&network);
    let share = |conditions: &Conditions| {
        let mut counts = [0_usize; 4];
        for content in contents(8_000) {
            let holders = placed(&network, conditions, content);
            if holders[..2].contains(&ServerId(3)) {
                counts[(holders.len() - 2).min(3)] += 1;
            } else {
                assert_eq!(holders.len(), 2);
            }
        }
        counts.map(|count| count * 100 / counts.iter().sum::<usize>())
    };
    conditions.servers[3] =
        crate::conditions::ServerNow { standing: Standing::Serving, busy: true, spread: 16 };
    let [none, one, ..] = share(&conditions);
    assert!((70..80).contains(&none) && (20..30).contains(&one), "{none} {one}");
    conditions.servers[3].spread = 64 + 32;
    let [none, one, two, _] = share(&conditions);
    assert!(none == 0 && (45..55).contains(&one) && (45..55).contains(&two), "{none} {one} {two}");
}

#[test]
fn clients_are_spread_over_all_who_carry_a_hot_name() {
    let mut network = network(&[12]);
    network.servers[0].capacity = 4;
    let mut conditions = Conditions::calm(&network);
    let hot = content_of(b"hot");
    conditions.hot = vec![Hot { site: SiteId(0), content: hot, copies: 12 }];
    let mut named = vec![0; 12];
    for part in 0..PARTS {
        let question = Question {
            service: ServiceId(0),
            content: hot,
            family: Family::V4,
            route: Route { near: Some(SiteId(0)), elsewhere: None },
            part,
            strictness: Strictness::Serving,
        };
        let choice = choose(&network, &conditions, &question, &mut Vec::new(), &mut ());
        assert!(choice.servers().len() == 2);
        // Of 15 shares of capacity 4 are the first server's, and there are 64 parts.
        let alike = choice.alike.count_ones();
        assert!(choice.alike >> part & 1 == 1 && (4..=18).contains(&alike), "{part}: {:b}", choice.alike);
        named[choice.servers()[0].0 as usize] += 1;
    }
    assert_eq!(named.iter().sum::<i32>(), i32::from(PARTS));
    // 15 shares of capacity, 64 parts.
    assert!((16..=18).contains(&named[0]), "{named:?}");
    assert!(named[1..].iter().all(|count| (4..=5).contains(count)), "{named:?}");
}

fn steerer(network: &Network, conditions: &Conditions) -> Steerer {
    let map = Map::new(Epoch(1), Arc::new(network.clone()), conditions.clone(), 4);
    Steerer::new(Published::new(Arc::new(map)), 64)
}

type Answer = (Vec<Ipv4Addr>, Vec<Ipv6Addr>, bool);

fn ask(steerer: &mut Steerer, host: &str, address: IpAddr) -> Option<(Answer, Scopes)> {
    let name = steerer.find(&crate::map::wire_of(host).unwrap())?;
    let length = if address.is_ipv4() { 32 } else { 128 };
    Some(match steerer.steer(name, Client { address, length }, 0) {
        Steered::Addresses { v4, v6, scopes, .. } => ((v4.to_vec(), v6.to_vec(), false), scopes),
        Steered::Alias { scope, .. } => ((vec![], vec![], true), Scopes::both(scope)),
    })
}

/// What the decision says, without any table.
fn oracle(network: &Network, conditions: &Conditions, service: usize, content: u64, unit: UnitId) -> Answer {
    let id = ServiceId(service as u32);
    let mut answer: Answer = Default::default();
    let (mut alias, mut able_of) = ([false; 2], [false; 2]);
    let needs = network.services[service].needs;
    for family in Family::ALL {
        let able = network.servers.iter().any(|server| server.features & needs == needs && family.of(server));
        let Some(route) = route_of(network, conditions, id, family, unit) else { continue };
        let last_known = network.services[service].fallback == Fallback::LastKnown;
        let strictness = Usable::count(network, conditions, needs, family, last_known).strictness;
        let part = part_of_unit(network.units.keys[unit.0 as usize]);
        let question = Question { service: id, content, family, route, part, strictness };
        let choice = choose(network, conditions, &question, &mut Vec::new(), &mut ());
        answer.2 |= choice.how == How::Alias;
        able_of[family as usize] = able;
        alias[family as usize] = choice.how == How::Alias;
        if !able {
            continue;
        }
        for server in choice.servers() {
            match family {
                Family::V4 => answer.0.extend(network.servers[server.0 as usize].v4),
                Family::V6 => answer.1.extend(network.servers[server.0 as usize].v6),
            }
        }
    }
    // IPv4 decides, if the service has it.
    let other_name = match able_of {
        [true, _] => alias[0],
        [false, true] => alias[1],
        [false, false] => answer.2,
    };
    if other_name { (vec![], vec![], true) } else { (answer.0, answer.1, false) }
}

fn unit_of(network: &Network, address: IpAddr) -> UnitId {
    match address {
        IpAddr::V4(address) => network.prefixes.unit_v4(address).unwrap(),
        IpAddr::V6(address) => network.prefixes.unit_v6(address).unwrap(),
    }
}

/// Addresses at which anything can change, and some others.
fn probes(network: &Network, others: &[u64]) -> Vec<IpAddr> {
    let v4 = network.prefixes.v4.iter().flat_map(|(start, _)| [*start, start.wrapping_sub(1)]);
    let v6 = network.prefixes.v6.iter().flat_map(|(start, _)| [*start, start.wrapping_sub(1)]);
    v4.chain(others.iter().map(|other| *other as u32))
        .map(|bits| IpAddr::V4(bits.into()))
        .chain(v6.chain(others.iter().copied()).map(|bits| IpAddr::V6((u128::from(bits) << 64).into())))
        .collect()
}

fn in_scope(client: IpAddr, other: IpAddr, scope: u8) -> bool {
    match (client, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            scope == 0 || (u32::from(a) ^ u32::from(b)).leading_zeros() >= u32::from(scope)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            scope == 0 || (u128::from(a) ^ u128::from(b)).leading_zeros() >= u32::from(scope)
        }
        _ => false,
    }
}

proptest! {
    /// Tables, kept answers and scopes say what the decision says, whatever the map.
    #[test]
    fn a_steerer_answers_as_the_decision_for_all_in_scope(
        (network, conditions) in any_map(),
        others in proptest::collection::vec(any::<u64>(), 4),
    ) {
        let mut steerer = steerer(&network, &conditions);
        let probes = probes(&network, &others);
        for service in 0..network.services.len() {
            for letter in ["a", "b"] {
                let host = format!("{letter}{service}");
                let content = content_of(&crate::map::wire_of(&host).unwrap());
                for client in &probes {
                    let (answer, scopes) = ask(&mut steerer, &host, *client).unwrap();
                    let expected = oracle(&network, &conditions, service, content, unit_of(&network, *client));
                    prop_assert_eq!(&answer, &expected, "{} from {}", host, client);
                    for other in &probes {
                        let (same, its) = ask(&mut steerer, &host, *other).unwrap();
                        prop_assert_eq!(answer.2, same.2);
                        if in_scope(*client, *other, scopes.v4) {
                            prop_assert_eq!(&answer.0, &same.0, "{} and {} within {}", client, other, scopes.v4);
                            prop_assert_eq!(scopes.v4, its.v4, "scopes overlap: {} and {}", client, other);
                        }
                        if in_scope(*client, *other, scopes.v6) {
                            prop_assert_eq!(&answer.1, &same.1, "{} and {} within {}", client, other, scopes.v6);
                            prop_assert_eq!(scopes.v6, its.v6, "scopes overlap: {} and {}", client, other);
                        }
                    }
                }
            }
        }
    }

    /// Answers that stay ready from map to map are those of the map that is there.
    #[test]
    fn a_steerer_that_lives_through_many_maps_answers_as_a_new_one(
        (network, mut conditions) in any_map(),
        changes in proptest::collection::vec((0_u8..6, any::<prop::sample::Index>(), any_server_now()), 1..8),
        others in proptest::collection::vec(any::<u64>(), 2),
    ) {
        let mut network = Arc::new(network);
        let probes = probes(&network, &others);
        let mut map = Arc::new(Map::new(Epoch(1), Arc::clone(&network), conditions.clone(), 4));
        let published = Published::new(Arc::clone(&map));
        let mut steerer = Steerer::new(Arc::clone(&published), 64);
        for (epoch, (kind, index, now)) in (2..).zip(changes) {
            match kind {
                0 | 1 if !network.servers.is_empty() => {
                    conditions.servers[index.index(network.servers.len())] = now;
                }
                2 => {
                    let site = &mut conditions.sites[index.index(network.sites.len())];
                    (site.shifted, site.names_down) = (now.spread.min(u16::from(PARTS)) as u8, now.busy);
                }
                3 => {
                    let at = index.index(conditions.hot.len());
                    conditions.hot[at].copies = now.spread % 8;
                }
                4 => {
                    let units = &mut Arc::make_mut(&mut network).units;
                    units.keys.rotate_left(1);
                    units.ranked.reverse();
                }
                5 if !network.servers.is_empty() => {
                    let servers = &mut Arc::make_mut(&mut network).servers;
                    let at = index.index(servers.len());
                    servers[at].capacity += 1;
                }
                _ => {}
            }
            let next = if Arc::ptr_eq(&map.network, &network) {
                map.next(Epoch(epoch), conditions.clone())
            } else {
                map.renew(Epoch(epoch), Arc::clone(&network), conditions.clone())
            };
            map = Arc::new(next);
            published.publish(Arc::clone(&map));
            steerer.refresh();
            let fresh = Arc::new(Map::new(Epoch(epoch), Arc::clone(&network), conditions.clone(), 4));
            let mut other = Steerer::new(Published::new(fresh), 64);
            for (host, client) in (0..network.services.len())
                .flat_map(|service| [format!("a{service}"), format!("b{service}")])
                .flat_map(|host| probes.iter().map(move |client| (host.clone(), *client)))
            {
                let (answer, expected) = (ask(&mut steerer, &host, client), ask(&mut other, &host, client));
                prop_assert_eq!(answer, expected, "{} from {} in epoch {}", host, client, epoch);
            }
            for client in &probes {
                prop_assert_eq!(map.name_servers(*client), other.name_servers(*client));
            }
        }
    }

    /// A scope one bit shorter would take in a client that is answered otherwise.
    #[test]
    fn a_wider_scope_would_hold_another_answer(
        (network, conditions) in any_map(),
        others in proptest::collection::vec(any::<u64>(), 4),
    ) {
        let mut steerer = steerer(&network, &conditions);
        let probes = probes(&network, &others);
        let services = 0..network.services.len();
        for host in services.flat_map(|service| [format!("a{service}"), format!("b{service}")]) {
            let mut ask = |client: &IpAddr| (*client, ask(&mut steerer, &host, *client).unwrap());
            let all: Vec<_> = probes.iter().map(&mut ask).collect();
            for (client, (answer, scopes)) in &all {
                let differs = |scope: u8, differs: &dyn Fn(&Answer) -> bool| {
                    let wider = |(other, _): &&(IpAddr, _)| in_scope(*client, *other, scope - 1);
                    scope == 0 || all.iter().filter(wider).any(|(_, (other, _))| other.2 != answer.2 || differs(other))
                };
                let v4 = differs(scopes.v4, &|other| other.0 != answer.0);
                prop_assert!(v4, "{} from {}: IPv4 {:?} has scope {}", host, client, answer, scopes.v4);
                let v6 = differs(scopes.v6, &|other| other.1 != answer.1);
                prop_assert!(v6, "{} from {}: IPv6 {:?} has scope {}", host, client, answer, scopes.v6);
            }
        }
    }

    /// Whatever the state, nobody is named who was withdrawn; and those who failed or are overloaded only where it is said.
    #[test]
    fn a_withdrawn_server_is_never_named((network, conditions) in any_map(), part in 0..PARTS) {
        for (service, content, family) in (0..network.services.len())
            .flat_map(|service| contents(5).map(move |content| (service, content)))
            .flat_map(|(service, content)| Family::ALL.map(|family| (service, content, family)))
        {
            let id = ServiceId(service as u32);
            let last_known = network.services[service].fallback == Fallback::LastKnown;
            let usable = Usable::count(&network, &conditions, network.services[service].needs, family, last_known);
            for unit in 0..network.units.len() {
                let unit = UnitId(unit as u32);
                let Some(route) = route_of(&network, &conditions, id, family, unit) else { continue };
                let question = Question { service: id, content, family, route, part, strictness: usable.strictness };
                let choice = choose(&network, &conditions, &question, &mut Vec::new(), &mut ());
                for server in choice.servers() {
                    let standing = conditions.server(*server).standing;
                    let may = match choice.how {
                        How::Steered => standing == Standing::Serving,
                        How::Overloaded => matches!(standing, Standing::Serving | Standing::Overloaded),
                        _ => standing != Standing::Withdrawn,
                    };
                    prop_assert!(may, "{:?} is named although {:?}: {:?}", server, standing, choice);
                    let needs = network.services[service].needs;
                    prop_assert_eq!(network.servers[server.0 as usize].features & needs, needs);
                }
                let mut seen = choice.servers().to_vec();
                seen.sort();
                seen.dedup();
                prop_assert_eq!(seen.len(), choice.servers().len(), "named twice");
            }
        }
    }
}

#[test]
fn a_site_that_sheds_a_unit_is_not_named_as_the_one_elsewhere() {
    let network = network(&[2, 2, 2]);
    let mut conditions = Conditions::calm(&network);
    conditions.sites[0].shifted = PARTS;
    let usable = Usable::count(&network, &conditions, 0, Family::V4, true);
    let route = |ranking: &[Ranked]| {
        let route = sites::sites(&network, &conditions, &usable, 1, ranking, true, &mut ());
        (route.near.map(|site| site.0), route.elsewhere.map(|site| site.0))
    };
    let mut ranking = network.units.ranking(crate::network::UnitId(0)).to_vec();
    assert_eq!(route(&ranking), (Some(1), Some(2)));
    // Where the other one is far too far away, better the one that sheds.
    ranking[2].score = 1_000_000;
    assert_eq!(route(&ranking), (Some(1), Some(0)));
}
