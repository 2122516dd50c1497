//! A keeper with files and a clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{Config, build_once};
use super::*;
use crate::map::{Map, publish};
use control::load_report::LoadReport;

const CONFIG: &str = "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.cdn.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[inputs]\nnetwork = [\"network.toml\"]\nprobes = [\"probes.jsonl\"]\n[load]\nlisten = \"127.0.0.1:0\"\n[[load.key]]\nid = 7\nfile = \"load.key\"\n";
const NETWORK: &str = "[[site]]\nname = \"ams\"\nlatitude = 52.4\nlongitude = 4.9\n[[site]]\nname = \"nyc\"\nlatitude = 40.7\nlongitude = -74.0\n[[server]]\nname = \"ams-1\"\nsite = \"ams\"\naddresses = [\"192.0.2.1\"]\n[[server]]\nname = \"ams-2\"\nsite = \"ams\"\naddresses = [\"192.0.2.2\"]\n[[server]]\nname = \"nyc-1\"\nsite = \"nyc\"\naddresses = [\"198.51.100.1\"]\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n";
/// Milliseconds since 1970 when a test begins.
const UNIX: u64 = 1_700_000_000_000;

struct Play {
    folder: tempfile::TempDir,
    clock: Arc<AtomicU64>,
}

impl Play {
    fn new() -> Self {
        let play = Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(AtomicU64::new(1)) };
        play.put("network.toml", NETWORK);
        play.near("ams", "nyc");
        play
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        // Another length each time: files are told apart by it within one tick of the file system's clock.
        let stamp = self.clock.fetch_add(1, Ordering::Relaxed);
        let comment = if name.ends_with(".toml") {
            format!("# {}\n", "x".repeat(stamp as usize))
        } else {
            String::new()
        };
        std::fs::write(self.path(name), text.to_owned() + &comment).unwrap();
    }

    /// Which site is near clients of 10.1.0.0/16, and which those of 10.2.0.0/16.
    fn near(&self, one: &str, two: &str) {
        let near = |site: &str, prefix: &str| {
            let time = UNIX / 1000;
            format!("{{\"site\":\"{site}\",\"target\":\"{prefix}\",\"rtt\":5,\"time\":{time}}}\n")
        };
        self.put("probes.jsonl", &(near(one, "10.1.0.0/16") + &near(two, "10.2.0.0/16")));
    }

    fn keeper(&self) -> Keeper {
        self.keeper_of(CONFIG)
    }

    fn keeper_of(&self, config: &str) -> Keeper {
        let (clock, begin) = (Arc::clone(&self.clock), Arc::clone(&self.clock));
        let outside = Outside {
            unix: Arc::new(move || UNIX + clock.load(Ordering::Relaxed)),
            monotonic: Arc::new(move || begin.load(Ordering::Relaxed)),
            secret: [0; 32],
        };
        Keeper::new(&Config::parse(config, &self.path("mapper.toml")).unwrap(), outside).unwrap()
    }

    fn pass(&self, milliseconds: u64) {
        self.clock.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn in_force(&self) -> publish::Edition {
        publish::open_current(&self.path("maps")).unwrap().unwrap()
    }
}

/// The nearest site to clients of 10.1.0.0/16, whether or not anybody there may be named.
fn near(map: &Map) -> String {
    let unit = map.network.prefixes.unit_v4([10, 1, 0, 1].into()).unwrap();
    let site = map.network.units.ranking(unit)[0].site;
    map.network.sites[site.0 as usize].name.clone()
}

fn ordered(keeper: &mut Keeper, order: impl FnOnce(Done) -> Order) -> Option<Outcome> {
    let (done, mut outcome) = tokio::sync::oneshot::channel();
    if keeper.carry_out(order(done)) {
        keeper.keep_withdrawn();
    }
    keeper.answer_operators();
    outcome.try_recv().ok().map(|told: Told| told.outcome)
}

