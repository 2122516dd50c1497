//! The two tiers as one store, on a folder whose operations can be made to fail. The writer runs when a test says so.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use http_cache::{Beside, Keep, Key};

use crate::clock::Clock;
use crate::purge::{Asker, Order};
use crate::store::disk::{
    DiskConfig, DiskLimits, File, Files, Folder, OpenError, OtherVersion, Recovered, Sync, Writer,
};
use crate::store::*;
use crate::store_tests::head;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Full,
    Io,
    /// A few octets at a time.
    Short,
    /// Half is written, then it fails.
    Torn,
}

#[derive(Debug)]
struct Faulty {
    folder: Folder,
    writes: Arc<Mutex<Fault>>,
    reads: Arc<Mutex<Fault>>,
    operations: Arc<AtomicU64>,
    meanwhile: Arc<Meanwhile>,
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    writes: Arc<Mutex<Fault>>,
    reads: Arc<Mutex<Fault>>,
    operations: Arc<AtomicU64>,
    meanwhile: Arc<Meanwhile>,
}

/// What others do when the next file is read.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Faulty {
    fn wrap(&self, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        let (writes, reads) = (Arc::clone(&self.writes), Arc::clone(&self.reads));
        let (operations, meanwhile) = (Arc::clone(&self.operations), Arc::clone(&self.meanwhile));
        file.map(|file| Arc::new(FaultyFile { file, writes, reads, operations, meanwhile }) as Arc<dyn File>)
    }
}

fn failing(fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Full => Err(io::ErrorKind::StorageFull.into()),
        Fault::Io => Err(io::Error::other("injected")),
        Fault::None | Fault::Short | Fault::Torn => Ok(()),
    }
}

