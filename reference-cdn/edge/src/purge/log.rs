//! Where the purge log is kept: in a folder, so that it survives crashes, or nowhere.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::{self, Ending, HEADER, NotALog, Reading, Record};

const FILE: &str = "purge.log";
/// Takes its place once it is complete.
const NEW_FILE: &str = "purge.log.new";
/// What could not be read, for whoever wants to know.
const BAD_FILE: &str = "purge.log.unreadable";
/// Held by the one edge that uses the folder.
const LOCK_FILE: &str = "purge.lock";
/// Octets of a log file. It is rewritten long before it has that many.
const MOST_OCTETS: u64 = 1 << 30;
/// A log below this size is not worth rewriting.
const SMALL: u64 = 1 << 20;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot use the purge log {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the folder of the purge log, {}, is in use by another edge; give each a folder of its own", .0.display())]
    InUse(PathBuf),
    #[error(
        "cannot use the purge log {}: {what}; use the program that wrote it, or move the file away, and everything stored before counts as purged",
        .path.display()
    )]
    Foreign { path: PathBuf, what: NotALog },
}

/// Octets that survive, or are meant to.
pub trait Medium: Send + std::fmt::Debug {
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// What was appended survives a crash from now on.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts these octets in place of all there is: after a crash there is either, never a mixture.
    fn replace(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Whether it survives anything.
    fn is_durable(&self) -> bool {
        true
    }
}

/// No folder is configured.
#[derive(Debug)]
pub struct Nowhere;

impl Medium for Nowhere {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// The edge has stopped.
#[derive(Debug)]
struct Closed;

impl Medium for Closed {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the edge is stopping"))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.append(&[])
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        self.append(octets)
    }
}

/// A file in a folder that nobody else uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    file: File,
    _lock: File,
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // It tells who purged what: not everybody's business.
    options.read(true).create(true).mode(0o600);
    options
}

impl Folder {
    /// Opens the folder, which is made if need be, and reads what was logged. A log that is no log is set aside.
    ///
    /// # Errors
    /// When the folder cannot be used, or its log is of a later version.
    pub fn open(path: &Path) -> Result<(Self, Option<Reading>), LogError> {
        let failed = |at: &Path| {
            let path = at.to_owned();
            move |source| LogError::Io { path, source }
        };
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let lock = options().write(true).truncate(false).open(path.join(LOCK_FILE)).map_err(failed(path))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| LogError::InUse(path.to_owned()))?;
        let _ = std::fs::remove_file(path.join(NEW_FILE));
        let name = path.join(FILE);
        let mut file = options().append(true).open(&name).map_err(failed(&name))?;
        let mut octets = Vec::new();
        (&mut file).take(MOST_OCTETS + 1).read_to_end(&mut octets).map_err(failed(&name))?;
        let reading = match record::read(&octets) {
            _ if octets.is_empty() => None,
            Ok(reading) if octets.len() as u64 <= MOST_OCTETS => Some(reading),
            Err(what @ NotALog::Version(_)) => return Err(LogError::Foreign { path: name, what }),
            Ok(_) | Err(NotALog::Header) => {
                let aside = path.join(BAD_FILE);
                tracing::error!(
                    log = %name.display(), aside = %aside.display(),
                    "the purge log cannot be read and is set aside; everything stored before counts as purged"
                );
                std::fs::rename(&name, &aside).map_err(failed(&name))?;
                file = options().append(true).open(&name).map_err(failed(&name))?;
                None
            }
        };
        if let Some(reading) = reading.as_ref().filter(|reading| reading.end == Ending::Torn) {
            file.set_len(reading.good as u64).map_err(failed(&name))?;
        }
        Ok((Self { path: path.to_owned(), file, _lock: lock }, reading))
    }
}

impl Medium for Folder {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        let new = self.path.join(NEW_FILE);
        let _ = std::fs::remove_file(&new);
        let mut file = options().append(true).open(&new)?;
        file.write_all(octets)?;
        file.sync_all()?;
        std::fs::rename(&new, self.path.join(FILE))?;
        // The name is on disk once its folder is.
        File::open(&self.path)?.sync_all()?;
        self.file = file;
        Ok(())
    }
}

/// The log, as those who write it see it.
#[derive(Debug)]
pub struct Log {
    medium: Box<dyn Medium>,
    epoch: u64,
    octets: u64,
    /// Octets that it had when it was last rewritten.
    rewritten: u64,
    /// A write failed: nobody knows what the file holds, until a new one takes its place.
    broken: bool,
}

impl Log {
    /// `octets`: how many there are; `None` if the file has to be written anew before anything else.
    pub fn new(medium: Box<dyn Medium>, epoch: u64, octets: Option<u64>) -> Self {
        let size = octets.unwrap_or(0);
        Self { medium, epoch, octets: size, rewritten: size, broken: octets.is_none() }
    }

    pub fn is_durable(&self) -> bool {
        self.medium.is_durable()
    }

