//! Is an origin fit to use? A state machine over what requests and probes met, without I/O or clock.
//!
//! Two judges, each with a veto. Requests (passive): an origin that fails too often in a row, or too large a share of what
//! it is asked, is ejected for a while that grows from one time to the next; after it, one request tries it. Probes
//! (active): an origin is down after so many failed probes in a row, and up after so many good ones.

use std::time::Duration;

use http_cache::Time;

use super::select::{NEVER, Standing, Use};

/// When requests that fail eject an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionRules {
    /// So many failures in a row eject.
    pub failures: u32,
    /// So large a share of failures, in percent, within `window` ejects.
    pub share: u32,
    /// The share says nothing about fewer requests than this.
    pub requests: u32,
    pub window: Duration,
    /// How long for, at first. Doubles each time the origin fails again before it has been back for as long as it was away.
    pub time: Duration,
    /// How long for, at most; also when the origin itself asks for more with Retry-After.
    pub most_time: Duration,
    /// Trial requests at once to an origin whose time is over.
    pub trials: u32,
}

/// How many probes it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Good ones in a row until an origin that was down is up.
    pub up: u32,
    /// Failed ones in a row until it is down.
    pub down: u32,
}

/// What became of the origin's state. Each is logged once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Ejected {
        why: Why,
        time: Duration,
    },
    /// A trial request, or a last resort, was answered.
    Returned,
    Down,
    Up,
}

