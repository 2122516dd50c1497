//! From the text of zone files to records, with the line of each.

use std::path::{Path, PathBuf};

use domain::base::name::ToName as _;
use domain::base::rdata::ComposeRecordData as _;
use domain::zonefile::inplace::{Entry, Zonefile};

use super::{LoadError, units};
use crate::dns::codes::class;

/// Bounds: a file that goes beyond is refused rather than half served.
const MOST_OCTETS: usize = 256 << 20;
const MOST_RECORDS: usize = 2_000_000;
const MOST_FILES: usize = 64;
const DEEPEST_INCLUDE: usize = 8;

/// A record and where it stands.
pub(super) struct Read {
    pub owner: Box<[u8]>,
    pub rtype: u16,
    pub ttl: u32,
    pub rdata: Box<[u8]>,
    pub file: usize,
    pub line: usize,
}

#[derive(Default)]
pub(super) struct Files {
    pub paths: Vec<PathBuf>,
    pub octets: usize,
    pub records: Vec<Read>,
}
type Octets = bytes::Bytes;

pub(super) fn bytes_of(wire: &[u8]) -> Octets {
    Octets::copy_from_slice(wire)
}

/// What the reader takes for granted: parentheses and quotes are closed, and a string does not follow another without a space, since it writes
/// what it reads in place. Lines stay what they are.
fn prepare(text: &[u8]) -> Result<Vec<u8>, (usize, &'static str)> {
    let mut prepared = Vec::with_capacity(text.len() + 8);
    let (mut line, mut opened, mut quoted) = (1, None, None);
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        prepared.push(octet);
        match octet {
            b'\n' => line += 1,
            b'\\' => {
                if let Some(next) = octets.next() {
                    prepared.push(next);
                    line += usize::from(next == b'\n');
                }
            }
            b'"' if quoted.is_some() => {
                quoted = None;
                if octets.peek() == Some(&b'"') {
                    prepared.push(b' ');
                }
            }
            b'"' => quoted = Some(line),
            _ if quoted.is_some() => {}
            b'(' if opened.is_some() => {
                return Err((line, "a parenthesis within a parenthesis; close the first one"));
            }
            b'(' => opened = Some(line),
            b')' if opened.take().is_none() => {
                return Err((line, "a parenthesis is closed that was not opened"));
            }
            b';' => {
                while let Some(octet) = octets.next_if(|octet| *octet != b'\n') {
                    prepared.push(octet);
                }
            }
            _ => {}
        }
    }
    match (quoted, opened) {
        (Some(line), _) => Err((
            line,
            "the quote that begins in this line is never closed; write \\\" for one that is meant",
        )),
        (None, Some(line)) => Err((line, "the parenthesis that begins in this line is never closed")),
        (None, None) => Ok(prepared),
    }
}

