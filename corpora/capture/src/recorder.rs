//! Writes a capture from a thread of its own, so that servers never wait for a disk.

use crate::{Record, Writer};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

/// Most records that wait, whatever they weigh.
const QUEUE: usize = 65_536;

/// Hands records to a thread that writes them. Memory for records that wait is bounded: what does not fit is
/// refused, never waited for.
pub struct Recorder<W> {
    queue: SyncSender<Record>,
    waiting: Arc<AtomicUsize>,
    bytes: usize,
    thread: JoinHandle<io::Result<(W, Written)>>,
}

/// Why a record was not taken, with the record.
#[derive(Debug)]
pub struct Full(pub Box<Record>);

/// What a [`Recorder`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    pub records: u64,
    /// Bytes of the file, its header included.
    pub bytes: u64,
}

impl<W: Write + Send + 'static> Recorder<W> {
    /// Starts the thread. `bytes`: most memory that waiting records may keep.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(writer: Writer<W>, bytes: usize) -> io::Result<Self> {
        let (queue, records) = sync_channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || run(writer, &records, &counter))?;
        Ok(Recorder { queue, waiting, bytes, thread })
    }

    /// Queues a record without waiting.
    ///
    /// # Errors
    /// Gives the record back where the queue is full, or writing has failed: [`Recorder::finish`] says how.
    pub fn offer(&self, record: Record) -> Result<(), Full> {
        let weight = record.weight();
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        // A record heavier than the bound passes alone: it is in memory already.
        if before > 0 && before.saturating_add(weight) > self.bytes {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            return Err(Full(Box::new(record)));
        }
        self.queue.try_send(record).map_err(|refused| {
            self.waiting.fetch_sub(weight, Ordering::Relaxed);
            let (std::sync::mpsc::TrySendError::Full(record)
            | std::sync::mpsc::TrySendError::Disconnected(record)) = refused;
            Full(Box::new(record))
        })
    }

    /// Writes what waits, flushes, and ends the thread.
    ///
    /// # Errors
    /// The first error of the destination.
    pub fn finish(self) -> io::Result<(W, Written)> {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the recorder's thread failed")))
    }
}

fn run<W: Write>(
    mut writer: Writer<W>,
    records: &Receiver<Record>,
    waiting: &AtomicUsize,
) -> io::Result<(W, Written)> {
    let mut count = 0;
    loop {
        let record = match records.try_recv() {
            Ok(record) => record,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Idle: what is written so far should be seen by readers.
                writer.flush()?;
                match records.recv() {
                    Ok(record) => record,
                    Err(_) => break,
                }
            }
        };
        writer.write(&record)?;
        count += 1;
        waiting.fetch_sub(record.weight(), Ordering::Relaxed);
    }
    let bytes = writer.offset();
    Ok((writer.finish()?, Written { records: count, bytes }))
}
