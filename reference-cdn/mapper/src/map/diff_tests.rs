use proptest::prelude::*;

use super::churn::{Bounds, Churn, churn};
use super::diff::{Difference, Options, Side, diff, diff_with};
use crate::conditions::{Conditions, Standing};
use crate::network::{Network, Server, ServerId, SiteId, UnitId};
use crate::sample;

fn compare(old: (&Network, &Conditions), new: (&Network, &Conditions)) -> Difference {
    let side = |(network, conditions)| Side { network, conditions };
    diff(side(old), side(new), Options::default())
}

/// Without the servers for which `gone` holds.
fn without(network: &Network, gone: impl Fn(usize, &Server) -> bool) -> Network {
    let mut other = network.clone();
    let kept: Vec<bool> = network.servers.iter().enumerate().map(|(at, server)| !gone(at, server)).collect();
    let mut keep = kept.iter();
    other.servers.retain(|_| *keep.next().unwrap());
    let mut keep = kept.iter();
    other.server_names.retain(|_| *keep.next().unwrap());
    let mut next = 0;
    for (site, number) in other.sites.iter_mut().zip(0..) {
        let count = other.servers.iter().filter(|server| server.site == SiteId(number)).count() as u32;
        site.servers = next..next + count;
        next += count;
    }
    other
}

#[test]
fn the_same_map_differs_in_nothing() {
    let network = sample::network(&[4, 4, 4]);
    let calm = Conditions::calm(&network);
    assert_eq!(churn((&network, &calm), (&network, &calm)), Churn::default());
    let none = compare((&network, &calm), (&network, &calm));
    assert!(none.is_none(), "{none:?}");
}

#[test]
fn a_failed_site_moves_its_clients() {
    let network = sample::network(&[4, 4, 4]);
    let calm = Conditions::calm(&network);
    let mut failed = calm.clone();
    failed.servers[..4].iter_mut().for_each(|now| now.standing = Standing::Failed);
    let found = churn((&network, &calm), (&network, &failed));
    // A third of the units, but for those outside of 10.0.0.0/16 that fall to unit 0, which is a unit of site 0 as well.
    assert!((330_000..345_000).contains(&found.demand), "{found:?}");
    assert_eq!(found.capacity_lost, 333_334);
    assert_eq!((found.servers_lost, found.sites_lost), (0, 0));
    let held = found.admit(&Bounds::default(), false).unwrap_err();
    assert!(held.to_string().starts_with("the map is held back: 33."), "{held}");
    assert!(
        held.to_string().contains("33.33 % of the capacity is gone or withdrawn, of at most 20.00 %"),
        "{held}"
    );
    assert!(found.admit(&Bounds::default(), true).is_ok());

    let report = compare((&network, &calm), (&network, &failed));
    assert_eq!(
        (report.moves.len(), &report.moves[0].from[..], &report.moves[0].to[..]),
        (1, "site0", "site1")
    );
    // All of it meets the servers of site 1 that carry these names already.
    assert_eq!(report.misses, 0);
    insta::assert_snapshot!(report.to_text());
}

#[test]
fn a_lost_server_moves_its_content_and_no_more() {
    let old = sample::network(&[10, 10]);
    let new = without(&old, |at, _| at == 3);
    let (calm, after) = (Conditions::calm(&old), Conditions::calm(&new));
    let found = churn((&old, &calm), (&new, &after));
    assert_eq!((found.servers_lost, found.demand), (50_000, 0));
    let options = Options { top: 3, names: 2000 };
    let report =
        diff(Side { network: &old, conditions: &calm }, Side { network: &new, conditions: &after }, options);
    // Half the load is at its site; of the names there two of ten servers carry each, so that a tenth of all holders is new.
    assert!((30_000..70_000).contains(&report.misses), "{}", report.misses);
    assert_eq!(report.misses_by_site.len(), 1);
    assert_eq!((report.servers[0].server.as_str(), report.servers[0].after), ("s0-3", 0));
    assert_eq!((report.servers_added, report.servers_removed), (0, 1));
}

#[test]
fn sites_that_vanish_at_once_hold_a_map_back() {
    let old = sample::network(&[2; 20]);
    let mut new = sample::network(&[2; 18]);
    new.units = old.units.clone();
    new.units.ranked.iter_mut().filter(|ranked| ranked.site.0 >= 18).for_each(|ranked| ranked.site.0 -= 18);
    let found = churn((&old, &Conditions::calm(&old)), (&new, &Conditions::calm(&new)));
    assert_eq!((found.sites_lost, found.servers_lost), (100_000, 100_000));
    let held = found.admit(&Bounds { demand: 1_000_000, ..Bounds::default() }, false).unwrap_err();
    assert_eq!(held.reasons, ["10.00 % of the sites are gone, of at most 5.00 %"]);
}

#[test]
fn demand_weighs_what_moves() {
    let old = sample::network(&[2, 2]);
    let mut old = old;
    old.units.demand.iter_mut().for_each(|demand| *demand = 0);
    old.units.demand[7] = 1_000_000;
    let mut new = old.clone();
    new.units.ranked[14].site = SiteId(0);
    new.units.ranked[15].site = SiteId(1);
    let calm = Conditions::calm(&old);
    let found = churn((&old, &calm), (&new, &calm));
    assert_eq!(old.units.ranking(UnitId(7))[0].site, SiteId(1));
    assert_eq!(found.demand, 1_000_000);
    assert!(found.prefixes < 10_000, "{found:?}");
    let report = compare((&old, &calm), (&new, &calm));
    assert_eq!((report.moves[0].demand, report.moves[0].prefixes), (1_000_000, 2));
}

/// Loads of a placement that is known: the first server of a site gets everything.
#[test]
fn loads_follow_the_placement() {
    let network = sample::network(&[3, 3]);
    let calm = Conditions::calm(&network);
    let side = Side { network: &network, conditions: &calm };
    let mut second = network.clone();
    second.units.ranked.iter_mut().for_each(|ranked| ranked.site = SiteId(1));
    let other = Side { network: &second, conditions: &calm };
    let first = |side: Side<'_>, _, site: SiteId, _| {
        vec![ServerId(side.network.sites[site.0 as usize].servers.start)]
    };
    let report = diff_with(side, other, Options::default(), &first);
    let rows: Vec<(&str, u32, u32)> =
        report.servers.iter().map(|row| (row.server.as_str(), row.before, row.after)).collect();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter().any(|(server, _, after)| *server == "s1-0" && (999_000..=1_000_000).contains(after)),
        "{rows:?}"
    );
    assert!(
        rows.iter().any(|(server, before, after)| *server == "s0-0" && *before > 400_000 && *after == 0),
        "{rows:?}"
    );
}

proptest! {
    #[test]
    fn any_two_maps_can_be_compared(a in sample::any_map(), b in sample::any_map()) {
        let (mut a, mut b) = (a, b);
        for network in [&mut a.0, &mut b.0] {
            // Services are told apart by name, which an operator's are.
            network.services.iter_mut().zip(0..).for_each(|(service, number)| service.name = format!("s{number}"));
        }
        let report = compare((&a.0, &a.1), (&b.0, &b.1));
        prop_assert!(report.misses <= 1_000_001);
        prop_assert!(report.churn.demand <= 1_000_000 && report.churn.capacity_lost <= 1_000_000);
        let json = serde_json::to_string(&report).unwrap();
        prop_assert!(json.contains("misses"));
        prop_assert!(!report.to_text().is_empty());
        let same = compare((&a.0, &a.1), (&a.0, &a.1));
        prop_assert!(same.is_none(), "{:?}", same);
    }
}
