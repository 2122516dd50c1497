//! The purge log, octet by octet.
//!
//! ```text
//! file    = header *record
//!
//! header  = "purgelog"            8 octets
//!           version               u32
//!           epoch                 u64      names this log: stored responses carry it
//!           sum                   u32      CRC-32 of the 20 octets before
//!
//! record  = mark                  u32      F5 'p' 'r' FF: no text has it
//!           length                u32      octets of the payload
//!           head-sum              u32      CRC-32 of mark and length
//!           sum                   u32      CRC-32 of the payload
//!           payload               JSON, one object, `kind` first
//! ```
//!
//! Numbers are in little-endian order. Records are only appended; to leave old ones out, a new file takes the place of
//! the old one.
//!
//! A crash can leave the last record short, or zeros where it should be: it was never acknowledged and is cut off. Any
//! other fault means that octets changed that had been written, and that purges may be missing. What can still be read
//! is used, under a new epoch, so that everything stored before counts as purged.

use http_cache::Time;
use serde::{Deserialize, Serialize};

use super::generation::Mode;
use super::schedule::Schedule;
use super::scope::Scope;

const MAGIC: &[u8; 8] = b"purgelog";
pub const VERSION: u32 = 1;
pub const HEADER: usize = 24;
const MARK: [u8; 4] = [0xf5, b'p', b'r', 0xff];
const FRAME: usize = 16;
/// Octets of a payload. The largest order has 64 KiB of JSON, which cannot grow sixteenfold.
const MOST_PAYLOAD: usize = 1 << 20;
/// Places at which a record is looked for behind a damaged one.
const MOST_SEARCHES: usize = 10_000;

/// One line of the log. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// Numbers up to `to` may have been given to purges and stored responses.
    Numbers {
        to: u64,
    },
    /// A purge was accepted.
    Purge(Box<Accepted>),
    /// An occurrence of scheduled purge `number` is in force under the number `force`; `fired` are over.
    Fired {
        number: u64,
        force: u64,
        since: u64,
        fired: u64,
    },
    /// How many responses the purge of a URL reached at once.
    Result {
        number: u64,
        purged: u64,
    },
    Cancelled {
        number: u64,
        at: u64,
        by: String,
    },
    /// Purges up to number `to` are complete; later ones came after `at`.
    Complete {
        to: u64,
        at: u64,
    },
}

/// Who ordered what, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub number: u64,
    pub at: u64,
    pub by: String,
    pub id: String,
    /// The customer whose token it was: ids are known to their owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Digest of the order as it was sent.
    pub digest: String,
    pub scope: Scope,
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The scope is coarser than what was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub coarsened: bool,
}

impl Accepted {
    pub fn time(&self) -> Time {
        Time::from_millis(self.at)
    }
}

/// What stands in a log.
#[derive(Debug, Default)]
pub struct Reading {
    pub epoch: u64,
    /// `None`: the record is whole, but this version does not know what it says.
    pub records: Vec<Option<Record>>,
    /// Octets up to which the file is good.
    pub good: usize,
    pub end: Ending,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    #[default]
    Whole,
    /// The last record was not written to its end.
    Torn,
    /// Octets that had been written changed: records may be missing.
    Damaged,
}

/// Why a file is no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotALog {
    #[error("its beginning is not that of a purge log, or is damaged")]
    Header,
    #[error("it has version {0}; this program reads version {VERSION}")]
    Version(u32),
}

/// The first octets of a file.
pub fn header(epoch: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&epoch.to_le_bytes());
    let sum = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Appends a record to `out`.
