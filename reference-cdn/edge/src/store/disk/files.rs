//! The file system as the disk store sees it: a trait, so that tests can make any operation fail, and the real one.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

/// One folder.
pub trait Files: Send + Sync + Debug {
    /// Makes the folder if it is not there, and takes it for this process alone until what is given back is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn take(&self) -> io::Result<Box<dyn Send + Sync + Debug>>;

    /// The names of the files in it.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file; one of this name must not exist.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until names that were made or removed are so on the disk.
    fn sync(&self) -> io::Result<()>;

    /// The folder itself, for messages.
    fn path(&self) -> &Path;
}

/// One file.
pub trait File: Send + Sync + Debug {
    /// Reads some octets at `offset`; none at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of the octets at `offset`.
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<usize>;

    fn length(&self) -> io::Result<u64>;

    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Waits until what was written is on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// Fills the buffer from `offset`.
///
/// # Errors
/// Those of reading; [`io::ErrorKind::UnexpectedEof`] when the file ends before.
pub fn read_exact(file: &dyn File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As much of the buffer as the file has octets from `offset`.
///
/// # Errors
/// Those of reading.
pub fn read_most(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all octets at `offset`.
///
/// # Errors
/// Those of writing; some of the octets may be in the file then.
pub fn write_all(file: &dyn File, mut octets: &[u8], mut offset: u64) -> io::Result<()> {
    while !octets.is_empty() {
        match file.write_at(octets, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                octets = &octets[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A folder of the machine.
#[derive(Debug)]
pub struct Folder(PathBuf);

/// Says that a process uses the folder. It stays when the process ends; only its lock counts.
const LOCK: &str = "reference-cdn.lock";

impl Folder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Files for Folder {
    fn take(&self) -> io::Result<Box<dyn Send + Sync + Debug>> {
        fs::create_dir_all(&self.0)?;
        let path = self.0.join(LOCK);
        let mut file =
            fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // For people who look; the lock is what counts.
        file.set_len(0)?;
        let _ = writeln!(file, "process {}", std::process::id());
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // What is no file, or has no name in Unicode, is not ours.
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let options = fs::OpenOptions::new().read(true).write(true).create_new(true).open(self.0.join(name));
        Ok(Arc::new(Real(options?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Real(fs::OpenOptions::new().read(true).write(true).open(self.0.join(name))?)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

#[derive(Debug)]
struct Real(fs::File);

impl File for Real {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, octets, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
