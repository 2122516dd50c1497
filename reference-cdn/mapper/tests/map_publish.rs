//! Maps in a directory: whenever the writer is cut off, a reader sees the old map or the new one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use mapper::build::plant::Plant;
use mapper::build::{Builder, Inputs, Settings, network_file};
use mapper::conditions::{Conditions, Standing};
use mapper::map::Epoch;
use mapper::map::publish::{Keep, PublishError, Publisher, Reader, Step, open_current, open_epoch};
use mapper::network::Network;

fn network(servers: usize) -> Arc<Network> {
    let mut text = String::from(
        "[[site]]\nname = \"fra\"\nlatitude = 50\nlongitude = 8\n[[service]]\nname = \"web\"\nhosts = [\"www\"]\n",
    );
    for number in 0..servers {
        text += &format!(
            "[[server]]\nname = \"s{number}\"\nsite = \"fra\"\naddresses = [\"192.0.2.{}\"]\n",
            number + 1
        );
    }
    let mut plant = Plant::default();
    network_file::read("network.toml", &text, &mut plant).unwrap();
    let inputs = Inputs { plant: Arc::new(plant.checked().unwrap()), ..Inputs::default() };
    Arc::new(Builder::new(Settings::default()).build(7, &inputs).network)
}

fn conditions(network: &Network, spread: u16) -> Conditions {
    let mut conditions = Conditions::calm(network);
    conditions.servers[0].spread = spread;
    conditions
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_published_is_read() {
    let folder = tempfile::tempdir().unwrap();
    assert!(open_current(folder.path()).unwrap().is_none());
    let mut publisher = Publisher::open(folder.path(), Keep::default()).unwrap();
    let mut reader = Reader::new(folder.path());
    assert!(reader.poll().unwrap().is_none());
    let (small, large) = (network(2), network(3));
    for (epoch, network) in [(1, &small), (2, &small), (5, &large)] {
        let now = conditions(network, epoch);
        let digest = publisher.publish(Epoch(epoch.into()), 1000 + u64::from(epoch), network, &now).unwrap();
        let edition = reader.poll().unwrap().unwrap();
        assert_eq!(
            (edition.epoch, edition.time, edition.digest),
            (Epoch(epoch.into()), 1000 + u64::from(epoch), digest)
        );
        assert_eq!((&edition.network, &edition.conditions), (network, &now));
        assert!(reader.poll().unwrap().is_none(), "nothing is new");
    }
    assert_eq!(files(folder.path()).iter().filter(|name| name.starts_with("network-")).count(), 2);
    // Of the same network a reader has one copy.
    let (first, second) = (reader.epoch(Epoch(1)).unwrap(), reader.epoch(Epoch(2)).unwrap());
    assert!(Arc::ptr_eq(&first.network, &second.network));
    assert_eq!(open_epoch(folder.path(), Epoch(2)).unwrap().conditions, conditions(&small, 2));
    let gone = open_epoch(folder.path(), Epoch(4)).unwrap_err().to_string();
    assert!(
        gone.ends_with("there is no map of epoch 4; kept are 3 from 1 to 5, next to it 2 and 5"),
        "{gone}"
    );
    let back = publisher.publish(Epoch(5), 1, &small, &conditions(&small, 0)).unwrap_err().to_string();
    assert_eq!(back, "epoch 5 does not follow 5; each map needs a later epoch than the one before");
    let second = Publisher::open(folder.path(), Keep::default()).unwrap_err();
    assert!(matches!(second, PublishError::Taken { .. }), "{second}");
    drop(publisher);
    let publisher = Publisher::open(folder.path(), Keep::default()).unwrap();
    assert_eq!([0, 6_999, 7_000].map(|time| publisher.next(time)), [Epoch(6), Epoch(6), Epoch(7)]);
}

#[test]
fn old_maps_go_and_the_one_in_force_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::open(folder.path(), Keep { epochs: 3, octets: u64::MAX }).unwrap();
    let (small, large) = (network(2), network(3));
    for epoch in 1..=6 {
        let network = if epoch < 5 { &small } else { &large };
        publisher.publish(Epoch(epoch), 1, network, &Conditions::calm(network)).unwrap();
    }
    let kept = |name: &str| files(folder.path()).iter().filter(|file| file.starts_with(name)).count();
    assert_eq!((kept("conditions-"), kept("network-")), (3, 2));
    publisher.publish(Epoch(7), 1, &large, &Conditions::calm(&large)).unwrap();
    assert_eq!((kept("conditions-"), kept("network-")), (3, 1));
    drop(publisher);
    let mut tight = Publisher::open(folder.path(), Keep { epochs: 100, octets: 1 }).unwrap();
    tight.publish(Epoch(8), 1, &small, &Conditions::calm(&small)).unwrap();
    assert_eq!((kept("conditions-"), kept("network-")), (1, 1));
    assert_eq!(open_current(folder.path()).unwrap().unwrap().network, small);
}

