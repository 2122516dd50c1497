//! Cases that simulations do not come by.

use control::load_report::LoadReport;

use super::*;
use crate::network::Network;
use crate::sample;

const UNIX: u64 = 1_700_000_000_000;

struct Play {
    network: Network,
    watch: Watch,
    rules: Rules,
    now: u64,
}

impl Play {
    fn new(servers: &[usize]) -> Self {
        let (network, watch, rules) = (sample::network(servers), Watch::default(), Rules::default());
        Self { network, watch, rules, now: 1 }
    }

    fn report(&mut self, server: usize, load: u16, change: impl Fn(&mut LoadReport)) -> Taken {
        let mut report = LoadReport {
            server: self.network.server_names[server].clone(),
            started: UNIX,
            number: self.now,
            sent: UNIX + self.now,
            processor: load,
            ..LoadReport::default()
        };
        change(&mut report);
        let key = self.network.servers[server].key;
        self.watch.report(self.now, UNIX + self.now, Some(key), &report, |_| None)
    }

    /// A second in which these servers report.
    fn second(&mut self, reporting: impl IntoIterator<Item = usize>, load: u16) -> Conditions {
        for server in reporting {
            assert_eq!(self.report(server, load, |_| ()), Taken::Taken);
        }
        let conditions = self.watch.step(self.now, &self.network, &self.rules);
        self.now += 1000;
        conditions
    }
}

#[test]
fn who_stays_silent_when_reports_come_again_has_failed() {
    let mut play = Play::new(&[4, 4, 4]);
    for _ in 0..10 {
        play.second(0..12, 300);
    }
    // Five of twelve, at three sites: more likely cut off.
    let heard = |server: &usize| ![0, 1, 4, 5, 8].contains(server);
    for _ in 0..30 {
        let conditions = play.second((0..12).filter(heard), 300);
        assert!(conditions.servers.iter().all(|now| now.standing == Standing::Serving));
    }
    assert!(play.watch.is_blind());
    let mut last = Conditions::default();
    for _ in 0..30 {
        last = play.second(1..12, 300);
    }
    assert!(!play.watch.is_blind());
    let failed = (0..12).filter(|at| last.servers[*at].standing == Standing::Failed).collect::<Vec<_>>();
    assert_eq!(failed, [0]);
}

#[test]
fn many_that_die_at_a_site_where_others_are_heard_are_not_excused_for_ever() {
    for (sites, heard) in
        [(vec![3], vec![2]), (vec![3, 3], vec![1, 2, 4, 5]), (vec![4, 4, 4], vec![1, 2, 3, 6, 7, 10])]
    {
        let mut play = Play::new(&sites);
        let all = sites.iter().sum::<usize>();
        for _ in 0..10 {
            play.second(0..all, 300);
        }
        let mut last = Conditions::default();
        for _ in 0..120 {
            last = play.second(heard.iter().copied(), 300);
        }
        let serving: Vec<usize> =
            (0..all).filter(|at| last.servers[*at].standing == Standing::Serving).collect();
        assert_eq!(serving, heard);
        assert!(!play.watch.is_blind());
    }
}

/// Of most sites nothing at all is heard: they stay as they are, however long it lasts.
#[test]
fn sites_that_are_cut_off_together_stay_as_they_are() {
    for sites in [vec![4], vec![4, 4, 4]] {
        let mut play = Play::new(&sites);
        let all = sites.iter().sum::<usize>();
        for _ in 0..10 {
            play.second(0..all, 300);
        }
        for _ in 0..300 {
            let conditions = play.second(8.min(all)..if sites.len() > 1 { all } else { 0 }, 300);
            assert!(conditions.servers.iter().all(|now| now.standing == Standing::Serving));
        }
        assert!(play.watch.is_blind());
    }
}

#[test]
fn a_clock_that_was_put_back_silences_nobody_for_long() {
    let mut play = Play::new(&[4]);
    let day = 86_400_000;
    assert_eq!(play.report(0, 300, |report| report.started += day), Taken::Taken);
    play.now += 1000;
    // A report of before that somebody kept.
    assert_eq!(play.report(0, 300, |report| report.sent -= 1000), Taken::Old);
    play.now += 20_000;
    assert_eq!(play.report(0, 300, |report| report.sent -= 21_000), Taken::Old);
    assert_eq!(play.report(0, 300, |_| ()), Taken::Taken);
    // The later start is heard again: it was not that one.
    play.now += 1000;
    assert_eq!(play.report(0, 300, |report| report.started += day), Taken::Taken);
    play.now += 1000;
    assert_eq!(play.report(0, 300, |_| ()), Taken::Old);
}

