//! What is gone, written so that it stays so; and what purges may be forgotten because all on disk has met them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::layout::{
    Class, IndexEntry, Kind, LISTED, Met, RECORD_HEADER, RecordHeader, Texts, encode_list, padded,
};
use super::queue::RemovalJob;
use super::shared::Sync;
use super::writer::{Failed, Staged, Writer, entry};

impl Writer {
    /// Writes the removals that wait, and tells who waits for them.
    pub(super) fn removals(&mut self) {
        let jobs = self.shared.queue.removals();
        if jobs.is_empty() {
            return;
        }
        // Where one segment takes no more, another one may: failing to write has made room for it.
        let mut written = self.write_removals(&jobs) || self.write_removals(&jobs);
        if !written {
            written = self.remove_with_segments(&jobs);
        }
        jobs.iter().for_each(|job| job.ticket.settle(written));
    }

    fn write_removals(&mut self, jobs: &[RemovalJob]) -> bool {
        let staged = jobs.iter().fold(true, |all, job| self.removal(&job.list, 0).is_ok() & all);
        let written = self.flush(Class::New).is_ok() && staged;
        written && (self.shared.sync != Sync::Always || self.sync_active(Class::New))
    }

    /// Does what was to be done when everything before it is written.
    pub(super) fn marks(&mut self) {
        for mark in self.shared.queue.marks() {
            // Those that came after the last ones were taken, and before the mark.
            self.removals();
            self.flush_all();
            let done = mark.met.is_none_or(|met| self.met(met).is_ok());
            mark.done.settle(done.then_some(self.next_sequence));
        }
    }

    /// Writes down which purges everything has met, durably, with the removals that it rests on.
    fn met(&mut self, met: Met) -> Result<(), Failed> {
        if self.unwritten || self.shared.is_paused() {
            return Err(Failed);
        }
        // What it rests on first, so that it does not survive without.
        self.make_durable(0)?;
        let place = self.stage(Class::New, padded(RECORD_HEADER) as u64, 1)?;
        let Met { number, sequence } = met;
        let mut record = RecordHeader { born: number, id: sequence, ..self.record(Kind::Met, place) };
        let batch = &mut self.batches[Class::New as usize];
        record.encode(self.shared.seed, Texts::default(), &mut batch.octets);
        let octets = padded(RECORD_HEADER) as u32;
        batch.staged.push((IndexEntry { hash: number, octets, ..entry(&record) }, Staged::Met));
        self.flush(Class::New)?;
        self.make_durable(0)?;
        self.shared.set_met(met);
        Ok(())
    }

    /// Has everything that is written in segments from number `first` on the disk for sure.
    pub(super) fn make_durable(&mut self, first: u32) -> Result<(), Failed> {
        let segments =
            self.shared.segments().range(first..).map(|(_, it)| Arc::clone(it)).collect::<Vec<_>>();
        for segment in segments {
            if let Err(error) = segment.file.sync() {
                // Asked again, the system may say that all is well.
                self.unwritten = true;
                self.failed("make durable", segment.number, &error);
                return Err(Failed);
            }
        }
        self.shared.files.sync().map_err(|_| Failed)
    }

    /// Stages a removal. `newest`: the newest segment that may hold what is removed; those there are now, if 0.
    pub(super) fn removal(&mut self, list: &[(u64, u64)], newest: u32) -> Result<(), Failed> {
        // Each list fits a record.
        for part in list.chunks(1024) {
            let octets = padded(RECORD_HEADER + part.len() * LISTED);
            let place = self.stage(Class::New, octets as u64, part.len())?;
            let newest = newest.max(if newest == 0 { self.next_number - 1 } else { 0 });
            let mut record = self.record(Kind::Removal, place);
            record.born = newest.into();
            let head = encode_list(part);
            let texts = Texts { head: &head, ..Texts::default() };
            let batch = &mut self.batches[Class::New as usize];
            record.encode(self.shared.seed, texts, &mut batch.octets);
            for (hash, id) in part {
                let (hash, id, octets) = (*hash, *id, octets as u32);
                let entry = IndexEntry { hash, id, octets, newest, ..entry(&record) };
                batch.staged.push((entry, Staged::Removal));
            }
        }
        Ok(())
    }

    /// A removal cannot be written, so the segments that hold what was removed go.
    fn remove_with_segments(&mut self, jobs: &[RemovalJob]) -> bool {
        let segments: BTreeSet<u32> = match jobs.iter().any(|job| job.anywhere) {
            true => self.shared.segments().keys().copied().collect(),
            false => jobs.iter().flat_map(|job| job.segments.iter().copied()).collect(),
        };
        tracing::warn!(
            segments = segments.len(),
            "the disk store cannot write that something was removed; it drops the segments that hold it"
        );
        self.drop_segments(segments)
    }
}