#[test]
fn what_is_accepted_is_not_answered_after_what_is_newer() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    play.near("nyc", "ams");
    play.pass(10_000);
    assert_eq!(keeper.next(false).map(|map| map.epoch), None);
    assert!(keeper.status().held_back.is_some());
    // Long after, when maps are due to be built again and something has changed.
    play.pass(70_000);
    play.put("network.toml", &NETWORK.replace("192.0.2.2", "192.0.2.3"));
    assert_eq!(ordered(&mut keeper, Order::Accept), Some(Outcome::Done));
    let newest = keeper.next(true).unwrap();
    assert_eq!(newest.network.servers[1].v4, Some([192, 0, 2, 3].into()));
    assert_eq!(near(&newest), "nyc");
    play.pass(1000);
    assert_eq!(keeper.next(false).map(|map| map.epoch), None);
}

#[test]
fn a_map_that_could_not_be_published_is_published_when_that_is_possible() {
    let play = Play::new();
    let mut keeper = play.keeper();
    let first = keeper.first().unwrap();
    assert_eq!(play.in_force().epoch, first.epoch);
    // Where files should be renamed to there is a folder: as good as a full disk, and in force even for the superuser.
    let away = play.path("away");
    std::fs::rename(play.path("maps"), &away).unwrap();
    std::fs::write(play.path("maps"), "").unwrap();
    play.put("network.toml", &NETWORK.replace("192.0.2.2", "192.0.2.3"));
    play.pass(10_000);
    assert!(keeper.next(false).is_some());
    assert!(keeper.status().trouble.unwrap().contains("maps"));
    std::fs::remove_file(play.path("maps")).unwrap();
    std::fs::rename(&away, play.path("maps")).unwrap();
    play.pass(10_000);
    let again = keeper.next(false).unwrap();
    assert_eq!(keeper.status().trouble, None);
    let edition = play.in_force();
    assert_eq!(edition.epoch, again.epoch);
    assert_eq!(edition.network.servers[1].v4, Some([192, 0, 2, 3].into()));
    play.pass(10_000);
    assert!(keeper.next(false).is_none());
}

#[test]
fn an_epoch_that_was_answered_and_not_written_does_not_come_again() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let away = play.path("away");
    std::fs::rename(play.path("maps"), &away).unwrap();
    std::fs::write(play.path("maps"), "").unwrap();
    let mut answered = Vec::new();
    for last in 3..6 {
        play.put("network.toml", &NETWORK.replace("192.0.2.2", &format!("192.0.2.{last}")));
        play.pass(10_000);
        answered.push(keeper.next(false).unwrap().epoch);
    }
    assert!(answered.is_sorted_by(|before, after| before < after), "{answered:?}");
    drop(keeper);
    std::fs::remove_file(play.path("maps")).unwrap();
    std::fs::rename(&away, play.path("maps")).unwrap();
    play.put("network.toml", &NETWORK.replace("192.0.2.2", "192.0.2.9"));
    play.pass(1000);
    let map = play.keeper().first().unwrap();
    assert_eq!(map.network.servers[1].v4, Some([192, 0, 2, 9].into()));
    assert!(Some(&map.epoch) > answered.last(), "{:?} after {answered:?}", map.epoch);
}

#[test]
fn trouble_ends_with_what_caused_it() {
    let play = Play::new();
    play.keeper().first().unwrap();
    let mut reader = play.keeper_of(&CONFIG[..CONFIG.find("[inputs]").unwrap()]);
    reader.first().unwrap();
    let current = play.path("maps").join("current");
    let text = std::fs::read(&current).unwrap();
    std::fs::write(&current, "x").unwrap();
    assert!(reader.next(false).is_none());
    assert!(reader.status().trouble.unwrap().contains("current"));
    std::fs::write(&current, text).unwrap();
    assert!(reader.next(false).is_none());
    assert_eq!(reader.status().trouble, None);
}