/// A character, or what stands for one that cannot be seen.
fn shown(character: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if character.is_control() {
        (None, Some(character.escape_default()))
    } else {
        (Some(character), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The reader's terse message, with the line that the record ends in and what a person can do about it.
fn syntax(error: &str, lines: usize) -> String {
    let mut parts = error.splitn(3, ':');
    let (line, column, what) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<usize>().ok());
    let (Some(line), Some(column), Some(what)) = (number(line), number(column), what) else {
        return error.to_owned();
    };
    // At the beginning of a line it is what came before that was wrong.
    let line = if column == 1 { line - 1 } else { line }.clamp(1, lines.max(1));
    let advice = match what {
        what if what.contains("rtype") || what.contains("decimal") => {
            "; lifetimes and times are seconds, or numbers with units: 90, 1h30m, 2d, 1w"
        }
        what if what.contains("bad symbol") => "; is a quoted string not closed?",
        what if what.contains("short buffer") => "; is a parenthesis not closed?",
        what if what.contains("end of entry") => "; a field of the record is missing",
        what if what.contains("concrete data") => {
            "; its fields are not known here, write them as octets: \\# LENGTH HEX (RFC 3597 section 5)"
        }
        what if what.contains("different class") => "; only IN is served",
        _ => "",
    };
    // It quotes the file: nothing of that may move a terminal's cursor.
    let what: String = what.chars().take(200).flat_map(shown).collect();
    format!("{line}:{what}{advice}")
}

impl Files {
    pub(super) fn read(
        &mut self,
        file: &Path,
        text: &[u8],
        origin: domain::base::Name<Octets>,
        folder: Option<&Path>,
        depth: usize,
    ) -> Result<(), LoadError> {
        let wrong = |line, what: String| LoadError::Wrong { file: file.to_owned(), line, what };
        self.octets += text.len();
        if self.octets > MOST_OCTETS || self.paths.len() >= MOST_FILES {
            return Err(wrong(
                1,
                format!("the zone has more than {MOST_FILES} files or {} MiB; split it", MOST_OCTETS >> 20),
            ));
        }
        let at = self.paths.len();
        self.paths.push(file.to_owned());
        let prepared = prepare(text).map_err(|(line, what)| wrong(line, what.into()))?;
        let prepared = units::in_seconds(&prepared);
        let text = &prepared[..];
        let mut zonefile = Zonefile::with_capacity(text.len() + 1);
        zonefile.extend_from_slice(text);
        // A last line without its end is read like any other.
        zonefile.extend_from_slice(b"\n");
        zonefile.set_origin(origin);
        zonefile.set_default_class(domain::base::iana::Class::IN);
        let (mut line, mut counted) = (1, 0);
        let lines = text.trim_ascii_end().split(|octet| *octet == b'\n').count();
        loop {
            // The reader was seen to fail at an index of its own on text that makes no sense; that must be an error too.
            let entry = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| zonefile.next_entry()))
                .map_err(|_| {
                    wrong(
                        line,
                        "the record after this line cannot be read; write it in a plainer form".into(),
                    )
                })?
                .map_err(|error| LoadError::Syntax {
                    file: file.to_owned(),
                    error: syntax(&error.to_string(), lines),
                })?;
            // The line that the record ends in: its own end of line may be read already or not.
            let upto = text[..zonefile.current_offset().min(text.len())].trim_ascii_end().len().max(counted);
            line += text[counted..upto].iter().filter(|octet| **octet == b'\n').count();
            counted = upto;
            match entry {
                None => return Ok(()),
                Some(Entry::Record(record)) => {
                    if record.class().to_int() != class::IN {
                        return Err(wrong(
                            line,
                            format!("class {} is not served; leave it out or say IN", record.class()),
                        ));
                    }
                    let mut rdata = Vec::new();
                    // As it is signed (RFC 4034 section 6.2): names in lower case. Writing to a vector does not fail.
                    _ = record.data().compose_canonical_rdata(&mut rdata);
                    let owner: domain::base::Name<Vec<u8>> = record.owner().to_name();
                    let mut owner = owner.into_octets();
                    owner.make_ascii_lowercase();
                    self.records.push(Read {
                        owner: owner.into(),
                        rtype: record.rtype().to_int(),
                        ttl: record.ttl().as_secs(),
                        rdata: rdata.into(),
                        file: at,
                        line,
                    });
                    if self.records.len() > MOST_RECORDS {
                        return Err(wrong(
                            line,
                            format!("the zone has more than {MOST_RECORDS} records; split it"),
                        ));
                    }
                }
                Some(Entry::Include { path, origin }) => {
                    let Some(folder) = folder else {
                        return Err(wrong(
                            line,
                            "$INCLUDE has no folder to read from here; put the records in place".into(),
                        ));
                    };
                    if depth == DEEPEST_INCLUDE {
                        return Err(wrong(
                            line,
                            format!(
                                "files include each other more than {DEEPEST_INCLUDE} deep; is one including itself?"
                            ),
                        ));
                    }
                    let unreadable = |error| LoadError::Unreadable { file: folder.join(&*path), error };
                    let included = folder.join(&*path).canonicalize().map_err(unreadable)?;
                    if !included.starts_with(folder) {
                        return Err(wrong(
                            line,
                            format!(
                                "$INCLUDE {} leads out of the zone's folder; move the file there",
                                path.escape_debug()
                            ),
                        ));
                    }
                    let text = std::fs::read(&included).map_err(unreadable)?;
                    let origin = match origin {
                        Some(origin) => origin,
                        None => zonefile.origin().map_err(|error| wrong(line, error.to_string()))?,
                    };
                    self.read(&included, &text, origin, Some(folder), depth + 1)?;
                }
            }
        }
    }
}
