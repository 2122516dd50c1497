//! A folder of the disk store in memory, which a target can damage, and which bounds what may be read of it.

use edge::Clock;
use edge::purge::Purges;
use edge::store::disk::{DiskConfig, DiskLimits, File, Files, OtherVersion, Sync};
use edge::store::{End, HashedKey, Next, Object, Store, StoreLimits};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use http_cache::{
    Beside, Decisions, Fetch, ForwardReason, Keep, Key, Received, Request, Response, Settings, Standard,
    Stored, Time,
};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Octets of a segment, which two or three responses fill.
pub(crate) const SEGMENT: u64 = 192 * 1024;
/// Octets that one read may ask for beside the length of the file: the texts of one record, which are bounded, and a block.
const SPARE: u64 = (4 << 20) + 128 * 1024;
/// Octets that may be read for each octet that is there, and beside.
const READ: (u64, u64) = (64, 16 << 20);

type Octets = Arc<Mutex<Vec<u8>>>;

/// Names and octets of files.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    files: Mutex<BTreeMap<String, Octets>>,
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct InMemory {
    octets: Octets,
    read: Arc<AtomicU64>,
}

impl Folder {
    pub fn of(content: &Content) -> Arc<Self> {
        let files = content.iter().map(|(name, octets)| (name.clone(), Arc::new(Mutex::new(octets.clone()))));
        Arc::new(Self { files: Mutex::new(files.collect()), read: Arc::default() })
    }

    pub fn content(&self) -> Content {
        let files = self.files.lock().unwrap();
        files.iter().map(|(name, octets)| (name.clone(), octets.lock().unwrap().clone())).collect()
    }

    /// Panics if more was read since the last time than what is there gives reason for.
    pub fn check_effort(&self) {
        let there: u64 = self.content().values().map(|octets| octets.len() as u64).sum();
        let read = self.read.swap(0, Ordering::Relaxed);
        assert!(read <= there * READ.0 + READ.1, "{read} octets were read of {there}");
    }

    fn file(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let octets = self.files.lock().unwrap().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(InMemory { octets, read: Arc::clone(&self.read) }))
    }
}

impl Files for Folder {
    fn take(&self) -> io::Result<Box<dyn Send + std::marker::Sync + std::fmt::Debug>> {
        Ok(Box::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let before = self.files.lock().unwrap().insert(name.to_owned(), Octets::default());
        assert!(before.is_none(), "{name} was there");
        self.file(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("/in/memory")
    }
}

impl File for InMemory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let octets = self.octets.lock().unwrap();
        let most = octets.len() as u64 + SPARE;
        assert!(buffer.len() as u64 <= most, "{} octets at once of a file of {}", buffer.len(), octets.len());
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(octets.len());
        let length = buffer.len().min(octets.len() - from);
        buffer[..length].copy_from_slice(&octets[from..from + length]);
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let mut octets = self.octets.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        assert!(from as u64 + new.len() as u64 <= 4 * SEGMENT, "writes at {from}");
        let end = octets.len().max(from + new.len());
        octets.resize(end, 0);
        octets[from..from + new.len()].copy_from_slice(new);
        Ok(new.len())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.octets.lock().unwrap().len() as u64)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.octets.lock().unwrap().resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A store on such a folder.
pub(crate) struct Opened {
    pub store: Arc<Store>,
}

pub(crate) fn open(folder: &Arc<Folder>) -> Opened {
    let config = DiskConfig {
        files: Arc::clone(folder) as Arc<dyn Files>,
        limits: DiskLimits { size: 12 * SEGMENT, segment: SEGMENT, queue: 4 << 20, index: 1 << 20 },
        sync: Sync::Never,
        other_version: OtherVersion::Empty,
        patience: Duration::from_secs(60),
        clock: Clock::manual(NOW),
    };
    let purges = Purges::in_memory(Default::default(), 1);
    let limits = StoreLimits { memory: 16 << 20, object: 256 << 10, variants: 4 };
    let (store, _) = Store::open(limits, purges, config).unwrap();
    Opened { store: Arc::new(store) }
}

const NOW: Time = Time::from_secs(1_795_773_600);

/// A head that says which it is.
fn head(mark: &str) -> Arc<Stored> {
    let target = Uri::from_static("http://h/");
    let none = HeaderMap::new();
    let seen = Request { method: &Method::GET, target: &target, version: Version::HTTP_11, headers: &none };
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
    headers.insert("x-mark", HeaderValue::from_str(mark).unwrap());
    let response =
        Response { status: StatusCode::OK, headers: &headers, request_time: NOW, response_time: NOW };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    match Standard::new(Settings::default()).received(&seen, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        other => panic!("not storable: {other:?}"),
    }
}

impl Opened {
    pub fn key(&self, path: &str) -> HashedKey {
        self.store.hashed(&Arc::from("customer"), Key::of(&format!("http://h{path}").parse().unwrap()))
    }

    /// Stores content in place of what is in memory under the path.
    pub fn put(&self, path: &str, mark: &str, content: &[u8]) {
        let key = self.key(path);
        let old = self.store.find(&key).unwrap_or_default();
        let registration = self.store.take_off(&key, 0, None, false, |_| false).unwrap();
        let mut filler = self.store.fill(&registration);
        filler.append(content);
        let end = End::Complete(Arc::default());
        assert!(self.store.keep(
            &registration,
            filler,
            head(mark),
            end,
            &old.bodies,
            |_| Beside::Last,
            |_| Keep::Store
        ));
    }

    /// Gives what is stored under the path another head.
    pub fn freshen(&self, path: &str, mark: &str) {
        let key = self.key(path);
        let found = self.store.find(&key).unwrap_or_default();
        let registration = self.store.take_off(&key, 0, None, false, |_| false).unwrap();
        let new: Vec<Object> =
            found.objects().map(|object| Object { stored: head(mark), body: object.body }).collect();
        self.store.freshen(&registration, &new);
    }

    pub fn counter(&self, counter: impl Fn(&edge::store::disk::DiskCounters) -> &AtomicU64) -> u64 {
        counter(self.store.disk().unwrap().counters()).load(Ordering::Relaxed)
    }

    /// Everything under a path: the mark of each head, and its content if that could be read.
    pub async fn get(&self, path: &str) -> Vec<(String, Option<Vec<u8>>)> {
        let variants = self.store.look_up(&self.key(path)).await;
        let mut all = Vec::new();
        for object in variants.objects() {
            let mark =
                object.stored.field(HeaderName::from_static("x-mark")).next().unwrap_or_default().to_vec();
            let mut reader = object.body.read(0);
            let mut content = Vec::new();
            let whole = loop {
                match reader.next(u64::MAX) {
                    Ok(Next::Data(data)) => content.extend_from_slice(&data),
                    Ok(Next::End(_)) => break true,
                    Ok(Next::Wait) => reader.arrival().await,
                    Err(_) => break false,
                }
            };
            if !whole {
                // As the edge does.
                let _ = self.store.forget(&self.key(path), std::slice::from_ref(&object.body));
            }
            all.push((String::from_utf8(mark).unwrap(), whole.then_some(content)));
        }
        all
    }
}