pub fn write(record: &Record, out: &mut Vec<u8>) {
    // Maps have text for keys and numbers are finite, so this cannot fail; if it ever did, an empty payload would be
    // read as a record of unknown kind, which purges everything.
    let payload = serde_json::to_vec(record).unwrap_or_default();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut head = [0; 8];
    head[..4].copy_from_slice(&MARK);
    head[4..].copy_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// Reads a file.
///
/// # Errors
/// When it does not begin as a log does. An empty file does not.
pub fn read(file: &[u8]) -> Result<Reading, NotALog> {
    let Some(head) = file.get(..HEADER) else { return Err(NotALog::Header) };
    if head[..8] != *MAGIC || word(&head[20..]) != crc32fast::hash(&head[..20]) {
        return Err(NotALog::Header);
    }
    match word(&head[8..12]) {
        VERSION => {}
        version => return Err(NotALog::Version(version)),
    }
    let (low, high) = (word(&head[12..16]), word(&head[16..20]));
    let epoch = u64::from(high) << 32 | u64::from(low);
    let mut reading = Reading { epoch, good: HEADER, ..Reading::default() };
    let mut at = HEADER;
    let mut searches = 0;
    while at < file.len() {
        match payload(&file[at..]) {
            Found::Record(payload) => {
                reading.records.push(serde_json::from_slice(payload).ok());
                at += FRAME + payload.len();
                if reading.end == Ending::Whole {
                    reading.good = at;
                }
            }
            Found::Short if reading.end == Ending::Whole => {
                reading.end = Ending::Torn;
                break;
            }
            Found::Short | Found::Nothing => {
                // Scheduled purges behind the damage are worth looking for.
                reading.end = Ending::Damaged;
                searches += 1;
                match memchr::memmem::find(&file[at + 1..], &MARK) {
                    Some(next) if searches < MOST_SEARCHES => at += 1 + next,
                    _ => break,
                }
            }
        }
    }
    Ok(reading)
}

enum Found<'a> {
    Record(&'a [u8]),
    /// The beginning of a record, and nothing behind it.
    Short,
    Nothing,
}

fn payload(rest: &[u8]) -> Found<'_> {
    let Some(frame) = rest.get(..FRAME) else {
        let mark = &rest[..rest.len().min(MARK.len())];
        let begins = MARK.starts_with(mark) || rest.iter().all(|octet| *octet == 0);
        return if begins { Found::Short } else { Found::Nothing };
    };
    if frame[..4] != MARK || word(&frame[8..12]) != crc32fast::hash(&frame[..8]) {
        let zeros = rest.iter().all(|octet| *octet == 0);
        return if zeros { Found::Short } else { Found::Nothing };
    }
    let length = word(&frame[4..8]) as usize;
    if length > MOST_PAYLOAD {
        return Found::Nothing;
    }
    match rest.get(FRAME..FRAME + length) {
        None => Found::Short,
        Some(payload) if crc32fast::hash(payload) == word(&frame[12..16]) => Found::Record(payload),
        Some(_) => Found::Nothing,
    }
}

