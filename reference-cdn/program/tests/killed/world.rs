//! The origin, whose content is a function of path and version, and what an answer for it may be.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Octets of content, by path and version.
const SIZES: [usize; 9] = [0, 1, 700, 3000, 9000, 20_000, 65_536, 65_537, 140_000];

/// What is known of a path.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// What the origin has now.
    version: u32,
    /// The oldest version that a request from now on may be answered with: an older one was removed, and that was
    /// confirmed.
    floor: u32,
    /// How often the origin was asked for it.
    asked: u64,
    /// How many were asked to remove it.
    removals: u64,
}

/// Shared by the origin, the clients and the test.
#[derive(Debug, Default)]
pub struct World {
    pages: Mutex<BTreeMap<String, Page>>,
    /// How many origins were started: one for each life of the edge.
    lives: AtomicU64,
}

fn mixed(path: &str, version: u32) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ u64::from(version).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    path.bytes().fold(start, |all, octet| (all ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// The content of a path in a version: each octet depends on both, and on where it is.
pub fn content(path: &str, version: u32) -> Vec<u8> {
    let seed = mixed(path, version);
    let length = SIZES[(seed >> 40) as usize % SIZES.len()];
    let words = (0..length.div_ceil(8) as u64)
        .map(|at| (seed ^ at.wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut octets: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    octets.truncate(length);
    octets
}

impl World {
    fn with<T>(&self, path: &str, act: impl FnOnce(&mut Page) -> T) -> T {
        let mut pages = self.pages.lock().expect("lock");
        act(pages.entry(path.to_owned()).or_default())
    }

    /// How often the origin was asked, and how many removals were begun.
    pub fn counts(&self, path: &str) -> (u64, u64) {
        self.with(path, |page| (page.asked, page.removals))
    }

    pub fn asked_in_all(&self) -> u64 {
        self.pages.lock().expect("lock").values().map(|page| page.asked).sum()
    }

    pub fn floor(&self, path: &str) -> u32 {
        self.with(path, |page| page.floor)
    }

    /// Something new is there, and what is stored is about to be removed. Gives the new version.
    pub fn begin_removal(&self, path: &str) -> u32 {
        self.with(path, |page| {
            page.removals += 1;
            page.version += 1;
            page.version
        })
    }

    /// As [`Self::begin_removal`], where the origin itself changes what it has.
    pub fn announce_removal(&self, path: &str) {
        self.with(path, |page| page.removals += 1);
    }

    /// It was confirmed that everything older than this version is gone.
    pub fn confirmed(&self, path: &str, version: u32) {
        self.with(path, |page| page.floor = page.floor.max(version));
    }

    /// Judges an answer to a request that was made when `floor` was the oldest version that was allowed. `whole`: nothing
    /// is missing of it.
    pub fn judge(&self, path: &str, floor: u32, version: u32, octets: &[u8], whole: bool) {
        let now = self.with(path, |page| page.version);
        assert!(version >= floor, "{path}: version {version} came back; {floor} had been confirmed");
        assert!(version <= now, "{path}: version {version} never was; the origin has {now}");
        let expected = content(path, version);
        let right = if whole { expected == octets } else { expected.starts_with(octets) };
        let different = expected.iter().zip(octets).position(|(one, other)| one != other);
        assert!(
            right,
            "{path}, version {version}: {} octets in place of {}, the first difference at {different:?}",
            octets.len(),
            expected.len(),
        );
    }

    /// Starts an origin. GET gives the version that is there; POST makes a new one. What a dead edge had asked of an earlier
    /// one does not count any more, however late it is read.
    pub fn serve(self: &Arc<Self>) -> String {
        let life = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let world = Arc::clone(self);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let world = Arc::clone(&world);
                // It ends with its connection.
                std::thread::spawn(move || world.connection(stream, life));
            }
        });
        url
    }

    fn connection(&self, mut stream: TcpStream, life: u64) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            let mut line = String::new();
            while reader.read_line(&mut line)? > 2 {
                line.clear();
            }
            let mut words = first.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let version = self.with(path, |page| {
                match method {
                    "POST" => page.version += 1,
                    _ => page.asked += u64::from(self.lives.load(Ordering::SeqCst) == life),
                }
                page.version
            });
            let content = if method == "POST" { Vec::new() } else { content(path, version) };
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nCache-Control: {}\r\nETag: \"{version}\"\r\nX-Version: {version}\r\nContent-Length: {}\r\n\r\n",
                if method == "POST" { "no-store" } else { "max-age=36000" },
                content.len()
            )
            .into_bytes();
            answer.extend_from_slice(&content);
            stream.write_all(&answer)?;
        }
    }
}
