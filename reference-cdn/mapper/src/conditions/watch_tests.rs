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