fn word(octets: &[u8]) -> u32 {
    octets.iter().take(4).rev().fold(0, |word, octet| word << 8 | u32::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purge::scope::What;
    use proptest::prelude::*;

    fn purge(number: u64) -> Record {
        Record::Purge(Box::new(Accepted {
            number,
            at: 1_795_773_600_000,
            by: "admin".into(),
            id: format!("id-{number}"),
            owner: None,
            digest: String::new(),
            scope: Scope { customer: None, what: What::Tags(vec!["a".into(), "é\"\u{1}".into()]) },
            mode: Mode::Soft,
            schedule: Some(Schedule::once(Time::from_secs(5))),
            coarsened: false,
        }))
    }

    fn records() -> Vec<Record> {
        vec![
            Record::Numbers { to: u64::MAX },
            purge(1),
            Record::Fired { number: 1, force: 2, since: 3, fired: 1 },
            Record::Result { number: 1, purged: 7 },
            purge(3),
            Record::Cancelled { number: 3, at: 4, by: "a".into() },
            Record::Complete { to: 2, at: 9 },
        ]
    }

    /// A file, and where its records end.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let mut file = header(77).to_vec();
        let mut ends = vec![file.len()];
        for record in records() {
            write(&record, &mut file);
            ends.push(file.len());
        }
        (file, ends)
    }

    fn read_back(reading: &Reading) -> Vec<Record> {
        reading.records.iter().cloned().map(|record| record.expect("known")).collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        let (file, _) = file();
        let reading = read(&file).unwrap();
        assert_eq!((reading.epoch, reading.good, reading.end), (77, file.len(), Ending::Whole));
        assert_eq!(read_back(&reading), records());
    }

    #[test]
    fn cut_anywhere_it_reads_as_far_as_it_was_written() {
        let (file, ends) = file();
        for length in 0..file.len() {
            let Ok(reading) = read(&file[..length]) else {
                assert!(length < HEADER);
                continue;
            };
            let whole = ends.iter().filter(|end| **end <= length).count() - 1;
            assert_eq!(read_back(&reading), records()[..whole], "{length}");
            assert_eq!(reading.good, ends[whole]);
            let end = if ends.contains(&length) { Ending::Whole } else { Ending::Torn };
            assert_eq!(reading.end, end, "{length}");
        }
    }

    #[test]
    fn zeros_where_a_record_should_be_are_a_torn_end() {
        let (mut file, ends) = file();
        for zeros in [1, 15, 16, 4096] {
            file.truncate(*ends.last().unwrap());
            file.resize(file.len() + zeros, 0);
            let reading = read(&file).unwrap();
            assert_eq!((reading.end, reading.good), (Ending::Torn, *ends.last().unwrap()));
        }
    }

    #[test]
    fn a_changed_octet_never_goes_unnoticed() {
        let (file, ends) = file();
        for at in 0..file.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= change;
                let reading = match read(&file) {
                    Ok(reading) => reading,
                    Err(_) => {
                        assert!(at < HEADER, "{at}");
                        continue;
                    }
                };
                assert_eq!(reading.end, Ending::Damaged, "{at}");
                // The one that was hit is missing, and no other.
                let hit = ends.iter().filter(|end| **end <= at).count() - 1;
                let mut others = records();
                others.remove(hit);
                assert_eq!(read_back(&reading), others, "{at}");
                assert_eq!(reading.good, ends[hit]);
            }
        }
    }

    #[test]
    fn other_files_and_versions_are_told_apart() {
        assert_eq!(read(b"").unwrap_err(), NotALog::Header);
        assert_eq!(read(&[b'x'; 100]).unwrap_err(), NotALog::Header);
        let mut newer = header(1);
        newer[8] = 2;
        let sum = crc32fast::hash(&newer[..20]).to_le_bytes();
        newer[20..].copy_from_slice(&sum);
        assert_eq!(read(&newer).unwrap_err(), NotALog::Version(2));
    }

    #[test]
    fn a_kind_of_a_later_version_is_noticed_and_fields_of_one_ignored() {
        let mut file = header(1).to_vec();
        let mut raw = |payload: &str| {
            let mut head = [0; 8];
            head[..4].copy_from_slice(&MARK);
            head[4..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
            file.extend_from_slice(&head);
            file.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
            file.extend_from_slice(&crc32fast::hash(payload.as_bytes()).to_le_bytes());
            file.extend_from_slice(payload.as_bytes());
        };
        raw(r#"{"kind":"numbers","to":5,"new":1}"#);
        raw(r#"{"kind":"purge-of-a-new-kind"}"#);
        raw("");
        let reading = read(&file).unwrap();
        assert_eq!(reading.records, [Some(Record::Numbers { to: 5 }), None, None]);
        assert_eq!(reading.end, Ending::Whole);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_octets_are_read_without_a_panic(start in any::<bool>(), pieces in proptest::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                Just(MARK.to_vec()),
                (0..7_usize).prop_map(|n| { let mut out = Vec::new(); write(&records()[n], &mut out); out }),
            ], 0..12)) {
            let mut file = if start { header(1).to_vec() } else { Vec::new() };
            pieces.iter().for_each(|piece| file.extend_from_slice(piece));
            if let Ok(reading) = read(&file) {
                prop_assert!(reading.good <= file.len());
                prop_assert_eq!(reading.end == Ending::Whole, reading.good == file.len());
            }
        }
    }
}
