//! A disk for the log that loses what was not synced, and fails when told to.

use std::io;
use std::sync::{Arc, Mutex};

use super::super::log::Medium;
use super::super::record::{self, Ending};
use super::super::{Limits, Purges, locked};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Half of what is appended arrives.
    Append,
    Sync,
    Replace,
}

#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>, Arc<Mutex<()>>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    /// Written, and on its way.
    cached: Vec<u8>,
    faults: Vec<Fault>,
    syncs: u64,
}

impl Disk {
    pub fn with(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { synced: content, ..State::default() })), Arc::default())
    }

    /// Everything that was written.
    pub fn content(&self) -> Vec<u8> {
        let state = locked(&self.0);
        [&state.synced[..], &state.cached[..]].concat()
    }

    /// Loses what was not synced, but for the first octets.
    pub fn crash(&self, kept: usize) {
        let mut state = locked(&self.0);
        let cached = std::mem::take(&mut state.cached);
        state.synced.extend_from_slice(&cached[..kept.min(cached.len())]);
    }

    pub fn fail(&self, faults: &[Fault]) {
        locked(&self.0).faults = faults.to_vec();
    }

    /// Syncs wait until this is dropped.
    pub fn hold(&self) -> std::sync::MutexGuard<'_, ()> {
        locked(&self.1)
    }

    pub fn syncs(&self) -> u64 {
        locked(&self.0).syncs
    }

    pub fn open(&self, epoch: u64) -> Arc<Purges> {
        self.open_with(epoch, Limits::default())
    }

    /// As an edge that starts does.
    pub fn open_with(&self, epoch: u64, limits: Limits) -> Arc<Purges> {
        let content = self.content();
        let reading = record::read(&content).ok();
        let mut state = locked(&self.0);
        (state.synced, state.cached) = (content, Vec::new());
        match &reading {
            Some(reading) if reading.end == Ending::Torn => state.synced.truncate(reading.good),
            Some(_) => {}
            None => state.synced.clear(),
        }
        drop(state);
        Purges::replay(limits, Box::new(self.clone()), reading, epoch).expect("opens")
    }
}

impl Medium for Disk {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut state = locked(&self.0);
        if state.faults.contains(&Fault::Append) {
            state.cached.extend_from_slice(&octets[..octets.len() / 2]);
            return Err(io::Error::other("injected"));
        }
        state.cached.extend_from_slice(octets);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let _held = locked(&self.1);
        let mut state = locked(&self.0);
        if state.faults.contains(&Fault::Sync) {
            return Err(io::Error::other("injected"));
        }
        state.syncs += 1;
        let cached = std::mem::take(&mut state.cached);
        state.synced.extend_from_slice(&cached);
        Ok(())
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut state = locked(&self.0);
        if state.faults.contains(&Fault::Replace) {
            return Err(io::Error::other("injected"));
        }
        state.syncs += 1;
        (state.synced, state.cached) = (octets.to_vec(), Vec::new());
        Ok(())
    }
}

/// A record with another payload.
pub fn framed(record: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut head = record[..8].to_vec();
    head[4..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let sums = [crc32fast::hash(&head), crc32fast::hash(payload)];
    let mut framed = head;
    sums.iter().for_each(|sum| framed.extend_from_slice(&sum.to_le_bytes()));
    framed.extend_from_slice(payload);
    framed
}