#[test]
fn a_load_that_was_told_long_ago_keeps_nobody_out() {
    let mut play = Play::new(&[4]);
    for _ in 0..3 {
        play.second(1..4, 300);
        play.report(0, 1000, |_| ());
    }
    assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Overloaded);
    let mut last = Conditions::default();
    for _ in 0..120 {
        let (key, rules) = (play.network.servers[0].key, play.rules);
        play.watch.probe(play.now, key, 0, true, &rules);
        last = play.second(1..4, 300);
    }
    assert_eq!(last.servers[0], ServerNow { spread: last.servers[0].spread, ..ServerNow::default() });
}

#[test]
fn no_number_of_a_report_or_a_rule_is_too_much() {
    let mut play = Play::new(&[2, 2]);
    play.network.sites[0].bandwidth = 1;
    play.network.servers.iter_mut().for_each(|server| server.capacity = u32::MAX);
    play.network.units.demand.fill(u32::MAX);
    play.rules = Rules {
        first_leave: 1,
        first: u16::MAX - 1,
        second_leave: 2,
        second: u16::MAX,
        lifetime: 3_599_999,
        silent: u64::MAX,
        ..play.rules
    };
    assert_eq!(play.rules.check(), Ok(()));
    let wild = |report: &mut LoadReport| {
        (report.octets, report.number) = (u64::MAX, u64::MAX - 10 + report.number / 1000);
        report.names = vec![control::load_report::NameLoad { name: "a1".into(), share: 1000 }];
    };
    for _ in 0..5 {
        for server in 0..4 {
            let mut report = LoadReport {
                server: play.network.server_names[server].clone(),
                started: u64::MAX,
                sent: UNIX + play.now,
                number: play.now,
                processor: u16::MAX,
                ..LoadReport::default()
            };
            wild(&mut report);
            let steerable =
                crate::steer::Steerable { service: crate::network::ServiceId(0), content: 7, wildcard: None };
            let key = play.network.servers[server].key;
            play.watch.report(play.now, UNIX + play.now, Some(key), &report, |_| Some(steerable));
        }
        play.watch.step(play.now, &play.network, &play.rules);
        play.now += 1000;
    }
}

#[test]
fn one_kind_of_probe_does_not_hide_that_another_fails() {
    let mut play = Play::new(&[4]);
    let (key, rules) = (play.network.servers[0].key, play.rules);
    let mut last = Conditions::default();
    for _ in 0..5 {
        play.watch.probe(play.now, key, 0, true, &rules);
        play.watch.probe(play.now, key, 1, false, &rules);
        last = play.second(0..4, 300);
    }
    assert_eq!(last.servers[0].standing, Standing::Failed);
}

#[test]
fn a_probe_counts_until_the_next_however_seldom_they_are() {
    let mut play = Play::new(&[4, 4]);
    let (key, rules) = (play.network.servers[0].key, play.rules);
    for second in 0..300 {
        if second % 30 == 0 {
            play.watch.probe(play.now, key, 0, true, &rules);
        }
        // After a minute only probes tell of it.
        let conditions = play.second(usize::from(second > 60)..8, 300);
        assert_eq!(conditions.servers[0].standing, Standing::Serving, "second {second}");
    }
    for second in 0..120 {
        if second % 30 == 0 {
            play.watch.probe(play.now, key, 0, false, &rules);
        }
        play.second(1..8, 300);
    }
    assert_eq!(play.second(1..8, 300).servers[0].standing, Standing::Failed);
}

#[test]
fn probes_that_fail_everywhere_take_nobody_out_who_says_it_is_well() {
    let mut play = Play::new(&[4, 4]);
    let rules = play.rules;
    let keys: Vec<u64> = play.network.servers.iter().map(|server| server.key).collect();
    let second = |play: &mut Play, fails: &dyn Fn(usize) -> bool, reporting: std::ops::Range<usize>| {
        // Not all are probed in the same second.
        for at in (0..8).filter(|at| (play.now / 1000 + *at as u64).is_multiple_of(4)) {
            play.watch.probe(play.now, keys[at], 0, !fails(at), &rules);
        }
        let conditions = play.second(reporting, 300);
        (0..8).filter(|at| conditions.servers[*at].standing == Standing::Failed).collect::<Vec<_>>()
    };
    for _ in 0..20 {
        assert!(second(&mut play, &|_| false, 0..8).is_empty());
    }
    for _ in 0..60 {
        assert!(second(&mut play, &|_| true, 0..8).is_empty());
    }
    assert!(play.watch.is_blind());
    // They were wrong, but for one server.
    let mut failed = Vec::new();
    for _ in 0..60 {
        failed = second(&mut play, &|at| at == 5, 0..8);
    }
    assert_eq!(failed, [5]);
    assert!(!play.watch.is_blind());
    // Of those of whom nothing else is heard they are believed.
    for _ in 0..60 {
        failed = second(&mut play, &|at| at >= 4, 0..4);
    }
    assert_eq!(failed, [4, 5, 6, 7]);
}

