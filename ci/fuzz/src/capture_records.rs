//! The native capture: damage is told, never read as something that was not written; a torn end is cut off and written
//! on; arbitrary bytes are refused.

use crate::capture_packets::Slow;
use crate::input::Input;
use bytes::Bytes;
use capture::{About, Error, Ledger, Note, Reader, Record, Writer};
use exchange::{Body, Fields, Request, Response, Source, Time, Transaction};
use std::sync::OnceLock;

fn note(text: impl Into<String>) -> Record {
    Record::Note(Note { time: Some(Time(5)), text: text.into() })
}

/// What was written, and the file.
fn written() -> &'static (Vec<Record>, Vec<u8>) {
    static WRITTEN: OnceLock<(Vec<Record>, Vec<u8>)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let fields: Fields = [("Host", "a.test"), ("Accept", "*/*")].into_iter().collect();
        // Some that compresses and some that does not, so that parts refer to earlier ones.
        let noise: Vec<u8> = (0..600_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let bodies = [Bytes::from(noise), Bytes::from("text ".repeat(300)), Bytes::new()];
        let mut records = vec![Record::About(About { tool: "fuzz".into(), ..About::default() })];
        for (number, body) in bodies.into_iter().cycle().take(5).enumerate() {
            let request = Request::new("GET", format!("/{number}"), fields.clone());
            records.push(Record::Transaction(Box::new(Transaction {
                source: Source { tool: "fuzz".into(), at: number.to_string() },
                client_request: Some(request.clone()),
                client_response: Some(Response::new(200, fields.clone(), Body::complete(body))),
                ..Transaction::default()
            })));
            records.push(note(format!("number {number}")));
        }
        records.push(Record::Ledger(Ledger { total: 1, ..Ledger::default() }));
        let mut writer = Writer::new(Vec::new()).unwrap();
        records.iter().for_each(|record| writer.write(record).unwrap());
        (records, writer.finish().unwrap())
    })
}

fn read(source: impl std::io::Read) -> (Vec<Record>, Vec<String>) {
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader.limit(1 << 20),
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    loop {
        match reader.read() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, errors),
            Err(error) => errors.push(error.to_string()),
        }
    }
}

/// Inputs of [`damaged`]: edits of the file, eight bytes each.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![0, 100, 0, 1, 0, 0, 0, 0],
        vec![1, 200, 0, 40, 0, 0, 0, 0],
        vec![2, 0, 1, 0, 0, 0, 0, 0],
        vec![3, 16, 0, 9, 7, 7, 7, 7],
        vec![4, 40, 0, 60, 1, 0, 0, 0],
        vec![5, 30, 2, 90, 0, 0, 0, 0, 0, 9, 0, 8, 0, 0, 0, 0],
    ]
}

/// One edit: what, where (16 bits), how much, with what.
fn edit(file: &mut Vec<u8>, input: &mut Input<'_>) {
    let (what, at, count, with) =
        (input.byte(), usize::from(input.word()), usize::from(input.byte()), input.take(4));
    let at = at % (file.len() + 1);
    let end = (at + count).min(file.len());
    match what % 6 {
        // Another bit.
        0 if at < file.len() => file[at] ^= 1 << (count % 8),
        // Zeros, as of a block that was never written.
        1 => file[at..end].fill(0),
        // A torn end.
        2 => file.truncate(at),
        // Bytes too many, too few, or others.
        3 => drop(file.splice(at..at, with.iter().copied())),
        4 => drop(file.drain(at..end)),
        5 => {
            let copy = file[at..end].to_vec();
            let to = usize::from(with.first().copied().unwrap_or_default()) * 16 % (file.len() + 1);
            drop(file.splice(to..to, copy));
        }
        _ => {}
    }
}

/// A file that was damaged: what is read was written, in that order, and what is lost is told of.
pub(crate) fn damaged(input: &[u8]) {
    let mut input = Input(input);
    let (records, file) = written();
    let mut changed = file.clone();
    while !input.0.is_empty() {
        edit(&mut changed, &mut input);
    }
    let (got, errors) = read(&changed[..]);
    let mut expected = records.iter();
    for record in &got {
        assert!(expected.any(|one| one == record), "a record that was not written, or not there: {record:?}");
    }
    let at_a_boundary = changed.len() < file.len() && file.starts_with(&changed);
    if got.len() < records.len() {
        assert!(
            !errors.is_empty() || at_a_boundary,
            "{} of {} records and no word of it",
            got.len(),
            records.len()
        );
    }
    if changed == *file {
        assert_eq!((got.len(), errors.len()), (records.len(), 0));
    }
    append(&changed, &got);
}

/// Writing on after what is whole, or refusing to.
fn append(file: &[u8], before: &[Record]) {
    let on_disk = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(on_disk.path(), file).unwrap();
    match Writer::append(on_disk.path()) {
        Ok((mut writer, recovery)) => {
            assert!(recovery.cut <= file.len() as u64);
            writer.write(&note("after")).unwrap();
            drop(writer);
            let now = std::fs::read(on_disk.path()).unwrap();
            let kept = file.len() - usize::try_from(recovery.cut).unwrap();
            assert_eq!(now[..kept], file[..kept], "what was whole was changed");
            let (records, errors) = read(&now[..]);
            if errors.is_empty() {
                assert_eq!(records.len() as u64, recovery.records + 1, "of {recovery:?}");
                assert_eq!(records.last(), Some(&note("after")));
                assert_eq!(&records[..records.len() - 1], before);
            }
        }
        Err(error) => {
            assert!(!matches!(error, Error::Torn { .. } | Error::Empty), "a torn end is cut off: {error}");
            assert_eq!(std::fs::read(on_disk.path()).unwrap(), file, "a refused file was changed");
        }
    }
}

/// Inputs of [`bytes`]: whole files.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let (records, file) = written();
    let mut small = Writer::new(Vec::new()).unwrap();
    small.write(&records[0]).unwrap();
    small.write(&records[2]).unwrap();
    [file.clone(), small.finish().unwrap(), file[..16].to_vec()].map(|file| [&[0][..], &file].concat()).into()
}

/// Bytes that may be no capture at all: reading in pieces makes no difference, and `Progress` stays within the file.
pub(crate) fn bytes(input: &[u8]) {
    let mut input = Input(input);
    let step = 1 + usize::from(input.byte());
    let whole = read(input.0);
    assert_eq!(read(Slow(input.0, step)), whole, "read in pieces of {step}");
    if let Ok(mut reader) = Reader::new(input.0) {
        while let Some(record) = reader.next() {
            assert!(reader.progress().offset <= input.0.len() as u64);
            if record.is_err_and(|error| !error.is_local()) {
                assert!(reader.next().is_none(), "a reader that failed goes on");
            }
        }
    }
}