impl Files for Faulty {
    fn take(&self) -> io::Result<Box<dyn Send + std::marker::Sync + Debug>> {
        self.folder.take()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        failing(*self.writes.lock().expect("lock"))?;
        self.wrap(self.folder.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.wrap(self.folder.open(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl File for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let meanwhile = self.meanwhile.0.lock().expect("lock").take();
        meanwhile.into_iter().for_each(|act| act());
        let fault = *self.reads.lock().expect("lock");
        failing(fault)?;
        let most = if fault == Fault::Short { buffer.len().min(7) } else { buffer.len() };
        self.file.read_at(&mut buffer[..most], offset)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<usize> {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let fault = *self.writes.lock().expect("lock");
        failing(fault)?;
        match fault {
            Fault::Short => self.file.write_at(&octets[..octets.len().min(100)], offset),
            Fault::Torn => {
                self.file.write_at(&octets[..octets.len() / 2], offset)?;
                Err(io::Error::other("injected"))
            }
            _ => self.file.write_at(octets, offset),
        }
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        failing(*self.writes.lock().expect("lock"))
    }
}

/// A store on a folder, and its writer.
struct Both {
    store: Arc<Store>,
    writer: Option<Writer>,
    recovered: Recovered,
    writes: Arc<Mutex<Fault>>,
    reads: Arc<Mutex<Fault>>,
    meanwhile: Arc<Meanwhile>,
    clock: Clock,
}

const SEGMENT: u64 = 256 * 1024;

fn try_open(folder: &Path, segments: u64, hasher: Option<KeyHasher>) -> Result<Both, OpenError> {
    let (writes, reads) = (Arc::new(Mutex::new(Fault::None)), Arc::new(Mutex::new(Fault::None)));
    let files = Faulty {
        folder: Folder::new(folder),
        writes: Arc::clone(&writes),
        reads: Arc::clone(&reads),
        operations: Arc::default(),
        meanwhile: Arc::default(),
    };
    let meanwhile = Arc::clone(&files.meanwhile);
    let clock = Clock::manual(http_cache::Time::from_secs(1_000_000));
    let config = DiskConfig {
        files: Arc::new(files),
        limits: DiskLimits { size: segments * SEGMENT, segment: SEGMENT, queue: 8 << 20, index: 1 << 20 },
        sync: Sync::Sealed,
        other_version: OtherVersion::Empty,
        patience: Duration::from_secs(5),
        clock: clock.clone(),
    };
    let purges = crate::purge::Purges::in_memory(crate::purge::Limits::default(), 0);
    let limits = StoreLimits { memory: 8 << 20, object: 128 << 10, variants: 4 };
    let (store, writer, recovered) = Store::open_with(limits, purges, config, Some(0), hasher)?;
    Ok(Both { store: Arc::new(store), writer: Some(writer), recovered, writes, reads, meanwhile, clock })
}

fn open(folder: &Path) -> Both {
    try_open(folder, 64, None).expect("opens")
}

impl Both {
    fn key(&self, path: &str) -> HashedKey {
        self.store.hashed(&Arc::from("customer"), Key::of(&format!("http://a{path}").parse().expect("uri")))
    }

    fn put(&self, path: &str, content: &[u8]) -> Arc<Body> {
        let key = self.key(path);
        let old = self.store.find(&key).unwrap_or_default();
        let registration = self.store.take_off(&key, 0, None, false, |_| false).expect("no other");
        let mut filler = self.store.fill(&registration);
        filler.append(content);
        let body = Arc::clone(filler.body());
        let end = End::Complete(Arc::new(HeaderMap::new()));
        self.store.keep(&registration, filler, head(), end, &old.bodies, |_| Beside::Both, |_| Keep::Store);
        body
    }

    fn write(&mut self) {
        self.writer.as_mut().expect("a writer").work();
    }

    /// Out of memory, not off the disk.
    fn forget_memory(&self, path: &str) {
        let key = self.key(path);
        for body in self.store.find(&key).unwrap_or_default().bodies.iter() {
            self.store.leave(&key, body);
        }
    }

    /// What a request would get.
    async fn get(&self, path: &str) -> Option<Result<Vec<u8>, crate::store::Fault>> {
        let variants = self.store.look_up(&self.key(path)).await;
        let object = variants.object(0)?;
        let mut reader = object.body.read(0);
        let mut all = Vec::new();
        loop {
            match reader.next(u64::MAX) {
                Ok(Next::Data(data)) => all.extend_from_slice(&data),
                Ok(Next::End(_)) => return Some(Ok(all)),
                Ok(Next::Wait) => reader.arrival().await,
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    fn order(&self, text: &str) {
        let by = Asker { name: "admin".into(), customer: None };
        let order =
            Order::parse(text.as_bytes(), self.clock.now(), |uri| vec![Key::of(uri)]).expect("an order");
        self.store.purges().order(order, &by, self.clock.now(), &*self.store).expect("accepted");
    }

    fn count(&self, counter: impl Fn(&disk::DiskCounters) -> &AtomicU64) -> u64 {
        counter(self.store.disk().expect("disk").counters()).load(Ordering::Relaxed)
    }
}

fn content(seed: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|n| (n * 31 / 7 + seed * 13) as u8).collect()
}

#[tokio::test]
async fn what_was_written_survives_a_kill_and_what_was_removed_stays_away() {
    let folder = tempfile::tempdir().expect("folder");
    let sizes = [0, 1, 100, 5000, 65_536, 70_000, 128 << 10];
    {
        let mut both = open(folder.path());
        for (n, size) in sizes.into_iter().enumerate() {
            both.put(&format!("/{n}"), &content(n, size));
        }
        both.put("/replaced", b"old");
        both.put("/purged", b"purged");
        both.write();
        both.put("/replaced", b"new");
        let purged = both.store.purge(&both.key("/purged"), None);
        assert_eq!((purged.count, purged.removal.is_written()), (1, None));
        both.write();
        assert_eq!(purged.removal.is_written(), Some(true));
        both.put("/late", b"not written");
        // Dropped as it is: nothing is sealed.
    }
    for round in 0..2 {
        let both = open(folder.path());
        assert_eq!(both.recovered.objects, sizes.len() as u64 + 1, "round {round}");
        for (n, size) in sizes.into_iter().enumerate() {
            assert!(both.get(&format!("/{n}")).await == Some(Ok(content(n, size))), "{size}");
        }
        assert_eq!(both.get("/replaced").await, Some(Ok(b"new".to_vec())));
        assert!(both.get("/purged").await.is_none() && both.get("/late").await.is_none());
        if round == 0 {
            // Sealed this time.
            let mut both = both;
            both.store.close();
            both.writer.take().expect("a writer").run();
        }
    }
}

#[tokio::test]
async fn a_purge_reaches_what_memory_let_go_and_what_is_not_written_yet() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    both.put("/a", b"a");
    both.put("/b", b"b");
    both.write();
    both.put("/c", b"c");
    for path in ["/a", "/b", "/c"] {
        both.forget_memory(path);
    }
    assert_eq!(both.get("/b").await, Some(Ok(b"b".to_vec())));
    assert_eq!(both.get("/c").await, Some(Ok(b"c".to_vec())), "on its way to the disk");
    both.forget_memory("/c");
    for path in ["/a", "/c"] {
        assert_eq!(both.store.purge(&both.key(path), None).count, 1, "{path}");
        assert!(both.get(path).await.is_none());
    }
    both.write();
    drop(both);
    let both = open(folder.path());
    assert!(both.get("/a").await.is_none() && both.get("/c").await.is_none());
    assert_eq!(both.get("/b").await, Some(Ok(b"b".to_vec())));
}

#[tokio::test]
async fn writes_that_fail_cost_nothing_but_the_disk_copy() {
    for fault in [Fault::Full, Fault::Io, Fault::Torn] {
        let folder = tempfile::tempdir().expect("folder");
        let mut both = open(folder.path());
        both.put("/before", b"before");
        both.write();
        *both.writes.lock().expect("lock") = fault;
        for n in 0..10 {
            both.put(&format!("/{n}"), &content(n, 3000));
            both.write();
            assert!(both.get(&format!("/{n}")).await == Some(Ok(content(n, 3000))), "from memory");
        }
        assert!(both.count(|it| &it.write_errors) > 0 && both.count(|it| &it.dropped_failing) == 10);
        assert!(both.store.disk().expect("disk").is_paused(), "{fault:?}");
        // A removal that cannot be written holds all the same, at the cost of the segment.
        let purged = both.store.purge(&both.key("/before"), None);
        both.write();
        assert_eq!((purged.count, purged.removal.is_written()), (1, Some(true)), "{fault:?}");
        // The disk is well again.
        *both.writes.lock().expect("lock") = Fault::None;
        both.clock.advance(Duration::from_secs(3600));
        both.put("/after", b"after");
        both.write();
        drop(both);
        let both = open(folder.path());
        assert_eq!(both.get("/after").await, Some(Ok(b"after".to_vec())), "{fault:?}");
        assert!(both.get("/before").await.is_none(), "{fault:?}");
    }
}

#[tokio::test]
async fn short_reads_and_writes_are_no_fault_and_failing_reads_a_miss() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    *both.writes.lock().expect("lock") = Fault::Short;
    *both.reads.lock().expect("lock") = Fault::Short;
    both.put("/a", &content(1, 70_000));
    both.put("/b", &content(2, 70_000));
    both.write();
    both.forget_memory("/a");
    both.forget_memory("/b");
    assert!(both.get("/a").await == Some(Ok(content(1, 70_000))));
    *both.reads.lock().expect("lock") = Fault::Io;
    assert!(both.get("/b").await.is_none());
    assert_eq!(both.count(|it| &it.read_errors), 1);
}

#[tokio::test]
async fn keys_with_one_hash_never_answer_for_each_other() {
    let folder = tempfile::tempdir().expect("folder");
    let hasher = || Some(KeyHasher::constant(7));
    {
        let mut both = try_open(folder.path(), 64, hasher()).expect("opens");
        both.put("/a", b"a");
        both.put("/b", b"b");
        both.write();
    }
    let both = try_open(folder.path(), 64, hasher()).expect("opens");
    assert_eq!(both.get("/a").await, Some(Ok(b"a".to_vec())));
    assert_eq!(both.get("/b").await, Some(Ok(b"b".to_vec())));
    assert!(both.get("/c").await.is_none());
}

#[tokio::test]
async fn a_flipped_bit_or_a_cut_anywhere_gives_what_was_stored_or_nothing() {
    let sizes = [10, 9000, 66_000];
    let folder = tempfile::tempdir().expect("folder");
    {
        let mut both = open(folder.path());
        for (n, size) in sizes.into_iter().enumerate() {
            both.put(&format!("/{n}"), &content(n, size));
        }
        both.write();
        both.store.close();
        both.writer.take().expect("a writer").run();
    }
    let path = folder.path().join("00000000.segment");
    let whole = std::fs::read(&path).expect("segment");
    let edges = (0..400).chain(whole.len() - 300..whole.len());
    let places = edges.step_by(3).chain((0..whole.len()).step_by(1511)).collect::<Vec<_>>();
    for cut in [false, true] {
        for at in &places {
            let mut octets = whole.clone();
            if cut {
                octets.truncate(*at);
            } else {
                octets[*at] ^= 1 << (at % 8);
            }
            for entry in std::fs::read_dir(folder.path()).expect("folder") {
                std::fs::remove_file(entry.expect("entry").path()).expect("remove");
            }
            std::fs::write(&path, octets).expect("write");
            let both = open(folder.path());
            let mut good = 0;
            for (n, size) in sizes.into_iter().enumerate() {
                if let Some(Ok(read)) = both.get(&format!("/{n}")).await {
                    assert!(read == content(n, size), "cut {cut} at {at}: a wrong answer");
                    good += 1;
                }
            }
            assert!(cut || good >= 2 || *at < 128, "one bit at {at} took {} responses", 3 - good);
        }
    }
}

#[tokio::test]
async fn the_disk_stays_within_its_size_and_keeps_what_is_read() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = try_open(folder.path(), 16, None).expect("opens");
    both.put("/hot", &content(0, 2000));
    both.write();
    for n in 0..4000 {
        both.put(&format!("/{n}"), &content(n, 2000));
        if n % 100 == 0 {
            both.write();
            both.forget_memory("/hot");
            assert!(both.get("/hot").await == Some(Ok(content(0, 2000))), "evicted at {n}");
            let variants = both.store.find(&both.key("/hot")).expect("in memory");
            both.store.touch(&variants.object(0).expect("one"));
        }
    }
    both.write();
    let (objects, octets) = both.store.disk().expect("disk").size();
    assert!(octets <= 16 * SEGMENT, "{octets}");
    assert!(objects > 500 && both.count(|it| &it.evicted) > 1000, "{objects}");
    let files = std::fs::read_dir(folder.path()).expect("folder");
    let on_disk: u64 = files.map(|entry| entry.expect("entry").metadata().expect("metadata").len()).sum();
    assert!(on_disk <= 16 * SEGMENT, "{on_disk}");
}

/// What is copied on has met the purges by then, and what they took is not: so they are forgotten in time, though
/// nobody walks over the disk.
#[tokio::test]
async fn purges_are_met_as_segments_come_and_go() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = try_open(folder.path(), 16, None).expect("opens");
    let paths = ["/hot/stays", "/hot/gone", "/hot/stale"];
    for path in paths {
        both.put(path, &content(0, 2000));
    }
    both.write();
    for path in paths {
        both.forget_memory(path);
        assert!(both.get(path).await.is_some());
        let variants = both.store.find(&both.key(path)).expect("in memory");
        both.store.touch(&variants.object(0).expect("one"));
        drop(variants);
        both.forget_memory(path);
    }
    let purges = Arc::clone(both.store.purges());
    both.order(r#"{"prefix": "/hot/gone"}"#);
    both.order(r#"{"prefix": "/hot/stale", "mode": "soft"}"#);
    let (before, later) = (both.store.met_on_disk(), purges.number());
    assert!(before < later);
    for n in 0..4000 {
        both.put(&format!("/{n}"), &content(n, 2000));
        if n % 100 == 0 {
            both.write();
        }
    }
    both.write();
    assert!(both.count(|it| &it.copied) >= 2);
    assert!(both.store.met_on_disk() >= later, "all that is older has left");
    let walk = purges.begin_walk(both.clock.now(), both.store.met_on_disk()).expect("outstanding");
    assert!(purges.end_walk(&walk, false));
    assert!(purges.begin_walk(both.clock.now(), both.store.met_on_disk()).is_none(), "none is outstanding");
    assert!(both.get("/hot/stays").await.is_some() && both.get("/hot/gone").await.is_none());
    let stale = both.store.look_up(&both.key("/hot/stale")).await;
    assert!(!stale.stored[0].is_fresh(both.clock.now()));
}

#[tokio::test]
async fn a_purge_while_room_is_made_for_a_response_reaches_it() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = try_open(folder.path(), 16, None).expect("opens");
    // Until the next response needs a segment, and that needs another one to go.
    let (mut n, mut evicted) = (0, 0);
    while evicted < 3 {
        both.put(&format!("/{n}"), &content(n, 60_000));
        let purged: Arc<Mutex<Option<Purged>>> = Arc::default();
        let (store, key, taken) = (Arc::clone(&both.store), both.key(&format!("/{n}")), Arc::clone(&purged));
        // The file that is read is the one that goes.
        *both.meanwhile.0.lock().expect("lock") =
            Some(Box::new(move || *taken.lock().expect("lock") = Some(store.purge(&key, None))));
        both.write();
        let purged = purged.lock().expect("lock").take();
        if let Some(purged) = purged {
            evicted += 1;
            assert_eq!((purged.count, purged.removal.is_written()), (1, Some(true)));
            assert!(both.get(&format!("/{n}")).await.is_none());
            let sure = tempfile::tempdir().expect("folder");
            for entry in std::fs::read_dir(folder.path()).expect("folder") {
                let entry = entry.expect("entry");
                std::fs::copy(entry.path(), sure.path().join(entry.file_name())).expect("copy");
            }
            let killed = try_open(sure.path(), 16, None).expect("opens");
            assert!(killed.get(&format!("/{n}")).await.is_none(), "what was purged came back");
        }
        n += 1;
    }
}

#[tokio::test]
async fn a_removal_that_cannot_be_written_takes_no_other_removal_with_it() {
    for fault in [Fault::Full, Fault::Io, Fault::Torn] {
        let folder = tempfile::tempdir().expect("folder");
        let mut both = open(folder.path());
        both.put("/first", b"first");
        // Another segment.
        for n in 0..5 {
            both.put(&format!("/{n}"), &content(n, 60_000));
        }
        both.put("/second", b"second");
        both.write();
        let first = both.store.purge(&both.key("/first"), None);
        both.write();
        assert_eq!(first.removal.is_written(), Some(true));
        // The segment that says so is one that has to go.
        *both.writes.lock().expect("lock") = fault;
        let second = both.store.purge(&both.key("/second"), None);
        both.write();
        assert_eq!(second.removal.is_written(), Some(true), "{fault:?}");
        drop(both);
        let both = open(folder.path());
        for path in ["/first", "/second"] {
            assert!(both.get(path).await.is_none(), "{fault:?}: {path} came back");
        }
    }
}

/// The first of two is in the file whole when writing them fails, and nobody knows of it.
#[tokio::test]
async fn what_a_failed_write_left_does_not_outlast_its_purge() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    both.put("/before", b"before");
    both.write();
    both.put("/first", b"first");
    both.put("/second", &content(2, 5000));
    *both.writes.lock().expect("lock") = Fault::Torn;
    both.write();
    let purged = both.store.purge(&both.key("/first"), None);
    both.write();
    assert_eq!((purged.count, purged.removal.is_written()), (1, Some(true)));
    drop(both);
    let both = open(folder.path());
    assert!(both.get("/first").await.is_none(), "what was purged came back");
    assert_eq!(both.get("/before").await, Some(Ok(b"before".to_vec())));
}

#[tokio::test]
async fn a_purge_waits_for_what_another_has_removed_already() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    both.put("/a", b"old");
    both.write();
    // The new response takes the place of the old one, and nobody waits for that to be written.
    both.put("/a", b"new");
    let purged = both.store.purge(&both.key("/a"), None);
    assert_eq!((purged.count, purged.removal.is_written()), (1, None));
    let again = both.store.purge(&both.key("/a"), None);
    assert_eq!((again.count, again.removal.is_written()), (0, None));
    both.write();
    assert_eq!((purged.removal.is_written(), again.removal.is_written()), (Some(true), Some(true)));
    assert_eq!(both.store.purge(&both.key("/a"), None).removal.is_written(), Some(true));
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_the_disk_at_rest() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    *both.writes.lock().expect("lock") = Fault::Io;
    for n in 0..3 {
        both.put(&format!("/{n}"), b"lost");
        both.write();
    }
    *both.writes.lock().expect("lock") = Fault::None;
    assert!(both.store.disk().expect("disk").is_paused());
    both.clock.set(http_cache::Time::from_secs(1_000_000 - 3600));
    assert!(!both.store.disk().expect("disk").is_paused());
    both.put("/after", b"after");
    both.write();
    both.forget_memory("/after");
    assert_eq!(both.get("/after").await, Some(Ok(b"after".to_vec())));
}

#[test]
fn a_folder_in_use_is_refused_and_other_files_are_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("notes.txt"), "mine").expect("write");
    std::fs::write(folder.path().join("0000000a.segment"), "not a segment at all").expect("write");
    let mut other = disk_header();
    other[8] = 99;
    std::fs::write(folder.path().join("0000000b.segment"), other).expect("write");
    let both = open(folder.path());
    assert!(matches!(try_open(folder.path(), 64, None), Err(OpenError::InUse { .. })));
    assert_eq!((both.recovered.foreign_files, both.recovered.removed_files), (1, 1));
    drop(both);
    assert_eq!(std::fs::read(folder.path().join("notes.txt")).expect("read"), b"mine");
    assert!(folder.path().join("0000000a.segment").exists());
    assert!(!folder.path().join("0000000b.segment").exists());
}

