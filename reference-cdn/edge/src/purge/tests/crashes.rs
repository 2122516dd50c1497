//! Random histories of purges, schedules, responses, walks, crashes and faults, against an oracle that remembers
//! everything and never compacts.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::super::*;
use super::at;
use super::disk::{Disk, Fault};

const TAGS: [&str; 4] = ["t", "u", "v", "w"];
const HOSTS: [&str; 3] = ["h", "x.h", "g"];

/// What a purge in these histories takes.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Tag(usize),
    Host(usize),
    Below,
    Pattern(usize),
    All,
}

impl Takes {
    fn text(self) -> String {
        match self {
            Self::Tag(tag) => format!("\"tag\": \"{}\"", TAGS[tag]),
            Self::Host(host) => format!("\"host\": \"{}\"", HOSTS[host]),
            Self::Below => "\"host\": \"*.h\"".into(),
            Self::Pattern(tag) => format!("\"pattern\": \"*{}*\"", TAGS[tag]),
            Self::All => "\"all\": true".into(),
        }
    }

    fn takes(self, it: &Response) -> bool {
        match self {
            Self::Tag(tag) => it.tag == tag,
            Self::Host(host) => it.host == host,
            Self::Below => it.host == 1,
            Self::Pattern(tag) => it.path == tag,
            Self::All => true,
        }
    }
}

/// A stored response. Its key has a tag's letter in its path.
#[derive(Clone, Copy, Debug)]
struct Response {
    host: usize,
    path: usize,
    tag: usize,
    /// As the store remembers it.
    born: u64,
    epoch: u64,
    /// As the oracle does: the moment.
    moment: u64,
    stale: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Purge(Takes, Mode),
    /// After so many seconds, again after as many, so many times.
    Schedule(Takes, Mode, u64, u64),
    Store(usize, usize, usize),
    /// The fetch of a response begins; it is stored when the next of these steps comes.
    Fetch(usize, usize, usize),
    Look(usize),
    Walk,
    Wait(u64),
    /// The process dies; so many octets that were not synced survive.
    Crash(usize),
    Flush,
    Fail(u8),
}

fn takes() -> impl Strategy<Value = Takes> {
    prop_oneof![
        4 => (0..TAGS.len()).prop_map(Takes::Tag),
        2 => (0..HOSTS.len()).prop_map(Takes::Host),
        1 => Just(Takes::Below),
        2 => (0..TAGS.len()).prop_map(Takes::Pattern),
        1 => Just(Takes::All),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Hard), Just(Mode::Soft)]
}

fn step() -> impl Strategy<Value = Step> {
    let response = || (0..HOSTS.len(), 0..TAGS.len(), 0..TAGS.len());
    prop_oneof![
        5 => (takes(), mode()).prop_map(|(takes, mode)| Step::Purge(takes, mode)),
        2 => (takes(), mode(), 1..50_u64, 1..4_u64)
            .prop_map(|(takes, mode, after, times)| Step::Schedule(takes, mode, after, times)),
        6 => response().prop_map(|(host, path, tag)| Step::Store(host, path, tag)),
        3 => response().prop_map(|(host, path, tag)| Step::Fetch(host, path, tag)),
        4 => (0..50_usize).prop_map(Step::Look),
        2 => Just(Step::Walk),
        3 => (1..40_u64).prop_map(Step::Wait),
        2 => (0..400_usize).prop_map(Step::Crash),
        1 => Just(Step::Flush),
        1 => (0..8_u8).prop_map(Step::Fail),
    ]
}

/// A purge as the oracle remembers it.
#[derive(Clone, Copy, Debug)]
struct Known {
    takes: Takes,
    mode: Mode,
    /// When it came into force: the moment and the time.
    moment: u64,
    at: Time,
}

struct World {
    disk: Disk,
    purges: Arc<Purges>,
    store: Vec<Response>,
    fetch: Option<(Ticket, Response)>,
    known: Vec<Known>,
    /// Scheduled: what, how, when next, how often still, and how often.
    scheduled: Vec<(Takes, Mode, Time, u64, u64)>,
    /// What may be purged once more after a crash.
    perhaps: Vec<Takes>,
    failing: bool,
    seconds: u64,
    moment: u64,
    starts: u64,
}