/// Why an origin was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    InARow(u32),
    Share {
        failures: u32,
        of: u32,
    },
    /// The trial after an earlier ejection failed.
    Trial,
    /// It asked not to be asked.
    RetryAfter,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InARow(count) => write!(f, "{count} failures in a row"),
            Self::Share { failures, of } => write!(f, "{failures} of the last {of} requests failed"),
            Self::Trial => f.write_str("the trial request failed"),
            Self::RetryAfter => f.write_str("it asked for it with Retry-After"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Time,
    time: Duration,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Health {
    rules: EjectionRules,
    thresholds: Thresholds,
    in_a_row: u32,
    window: Window,
    ejection: Option<Ejection>,
    /// When it came back from its last ejection, and how long that was.
    back: Option<(Time, Duration)>,
    up: bool,
    /// Probes in a row that say otherwise.
    against: u32,
}

impl Health {
    /// An origin of which nothing is known is taken to be well.
    pub fn new(rules: EjectionRules, thresholds: Thresholds) -> Self {
        Self {
            rules,
            thresholds,
            in_a_row: 0,
            window: Window::default(),
            ejection: None,
            back: None,
            up: true,
            against: 0,
        }
    }

    /// Until when it is out; the epoch when it is not.
    pub fn out_until(&self) -> Time {
        if self.up { self.ejection.map_or(Time::default(), |it| it.until) } else { NEVER }
    }

    /// A request was answered.
    pub fn succeeded(&mut self, how: Use, now: Time) -> Option<Change> {
        if let Some(ejection) = self.ejection {
            // What was asked before the ejection says nothing about now.
            if how == Use::Ordinary {
                return None;
            }
            self.ejection = None;
            self.back = Some((now, ejection.time));
            self.in_a_row = 0;
            self.window = Window::default();
            return Some(Change::Returned);
        }
        self.in_a_row = 0;
        self.window.count(now, self.rules.window, false);
        None
    }

    /// A request failed. `retry_after`: how long the origin asked to be left alone.
    pub fn failed(&mut self, how: Use, retry_after: Option<Duration>, now: Time) -> Option<Change> {
        if let Some(ejection) = self.ejection {
            // Stragglers and last resorts tell nothing new, and must not prolong it; a failed trial does.
            if how != Use::Trial || self.standing(now) != Standing::OnTrial {
                return None;
            }
            return Some(self.eject(Why::Trial, ejection.time.saturating_mul(2), now));
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let (of, failures) = self.window.count(now, self.rules.window, true);
        let time = match self.back {
            Some((at, time)) if now.since(at) < time => time.saturating_mul(2),
            _ => self.rules.time,
        };
        if let Some(asked) = retry_after {
            return Some(self.eject(Why::RetryAfter, time.max(asked), now));
        }
        if self.in_a_row >= self.rules.failures {
            return Some(self.eject(Why::InARow(self.in_a_row), time, now));
        }
        let share = u64::from(failures) * 100 >= u64::from(of) * u64::from(self.rules.share);
        if of >= self.rules.requests && share {
            return Some(self.eject(Why::Share { failures, of }, time, now));
        }
        None
    }

    /// A probe has ended.
    pub fn probed(&mut self, good: bool) -> Option<Change> {
        if good == self.up {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        if self.against < if good { self.thresholds.up } else { self.thresholds.down } {
            return None;
        }
        self.against = 0;
        self.up = good;
        if good {
            // Found well after having been down: what requests met before is history.
            self.ejection = None;
            self.in_a_row = 0;
            self.window = Window::default();
            Some(Change::Up)
        } else {
            Some(Change::Down)
        }
    }

    fn standing(&self, now: Time) -> Standing {
        standing(self.out_until(), true, self.rules.most_time, now)
    }

    fn eject(&mut self, why: Why, time: Duration, now: Time) -> Change {
        let time = time.min(self.rules.most_time);
        self.ejection = Some(Ejection { until: now.after(time), time });
        Change::Ejected { why, time }
    }
}

/// What [`Health::out_until`] means at `now`. `free`: another trial request may begin.
pub fn standing(out_until: Time, free: bool, most_time: Duration, now: Time) -> Standing {
    if out_until == Time::default() {
        return Standing::Up;
    }
    // Nothing is ejected for longer than that: the clock was set back meanwhile.
    let over = now >= out_until || (out_until != NEVER && out_until.since(now) > most_time);
    if over && free { Standing::OnTrial } else { Standing::Out(out_until) }
}

/// Parts of the window; what it forgets at a time.
const PARTS: usize = 8;

/// Requests and failures of the last while.
#[derive(Clone, Debug, Default)]
struct Window {
    parts: [(u32, u32); PARTS],
    /// Number of the newest part since the epoch.
    newest: u64,
}

impl Window {
    /// Counts a request, and says how many there were within the window and how many of them failed.
    fn count(&mut self, now: Time, window: Duration, failed: bool) -> (u32, u32) {
        let width = u64::try_from(window.as_millis() / PARTS as u128).unwrap_or(u64::MAX).max(1);
        let part = now.as_millis() / width;
        if part > self.newest {
            let passed = usize::try_from(part - self.newest).unwrap_or(PARTS).min(PARTS);
            for n in 1..=passed as u64 {
                self.parts[(self.newest + n) as usize % PARTS] = (0, 0);
            }
            if passed == PARTS {
                self.parts = [(0, 0); PARTS];
            }
            self.newest = part;
        }
        let (requests, failures) = &mut self.parts[self.newest as usize % PARTS];
        *requests = requests.saturating_add(1);
        *failures = failures.saturating_add(u32::from(failed));
        let add =
            |sum: (u32, u32), part: &(u32, u32)| (sum.0.saturating_add(part.0), sum.1.saturating_add(part.1));
        self.parts.iter().fold((0, 0), add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: EjectionRules = EjectionRules {
        failures: 5,
        share: 50,
        requests: 20,
        window: Duration::from_secs(10),
        time: Duration::from_secs(5),
        most_time: Duration::from_secs(300),
        trials: 1,
    };
    const THRESHOLDS: Thresholds = Thresholds { up: 2, down: 3 };

    fn at(seconds: u64) -> Time {
        Time::from_secs(1_000_000 + seconds)
    }

    fn stands(health: &Health, now: Time) -> Standing {
        standing(health.out_until(), true, RULES.most_time, now)
    }

    fn fail(health: &mut Health, count: u32, now: Time) -> Option<Change> {
        (0..count).map(|_| health.failed(Use::Ordinary, None, now)).last().flatten()
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let mut health = Health::new(RULES, THRESHOLDS);
        assert_eq!(fail(&mut health, 4, at(0)), None);
        assert_eq!(health.succeeded(Use::Ordinary, at(0)), None);
        assert_eq!(fail(&mut health, 4, at(1)), None);
        let change = fail(&mut health, 1, at(1));
        assert_eq!(change, Some(Change::Ejected { why: Why::InARow(5), time: RULES.time }));
        assert_eq!(stands(&health, at(5)), Standing::Out(at(6)));
        assert_eq!(stands(&health, at(6)), Standing::OnTrial);
    }

    #[test]
    fn a_share_of_failures_ejects_once_there_is_enough_to_go_by() {
        let mut health = Health::new(RULES, THRESHOLDS);
        let mut change = None;
        for n in 0..20 {
            assert_eq!(change, None, "after {n}");
            change = if n % 2 == 0 {
                health.succeeded(Use::Ordinary, at(0))
            } else {
                health.failed(Use::Ordinary, None, at(1))
            };
        }
        let why = Why::Share { failures: 10, of: 20 };
        assert_eq!(change, Some(Change::Ejected { why, time: RULES.time }));
    }

    #[test]
    fn what_the_window_has_left_behind_does_not_count() {
        let mut health = Health::new(RULES, THRESHOLDS);
        for round in 0..10 {
            // Four failures and four successes at a time, each batch beyond the window of the last.
            for _ in 0..4 {
                assert_eq!(health.failed(Use::Ordinary, None, at(round * 11)), None);
                assert_eq!(health.succeeded(Use::Ordinary, at(round * 11)), None);
            }
        }
    }

    #[test]
    fn the_time_out_grows_while_it_fails_again_and_starts_anew_when_it_has_held() {
        let mut health = Health::new(RULES, THRESHOLDS);
        fail(&mut health, 5, at(0));
        // A failed trial doubles it, up to the most.
        let mut now = 5;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            let change = health.failed(Use::Trial, None, at(now));
            let time = Duration::from_secs(expected);
            assert_eq!(change, Some(Change::Ejected { why: Why::Trial, time }));
            assert_eq!(stands(&health, at(now + expected - 1)), Standing::Out(at(now + expected)));
            now += expected;
        }
        assert_eq!(health.succeeded(Use::Trial, at(now)), Some(Change::Returned));
        assert_eq!(stands(&health, at(now)), Standing::Up);
        // It fails again soon after: twice as long, which is the most already.
        let again = fail(&mut health, 5, at(now + 299));
        assert_eq!(again, Some(Change::Ejected { why: Why::InARow(5), time: RULES.most_time }));
        now += 299 + 300;
        assert_eq!(health.succeeded(Use::Trial, at(now)), Some(Change::Returned));
        // It has been back for as long as it was away: as at first.
        let later = fail(&mut health, 5, at(now + 300));
        assert_eq!(later, Some(Change::Ejected { why: Why::InARow(5), time: RULES.time }));
    }

    #[test]
    fn stragglers_neither_bring_back_nor_prolong() {
        let mut health = Health::new(RULES, THRESHOLDS);
        fail(&mut health, 5, at(0));
        assert_eq!(health.succeeded(Use::Ordinary, at(1)), None);
        assert_eq!(fail(&mut health, 50, at(1)), None);
        assert_eq!(health.failed(Use::LastResort, None, at(2)), None);
        assert_eq!(stands(&health, at(4)), Standing::Out(at(5)));
        assert_eq!(health.succeeded(Use::LastResort, at(4)), Some(Change::Returned));
    }

    #[test]
    fn retry_after_ejects_for_as_long_within_bounds() {
        let check = |asked, expected| {
            let mut health = Health::new(RULES, THRESHOLDS);
            let change = health.failed(Use::Ordinary, Some(Duration::from_secs(asked)), at(0));
            let time = Duration::from_secs(expected);
            assert_eq!(change, Some(Change::Ejected { why: Why::RetryAfter, time }));
        };
        check(0, 5);
        check(60, 60);
        check(86_400, 300);
    }

    #[test]
    fn probes_take_down_and_bring_up_by_their_thresholds() {
        let mut health = Health::new(RULES, THRESHOLDS);
        let told: Vec<_> = [false, false, true, false, false, false, false, true, false, true, true, true]
            .into_iter()
            .map(|good| health.probed(good))
            .collect();
        let mut expected = vec![None; 12];
        expected[5] = Some(Change::Down);
        expected[10] = Some(Change::Up);
        assert_eq!(told, expected);
    }

    #[test]
    fn an_origin_that_is_down_is_no_trial_and_comes_back_clean() {
        let mut health = Health::new(RULES, THRESHOLDS);
        fail(&mut health, 5, at(0));
        for _ in 0..3 {
            health.probed(false);
        }
        assert_eq!(stands(&health, at(1000)), Standing::Out(NEVER));
        assert_eq!(health.probed(true), None);
        assert_eq!(health.probed(true), Some(Change::Up));
        assert_eq!(stands(&health, at(0)), Standing::Up);
        assert_eq!(fail(&mut health, 4, at(0)), None);
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_out() {
        let mut health = Health::new(RULES, THRESHOLDS);
        fail(&mut health, 5, at(100_000));
        assert_eq!(stands(&health, at(0)), Standing::OnTrial);
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Succeeded,
        Failed(Option<u64>),
        Probed(bool),
        Later(u64),
    }

    proptest! {
        #[test]
        fn whatever_happens_it_can_come_back_and_each_change_is_one(events in prop::collection::vec(prop_oneof![
            Just(Event::Succeeded),
            prop::option::of(0_u64..10_000).prop_map(Event::Failed),
            any::<bool>().prop_map(Event::Probed),
            (0_u64..400).prop_map(Event::Later),
        ], 0..300)) {
            let mut health = Health::new(RULES, THRESHOLDS);
            let mut now = at(0);
            for event in events {
                let before = stands(&health, now);
                let how = match before {
                    Standing::Up => Use::Ordinary,
                    Standing::OnTrial => Use::Trial,
                    Standing::Out(_) => Use::LastResort,
                };
                let change = match event {
                    Event::Succeeded => health.succeeded(how, now),
                    Event::Failed(after) => health.failed(how, after.map(Duration::from_secs), now),
                    Event::Probed(good) => health.probed(good),
                    Event::Later(seconds) => { now = now.after(Duration::from_secs(seconds)); None }
                };
                let after = stands(&health, now);
                match change {
                    None if matches!(event, Event::Later(_)) => {}
                    // Behind the probes' veto, an ejection may end or begin unseen.
                    None => prop_assert_eq!(before, after),
                    Some(Change::Ejected { time, .. }) => {
                        prop_assert!(time <= RULES.most_time);
                        prop_assert!(matches!(after, Standing::Out(_)) || time.is_zero());
                    }
                    Some(Change::Returned) => prop_assert!(after == Standing::Up || !health.up),
                    Some(Change::Down) => prop_assert_eq!(after, Standing::Out(NEVER)),
                    Some(Change::Up) => prop_assert_eq!(after, Standing::Up),
                }
            }
            for _ in 0..THRESHOLDS.up {
                health.probed(true);
            }
            now = now.after(RULES.most_time);
            prop_assert_ne!(stands(&health, now), Standing::Out(NEVER));
            health.succeeded(Use::Trial, now);
            prop_assert_eq!(stands(&health, now), Standing::Up);
        }
    }
}
