//! An edge with a disk tier that is killed (SIGKILL) again and again under load. After each start:
//!
//! - what was on disk before the load is there: asked for again, the origin is not asked;
//! - what is served is, octet for octet, what the origin sent for that URL in that version;
//! - what was removed, by a purge or by an unsafe method, and was confirmed, does not come back;
//! - of what was stored under load, nothing is lost that the edge had counted as written.
//!
//! What is known to be on disk is known by the edge's own count, `edge_disk_written_total`. `KILLS=200` asks for more
//! rounds than a test run has, `KILL_SEED=N` for others.

mod process;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use process::{Client, Edge, Mount, Setting};
use world::World;

/// URLs that are asked for, removed and asked for again.
const PAGES: u64 = 150;
/// Clients at once.
const CLIENTS: u64 = 6;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn page(n: u64) -> String {
    format!("/page/{n}")
}

/// What the threads of one round share.
struct Round {
    world: Arc<World>,
    listen: String,
    admin: String,
    /// Set just before the edge is killed: until then nothing may fail.
    killed: AtomicBool,
    answered: mpsc::Sender<()>,
    /// URLs that were asked for, each once: the last answers of a killed edge may be stored and never arrive.
    appended: Mutex<Vec<String>>,
    /// The newest count of responses written that was seen.
    written: AtomicU64,
}

impl Round {
    /// Does this again and again, on one connection after the other, until the edge is dead.
    fn until_killed(&self, address: &str, mut act: impl FnMut(&mut Client) -> std::io::Result<()>) {
        let mut client = None;
        loop {
            let done = match &mut client {
                None => Client::connect(address).map(|new| client = Some(new)),
                Some(client) => act(client),
            };
            if let Err(error) = done {
                assert!(self.killed.load(Ordering::SeqCst), "before the edge was killed: {error}");
                return;
            }
        }
    }

    fn get(&self, client: &mut Client, path: &str) -> std::io::Result<()> {
        let floor = self.world.floor(path);
        let answer = client.ask("GET", path, "")?;
        assert_eq!(answer.status, 200, "{path}");
        self.world.judge(path, floor, answer.version.expect("a version"), &answer.octets, answer.whole);
        if !answer.whole {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let _ = self.answered.send(());
        Ok(())
    }

    fn read(&self, mut random: Random) {
        self.until_killed(&self.listen, |client| self.get(client, &page(random.below(PAGES))));
    }

    /// Each URL once.
    fn append(&self, random: Random) {
        let mut next = 0;
        self.until_killed(&self.listen, |client| {
            next += 1;
            let path = format!("/once/{}/{next}", random.0);
            self.appended.lock().expect("lock").push(path.clone());
            self.get(client, &path)
        });
    }

    /// Purges every other URL.
    fn purge(&self, mut random: Random) {
        self.until_killed(&self.admin, |client| {
            let path = page(random.below(PAGES / 2) * 2);
            let version = self.world.begin_removal(&path);
            let answer = client.ask("POST", "/purge", &format!("{{\"url\":\"http://site.test{path}\"}}"))?;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.octets));
            if answer.whole {
                self.world.confirmed(&path, version);
            }
            Ok(())
        });
    }

    /// Has the origin change the other half (RFC 9111 section 4.4).
    fn change(&self, mut random: Random) {
        self.until_killed(&self.listen, |client| {
            let path = page(random.below(PAGES / 2) * 2 + 1);
            self.world.announce_removal(&path);
            let answer = client.ask("POST", &path, "new")?;
            assert_eq!(answer.status, 200, "{path}");
            self.world.confirmed(&path, answer.version.expect("a version"));
            Ok(())
        });
    }

    /// Looks at the count of what is written.
    fn watch(&self, edge: &Edge) {
        while let Ok(written) = edge.metric("edge_disk_written_total") {
            self.written.fetch_max(written, Ordering::SeqCst);
        }
        assert!(self.killed.load(Ordering::SeqCst), "no metrics before the edge was killed");
    }
}

/// An edge that is killed, and what is known of it.
struct Victim<'a> {
    setting: Setting<'a>,
    world: Arc<World>,
    random: Random,
    /// What is on disk for sure, with the number of removals then.
    settled: Vec<(String, u64)>,
    /// Responses on disk at least.
    least: u64,
    /// What was asked for once each before the edge was killed, and how many of these are on disk at least.
    appended: (Vec<String>, u64),
    /// Everything that was ever on disk is there still, unless it was removed.
    keeps_all: bool,
    /// Writes that failed.
    failures: u64,
}