#[test]
fn who_reads_maps_says_that_there_are_none_any_more() {
    let play = Play::new();
    let made = play.keeper().first().unwrap().epoch.0;
    let mut reader = play.keeper_of(&CONFIG[..CONFIG.find("[inputs]").unwrap()]);
    reader.first().unwrap();
    assert_eq!((reader.status().made, reader.status().trouble), (made, None));
    // That nothing new comes is no fault: nothing may have changed.
    play.pass(3_600_000);
    assert!(reader.next(false).is_none());
    assert_eq!((reader.status().age / 10, reader.status().trouble), (360, None));
    let (maps, away) = (play.path("maps"), play.path("away"));
    let (current, aside) = (maps.join("current"), maps.join("aside"));
    for (from, to) in [(&current, &aside), (&maps, &away)] {
        std::fs::rename(from, to).unwrap();
        for _ in 0..2 {
            assert!(reader.next(false).is_none());
            let trouble = reader.status().trouble.unwrap();
            assert!(trouble.contains("maps/current: there is no map any more"), "{trouble}");
        }
        std::fs::rename(to, from).unwrap();
        assert!(reader.next(false).is_none());
        assert_eq!(reader.status().trouble, None);
    }
}

#[test]
fn a_mapper_goes_on_where_the_one_before_it_ended() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let withdraw = |server: &str, withdrawn| {
        let which = Which::server(server);
        move |done| Order::Withdraw { which, withdrawn, force: false, done }
    };
    assert_eq!(ordered(&mut keeper, withdraw("ams-1", true)), Some(Outcome::Done));
    assert_eq!(
        ordered(&mut keeper, withdraw("nobody", true)),
        Some(Outcome::Unknown(vec!["server nobody".into()]))
    );
    // One fails: it reported and does so no more.
    let report = |server: &str, number| LoadReport {
        server: server.into(),
        started: 1,
        number,
        sent: UNIX + play.clock.load(Ordering::Relaxed),
        ..LoadReport::default()
    };
    for number in 0..40 {
        let heard = ["ams-1", "ams-2", "nyc-1"].into_iter().filter(|server| *server != "ams-2" || number < 3);
        keeper.carry_out(Order::Reports(heard.map(|server| report(server, number)).collect()));
        keeper.next(false);
        play.pass(1000);
    }
    let standings = |status: Status| (status.serving, status.failed, status.withdrawn);
    assert_eq!(standings(keeper.status()), (1, 1, 1));
    drop(keeper);

    // Sites change places, which is too much, and then the network cannot be read at all.
    play.near("nyc", "ams");
    let mut keeper = play.keeper();
    let map = keeper.first().unwrap();
    assert!(keeper.status().held_back.is_some());
    assert_eq!((map.epoch, near(&map)), (play.in_force().epoch, "ams".to_owned()));
    drop(keeper);
    play.put("network.toml", "x = [");
    let mut keeper = play.keeper();
    assert_eq!(keeper.first().unwrap().epoch, map.epoch);
    assert!(keeper.status().trouble.is_some());
    keeper.next(false);
    assert_eq!(standings(keeper.status()), (1, 1, 1));

    // To restore who was not withdrawn does not make it well.
    assert_eq!(ordered(&mut keeper, withdraw("ams-2", false)), Some(Outcome::Done));
    keeper.next(false);
    assert_eq!(standings(keeper.status()), (1, 1, 1));

    // Who had failed serves when it is heard of, who was withdrawn when an operator says so.
    let all = ["ams-1", "ams-2", "nyc-1"].map(|server| report(server, 90));
    keeper.carry_out(Order::Reports(all.to_vec()));
    keeper.next(false);
    assert_eq!(standings(keeper.status()), (2, 0, 1));
    assert_eq!(ordered(&mut keeper, withdraw("ams-1", false)), Some(Outcome::Done));
    keeper.next(false);
    assert_eq!(standings(keeper.status()), (3, 0, 0));
    drop(keeper);
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    assert_eq!(standings(keeper.status()), (3, 0, 0));
}

