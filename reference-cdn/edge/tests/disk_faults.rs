//! A disk that hangs, and a clock that jumps: what requests see of it, and that the edge stops all the same.

mod support;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use edge::store::disk::{File, Files, Folder};
use http_cache::Time;
use support::{After, DEADLINE, Origin, START, TestEdge, pattern, soon};
use tokio::task::JoinSet;

/// Which operations wait until they are let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stuck {
    reads: bool,
    writes: bool,
}

/// A folder whose operations can be made to hang.
#[derive(Clone, Debug)]
struct Hanging {
    folder: Arc<Folder>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    stuck: Mutex<Stuck>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, stuck: Stuck) {
        *self.stuck.lock().expect("lock") = stuck;
        self.changed.notify_all();
    }

    fn pass(&self, held: impl Fn(&Stuck) -> bool) {
        let stuck = self.stuck.lock().expect("lock");
        drop(self.changed.wait_while(stuck, |stuck| held(stuck)).expect("lock"));
    }
}

#[derive(Debug)]
struct HangingFile {
    file: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl Hanging {
    fn new(folder: &Path) -> Self {
        Self { folder: Arc::new(Folder::new(folder)), gate: Arc::default() }
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(HangingFile { file, gate: Arc::clone(&self.gate) })
    }
}

impl Files for Hanging {
    fn take(&self) -> io::Result<Box<dyn Send + Sync + Debug>> {
        self.folder.take()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.gate.pass(|stuck| stuck.writes);
        self.folder.create(name).map(|file| self.wrap(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.folder.open(name).map(|file| self.wrap(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.gate.pass(|stuck| stuck.writes);
        self.folder.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass(|stuck| stuck.writes);
        self.folder.sync()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl File for HangingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.gate.pass(|stuck| stuck.reads);
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<usize> {
        self.gate.pass(|stuck| stuck.writes);
        self.file.write_at(octets, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.gate.pass(|stuck| stuck.writes);
        self.file.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass(|stuck| stuck.writes);
        self.file.sync()
    }
}

/// How long a request waits for the disk here.
const WAIT: Duration = Duration::from_millis(300);
/// Pages that are asked for at once: more than there are threads that read.
const PAGES: usize = 24;

async fn on(disk: &Hanging, origin: &Origin, wait: Duration) -> TestEdge {
    TestEdge::with(origin.address, |config| {
        config.store.memory = 16 << 20;
        config.store.object = 4 << 20;
        config.disk.path = Some(disk.path().to_owned());
        config.disk.files = Some(Arc::new(disk.clone()));
        config.disk.size = 64 << 20;
        config.disk.patience = wait;
        config.drain = Duration::from_millis(100);
    })
    .await
}

async fn origin() -> Origin {
    Origin::start(|seen, mut wire| async move {
        let octets = seen.path().rsplit('/').next().and_then(|it| it.parse().ok()).unwrap_or(10);
        let content = if seen.line.starts_with("POST") { Vec::new() } else { pattern(octets) };
        wire.respond("200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"", content).await;
        (wire, After::Keep)
    })
    .await
}

fn page(n: usize) -> String {
    // Some come whole with their heads; the content of others is read by itself.
    format!("/{n}/{}", [100, 70_000][n % 2])
}

fn octets(n: usize) -> usize {
    [100, 70_000][n % 2]
}

/// Asks for all pages at once; each has to be right. Gives how long the slowest took.
async fn all_pages(edge: &Arc<TestEdge>) -> Duration {
    let mut asked = JoinSet::new();
    for n in 0..PAGES {
        let edge = Arc::clone(edge);
        asked.spawn(async move {
            let begun = tokio::time::Instant::now();
            let answer = edge.get(&page(n)).await;
            assert!(answer.status == 200 && answer.complete && answer.body == pattern(octets(n)), "{n}");
            begun.elapsed()
        });
    }
    let took = soon("all pages", asked.join_all()).await;
    took.into_iter().max().unwrap_or_default()
}

async fn stop(edge: Arc<TestEdge>) {
    let mut edge = Arc::into_inner(edge).expect("nobody else has it");
    soon("the edge stops", edge.stop()).await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_reads_hang_the_origin_is_asked_and_the_edge_stops() {
    let folder = tempfile::tempdir().expect("folder");
    let (disk, origin) = (Hanging::new(folder.path()), origin().await);
    let edge = Arc::new(on(&disk, &origin, DEADLINE).await);
    all_pages(&edge).await;
    stop(edge).await;

    let edge = Arc::new(on(&disk, &origin, WAIT).await);
    assert_eq!(edge.metric("edge_disk_objects"), PAGES as u64);
    disk.gate.set(Stuck { reads: true, ..Stuck::default() });
    let before = origin.requests();
    let slowest = all_pages(&edge).await;
    assert_eq!(origin.requests(), before + PAGES);
    assert!(edge.metric("edge_disk_reads_refused_total") >= PAGES as u64);
    // Each request waits once; on a busy machine what comes behind that takes its time too.
    assert!(slowest >= WAIT && slowest < 40 * WAIT, "{slowest:?}");
    // What the origin sent is in memory now, beside what is stuck.
    assert!(all_pages(&edge).await < 40 * WAIT);
    stop(edge).await;
    disk.gate.set(Stuck::default());

    // The disk is well again, and what was on it is there.
    let edge = Arc::new(on(&disk, &origin, DEADLINE).await);
    let before = origin.requests();
    all_pages(&edge).await;
    assert_eq!(origin.requests(), before);
    stop(edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_writes_hang_nobody_waits_but_whoever_removes_and_that_not_for_long() {
    let folder = tempfile::tempdir().expect("folder");
    let (disk, origin) = (Hanging::new(folder.path()), origin().await);
    let edge = Arc::new(on(&disk, &origin, WAIT).await);
    all_pages(&edge).await;
    edge.until("edge_disk_written_total", PAGES as u64).await;
    disk.gate.set(Stuck { writes: true, ..Stuck::default() });
    // More than may wait to be written.
    for n in 0..300 {
        let answer = edge.get(&format!("/more/{n}/70000")).await;
        assert!(answer.complete && answer.body == pattern(70_000), "{n}");
    }
    assert!(edge.metric("edge_disk_queued_octets") <= 2 << 20);
    assert!(edge.labelled("edge_disk_dropped_total", "queue") > 100);
    // An unsafe method: that its removal is written is waited for, for a while.
    let begun = tokio::time::Instant::now();
    assert_eq!(edge.exchange("POST", &page(1), "Content-Length: 0\r\n").await.status, 200);
    assert!((WAIT..40 * WAIT).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let before = origin.requests();
    assert!(edge.get(&page(1)).await.complete);
    assert_eq!(origin.requests(), before + 1, "it is gone at once");
    stop(edge).await;
    disk.gate.set(Stuck::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_brings_nothing_back_and_stops_nothing() {
    const HOUR: u64 = 3600;
    let folder = tempfile::tempdir().expect("folder");
    let (disk, origin) = (Hanging::new(folder.path()), origin().await);
    let at = |hours: i64| Time::from_secs(START.as_secs().saturating_add_signed(hours * HOUR as i64));
    let edge = Arc::new(on(&disk, &origin, DEADLINE).await);
    all_pages(&edge).await;
    // An hour forward: what was fresh is not any more.
    edge.clock.set(at(1));
    let before = origin.requests();
    all_pages(&edge).await;
    assert_eq!(origin.requests(), before + PAGES);
    assert!(edge.purge(&format!("http://site.test{}", page(0))).await.text().contains("\"purged\":1"));
    assert_eq!(edge.exchange("POST", &page(1), "Content-Length: 0\r\n").await.status, 200);
    // And back, to before anything was stored.
    edge.clock.set(at(-1));
    let before = origin.requests();
    assert!(edge.get(&page(2)).await.cache_status().contains("hit"), "stored in the future is not stale");
    assert_eq!(origin.requests(), before);
    for n in [0, 1] {
        assert!(edge.get(&page(n)).await.cache_status().contains("fwd=uri-miss"), "{n} came back");
    }
    assert!(edge.purge(&format!("http://site.test{}", page(3))).await.text().contains("\"purged\":1"));
    edge.until("edge_disk_queued_octets", 0).await;
    stop(edge).await;

    for hours in [-1, 1, 0] {
        let edge = Arc::new(on(&disk, &origin, DEADLINE).await);
        edge.clock.set(at(hours));
        assert_eq!(edge.metric("edge_disk_objects"), PAGES as u64 - 1, "at {hours}");
        let answer = edge.get(&page(2)).await;
        assert!(answer.complete && answer.body == pattern(octets(2)));
        stop(edge).await;
    }
    let edge = Arc::new(on(&disk, &origin, DEADLINE).await);
    assert!(edge.get(&page(3)).await.cache_status().contains("fwd=uri-miss"), "what was purged came back");
    stop(edge).await;
}