impl World {
    fn new() -> Self {
        let disk = Disk::default();
        let purges = disk.open(1);
        Self {
            disk,
            purges,
            store: Vec::new(),
            fetch: None,
            known: Vec::new(),
            scheduled: Vec::new(),
            perhaps: Vec::new(),
            failing: false,
            seconds: 0,
            moment: 0,
            starts: 1,
        }
    }

    fn now(&self) -> Time {
        at(self.seconds)
    }

    /// The oracle's clock: scheduled purges that are due come into force.
    fn tick(&mut self) {
        self.moment += 1;
        let now = self.now();
        for (takes, mode, next, left, every) in &mut self.scheduled {
            if *left > 0 && *next <= now {
                self.known.push(Known { takes: *takes, mode: *mode, moment: self.moment, at: *next });
                while *left > 0 && *next <= now {
                    *left -= 1;
                    *next = Time::from_millis(next.as_millis() + *every * 1000);
                }
            }
        }
        self.scheduled.retain(|(.., left, _)| *left > 0);
        self.moment += 1;
    }

    fn response(&mut self, host: usize, path: usize, tag: usize) -> Response {
        self.tick();
        let born = self.purges.at(self.now());
        Response { host, path, tag, born, epoch: self.purges.epoch(), moment: self.moment, stale: None }
    }

    fn judged(&self, it: &Response, arriving: bool) -> Verdict {
        let key = Key::from_text(&format!("http://{}/{}", HOSTS[it.host], TAGS[it.path]));
        let mut fields = HeaderMap::new();
        fields.insert("surrogate-key", HeaderValue::from_static(TAGS[it.tag]));
        let identity = Identity { customer: "shop", key: &key, fields: Some(&fields) };
        if it.epoch != self.purges.epoch() {
            Verdict::Gone
        } else if arriving {
            self.purges.judge_arriving(&identity, it.born).0
        } else {
            self.purges.judge(&identity, it.born, 0).0
        }
    }

    /// Compares a response's fate with the oracle's, and carries it out.
    fn look(&mut self, index: usize) -> Result<(), TestCaseError> {
        self.tick();
        self.purges.at(self.now());
        let it = self.store[index];
        let verdict = self.judged(&it, false);
        let later = || self.known.iter().filter(|known| known.moment > it.moment && known.takes.takes(&it));
        let gone = later().any(|known| known.mode == Mode::Hard);
        let stale = later().filter(|known| known.mode == Mode::Soft).map(|known| known.at).min();
        prop_assert_eq!(verdict == Verdict::Gone, gone, "{:?}: {:?}", it, self.known);
        if gone {
            self.store.swap_remove(index);
            return Ok(());
        }
        if let Verdict::Soft { since } = verdict {
            let before = self.store[index].stale;
            self.store[index].stale = Some(before.map_or(since, |before| before.min(since)));
        }
        let seen = self.store[index].stale;
        prop_assert_eq!(seen.is_some(), stale.is_some(), "{:?}: {:?}", it, self.known);
        prop_assert!(seen <= stale, "{:?}: {:?} {:?}", it, seen, stale);
        Ok(())
    }