#[test]
fn who_is_withdrawn_and_could_not_be_written_is_said_and_written_when_that_is_possible() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    // A folder where the file should be renamed to: as good as a full disk.
    let list = play.path("maps").join("withdrawn");
    std::fs::create_dir(&list).unwrap();
    let order = |keeper: &mut Keeper, withdrawn| {
        let (done, mut outcome) = tokio::sync::oneshot::channel();
        assert!(keeper.carry_out(Order::Withdraw {
            which: Which::server("ams-1"),
            withdrawn,
            force: false,
            done
        }));
        let map = keeper.next(true);
        keeper.answer_operators();
        (outcome.try_recv().unwrap().outcome, map.map(|map| map.conditions.servers[0].standing))
    };
    use crate::conditions::Standing::{Serving, Withdrawn};
    // It is taken out all the same, and asked again it is tried again.
    for answered in [Some(Withdrawn), None] {
        let (outcome, standing) = order(&mut keeper, true);
        assert!(matches!(&outcome, Outcome::NotKept(why) if why.contains("withdrawn")), "{outcome:?}");
        assert_eq!(standing, answered);
    }
    assert!(keeper.status().trouble.unwrap().contains("withdrawn"));
    std::fs::remove_dir(&list).unwrap();
    play.pass(1000);
    keeper.next(false);
    assert_eq!(keeper.status().trouble, None);
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "[\n  \"ams-1\"\n]\n");
    // What somebody removed comes back when it is asked for.
    std::fs::remove_file(&list).unwrap();
    assert_eq!(order(&mut keeper, true).0, Outcome::Done);
    drop(keeper);
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    assert_eq!(keeper.status().withdrawn, 1);
    // Where it cannot be written that one is back, that is said as well; and where the map cannot be published.
    std::fs::remove_file(&list).unwrap();
    std::fs::create_dir(&list).unwrap();
    let (outcome, standing) = order(&mut keeper, false);
    assert!(matches!(outcome, Outcome::NotKept(_)), "{outcome:?}");
    // An operator says that it is well; nothing else has been heard.
    assert_eq!(standing, Some(Serving));
    std::fs::remove_dir(&list).unwrap();
    let current = play.path("maps").join("current");
    std::fs::remove_file(&current).unwrap();
    std::fs::create_dir(&current).unwrap();
    let (outcome, standing) = order(&mut keeper, true);
    assert!(matches!(&outcome, Outcome::NotKept(why) if why.contains("current")), "{outcome:?}");
    assert_eq!(standing, Some(Withdrawn));
    std::fs::remove_dir(&current).unwrap();
    assert_eq!(order(&mut keeper, true).0, Outcome::Done);
    assert_eq!(play.in_force().conditions.servers[0].standing, Withdrawn);
}

#[test]
fn who_only_reads_maps_withdraws_nobody() {
    let play = Play::new();
    play.keeper().first().unwrap();
    let mut reader = play.keeper_of(&CONFIG[..CONFIG.find("[inputs]").unwrap()]);
    reader.first().unwrap();
    let order = |done| Order::Withdraw { which: Which::server("ams-1"), withdrawn: true, force: false, done };
    assert_eq!(ordered(&mut reader, order), None);
}

#[test]
fn what_came_while_a_map_was_built_counts_before_silence_does() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let (orders, mut inbox) = tokio::sync::mpsc::channel(64);
    for number in 0..40 {
        // For some seconds nobody listens.
        for server in ["ams-1", "ams-2", "nyc-1"] {
            let sent = UNIX + play.clock.load(Ordering::Relaxed);
            let report =
                LoadReport { server: server.into(), started: 1, number, sent, ..LoadReport::default() };
            orders.try_send(Order::Reports(vec![report])).unwrap();
        }
        play.pass(1000);
        if number < 20 || number == 39 {
            assert_eq!(keeper.catch_up(&mut inbox), Some(false));
            keeper.next(false);
            assert!(!keeper.status().blind);
        }
    }
    assert_eq!(keeper.status().serving, 3);
    orders.try_send(Order::Stop).unwrap();
    assert_eq!(keeper.catch_up(&mut inbox), None);
}

