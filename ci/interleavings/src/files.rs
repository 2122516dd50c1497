//! A folder in memory. What a process that is killed leaves is what is in it at that step.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::store::disk::{File, Files};
use crate::sync::Step;

type Octets = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Default)]
pub struct Folder {
    files: Mutex<BTreeMap<String, Octets>>,
}

#[derive(Debug)]
struct InMemory {
    octets: Octets,
    step: Step,
}

impl Folder {
    /// A copy of it as it is.
    pub fn as_left(&self) -> Arc<Self> {
        let files = self.files.lock().unwrap();
        let copy = |octets: &Octets| Arc::new(Mutex::new(octets.lock().unwrap().clone()));
        let files = files.iter().map(|(name, octets)| (name.clone(), copy(octets))).collect();
        Arc::new(Self { files: Mutex::new(files) })
    }
}

impl Files for Folder {
    fn take(&self) -> io::Result<Box<dyn Send + Sync + std::fmt::Debug>> {
        Ok(Box::new(()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.files.lock().unwrap().insert(name.to_owned(), Octets::default());
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let octets = self.files.lock().unwrap().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(InMemory { octets, step: Step::default() }))
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
        self.step.step();
        let octets = self.octets.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(octets.len());
        let length = buffer.len().min(octets.len() - from);
        buffer[..length].copy_from_slice(&octets[from..from + length]);
        Ok(length)
    }

    /// In two steps, so that a write may be torn.
    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap();
        let write = |range: std::ops::Range<usize>| {
            let mut octets = self.octets.lock().unwrap();
            let end = octets.len().max(from + range.end);
            octets.resize(end, 0);
            octets[from + range.start..from + range.end].copy_from_slice(&new[range]);
        };
        self.step.step();
        write(0..new.len() / 2);
        self.step.step();
        write(new.len() / 2..new.len());
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