/// Cut off at each step, as if the program had been killed there; then started again.
#[test]
fn a_cut_at_any_step_leaves_the_old_map_or_the_new() {
    let (small, large) = (network(2), network(3));
    let mut steps = 0;
    for cut in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep { epochs: 1, octets: u64::MAX };
        let mut publisher = Publisher::open(folder.path(), keep).unwrap();
        publisher.publish(Epoch(1), 1, &small, &conditions(&small, 1)).unwrap();
        let mut seen: Vec<Step> = Vec::new();
        let result = publisher.publish_watched(Epoch(2), 2, &large, &conditions(&large, 2), &mut |step| {
            seen.push(step);
            // Whoever reads at this moment gets one of the two, whole.
            let edition = open_current(folder.path()).unwrap().unwrap();
            let old = edition.epoch == Epoch(1)
                && edition.network == small
                && edition.conditions == conditions(&small, 1);
            let new = edition.epoch == Epoch(2)
                && edition.network == large
                && edition.conditions == conditions(&large, 2);
            assert!(old || new);
            if seen.len() > cut { Err(io::Error::other("cut off")) } else { Ok(()) }
        });
        if result.is_ok() && publisher.leftover().is_none() {
            steps = cut;
            break;
        }
        drop(publisher);
        let epoch = open_current(folder.path()).unwrap().unwrap().epoch;
        assert!(epoch == Epoch(1) || epoch == Epoch(2));
        let mut again = Publisher::open(folder.path(), keep).unwrap();
        assert!(!files(folder.path()).iter().any(|name| name.ends_with(".new")));
        assert!(again.next(0) > epoch);
        again.publish(again.next(0), 3, &large, &conditions(&large, 3)).unwrap();
        let edition = open_current(folder.path()).unwrap().unwrap();
        assert_eq!((edition.network, edition.conditions), (large.clone(), conditions(&large, 3)));
    }
    // Three files of five steps, and the removal of old conditions and their network.
    assert_eq!(steps, 17);
}

const FOLDER: &str = "MAP_PUBLISH_FOLDER";

/// Not a test of its own: what the one below starts and kills.
#[test]
fn publish_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut publisher = Publisher::open(Path::new(&folder), Keep { epochs: 2, octets: u64::MAX }).unwrap();
    let networks = [network(2), network(3)];
    loop {
        let epoch = publisher.next(0);
        let network = &networks[(epoch.0 % 2) as usize];
        publisher.publish(epoch, epoch.0, network, &conditions(network, (epoch.0 % 1000) as u16)).unwrap();
        // Not remembered, so that networks too are written and removed.
        drop(publisher);
        publisher = Publisher::open(Path::new(&folder), Keep { epochs: 2, octets: u64::MAX }).unwrap();
    }
}