#[test]
fn a_map_that_is_built_by_hand_names_nobody_who_was_withdrawn() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let order = |done| Order::Withdraw { which: Which::server("ams-1"), withdrawn: true, force: false, done };
    assert_eq!(ordered(&mut keeper, order), Some(Outcome::Done));
    keeper.next(false);
    drop(keeper);
    play.put("network.toml", &NETWORK.replace("192.0.2.2", "192.0.2.3"));
    let outside = Outside { unix: Arc::new(|| UNIX), monotonic: Arc::new(|| 1), secret: [0; 32] };
    let config = Config::parse(CONFIG, &play.path("mapper.toml")).unwrap();
    let built = build_once(&config, &outside, false).unwrap();
    let edition = play.in_force();
    assert_eq!(Some(edition.epoch.0), built.epoch);
    let standings = edition.conditions.servers.iter().map(|now| now.standing).collect::<Vec<_>>();
    use crate::conditions::Standing::{Serving, Withdrawn};
    assert_eq!(standings, [Withdrawn, Serving, Serving]);
}

#[test]
fn a_thread_that_gives_way_lowers_its_own_priority_and_no_other() {
    let priority = || rustix::process::getpriority_process(None).unwrap();
    let before = priority();
    let lower = std::thread::spawn(move || {
        give_way();
        priority()
    });
    assert_eq!(lower.join().unwrap(), (before + GIVES_WAY).min(19));
    assert_eq!(priority(), before);
}

#[test]
fn threads_that_are_gone_are_told_to_operators() {
    let folder = tempfile::tempdir().unwrap();
    let zone = "$ORIGIN a.example.\n@ 3600 SOA ns h 1 3600 600 86400 60\n@ 3600 NS ns\nns 3600 A 127.0.0.1\n";
    std::fs::write(folder.path().join("zone"), zone).unwrap();
    let config = "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"a.example\"\nfile = \"zone\"\n";
    std::fs::write(folder.path().join("mapper.toml"), config).unwrap();
    let config = Config::read(&folder.path().join("mapper.toml")).unwrap();
    let clock: Arc<dyn Fn() -> u64 + Send + Sync> = Arc::new(|| 1_000);
    let outside = Outside { unix: Arc::clone(&clock), monotonic: clock, secret: [1; 32] };
    let mut keeper = Keeper::new(&config, outside).unwrap();
    keeper.first().unwrap();
    let told = |keeper: &Keeper| serde_json::to_value(keeper.status()).unwrap()["threads-gone"].clone();
    assert_eq!(told(&keeper), 0);
    keeper.note_threads(2);
    assert_eq!(told(&keeper), 2);
}

#[test]
fn a_farewell_is_told_apart_from_what_operators_order() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let sent = UNIX + play.clock.load(Ordering::Relaxed);
    let state = control::load_report::State::Stops;
    let farewell =
        LoadReport { server: "ams-1".into(), started: 1, number: 1, sent, state, ..LoadReport::default() };
    keeper.carry_out(Order::Reports(vec![farewell]));
    let map = keeper.next(true).unwrap();
    let status = keeper.status();
    assert_eq!((status.serving, status.leaving, status.withdrawn), (2, 1, 0));
    let name = map.names().find(b"\x03www").unwrap();
    let told = crate::decide::explain::explain(&map, "www", name, [10, 1, 0, 1].into()).to_text();
    assert!(told.contains("leaving"), "{told}");
    // Kept in the map as it is.
    assert_eq!(play.in_force().conditions, map.conditions);
    let restore = |keeper: &mut Keeper| {
        let which = Which::server("ams-1");
        let (done, mut told) = tokio::sync::oneshot::channel();
        keeper.carry_out(Order::Withdraw { which, withdrawn: false, force: false, done });
        keeper.next(true);
        keeper.answer_operators();
        told.try_recv().unwrap().changed
    };
    assert_eq!(restore(&mut keeper), ["ams-1"]);
    assert_eq!((keeper.status().serving, keeper.status().leaving), (3, 0));
    assert!(restore(&mut keeper).is_empty());
}