#[test]
fn who_is_put_back_serves_though_nothing_was_heard_since_a_restart() {
    let mut play = Play::new(&[4]);
    let key = play.network.servers[1].key;
    play.watch.withdraw(key, true);
    let last = play.second([], 0);
    assert_eq!(last.servers[1].standing, Standing::Withdrawn);
    let mut next = Play::new(&[4]);
    next.watch.resume(next.now, &next.network, &last);
    next.watch.withdraw(key, true);
    assert_eq!(next.second([], 0).servers[1].standing, Standing::Withdrawn);
    next.watch.withdraw(key, false);
    assert_eq!(next.second([], 0).servers[1].standing, Standing::Serving);
}

/// One of two comes back while the other has everything: taking that one out would only turn it round.
#[test]
fn nobody_is_taken_out_for_load_that_the_others_could_not_carry() {
    let mut play = Play::new(&[2]);
    for _ in 0..20 {
        play.report(1, 100, |_| ());
        let conditions = play.second([0], 1100);
        assert!(conditions.servers.iter().all(|now| now.standing == Standing::Serving));
    }
    // Of three, two can do it.
    let mut play = Play::new(&[3]);
    let mut last = Conditions::default();
    for _ in 0..5 {
        play.report(1, 100, |_| ());
        play.report(2, 100, |_| ());
        last = play.second([0], 1100);
    }
    assert_eq!(last.servers[0].standing, Standing::Overloaded);
}

