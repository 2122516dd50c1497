//! From a capture file to the transactions in it, with an account of everything that gave none.

mod hops;
mod recorded;
mod segment;
mod stream;
mod summary;

pub(crate) use recorded::is_whole;
pub use recorded::{Recorded, Unusable};
pub use segment::{Skipped, segment};
pub use stream::Flow;
pub use summary::{Foreign, Summary};

use capture::{Input, OpenError, Packets, Record};
use exchange::{Source, Time, Transaction};
use std::io::Read;
use std::path::Path;
use stream::Streams;
use wire::Notes;

/// How much to keep of what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of each body that are kept; all are hashed.
    pub keep_body: usize,
}

/// What [`read`] finds in a capture.
#[derive(Clone, Debug)]
pub enum Found {
    /// A transaction has ended.
    Transaction(Box<Recorded>),
    /// A connection has ended, after all its transactions.
    Flow(Box<Flow>),
}

/// All transactions of a capture in the order of their requests' first bytes, and what became of everything else.
/// A transaction's place in this order is its number in reports, the same for every tool that reads the file.
///
/// # Errors
/// Where the file cannot be opened or is no capture. One that ends early or is damaged later gives what comes
/// before, and [`Summary::file_error`].
pub fn load(path: &Path, options: &Options) -> Result<(Vec<Recorded>, Summary), OpenError> {
    let mut all = Vec::new();
    let summary = read(path, options, |found| {
        if let Found::Transaction(recorded) = found {
            all.push(*recorded);
        }
    })?;
    all.sort_by_key(Recorded::order);
    hops::join(&mut all);
    Ok((all, summary))
}

/// As [`load`], but hands each transaction and connection on as it ends, so that nothing piles up.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path, options: &Options, mut sink: impl FnMut(Found)) -> Result<Summary, OpenError> {
    let at = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let source = Source { tool: "replay".into(), at };
    match capture::open(path)? {
        Input::Packets(packets) => Ok(read_packets(*packets, source, options, &mut sink)),
        Input::Records(records) => Ok(read_records(*records, &mut sink)),
    }
}

fn read_packets<R: Read>(
    packets: Packets<R>,
    source: Source,
    options: &Options,
    sink: &mut dyn FnMut(Found),
) -> Summary {
    let mut streams = Streams::new(source, options);
    let mut summary = Summary::default();
    let mut now = Time(0);
    for packet in packets {
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                summary.file_error = Some(error.to_string());
                break;
            }
        };
        now = packet.time.unwrap_or(now);
        summary.saw_packet(&packet, now);
        match segment(&packet, now) {
            Ok(segment) => {
                summary.segments += 1;
                streams.push(&segment, &mut summary, sink);
            }
            Err(skipped) => *summary.skipped.entry(skipped).or_default() += 1,
        }
    }
    streams.finish(&mut summary, sink);
    summary
}

fn read_records<R: Read>(mut records: capture::Reader<R>, sink: &mut dyn FnMut(Found)) -> Summary {
    let mut summary = Summary { is_native: true, ..Summary::default() };
    loop {
        match records.read() {
            Ok(None) => break,
            Ok(Some(Record::Transaction(transaction))) => {
                let recorded = Recorded::new(client_side(*transaction), Notes::default(), Notes::default());
                summary.saw_transaction(&recorded);
                sink(Found::Transaction(Box::new(recorded)));
            }
            Ok(Some(Record::Dns(_))) => summary.dns += 1,
            Ok(Some(Record::About(_) | Record::Ledger(_) | Record::Note(_))) => {}
            Err(error) => {
                summary.file_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    let progress = records.progress();
    summary.unknown_records = progress.unknown.values().sum::<u64>() + progress.oversized;
    summary
}

/// What was seen at the client, or, where nothing was, at the origin.
fn client_side(mut transaction: Transaction) -> Transaction {
    if transaction.client_request.is_none() && transaction.client_response.is_none() {
        transaction.client_request = transaction.origin_request.take();
        transaction.client_response = transaction.origin_response.take();
    }
    transaction
}