/// Lets servers report, each with its load, for so many seconds; and says what the log told meanwhile.
fn reported(play: &Play, keeper: &mut Keeper, seconds: u64, loads: &[(&str, u16)]) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..seconds {
        let now = play.clock.load(Ordering::Relaxed);
        let report = |(server, load): &(&str, u16)| LoadReport {
            server: (*server).into(),
            started: 1,
            number: now,
            sent: UNIX + now,
            processor: *load,
            ..LoadReport::default()
        };
        keeper.carry_out(Order::Reports(loads.iter().map(report).collect()));
        let before = keeper.map.clone().unwrap();
        let conditions = keeper.watch.step(now, &before.network, &keeper.config.rules);
        let told = keeper.changes(&before.network, &conditions);
        lines.extend(
            told.iter().map(|line| format!("{} {}: {}", line.told.count, line.told.first, line.what)),
        );
        keeper.next(false);
        play.pass(1000);
    }
    lines
}

#[test]
fn the_log_and_the_status_say_who_is_not_named_and_why() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let well = [("ams-1", 300), ("ams-2", 300), ("nyc-1", 300)];
    assert_eq!(reported(&play, &mut keeper, 10, &well), Vec::<String>::new());
    let lines = reported(&play, &mut keeper, 30, &well[1..]);
    assert_eq!(lines, ["1 ams-1: not named any more: silent, no load report came for too long"]);
    assert_eq!(keeper.status().out.failed, ["ams-1"]);
    assert_eq!(reported(&play, &mut keeper, 10, &well), ["1 ams-1: named again"]);
    for _ in 0..3 {
        let server = || "ams-2".to_owned();
        keeper.carry_out(Order::Probed { server: server(), kind: 0, succeeded: false });
    }
    let lines = reported(&play, &mut keeper, 1, &well);
    assert_eq!(lines, ["1 ams-2: not named any more: probes of it fail"]);
    for _ in 0..3 {
        keeper.carry_out(Order::Probed { server: "ams-2".into(), kind: 0, succeeded: true });
    }
    reported(&play, &mut keeper, 1, &well);
    // Both of a site, which gives its clients away.
    let lines = reported(&play, &mut keeper, 10, &[("ams-1", 960), ("ams-2", 960), ("nyc-1", 200)]);
    let [begins] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(begins.starts_with("1 ams (") && begins.contains("begins to give clients"), "{begins}");
    let status = keeper.status();
    assert_eq!((status.shedding, status.sheds.len(), status.sheds[0].site.as_str()), (1, 1, "ams"));
    let lines = reported(&play, &mut keeper, 300, &well);
    assert_eq!(lines, ["1 ams: gives no clients away any more: it can carry them"]);
    assert!(keeper.status().sheds.is_empty());
}

#[test]
fn that_no_server_is_well_is_trouble() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let probed = |keeper: &mut Keeper, succeeded| {
        for _ in 0..3 {
            for server in ["ams-1", "ams-2", "nyc-1"] {
                keeper.carry_out(Order::Probed { server: server.into(), kind: 0, succeeded });
            }
        }
        keeper.next(false);
    };
    probed(&mut keeper, false);
    let status = keeper.status();
    assert_eq!((status.failed, status.out.failed.len()), (3, 3));
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("no server is well") && trouble.contains("web"), "{trouble}");
    // Who reads these maps says so as well.
    let mut reader = play.keeper_of(&CONFIG[..CONFIG.find("[inputs]").unwrap()]);
    reader.first().unwrap();
    assert!(reader.status().trouble.is_some_and(|trouble| trouble.contains("no server is well")));
    probed(&mut keeper, true);
    assert_eq!(keeper.status().trouble, None);
}