#[test]
fn a_killed_publisher_leaves_a_whole_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = Epoch(0);
    let mut reader = Reader::new(folder.path());
    for round in 0..12_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "publish_until_killed", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Reads while it writes, until some maps later; a different number of reads each round, so that the kill meets any step.
        let (mut maps, mut reads) = (0, 0);
        while maps < 3 || reads % 7 != round % 7 {
            reads += 1;
            assert!(child.try_wait().unwrap().is_none(), "the publisher stopped by itself");
            if let Some(edition) = reader.poll().unwrap() {
                maps += 1;
                assert!(edition.epoch > last, "{:?} after {last:?}", edition.epoch);
                last = edition.epoch;
                assert_eq!(edition.conditions.servers[0].spread, (last.0 % 1000) as u16);
                assert_eq!(edition.network.servers.len(), 2 + (last.0 % 2) as usize);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let edition = open_current(folder.path()).unwrap().unwrap();
        assert_eq!(edition.network.servers.len(), 2 + (edition.epoch.0 % 2) as usize);
        assert!(edition.epoch >= last);
        // What it left is taken over by the next.
        last = edition.epoch;
    }
}

#[test]
fn what_is_damaged_is_said_and_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let small = network(2);
    let mut publisher = Publisher::open(folder.path(), Keep::default()).unwrap();
    let mut now = Conditions::calm(&small);
    now.servers[1].standing = Standing::Failed;
    publisher.publish(Epoch(1), 1, &small, &now).unwrap();
    for name in files(folder.path()).into_iter().filter(|name| name != "lock") {
        let path = folder.path().join(&name);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            match open_current(folder.path()) {
                Err(error) => assert!(error.to_string().contains(&name), "{error}"),
                // Without its last octet, a line feed, `current` says the same.
                Ok(edition) => assert!(name == "current" && edition.is_some()),
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    let elsewhere = r#"{"version":1,"epoch":1,"network":"../network","digest":"","conditions":"c"}"#;
    std::fs::write(folder.path().join("current"), elsewhere).unwrap();
    assert!(open_current(folder.path()).unwrap_err().to_string().contains("it names files in other folders"));
    let newer = r#"{"version":2,"epoch":1,"network":"n","digest":"","conditions":"c"}"#;
    std::fs::write(folder.path().join("current"), newer).unwrap();
    assert!(
        open_current(folder.path())
            .unwrap_err()
            .to_string()
            .contains("it has version 2, and this program knows 1")
    );
}

#[test]
fn what_cannot_be_written_whole_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::open(folder.path(), Keep::default()).unwrap();
    // Something that no file can take the place of.
    std::fs::create_dir(folder.path().join("current")).unwrap();
    let network = Arc::new(Network::default());
    let conditions = Conditions::calm(&network);
    for epoch in 1..=3 {
        assert!(publisher.publish(Epoch(epoch), 1, &network, &conditions).is_err());
    }
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
}

/// A file system that is too small for what is to be kept, as only root can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(folder.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            assert!(
                std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"),
                "a file system cannot be mounted"
            );
            eprintln!("not run: a file system cannot be mounted");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn old_maps_make_room_for_new_ones_on_a_full_disk() {
    // Every fourth map has another network; of sizes such that now the network, now the conditions have no room.
    for servers in [[40, 40], [40, 43], [100, 110], [230, 200]] {
        let Some(disk) = SmallDisk::mount("96k") else { return };
        let networks = servers.map(network);
        let mut publisher = Publisher::open(disk.0.path(), Keep::default()).unwrap();
        let mut least = usize::MAX;
        for epoch in 1..=200 {
            let network = &networks[(epoch / 4 % 2) as usize];
            let now = conditions(network, epoch as u16);
            publisher.publish(Epoch(epoch), epoch, network, &now).unwrap();
            let edition = open_current(disk.0.path()).unwrap().unwrap();
            assert_eq!((edition.epoch, &edition.network), (Epoch(epoch), network));
            let kept = files(disk.0.path()).iter().filter(|name| name.starts_with("conditions-")).count();
            least = if epoch > 1 { least.min(kept) } else { least };
        }
        assert!(least <= 3, "the disk was never full: {least} maps were kept at least");
    }
}