impl Victim<'_> {
    /// Asks for all that is known, and waits until it is on disk. Gives how often the origin was asked.
    fn verify(&mut self, edge: &Edge) {
        let written = edge.metric("edge_disk_written_total").expect("metrics");
        assert_eq!(written, 0, "nobody asked yet");
        let objects = edge.metric("edge_disk_objects").expect("metrics");
        assert!(objects >= self.least, "{objects} responses on disk; there were {}", self.least);
        let mut client = Client::connect(&edge.listen).expect("connects");
        let mut get = |path: &str| {
            let (floor, (asked, removals)) = (self.world.floor(path), self.world.counts(path));
            let answer = client.ask("GET", path, "").expect("an answer");
            assert!(answer.status == 200 && answer.whole, "{path}: {answer:?}");
            self.world.judge(path, floor, answer.version.expect("a version"), &answer.octets, true);
            (answer.hit && self.world.counts(path).0 == asked, removals)
        };
        let before = self.world.asked_in_all();
        let (appended, least) = std::mem::take(&mut self.appended);
        let found = appended.iter().filter(|path| get(path).0).count() as u64;
        assert!(found >= least, "{found} of {} are on disk; {least} were written", appended.len());
        for (path, removals) in &self.settled {
            let (stored, now) = get(path);
            assert!(stored || now != *removals || !self.keeps_all, "{path} was on disk, and is not");
        }
        let pages: Vec<String> = (0..PAGES).map(page).collect();
        for path in &pages {
            get(path);
        }
        let fetched = self.world.asked_in_all() - before;
        let count = |name| edge.metric(name).expect("metrics");
        let done = || (count("edge_disk_written_total"), count("edge_disk_dropped_total"));
        let mut polls = (0..100_000).map(|_| done());
        let done = polls.find(|(written, dropped)| written + dropped >= fetched);
        let (written, dropped) = done.expect("what was fetched is written some time");
        assert_eq!(written + dropped, fetched);
        assert!(dropped == 0 || !self.keeps_all, "{dropped} got no place in the queue");
        assert_eq!((count("edge_disk_bad_records_total"), count("edge_disk_read_errors_total")), (0, 0));
        self.failures += count("edge_disk_write_errors_total");
        let sample = appended.into_iter().step_by(10);
        self.settled.extend(pages.into_iter().chain(sample).map(|path| (path, 0)));
        for (path, removals) in &mut self.settled {
            *removals = self.world.counts(path).1;
        }
        self.settled.sort_unstable();
        self.settled.dedup();
    }

    /// One life of the edge: from its start to its violent end.
    fn round(&mut self, n: u64) {
        if n % 3 == 2 {
            self.setting.start_in_vain(&self.world.serve(), Duration::from_micros(self.random.below(60_000)));
        }
        let mut edge = self.setting.start(&self.world.serve());
        self.verify(&edge);
        let appending = n % 2 == 1;
        let objects = edge.metric("edge_disk_objects").expect("metrics");
        let written = edge.metric("edge_disk_written_total").expect("metrics");
        let (answered, answers) = mpsc::channel();
        let round = Round {
            world: Arc::clone(&self.world),
            listen: edge.listen.clone(),
            admin: edge.admin.clone(),
            killed: AtomicBool::new(false),
            answered,
            appended: Mutex::default(),
            written: AtomicU64::new(written),
        };
        // By the number of answers, so that a slow machine is killed in the same places.
        let wanted = 1 + self.random.below(if n.is_multiple_of(4) { 60 } else { 1500 });
        std::thread::scope(|threads| {
            let round = &round;
            let process = rustix::process::Pid::from_raw(i32::try_from(edge.id()).expect("id")).expect("id");
            let mut seeds = self.random.clone();
            let mut random = || Random(seeds.below(u64::MAX));
            for _ in 0..CLIENTS {
                let random = random();
                threads.spawn(move || if appending { round.append(random) } else { round.read(random) });
            }
            if appending {
                let edge = &edge;
                threads.spawn(move || round.watch(edge));
            } else {
                let (one, other) = (random(), random());
                threads.spawn(move || round.purge(one));
                threads.spawn(move || round.change(other));
            }
            for _ in 0..wanted {
                // Whoever fails drops out; the others go on, and the scope tells of the failure.
                if answers.recv_timeout(Duration::from_secs(60)).is_err() {
                    break;
                }
            }
            round.killed.store(true, Ordering::SeqCst);
            rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("killed");
        });
        edge.kill();
        // So that the next round is another one.
        self.random.below(2);
        let appended = round.appended.into_inner().expect("lock");
        let sure = round.written.load(Ordering::SeqCst) - written;
        println!(
            "round {n}: killed after {wanted} answers; {sure} of {} appended were written for sure",
            appended.len()
        );
        (self.least, self.appended) = (0, (appended, 0));
        if appending && self.keeps_all {
            // Nothing was removed meanwhile.
            (self.least, self.appended.1) = (objects + sure, sure);
        }
    }
}

fn kill_again_and_again(setting: (&str, &str, &str), mounted: Option<&str>, rounds: u64, keeps_all: bool) {
    let folder = tempfile::tempdir().expect("folder");
    let mount = match mounted.map(|size| Mount::new(&folder.path().join("disk"), size)) {
        Some(None) => return println!("not run: this process may not mount a file system"),
        Some(mount) => mount,
        None => None,
    };
    let world: Arc<World> = Arc::default();
    let (memory, size, sync) = setting;
    let mut victim = Victim {
        setting: Setting { folder: folder.path(), memory, size, sync, mount: mount.as_ref() },
        world: Arc::clone(&world),
        random: Random(number("KILL_SEED", 1)),
        settled: Vec::new(),
        least: 0,
        appended: (Vec::new(), 0),
        keeps_all,
        failures: 0,
    };
    for n in 0..rounds {
        victim.round(n);
    }
    let edge = victim.setting.start(&world.serve());
    victim.verify(&edge);
    assert!(mounted.is_none() || victim.failures > 0, "the disk never was full");
}

#[test]
fn what_was_written_outlasts_being_killed_and_what_was_removed_does_not_come_back() {
    kill_again_and_again(("64MiB", "4GiB", "sealed"), None, number("KILLS", 6), true);
}

/// Segments are reclaimed all the time, nearly everything is read from disk, and each batch is made durable.
#[test]
fn the_same_where_there_is_too_little_room() {
    kill_again_and_again(("16MiB", "64MiB", "always"), None, number("KILLS", 6), false);
}

/// The file system has less room than the store was told that it has.
#[test]
fn the_same_where_the_file_system_is_full() {
    kill_again_and_again(("16MiB", "64MiB", "sealed"), Some("5m"), number("KILLS", 4), false);
}
