//! Maps in a directory: put there so that a reader sees the old one or the new one, whole, whenever the writer is cut off.
//!
//! - `network-DIGEST.map`: a network, named by the first 16 digits of its digest; written when it is new.
//! - `conditions-EPOCH.map`: conditions, with the digest of their network.
//! - `current`: which epoch is in force, as JSON. It is replaced last.
//! - `withdrawn`: names of the servers that operators took out, as JSON.
//!
//! Everything is written under another name, synced, and renamed. What no kept epoch needs is removed after that.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Epoch;
use super::file::{self, Digest, FileError, Stamp};
use crate::conditions::Conditions;
use crate::network::Network;

/// A map as it was published.
#[derive(Clone, Debug)]
pub struct Edition {
    pub epoch: Epoch,
    /// When its conditions were true, in milliseconds since 1970.
    pub time: u64,
    pub digest: Digest,
    pub network: Arc<Network>,
    pub conditions: Conditions,
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("{}: cannot {doing}: {error}", .path.display())]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: FileError },
    #[error("{}: names no map: {what}; the next map that is published here, or copied here, replaces it", .path.display())]
    Current { path: PathBuf, what: String },
    #[error("{}: does not say which servers operators took out: {what}; write their names into it, as in [\"ams-1\"], or restore it from a copy. To remove it forgets them: all that were taken out are named again", .path.display())]
    Withdrawn { path: PathBuf, what: String },
    #[error("{}: there is no map any more, where there was one: is the folder still there, and what puts maps into it? The last map stays in use until there is another", .path.display())]
    Vanished { path: PathBuf },
    #[error("{}: another program publishes here; stop one of them", .path.display())]
    Taken { path: PathBuf },
    #[error("epoch {epoch} does not follow {last}; each map needs a later epoch than the one before", epoch = .epoch.0, last = .last.0)]
    Epoch { epoch: Epoch, last: Epoch },
    #[error("{}: no map of that time is kept; the first is of {}", .path.display(), super::moment::rfc3339(.first.div_ceil(1000)))]
    Before { path: PathBuf, first: u64 },
    #[error("{}: there is no map in this folder; name the one that a mapper publishes its maps into", .path.display())]
    Empty { path: PathBuf },
    #[error("{}: there is no map of epoch {epoch}; kept are {kept}", .path.display(), epoch = .epoch.0)]
    Gone { path: PathBuf, epoch: Epoch, kept: String },
}

type Result<T> = std::result::Result<T, PublishError>;

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    move |error| PublishError::Io { doing, path: path.to_owned(), error }
}

/// What `current` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    version: u32,
    epoch: u64,
    network: String,
    /// All of the network file's digest.
    digest: String,
    conditions: String,
}

const CURRENT: &str = "current";
const WITHDRAWN: &str = "withdrawn";
/// Longest `withdrawn`.
const LONGEST_WITHDRAWN: u64 = 64 << 20;
/// Longest `current`.
const LONGEST_CURRENT: u64 = 4096;

/// What of the past is kept. The map in force always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub epochs: usize,
    /// Octets of all files together.
    pub octets: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { epochs: 600, octets: 2 << 30 }
    }
}

/// Points at which a publication may be cut off, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin,
    Written,
    Synced,
    Renamed,
    FolderSynced,
    Removed,
}

/// Called before each step goes on; an error stops the publication there, as if the program had been killed.
pub type Watch<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// Puts maps into a directory. There is one at a time.
#[derive(Debug)]
pub struct Publisher {
    folder: PathBuf,
    keep: Keep,
    last: Option<Epoch>,
    /// The network written last, so that it is not encoded again each second.
    network: Option<(Arc<Network>, Digest)>,
    /// Why old maps could not be removed, the last time.
    leftover: Option<PublishError>,
    /// Locked as long as this is open.
    lock: File,
}