    /// True if the log has to be rewritten before it can be written on.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// True if most of the log is likely to be about purges that are over.
    pub fn is_worth_rewriting(&self) -> bool {
        self.is_durable() && self.octets > SMALL && self.octets / 4 > self.rewritten
    }

    /// Appends whole records; with `sync`, returns once they survive a crash.
    ///
    /// # Errors
    /// When they were not written, or it is not known whether they were.
    pub fn append(&mut self, octets: &[u8], sync: bool) -> io::Result<()> {
        let written =
            self.medium.append(octets).and_then(|()| if sync { self.medium.sync() } else { Ok(()) });
        // After a sync that failed, a later one may say nothing of what was lost.
        self.broken |= written.is_err();
        self.octets += octets.len() as u64;
        written
    }

    /// Lets go of the folder. Nothing can be written any more.
    pub fn close(&mut self) {
        self.medium = Box::new(Closed);
    }

    /// Writes a new log in place of the old one.
    ///
    /// # Errors
    /// When the old one is still in place, or it is not known which one is.
    pub fn rewrite(&mut self, records: &[Record]) -> io::Result<()> {
        if !self.is_durable() {
            return Ok(());
        }
        let mut file = Vec::with_capacity(HEADER + records.len() * 256);
        file.extend_from_slice(&record::header(self.epoch));
        records.iter().for_each(|record| record::write(record, &mut file));
        let replaced = self.medium.replace(&file);
        self.broken = replaced.is_err();
        if replaced.is_ok() {
            (self.octets, self.rewritten) = (file.len() as u64, file.len() as u64);
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(to: u64) -> Vec<u8> {
        let mut octets = Vec::new();
        record::write(&Record::Numbers { to }, &mut octets);
        octets
    }

    fn read(folder: &Path) -> Option<Reading> {
        Folder::open(folder).expect("opens").1
    }

    #[test]
    fn a_log_is_begun_written_on_and_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a/b");
        let (medium, reading) = Folder::open(&path).expect("opens");
        assert!(reading.is_none());
        let mut log = Log::new(Box::new(medium), 5, None);
        log.rewrite(&[Record::Numbers { to: 1 }]).expect("begun");
        log.append(&numbers(2), true).expect("written");
        drop(log);
        let (medium, reading) = Folder::open(&path).expect("opens");
        let reading = reading.expect("a log");
        assert_eq!((reading.epoch, reading.end), (5, Ending::Whole));
        assert_eq!(reading.records, [Some(Record::Numbers { to: 1 }), Some(Record::Numbers { to: 2 })]);
        let mut log = Log::new(Box::new(medium), 5, Some(reading.good as u64));
        log.rewrite(&[Record::Numbers { to: 3 }]).expect("replaced");
        log.append(&numbers(4), false).expect("written");
        drop(log);
        let reading = read(&path).expect("a log");
        assert_eq!(reading.records, [Some(Record::Numbers { to: 3 }), Some(Record::Numbers { to: 4 })]);
    }

    #[test]
    fn a_torn_end_is_cut_and_written_on() {
        let folder = tempfile::tempdir().expect("folder");
        let name = folder.path().join(FILE);
        let good = [&record::header(1)[..], &numbers(1)].concat();
        for torn in 1..numbers(2).len() {
            std::fs::write(&name, [&good, &numbers(2)[..torn]].concat()).expect("write");
            let (mut medium, reading) = Folder::open(folder.path()).expect("opens");
            assert_eq!(reading.expect("a log").end, Ending::Torn);
            medium.append(&numbers(3)).expect("append");
            assert_eq!(std::fs::read(&name).expect("read"), [&good[..], &numbers(3)].concat());
        }
    }

    #[test]
    fn what_is_no_log_is_set_aside_and_what_is_newer_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let name = folder.path().join(FILE);
        std::fs::write(&name, "something else").expect("write");
        assert!(read(folder.path()).is_none());
        assert_eq!(std::fs::read(folder.path().join(BAD_FILE)).expect("aside"), b"something else");
        assert!(std::fs::read(&name).expect("new").is_empty());
        let mut newer = record::header(1);
        newer[8] = 9;
        let sum = crc32fast::hash(&newer[..20]).to_le_bytes();
        newer[20..].copy_from_slice(&sum);
        std::fs::write(&name, newer).expect("write");
        let error = Folder::open(folder.path()).expect_err("newer").to_string();
        assert!(error.contains("version 9") && error.contains("move the file away"), "{error}");
        assert_eq!(std::fs::read(&name).expect("still there"), newer);
    }

    #[test]
    fn one_folder_is_for_one_edge() {
        let folder = tempfile::tempdir().expect("folder");
        let first = Folder::open(folder.path()).expect("opens");
        let error = Folder::open(folder.path()).expect_err("in use").to_string();
        assert!(error.contains("in use by another edge"), "{error}");
        drop(first);
        Folder::open(folder.path()).expect("free again");
        let file = folder.path().join(FILE);
        let error = Folder::open(&file).expect_err("a file").to_string();
        assert!(error.contains("cannot use the purge log"), "{error}");
    }
}