    fn look_at_all(&mut self) -> Result<(), TestCaseError> {
        for index in (0..self.store.len()).rev() {
            self.look(index)?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Purge(takes, mode) => {
                self.tick();
                let mode_text = if mode == Mode::Soft { "soft" } else { "hard" };
                let text = format!("{{{}, \"mode\": \"{mode_text}\"}}", takes.text());
                let now = self.now();
                if self.purges.ordered(&text, now).is_ok() {
                    self.known.push(Known { takes, mode, moment: self.moment, at: now });
                } else {
                    prop_assert!(self.failing);
                    self.perhaps.push(takes);
                }
            }
            Step::Schedule(takes, mode, after, times) => {
                self.tick();
                let mode_text = if mode == Mode::Soft { "soft" } else { "hard" };
                let now = self.now();
                let first = at(self.seconds + after);
                let text = format!(
                    "{{{}, \"mode\": \"{mode_text}\", \"at\": \"{}\", \"every\": \"{after}s\", \"times\": {times}}}",
                    takes.text(),
                    crate::timestamp::format(first)
                );
                if !self.failing {
                    prop_assert!(self.purges.ordered(&text, now).is_ok());
                    self.scheduled.push((takes, mode, first, times, after));
                    self.perhaps.push(takes);
                }
            }
            Step::Store(host, path, tag) => {
                let it = self.response(host, path, tag);
                prop_assert_eq!(self.judged(&it, true), Verdict::Alive, "nothing came since");
                self.store.push(it);
            }
            Step::Fetch(host, path, tag) => {
                if let Some((ticket, it)) = self.fetch.take() {
                    let verdict = self.judged(&it, true);
                    drop(ticket);
                    if verdict != Verdict::Gone {
                        self.store.push(it);
                        self.look(self.store.len() - 1)?;
                    }
                }
                let it = self.response(host, path, tag);
                self.fetch = self.purges.ticket(it.born).map(|ticket| (ticket, it));
                prop_assert!(self.fetch.is_some());
            }
            Step::Look(index) => {
                if !self.store.is_empty() {
                    self.look(index % self.store.len())?;
                }
            }
            Step::Walk => {
                self.tick();
                if let Some(walk) = self.purges.begin_walk(self.now(), u64::MAX) {
                    self.look_at_all()?;
                    let waits = !self.purges.end_walk(&walk, false);
                    prop_assert!(!waits || self.fetch.is_some());
                }
            }
            Step::Wait(seconds) => self.seconds += seconds,
            Step::Flush => {
                let _ = self.purges.flush(&());
            }
            Step::Fail(which) => {
                let faults = [Fault::Append, Fault::Sync, Fault::Replace];
                let chosen: Vec<_> = faults
                    .into_iter()
                    .enumerate()
                    .filter(|(at, _)| which >> at & 1 == 1)
                    .map(|(_, it)| it)
                    .collect();
                self.failing = !chosen.is_empty();
                self.disk.fail(&chosen);
            }
            Step::Crash(kept) => self.crash(kept)?,
        }
        Ok(())
    }

    /// After a crash everything that was accepted is still so. More may be: what was refused may have reached the disk
    /// all the same, and a scheduled purge whose coming into force did not reach it comes into force again.
    fn crash(&mut self, kept: usize) -> Result<(), TestCaseError> {
        self.fetch = None;
        self.disk.crash(kept);
        self.failing = false;
        self.disk.fail(&[]);
        let (last, epoch) = (self.purges.now.load(Ordering::Relaxed), self.purges.epoch());
        self.starts += 1;
        self.purges = self.disk.open(self.starts);
        prop_assert_eq!(self.purges.epoch(), epoch, "nothing was damaged");
        prop_assert!(self.purges.now.load(Ordering::Relaxed) >= last, "numbers went back");
        self.tick();
        self.purges.at(self.now());
        let mut kept = Vec::new();
        for it in std::mem::take(&mut self.store) {
            let known =
                || self.known.iter().filter(|known| known.moment > it.moment && known.takes.takes(&it));
            let more = self.perhaps.iter().any(|takes| takes.takes(&it));
            match self.judged(&it, false) {
                Verdict::Gone => {
                    prop_assert!(more || known().any(|known| known.mode == Mode::Hard), "{:?}", it)
                }
                Verdict::Soft { .. } if more => {}
                verdict => {
                    prop_assert!(known().all(|known| known.mode == Mode::Soft), "{:?} survived", it);
                    // Those that it met before may be compacted.
                    let soft = matches!(verdict, Verdict::Soft { .. }) || it.stale.is_some();
                    prop_assert_eq!(soft, known().next().is_some(), "{:?}", it);
                    kept.push(it);
                }
            }
        }
        self.store = kept;
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_accepted_purge_is_never_lost_and_nothing_else_is_purged(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.step(step)?;
        }
        world.look_at_all()?;
    }
}