impl Publisher {
    /// Makes the directory if need be.
    ///
    /// # Errors
    /// When it cannot be used, another program publishes into it, or what is in force there cannot be told.
    pub fn open(folder: &Path, keep: Keep) -> Result<Self> {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
        let path = folder.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(PublishError::Taken { path }),
            Err(error) => return Err(io_error("lock", &path)(error.into())),
        }
        // An epoch that was written but never came into force must not be used for another map.
        let newest = epochs(folder)?.into_iter().map(|(epoch, _)| epoch).max();
        let current = match current(folder) {
            // Who goes on from what is in force says that it is damaged. It stops no map: the next one replaces it.
            Err(PublishError::Current { .. } | PublishError::File { .. }) => None,
            other => other?,
        };
        let last = current.map(|current| Epoch(current.epoch)).max(newest);
        for path in entries(folder)? {
            if name(&path).ends_with(".new") {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(Self { folder: folder.to_owned(), keep, last, network: None, leftover: None, lock })
    }

    /// The epoch of the next map, made at `time` (milliseconds since 1970).
    ///
    /// It follows those before, and is the second since 1970 at least: a map that queries were answered from but that could
    /// not be written leaves no trace here, and its epoch must not come again for another one.
    pub fn next(&self, time: u64) -> Epoch {
        Epoch((time / 1000).max(self.last.map_or(1, |last| last.0.saturating_add(1))))
    }

    /// Why old maps were not removed when the last one was published: the disk fills up until they are.
    pub fn leftover(&self) -> Option<&PublishError> {
        self.leftover.as_ref()
    }

    /// Puts a map into force. `time` in milliseconds since 1970.
    ///
    /// # Errors
    /// When it could not be written; the map before stays in force.
    pub fn publish(
        &mut self,
        epoch: Epoch,
        time: u64,
        network: &Arc<Network>,
        conditions: &Conditions,
    ) -> Result<Digest> {
        let published = self.publish_watched(epoch, time, network, conditions, &mut |_| Ok(()));
        let full = |error: &PublishError| matches!(error, PublishError::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull);
        let full = published.as_ref().err().filter(|error| full(error));
        let Some(in_force) = full.and_then(|_| current(&self.folder).ok().flatten()) else {
            return published;
        };
        // Old maps make room for new ones, not the other way round.
        let keep = std::mem::replace(&mut self.keep, Keep { epochs: 1, octets: 0 });
        let digest = Digest::parse(&in_force.digest);
        let pruned =
            digest.map_or(Ok(()), |digest| self.prune(Epoch(in_force.epoch), &digest, &mut |_| Ok(())));
        self.keep = keep;
        // What was written of the new one went with them.
        self.last = self.last.min(Some(Epoch(in_force.epoch)));
        self.network = None;
        pruned.and_then(|()| self.publish_watched(epoch, time, network, conditions, &mut |_| Ok(())))
    }

    /// As [`publish`](Self::publish), with a watcher that may cut it off.
    ///
    /// # Errors
    /// As `publish`, and the watcher's.
    pub fn publish_watched(
        &mut self,
        epoch: Epoch,
        time: u64,
        network: &Arc<Network>,
        conditions: &Conditions,
        watch: Watch<'_>,
    ) -> Result<Digest> {
        if let Some(last) = self.last.filter(|last| *last >= epoch) {
            return Err(PublishError::Epoch { epoch, last });
        }
        let stamp = Stamp { epoch, time };
        let known =
            self.network.as_ref().filter(|(known, _)| Arc::ptr_eq(known, network)).map(|(_, digest)| *digest);
        let digest = match known {
            Some(digest) => digest,
            None => {
                let octets = file::write_network(network, stamp);
                let digest = Digest::of(&octets);
                self.put(&network_name(&digest), &octets, watch)?;
                self.network = Some((Arc::clone(network), digest));
                digest
            }
        };
        let octets = file::write_conditions(conditions, stamp, &digest);
        self.put(&conditions_name(epoch), &octets, watch)?;
        // From here on the epoch may be in force.
        self.last = Some(epoch);
        let current = Current {
            version: 1,
            epoch: epoch.0,
            network: network_name(&digest),
            digest: digest.to_string(),
            conditions: conditions_name(epoch),
        };
        let mut text =
            serde_json::to_vec(&current).map_err(|error| io_error("write", &self.folder)(error.into()))?;
        text.push(b'\n');
        self.put(CURRENT, &text, watch)?;
        self.leftover = self.prune(epoch, &digest, watch).err();
        Ok(digest)
    }

    /// Keeps which servers operators took out, for whoever publishes here next.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn keep_withdrawn(&self, servers: &BTreeSet<String>) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(servers)
            .map_err(|error| io_error("write", &self.folder)(error.into()))?;
        text.push(b'\n');
        self.put(WITHDRAWN, &text, &mut |_| Ok(()))
    }