#[test]
fn silence_that_is_not_believed_is_told_once_and_when_it_is_over() {
    let play = Play::new();
    let mut keeper = play.keeper();
    keeper.first().unwrap();
    let well = [("ams-1", 300), ("ams-2", 300), ("nyc-1", 300)];
    reported(&play, &mut keeper, 10, &well);
    assert_eq!(reported(&play, &mut keeper, 60, &[]), Vec::<String>::new());
    assert!(keeper.status().blind && keeper.known.silence.is_some());
    reported(&play, &mut keeper, 10, &well);
    assert!(!keeper.status().blind && keeper.known.silence.is_none());
}

/// However many leave at once, that is one line.
#[test]
fn many_servers_that_leave_at_once_are_one_line() {
    let mut keeper = Play::new().keeper();
    let network = crate::sample::network(&[40, 60]);
    let mut conditions = Conditions::calm(&network);
    conditions.servers.iter_mut().for_each(|now| now.standing = crate::conditions::Standing::Overloaded);
    conditions.servers[99].standing = crate::conditions::Standing::Leaving;
    let lines = keeper.changes(&network, &conditions);
    let told = lines.iter().map(|line| (line.told.count, line.told.first.as_str())).collect::<Vec<_>>();
    assert_eq!(told, [(99, "s0-0, s0-1, s0-2, s0-3, s0-4, and others"), (1, "s1-59")]);
    assert!(keeper.changes(&network, &conditions).is_empty());
}

#[test]
fn a_site_is_withdrawn_in_one_order_and_none_that_leaves_a_service_without_servers_unless_it_is_meant() {
    let play = Play::new();
    let mut keeper = play.keeper();
    let first = keeper.first().unwrap().epoch;
    let mut order = |servers: &[&str], sites: &[&str], withdrawn, force| {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let which = Which { servers: strings(servers), sites: strings(sites) };
        let (done, mut told) = tokio::sync::oneshot::channel();
        let steps = keeper.carry_out(Order::Withdraw { which, withdrawn, force, done });
        let map = steps.then(|| keeper.next(true)).flatten();
        keeper.answer_operators();
        (told.try_recv().unwrap(), map.map(|map| map.epoch.0), keeper.status().withdrawn)
    };
    // All or none.
    let (told, map, count) = order(&["ams-1", "amz-2"], &["ams", "par"], true, false);
    let unknown = ["server amz-2".to_owned(), "site par with servers".into()];
    assert_eq!((told.outcome, map, count), (Outcome::Unknown(unknown.into()), None, 0));
    let (told, map, count) = order(&["ams-1"], &["ams"], true, false);
    assert_eq!((&told.outcome, map, count), (&Outcome::Done, Some(first.0 + 1), 2));
    assert_eq!((told.changed, told.same), (vec!["ams-1".to_owned(), "ams-2".into()], Vec::new()));
    // The last one.
    let (told, map, count) = order(&["nyc-1", "ams-1"], &[], true, false);
    let bereft =
        "service web has no server left that may be named over IPv4: its clients get no addresses (NODATA)";
    assert_eq!((told.outcome, map, count), (Outcome::Bereft(vec![bereft.into()]), None, 2));
    let (told, _, count) = order(&["nyc-1", "ams-1"], &[], true, true);
    assert_eq!((told.outcome, told.bereft, count), (Outcome::Done, vec![bereft.to_owned()], 3));
    assert_eq!((told.changed, told.same), (vec!["nyc-1".to_owned()], vec!["ams-1".to_owned()]));
    // Again: nothing is taken that was there.
    let (told, map, _) = order(&[], &["nyc"], true, false);
    assert_eq!((told.outcome, told.same, map), (Outcome::Done, vec!["nyc-1".to_owned()], None));
    let (told, _, count) = order(&["nyc-1"], &["ams"], false, false);
    assert_eq!((told.outcome, told.changed.len(), count), (Outcome::Done, 3, 0));
    let (told, map, _) = order(&["nyc-1"], &[], false, false);
    assert_eq!((told.outcome, told.same, map), (Outcome::Done, vec!["nyc-1".to_owned()], None));
}