/// The first octets of a segment, of any version.
fn disk_header() -> Vec<u8> {
    let mut octets = b"RCDNSEG\n".to_vec();
    octets.resize(96, 1);
    octets
}

/// Walks through memory, then shows the disk the rest, as `keep` does.
async fn meet(both: &mut Both, walk: &crate::purge::Walk, urls: Vec<HashedKey>) -> bool {
    let store = Arc::clone(&both.store);
    let meeting = store.meet_on_disk(walk, urls);
    tokio::pin!(meeting);
    loop {
        tokio::select! {
            biased;
            met = &mut meeting => return met,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        both.write();
    }
}

#[tokio::test]
async fn what_waits_to_be_written_meets_purges_too() {
    let folder = tempfile::tempdir().expect("folder");
    let both = open(folder.path());
    both.put("/p/a", b"a");
    both.forget_memory("/p/a");
    both.order(r#"{"prefix": "/p/"}"#);
    let purges = Arc::clone(both.store.purges());
    let walk = purges.begin_walk(both.clock.now(), both.store.met_on_disk()).expect("outstanding");
    assert!(purges.end_walk(&walk, false));
    assert!(both.get("/p/a").await.is_none(), "purged content is served");
}

#[tokio::test]
async fn what_is_loaded_behind_a_walk_meets_its_purges() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = open(folder.path());
    both.put("/a", b"a");
    both.write();
    both.forget_memory("/a");
    both.order(r#"{"url": "http://a/a", "mode": "soft"}"#);
    let purges = Arc::clone(both.store.purges());
    let walk = purges.begin_walk(both.clock.now(), both.store.met_on_disk()).expect("outstanding");
    assert!(matches!(walk.rest(), crate::purge::Rest::Urls(_)));
    // The walk has been through memory. Somebody has it brought, and leaves.
    let key = both.key("/a");
    let _ = both.store.bring(&key);
    assert!(meet(&mut both, &walk, vec![key.clone()]).await);
    assert!(purges.end_walk(&walk, false));
    let found = both.store.look_up(&key).await;
    assert!(
        found.stored.first().is_none_or(|it| !it.is_fresh(both.clock.now())),
        "served fresh after the purge"
    );
}

/// A segment that cannot be read goes, with the newest head of what is elsewhere.
#[tokio::test]
async fn an_old_head_stays_away_when_the_newest_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = try_open(folder.path(), 16, None).expect("opens");
    both.put("/hot", &content(0, 20_000));
    both.write();
    both.forget_memory("/hot");
    assert!(both.get("/hot").await.is_some());
    let found = both.store.find(&both.key("/hot")).expect("in memory");
    both.store.touch(&found.object(0).expect("one"));
    drop(found);
    both.forget_memory("/hot");
    let mut n = 0;
    while both.count(|it| &it.copied) == 0 {
        both.put(&format!("/{n}"), &content(n, 60_000));
        both.write();
        n += 1;
        assert!(n < 1000);
    }
    // In memory, to be made stale there and on disk by a new head.
    let key = both.key("/hot");
    let found = both.store.look_up(&key).await;
    let object = found.object(0).expect("copied on");
    assert!(object.stored.is_fresh(both.clock.now()));
    let expired = object.stored.expired_at(http_cache::Time::from_secs(1)).expect("fresh until now");
    let registration =
        both.store.take_off(&key, both.store.purges().number(), None, false, |_| false).expect("one");
    both.store.freshen(&registration, &[Object { stored: Arc::new(expired), body: object.body }]);
    drop(registration);
    both.write();
    both.forget_memory("/hot");
    let found = both.store.look_up(&key).await;
    assert!(!found.stored[0].is_fresh(both.clock.now()), "stale by now");
    both.forget_memory("/hot");
    loop {
        *both.reads.lock().expect("lock") = Fault::Io;
        both.put(&format!("/{n}"), &content(n, 60_000));
        both.write();
        n += 1;
        *both.reads.lock().expect("lock") = Fault::None;
        let found = both.store.look_up(&key).await;
        if found.stored.is_empty() {
            break;
        }
        both.forget_memory("/hot");
        assert!(n < 1000, "it stays");
    }
    drop(both);
    let both = try_open(folder.path(), 16, None).expect("opens");
    let found = both.store.look_up(&key).await;
    assert!(found.stored.first().is_none_or(|it| !it.is_fresh(both.clock.now())), "the old head is back");
}

/// A purge comes while room is made for a response: its record is older than its segment says.
#[tokio::test]
async fn a_record_is_never_older_than_its_segment_says() {
    let folder = tempfile::tempdir().expect("folder");
    let mut both = try_open(folder.path(), 16, None).expect("opens");
    let mut n = 0;
    let taken = loop {
        let path = format!("/{n}");
        let body = both.put(&path, &content(n, 60_000));
        both.store.leave(&both.key(&path), &body);
        drop(body);
        let store = Arc::clone(&both.store);
        let clock = both.clock.clone();
        let text = format!(r#"{{"prefix": "{path}"}}"#);
        let done: Arc<Mutex<bool>> = Arc::default();
        let did = Arc::clone(&done);
        *both.meanwhile.0.lock().expect("lock") = Some(Box::new(move || {
            let by = Asker { name: "admin".into(), customer: None };
            let order =
                Order::parse(text.as_bytes(), clock.now(), |uri| vec![Key::of(uri)]).expect("an order");
            store.purges().order(order, &by, clock.now(), &*store).expect("accepted");
            *did.lock().expect("lock") = true;
        }));
        both.write();
        *both.meanwhile.0.lock().expect("lock") = None;
        n += 1;
        if *done.lock().expect("lock") {
            break path;
        }
        assert!(n < 1000);
    };
    // Out of memory without being looked at.
    let key = both.key(&taken);
    let wide = both.store.purges().number();
    // Until its segment is the oldest.
    let mut m = 0;
    while both.store.met_on_disk() < wide {
        both.put(&format!("/x{m}"), &content(m, 60_000));
        both.write();
        m += 1;
        assert!(m < 10_000);
    }
    both.order(r#"{"url": "http://a/elsewhere", "mode": "soft"}"#);
    let purges = Arc::clone(both.store.purges());
    let walk = purges.begin_walk(both.clock.now(), both.store.met_on_disk()).expect("outstanding");
    assert!(both.store.disk().is_some() && both.store.flights(&key).is_empty());
    let elsewhere = both.key("/elsewhere");
    let _ = meet(&mut both, &walk, vec![elsewhere]).await;
    assert!(purges.end_walk(&walk, false));
    assert!(both.get(&taken).await.is_none(), "purged content is served");
}
