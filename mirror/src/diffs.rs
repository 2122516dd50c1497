//! The file of differences: JSON lines, described in the crate's README.

use crate::ledger::{State, Totals};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Version of the file's form; readers refuse a newer one.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Header(Header),
    Difference(Box<Differing>),
    /// How often a request that differed was compared: near the end, one for each.
    Stability(Stability),
    /// The last line. A file without it is not whole: the mirror did not end in order.
    Ledger(Closing),
}

/// Who was compared with whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub tool: String,
    pub version: String,
    pub primary: String,
    pub candidate: String,
    /// Of the sample.
    pub seed: u64,
    /// From 0 to 1.
    pub sample: f64,
    pub started: String,
}

/// A request that the two builds answered differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differing {
    /// `connection-number`, as in the record.
    pub id: String,
    /// When the request began, RFC 3339.
    pub time: String,
    pub method: String,
    /// Absolute, escaped.
    pub url: String,
    /// Stands for the request's field lines: requests for one URL with the same ones have the same variant. Of this
    /// run only.
    #[serde(default)]
    pub variant: String,
    /// `different`, or how the candidate broke off.
    pub outcome: State,
    /// Whether it fails the verdict; otherwise all of it is waived.
    pub stands: bool,
    /// The same for the same request and kinds of differences in another run.
    pub fingerprint: String,
    /// The primary's status code.
    pub status: u16,
    /// Where the answers came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CachePair>,
    pub differences: Vec<Found>,
    /// Further differences that are not listed.
    #[serde(default)]
    pub omitted: u64,
}

/// One difference, with its fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The same for the same kind of difference, whatever the request and the values.
    pub fingerprint: String,
    #[serde(flatten)]
    pub difference: compare::Difference,
}

/// What primary and candidate say of their caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePair {
    pub primary: compare::CacheState,
    pub candidate: compare::CacheState,
}

/// How steady the differences of a request are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stability {
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub variant: String,
    pub compared: u64,
    pub different: u64,
}

/// The totals at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    pub balances: bool,
    /// 0 agree, 1 differences, 2 could not judge.
    pub exit_status: u8,
    #[serde(flatten)]
    pub totals: Totals,
    /// Differences that this file lacks, because it could not be written fast enough or at all.
    pub unwritten: u64,
    pub ended: String,
}

/// A file of differences, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Diffs {
    pub header: Header,
    pub differences: Vec<Differing>,
    /// By method, URL and variant.
    pub stability: BTreeMap<(String, String, String), Stability>,
    /// `None` where the mirror did not end in order.
    pub ledger: Option<Closing>,
}

impl Diffs {
    /// Whether the request differed every time it was compared; a single comparison counts as every time.
    pub fn is_stable(&self, differing: &Differing) -> bool {
        self.compared(differing).is_none_or(|s| s.different == s.compared)
    }

    /// How often the request was compared; `None` where the mirror could not keep count.
    pub fn compared(&self, differing: &Differing) -> Option<&Stability> {
        let key = (differing.method.clone(), differing.url.clone(), differing.variant.clone());
        self.stability.get(&key)
    }
}

/// Why a file of differences could not be read.
#[derive(Debug)]
pub struct ReadError {
    path: PathBuf,
    /// Counted from 1; `None` where the file could not be opened.
    line: Option<usize>,
    what: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the differences in {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ReadError {}

/// Reads what `mirror http --diffs` wrote.
///
/// # Errors
/// The file cannot be read, a line is no such line, or the first one is no header of a known format. A last line
/// cut short by a crash is left out.
pub fn read(path: &Path) -> Result<Diffs, ReadError> {
    let error = |line, what: String| ReadError { path: path.to_owned(), line, what };
    let file = File::open(path).map_err(|e| error(None, e.to_string()))?;
    let mut lines = BufReader::new(file).split(b'\n').enumerate().peekable();
    let (mut header, mut ledger) = (None, None);
    let (mut differences, mut stability) = (Vec::new(), BTreeMap::new());
    while let Some((index, line)) = lines.next() {
        let number = Some(index + 1);
        let line = line.map_err(|e| error(number, e.to_string()))?;
        let line = match serde_json::from_slice::<Line>(&line) {
            Ok(line) => line,
            Err(e) if header.is_some() && e.is_eof() && lines.peek().is_none() => break,
            Err(e) => {
                return Err(error(number, format!("{e}; is this a file that `mirror http --diffs` wrote?")));
            }
        };
        match line {
            Line::Header(h) if h.format > FORMAT => {
                return Err(error(
                    number,
                    format!(
                        "it has format {}, this version knows up to {FORMAT}; use the newer version",
                        h.format
                    ),
                ));
            }
            Line::Header(h) => header = Some(h),
            Line::Difference(d) => differences.push(*d),
            Line::Stability(s) => {
                stability.insert((s.method.clone(), s.url.clone(), s.variant.clone()), s);
            }
            Line::Ledger(closing) => ledger = Some(closing),
        }
    }
    let header = header
        .ok_or_else(|| error(Some(1), "there is no header line; the file is empty or cut off".into()))?;
    Ok(Diffs { header, differences, stability, ledger })
}

/// Writes lines; the first failure ends it, what comes after is counted.
#[derive(Debug)]
pub(crate) struct DiffWriter {
    out: BufWriter<File>,
    failed: Option<String>,
    written: u64,
    lost: u64,
}

impl DiffWriter {
    pub(crate) fn create(path: &Path, header: Header) -> io::Result<Self> {
        let mut writer =
            DiffWriter { out: BufWriter::new(File::create(path)?), failed: None, written: 0, lost: 0 };
        writer.put(&Line::Header(header))?;
        Ok(writer)
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    /// Writes a line, or counts it as lost.
    pub(crate) fn write(&mut self, line: &Line) {
        if self.failed.is_none() {
            let put = self.put(line);
            self.fail_on(put);
        }
        match self.failed {
            None => self.written += 1,
            Some(_) => self.lost += 1,
        }
    }

    /// Makes what was written visible to readers.
    pub(crate) fn flush(&mut self) {
        if self.failed.is_none() {
            let flushed = self.out.flush();
            if flushed.is_err() {
                // What was in the buffer: at least one line.
                self.lost += u64::from(self.written > 0);
                self.written = self.written.saturating_sub(1);
            }
            self.fail_on(flushed);
        }
    }

    fn fail_on(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed = Some(error.to_string());
        }
    }

    /// Why nothing is written any more.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}