/// Clients that nobody else takes stay, however many are said to go elsewhere; when load is as before, so is everything else.
#[test]
fn what_a_site_sheds_in_vain_is_not_taken_for_less_load() {
    let mut play = Play::new(&[1, 1]);
    // Both want to give clients away, and neither can take any.
    for _ in 0..30 {
        play.second([0, 1], 1000);
    }
    let mut last = Conditions::default();
    for _ in 0..200 {
        last = play.second([0, 1], 560);
    }
    assert_eq!(last.sites.iter().map(|now| now.shifted).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn the_load_of_a_server_that_is_not_named_says_nothing_of_the_others() {
    let mut play = Play::new(&[3]);
    let key = play.network.servers[1].key;
    play.watch.withdraw(key, true);
    let mut last = Conditions::default();
    for _ in 0..100 {
        play.report(1, 1000, |_| ());
        play.report(2, 500, |_| ());
        last = play.second([0], 890);
    }
    assert!(last.servers[0].busy && !last.servers[2].busy, "{:?}", last.servers);
    // However large it is.
    play.network.servers[1].capacity = u32::MAX;
    play.report(1, 1000, |_| ());
    play.second([0, 2], 800);
}

/// All clients near a site are one unit, and it goes. What is left to do there is not theirs.
#[test]
fn who_sent_everybody_away_takes_them_back() {
    let mut play = Play::new(&[1, 1]);
    let (mut shed, mut last) = (0, Conditions::default());
    let mut there = std::collections::VecDeque::from([1; 20]);
    for second in 0..400 {
        // Clients follow within a lifetime; 20 of a thousand are something else.
        there.push_back(u16::from(last.sites.first().is_none_or(|now| now.shifted == 0)));
        there.pop_front();
        let clients = if second < 100 { 980_u16 } else { 380 };
        play.report(1, 300, |_| ());
        last = play.second([0], 20 + clients / 20 * there.iter().sum::<u16>());
        shed = shed.max(last.sites[0].shifted);
        // A single unit, near to the first site, with a part that goes first.
        if second == 0 {
            let unit = (0..play.network.units.len()).find(|at| {
                let key = play.network.units.keys[*at];
                let ranking = play.network.units.ranking(crate::network::UnitId(*at as u32));
                ranking[0].site.0 == 0 && crate::decide::sites::part_at(key, SiteId(0)) < 5
            });
            let unit = unit.unwrap();
            let (key, ranking) = (
                play.network.units.keys[unit],
                play.network.units.ranking(crate::network::UnitId(unit as u32)).to_vec(),
            );
            play.network.units = crate::network::Units::default();
            play.network.units.push(key, 1, &ranking);
        }
    }
    assert!(shed > 0);
    assert_eq!(last.sites[0].shifted, 0);
}

#[test]
fn while_nobody_tells_a_site_goes_on_shedding() {
    let mut play = Play::new(&[4, 4]);
    let mut last = Conditions::default();
    for _ in 0..30 {
        (4..8).for_each(|server| _ = play.report(server, 200, |_| ()));
        last = play.second(0..4, 900);
    }
    let shed = last.sites[0].shifted;
    assert!(shed > 0);
    for _ in 0..200 {
        last = play.second([], 0);
    }
    assert!(last.sites[0].shifted >= shed, "{} after {shed}", last.sites[0].shifted);
}

/// Neither copies of names, nor shared content, nor clients elsewhere rest for ever on load that nobody tells of; also where a mapper
/// begins with what one before it knew.
#[test]
fn what_rests_on_load_that_nobody_tells_of_any_more_is_given_back() {
    let mut play = Play::new(&[4, 4]);
    let steerable =
        crate::steer::Steerable { service: crate::network::ServiceId(0), content: 7, wildcard: None };
    let mut last = Conditions::default();
    for _ in 0..60 {
        for server in 0..8 {
            let report = LoadReport {
                server: play.network.server_names[server].clone(),
                started: UNIX,
                number: play.now,
                sent: UNIX + play.now,
                processor: [1000, 700, 700, 700].get(server).copied().unwrap_or(200),
                names: vec![control::load_report::NameLoad { name: "a1".into(), share: 400 }],
                ..LoadReport::default()
            };
            let key = play.network.servers[server].key;
            play.watch.report(play.now, UNIX + play.now, Some(key), &report, |_| Some(steerable));
        }
        last = play.watch.step(play.now, &play.network, &play.rules);
        play.now += 1000;
    }
    let rests = |now: &Conditions| {
        (now.sites[0].shifted, now.hot.len(), now.servers.iter().filter(|server| server.spread > 0).count())
    };
    let before = rests(&last);
    assert!(before.0 > 0 && before.1 > 0 && before.2 > 0, "{before:?}");
    let mut resumed = Play::new(&[4, 4]);
    resumed.watch.resume(resumed.now, &resumed.network, &last);
    for mut play in [play, resumed] {
        // Probes find all of them well: they are named, and blind is who hears nobody.
        let keys: Vec<u64> = play.network.servers.iter().map(|server| server.key).collect();
        let (mut before, mut given) = (before, Vec::new());
        for second in 0..1200 {
            if second % 10 == 0 {
                for key in &keys {
                    play.watch.probe(play.now, *key, 0, true, &play.rules);
                }
            }
            let now = play.second([], 0);
            if second < 10 {
                before = rests(&now);
            } else if second < 500 {
                assert_eq!(rests(&now), before, "second {second}");
            }
            if given.last() != Some(&now.sites[0].shifted) {
                given.push(now.sites[0].shifted);
            }
            last = now;
        }
        assert_eq!(rests(&last), (0, 0, 0), "{:?}", last.servers);
        assert!(given.len() > 2, "all at once: {given:?}");
        assert!(last.servers.iter().all(|now| *now == ServerNow::default()));
    }
}

/// Where others are heard, that takes minutes.
#[test]
fn a_site_that_nobody_tells_of_beside_others_takes_its_clients_back_sooner() {
    let mut play = Play::new(&[4, 4]);
    for _ in 0..30 {
        (4..8).for_each(|server| _ = play.report(server, 200, |_| ()));
        play.second(0..4, 960);
    }
    let (mut shed, mut over) = (0, None);
    for second in 0..600 {
        for server in 0..4 {
            play.watch.probe(play.now, play.network.servers[server].key, 0, true, &play.rules);
        }
        let now = play.second(4..8, 200).sites[0].shifted;
        shed = if second < 10 { now } else { shed };
        assert!(shed > 0 && (second > 170 || now == shed), "second {second}: {now} of {shed}");
        if now == 0 {
            over = over.or(Some(second));
        }
    }
    assert!(over.is_some_and(|second| second < 420), "{over:?}");
}

/// Silence of one server, or of the only site that reports, is no fault of the reports; and who is well without them is not waited for
/// for ever.
#[test]
fn few_that_reported_once_are_no_outage_of_reports() {
    for (sites, reporting) in [(vec![1, 1], 0..1), (vec![3, 3], 0..1), (vec![3, 3], 0..3)] {
        let mut play = Play::new(&sites);
        let keys: Vec<u64> = play.network.servers.iter().map(|server| server.key).collect();
        for second in 0..300 {
            keys.iter().for_each(|key| play.watch.probe(play.now, *key, 0, true, &play.rules));
            let conditions = play.second(if second < 2 { reporting.clone() } else { 0..0 }, 300);
            assert!(!play.watch.is_blind(), "{sites:?} {reporting:?} second {second}");
            assert!(conditions.servers.iter().all(|now| now.standing == Standing::Serving));
        }
        // Without probes they have failed, since others are left.
        for key in keys {
            play.watch.unprobe(key, 0);
        }
        let last = play.second([], 0);
        let failed = last.servers.iter().filter(|now| now.standing == Standing::Failed).count();
        assert_eq!((failed, play.watch.is_blind()), (reporting.len(), false));
    }
    // Where nobody else is left to be named, it stays.
    let mut play = Play::new(&[1, 1]);
    play.watch.withdraw(play.network.servers[0].key, true);
    play.second(1..2, 300);
    for _ in 0..60 {
        assert_eq!(play.second([], 0).servers[1].standing, Standing::Serving);
    }
    assert!(play.watch.is_blind());
}

#[test]
fn reports_that_nobody_sends_any_more_are_not_waited_for_for_ever() {
    let mut play = Play::new(&[2, 2]);
    let keys: Vec<u64> = play.network.servers.iter().map(|server| server.key).collect();
    let mut blind = Vec::new();
    for second in 0..900 {
        keys.iter().for_each(|key| play.watch.probe(play.now, *key, 0, true, &play.rules));
        let conditions = play.second(if second < 10 { 0..4 } else { 0..0 }, 300);
        assert!(conditions.servers.iter().all(|now| now.standing == Standing::Serving));
        blind.push(play.watch.is_blind());
    }
    assert!(blind[60] && blind[500] && !blind[899], "{:?}", blind.iter().rposition(|blind| *blind));
    // One that fails its probes is out after as many as ever.
    for failing in 0..play.rules.probes {
        play.watch.probe(play.now, keys[0], 0, false, &play.rules);
        let standing = play.second([], 0).servers[0].standing;
        assert_eq!(standing == Standing::Failed, failing + 1 == play.rules.probes);
    }
    // When they are sent again they count again.
    for second in 0..60 {
        play.second(if second < 30 { 0..4 } else { 0..0 }, 300);
    }
    assert!(play.watch.is_blind());
}

#[test]
fn a_farewell_is_no_order_of_an_operator_and_ends_when_one_restores_the_server() {
    let mut play = Play::new(&[4]);
    let key = play.network.servers[0].key;
    play.second(0..4, 300);
    let stops = |report: &mut LoadReport| report.state = control::load_report::State::Stops;
    assert_eq!(play.report(0, 300, stops), Taken::Taken);
    for _ in 0..200 {
        assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Leaving);
    }
    // Both at once.
    play.watch.withdraw(key, true);
    assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Withdrawn);
    play.watch.withdraw(key, false);
    for _ in 0..100 {
        assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Serving);
    }
    // It says so again.
    assert_eq!(play.report(0, 300, stops), Taken::Taken);
    assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Leaving);
    assert_eq!(play.report(0, 300, |_| ()), Taken::Taken);
    assert_eq!(play.second(1..4, 300).servers[0].standing, Standing::Serving);
}

/// One that stops serves until it is gone, and is not named again meanwhile; one that went on after all, without reports, is.
#[test]
fn a_farewell_ends_when_probes_find_the_server_well_long_after() {
    for (serves, standing) in [(25, Standing::Leaving), (1000, Standing::Serving)] {
        let mut play = Play::new(&[4]);
        let (key, rules) = (play.network.servers[0].key, play.rules);
        play.second(0..4, 300);
        play.report(0, 300, |report| report.state = control::load_report::State::Stops);
        for second in 0..300 {
            if second % 5 == 0 {
                play.watch.probe(play.now, key, 0, second < serves, &rules);
            }
            let now = play.second(1..4, 300).servers[0].standing;
            assert_eq!(now, if second < 60 { Standing::Leaving } else { standing }, "second {second}");
        }
    }
}