    /// Which servers operators took out.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn withdrawn(&self) -> Result<BTreeSet<String>> {
        let path = self.folder.join(WITHDRAWN);
        match read(&path, LONGEST_WITHDRAWN) {
            Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(BTreeSet::new())
            }
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| PublishError::Withdrawn { path, what: error.to_string() }),
            Err(PublishError::File { error, .. }) => {
                Err(PublishError::Withdrawn { path, what: error.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a file whole or not at all.
    fn put(&self, name: &str, octets: &[u8], watch: Watch<'_>) -> Result<()> {
        let (path, new) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let mut step = |step| watch(step).map_err(io_error("write", &path));
        step(Step::Begin)?;
        // What was cut short takes up the very room that may be missing.
        let failed = |doing, path: &Path, error| {
            let _ = fs::remove_file(&new);
            io_error(doing, path)(error)
        };
        let mut file = File::create(&new).map_err(io_error("write", &new))?;
        file.write_all(octets).map_err(|error| failed("write", &new, error))?;
        step(Step::Written)?;
        file.sync_all().map_err(|error| failed("sync", &new, error))?;
        step(Step::Synced)?;
        fs::rename(&new, &path).map_err(|error| failed("rename to", &path, error))?;
        step(Step::Renamed)?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error("sync", &self.folder))?;
        step(Step::FolderSynced)
    }

    /// Removes what is too old, conditions first, then networks that none of those left needs.
    fn prune(&self, now: Epoch, digest: &Digest, watch: Watch<'_>) -> Result<()> {
        let mut kept = epochs(&self.folder)?;
        kept.sort_unstable_by_key(|(epoch, _)| std::cmp::Reverse(*epoch));
        let mut networks = vec![network_name(digest)];
        let mut octets = size(&self.folder.join(&networks[0]));
        for (at, (epoch, path)) in kept.iter().enumerate() {
            // One that cannot be read names no network; it goes when its turn comes.
            let network = peek(path).ok().map(|(_, digest)| network_name(&digest));
            let new = network.filter(|network| !networks.contains(network));
            octets += size(path) + new.as_ref().map_or(0, |network| size(&self.folder.join(network)));
            if *epoch == now || (at < self.keep.epochs.max(1) && octets <= self.keep.octets) {
                networks.extend(new);
            } else {
                fs::remove_file(path).map_err(io_error("remove", path))?;
                watch(Step::Removed).map_err(io_error("remove", path))?;
            }
        }
        for path in entries(&self.folder)? {
            let name = name(&path);
            if name.starts_with("network-") && name.ends_with(".map") && !networks.contains(&name) {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
                watch(Step::Removed).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Closing is not enough where a child process is just being started: until it runs its own program it holds the file too.
        let _ = rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::Unlock);
    }
}

fn network_name(digest: &Digest) -> String {
    let digits = digest.to_string();
    format!("network-{}.map", &digits[..16])
}

fn conditions_name(epoch: Epoch) -> String {
    format!("conditions-{:020}.map", epoch.0)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |known| known.len())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).map_err(io_error("list", folder))?;
    let mut paths = list
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(io_error("list", folder))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Epochs whose conditions are there, in any order.
fn epochs(folder: &Path) -> Result<Vec<(Epoch, PathBuf)>> {
    let epoch = |path: PathBuf| {
        let name = name(&path);
        let digits = name.strip_prefix("conditions-")?.strip_suffix(".map")?;
        Some((Epoch(digits.parse().ok()?), path))
    };
    Ok(entries(folder)?.into_iter().filter_map(epoch).collect())
}

fn read(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let length = file.metadata().map_err(io_error("open", path))?.len();
    if length > longest {
        return Err(PublishError::File { path: path.to_owned(), error: FileError::Long(length) });
    }
    let mut octets = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // It may grow while it is read, but not beyond.
    file.take(longest).read_to_end(&mut octets).map_err(io_error("read", path))?;
    Ok(octets)
}

/// What conditions say of themselves.
fn peek(path: &Path) -> Result<(Stamp, Digest)> {
    let mut octets = Vec::with_capacity(file::PEEK);
    let file = File::open(path).map_err(io_error("open", path))?;
    file.take(file::PEEK as u64).read_to_end(&mut octets).map_err(io_error("read", path))?;
    file::peek_conditions(&octets).map_err(|error| PublishError::File { path: path.to_owned(), error })
}

/// What is in force; `None` if nothing was published yet.
fn current(folder: &Path) -> Result<Option<Current>> {
    let path = folder.join(CURRENT);
    let text = match read(&path, LONGEST_CURRENT) {
        Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let bad = |what: String| PublishError::Current { path: path.clone(), what };
    let current: Current = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let plain =
        |name: &str| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.'));
    if current.version != 1 {
        return Err(bad(format!("it has version {}, and this program knows 1", current.version)));
    }
    if !plain(&current.network) || !plain(&current.conditions) {
        return Err(bad("it names files in other folders".into()));
    }
    Ok(Some(current))
}

/// Reads maps from a directory, and a network only once while it stays the same.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    network: Option<(Digest, Arc<Network>)>,
    current: Option<Current>,
}

impl Reader {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), network: None, current: None }
    }

    /// The map in force, if it is another than the one that was returned last. Costs one small file if not.
    ///
    /// # Errors
    /// When it cannot be read, or there is none any more; the next call tries again.
    pub fn poll(&mut self) -> Result<Option<Edition>> {
        let mut tries = 0;
        loop {
            let Some(current) = current(&self.folder)? else {
                return match self.current {
                    Some(_) => Err(PublishError::Vanished { path: self.folder.join(CURRENT) }),
                    None => Ok(None),
                };
            };
            // All of it: where maps began anew the same epoch may be another map.
            if self.current.as_ref() == Some(&current) {
                return Ok(None);
            }
            match self.read(&self.folder.join(&current.network), &self.folder.join(&current.conditions)) {
                Ok(edition) => {
                    self.current = Some(current);
                    return Ok(Some(edition));
                }
                // Between the two reads it may have been replaced, and removed.
                Err(PublishError::Io { error, .. })
                    if error.kind() == io::ErrorKind::NotFound && tries < 8 =>
                {
                    tries += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The map of an epoch.
    ///
    /// # Errors
    /// When it is not kept any more, or cannot be read.
    pub fn epoch(&mut self, epoch: Epoch) -> Result<Edition> {
        let conditions = self.folder.join(conditions_name(epoch));
        let digest = match peek(&conditions) {
            Ok((_, digest)) => digest,
            Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let kept = epochs(&self.folder)?.into_iter().map(|(epoch, _)| epoch).collect();
                let kept = neighbours(kept, epoch);
                return Err(PublishError::Gone { path: self.folder.clone(), epoch, kept });
            }
            Err(error) => return Err(error),
        };
        self.read(&self.folder.join(network_name(&digest)), &conditions)
    }

    fn read(&mut self, network: &Path, conditions: &Path) -> Result<Edition> {
        let (_, digest) = peek(conditions)?;
        let known = match &self.network {
            Some((known, network)) if *known == digest => Arc::clone(network),
            _ => {
                let octets = read(network, file::LONGEST_NETWORK)?;
                let error = |error| PublishError::File { path: network.to_owned(), error };
                let found = Digest::of(&octets);
                if found != digest {
                    return Err(error(FileError::Network { found, wanted: digest }));
                }
                let (network, _) = file::read_network(&octets).map_err(error)?;
                let network = Arc::new(network);
                self.network = Some((digest, Arc::clone(&network)));
                network
            }
        };
        let octets = read(conditions, file::LONGEST_CONDITIONS)?;
        let (now, stamp) = file::read_conditions(&octets, &known, &digest)
            .map_err(|error| PublishError::File { path: conditions.to_owned(), error })?;
        Ok(Edition { epoch: stamp.epoch, time: stamp.time, digest, network: known, conditions: now })
    }
}

/// Which epochs there are, and those before and after one that is not among them.
fn neighbours(mut kept: Vec<Epoch>, wanted: Epoch) -> String {
    kept.sort_unstable();
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return "none".to_owned() };
    let after = kept.partition_point(|epoch| *epoch < wanted);
    let next: Vec<_> = kept[after.saturating_sub(1)..].iter().take(if after == 0 { 1 } else { 2 }).collect();
    let next = next.iter().map(|epoch| epoch.0.to_string()).collect::<Vec<_>>().join(" and ");
    format!("{} from {} to {}, next to it {next}", kept.len(), first.0, last.0)
}

/// The epoch that was in force at a time, in milliseconds since 1970: of those that are kept.
///
/// # Errors
/// When all that are kept are later, or one cannot be read.
pub fn epoch_at(folder: &Path, time: u64) -> Result<Epoch> {
    let mut first = None;
    let mut last: Option<(u64, Epoch)> = None;
    for (epoch, path) in epochs(folder)? {
        let stamp = match peek(&path) {
            Ok((stamp, _)) => stamp,
            // Whoever publishes removes old ones meanwhile.
            Err(PublishError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if stamp.time <= time {
            last = last.max(Some((stamp.time, epoch)));
        }
        first = first.map_or(Some(stamp.time), |first: u64| Some(first.min(stamp.time)));
    }
    match (last, first) {
        (Some((_, epoch)), _) => Ok(epoch),
        (None, Some(first)) => Err(PublishError::Before { path: folder.to_owned(), first }),
        (None, None) => Err(PublishError::Empty { path: folder.to_owned() }),
    }
}

/// The map in force in a directory; `None` if nothing was published yet.
///
/// # Errors
/// When it cannot be read.
pub fn open_current(folder: &Path) -> Result<Option<Edition>> {
    Reader::new(folder).poll()
}

/// The map of an epoch.
///
/// # Errors
/// When it is not kept any more, or cannot be read.
pub fn open_epoch(folder: &Path, epoch: Epoch) -> Result<Edition> {
    Reader::new(folder).epoch(epoch)
}
