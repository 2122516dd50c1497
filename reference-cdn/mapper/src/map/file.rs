//! The two files of a map: its network (slow) and its conditions (fast). MAP-FILE.md has the format.

use std::fmt;

use super::octets::{Malformed, Read, Reader, Writer};
use super::{Epoch, conditions_section, network_sections};
use crate::conditions::Conditions;
use crate::network::Network;

/// The version that is written. A reader reads this one and the one before, and refuses later ones.
pub const VERSION: u16 = 1;
/// The earliest version that is read.
pub const EARLIEST: u16 = 1;
/// Longest files.
pub const LONGEST_NETWORK: u64 = 4 << 30;
pub const LONGEST_CONDITIONS: u64 = 256 << 20;
/// Most sections of a file.
const MOST_SECTIONS: u16 = 64;

/// What begins a file: told apart from text, and broken by what changes line ends.
const NETWORK_MAGIC: [u8; 8] = *b"\x93MAPN\r\n\x1a";
const CONDITIONS_MAGIC: [u8; 8] = *b"\x93MAPC\r\n\x1a";
const HEAD: usize = 72;

/// SHA-256 of all of a network file: names it, and ties conditions to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(octets: &[u8]) -> Self {
        let mut digest = [0; 32];
        // The algorithm's output has 32 octets.
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref());
        Self(digest)
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (octet, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *octet = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a map file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of a network: the epoch in which it came into use.
    pub epoch: Epoch,
    /// Milliseconds since 1970.
    pub time: u64,
}

/// Why octets are not the map file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    #[error("is no {0} file: it begins with other octets")]
    Magic(&'static str),
    #[error(
        "has version {0}, and this program reads {EARLIEST} to {VERSION}; update the program, or have the builder write an earlier version"
    )]
    Version(u16),
    #[error("is damaged: {what} at octet {at} does not match its checksum")]
    Damaged { what: &'static str, at: usize },
    #[error("is malformed at octet {at}: {what}")]
    Malformed { what: &'static str, at: usize },
    #[error("belongs to network {found}, not {wanted}")]
    Network { found: Digest, wanted: Digest },
    #[error("has {0} octets, more than a map file may have")]
    Long(u64),
}

impl From<Malformed> for FileError {
    fn from(Malformed { at, what }: Malformed) -> Self {
        Self::Malformed { what, at }
    }
}

/// A section: its number and its octets.
type Section<'a> = (u16, &'a [u8]);

fn seal(magic: [u8; 8], stamp: Stamp, network: &[u8; 32], sections: Vec<(u16, Vec<u8>)>) -> Vec<u8> {
    let length: usize = sections.iter().map(|(_, octets)| octets.len() + 20).sum();
    let mut writer = Writer(Vec::with_capacity(HEAD + length));
    writer.0.extend(magic);
    writer.u16(VERSION);
    writer.u16(u16::try_from(sections.len()).unwrap_or(u16::MAX));
    writer.u64(stamp.epoch.0);
    writer.u64(stamp.time);
    writer.0.extend(network);
    writer.u64((HEAD + length) as u64);
    writer.u32(crc32fast::hash(&writer.0));
    for (number, octets) in sections {
        let start = writer.0.len();
        writer.u16(number);
        writer.u16(0);
        writer.u64(octets.len() as u64);
        writer.u32(crc32fast::hash(&octets));
        writer.u32(crc32fast::hash(&writer.0[start..]));
        writer.0.extend(octets);
    }
    writer.0
}

struct Opened<'a> {
    stamp: Stamp,
    network: [u8; 32],
    sections: Vec<Section<'a>>,
}

fn head(magic: [u8; 8], kind: &'static str, octets: &[u8]) -> Result<(Stamp, [u8; 32], u16, u64), FileError> {
    if !octets.starts_with(&magic) {
        return Err(FileError::Magic(kind));
    }
    let mut reader = Reader::new(octets);
    reader.take(magic.len())?;
    // Before the checksum: a later version may have its checksum elsewhere.
    let version = reader.u16()?;
    if !(EARLIEST..=VERSION).contains(&version) {
        return Err(FileError::Version(version));
    }
    let count = reader.u16()?;
    let stamp = Stamp { epoch: Epoch(reader.u64()?), time: reader.u64()? };
    let mut network = [0; 32];
    network.copy_from_slice(reader.take(32)?);
    let length = reader.u64()?;
    if reader.u32()? != crc32fast::hash(&octets[..HEAD - 4]) {
        return Err(FileError::Damaged { what: "the head", at: 0 });
    }
    Ok((stamp, network, count, length))
}

fn open<'a>(magic: [u8; 8], kind: &'static str, octets: &'a [u8]) -> Result<Opened<'a>, FileError> {
    let (stamp, network, count, length) = head(magic, kind, octets)?;
    if length != octets.len() as u64 {
        let what = if length > octets.len() as u64 {
            "the file breaks off"
        } else {
            "the file goes on after its end"
        };
        return Err(FileError::Malformed { what, at: octets.len() });
    }
    if count > MOST_SECTIONS {
        return Err(FileError::Malformed { what: "too many sections", at: 10 });
    }
    let mut reader = Reader::new(octets);
    reader.take(HEAD)?;
    let mut at = HEAD;
    let mut sections = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let start = at;
        let before = reader.take(16)?;
        let sum = reader.u32()?;
        if sum != crc32fast::hash(before) {
            return Err(FileError::Damaged { what: "the head of a section", at: start });
        }
        let mut fields = Reader::new(before);
        let number = fields.u16()?;
        fields.u16()?;
        let length = usize::try_from(fields.u64()?).map_err(|_| reader.malformed("ends too early"))?;
        let expected = fields.u32()?;
        let content = reader.take(length)?;
        if crc32fast::hash(content) != expected {
            return Err(FileError::Damaged { what: "a section", at: start });
        }
        at += 20 + length;
        sections.push((number, content));
    }
    reader.end()?;
    Ok(Opened { stamp, network, sections })
}

impl<'a> Opened<'a> {
    fn read<T>(&self, number: u16, read: impl FnOnce(&mut Reader<'a>) -> Read<T>) -> Result<T, FileError> {
        let Some((_, octets)) = self.sections.iter().find(|(known, _)| *known == number) else {
            return Err(FileError::Malformed { what: "a section is missing", at: HEAD });
        };
        let mut reader = Reader::new(octets);
        let value = read(&mut reader).and_then(|value| reader.end().map(|()| value));
        // Where in the file, not in the section.
        let offset =
            octets.as_ptr() as usize - self.sections.first().map_or(0, |(_, first)| first.as_ptr() as usize);
        value.map_err(|Malformed { at, what }| FileError::Malformed { what, at: HEAD + 20 + offset + at })
    }
}

/// A network as a file.
pub fn write_network(network: &Network, stamp: Stamp) -> Vec<u8> {
    seal(NETWORK_MAGIC, stamp, &[0; 32], network_sections::write(network))
}

/// # Errors
/// Why it is no network. What is returned is valid: every position that is named is there.
pub fn read_network(octets: &[u8]) -> Result<(Network, Stamp), FileError> {
    if octets.len() as u64 > LONGEST_NETWORK {
        return Err(FileError::Long(octets.len() as u64));
    }
    let opened = open(NETWORK_MAGIC, "network", octets)?;
    let mut network = Network::default();
    for section in network_sections::SECTIONS {
        opened.read(section.number, |reader| (section.read)(reader, &mut network))?;
    }
    network_sections::check(&network).map_err(|what| FileError::Malformed { what, at: HEAD })?;
    Ok((network, opened.stamp))
}

/// Conditions as a file; `network` is the digest of the network file that they belong to.
pub fn write_conditions(conditions: &Conditions, stamp: Stamp, network: &Digest) -> Vec<u8> {
    seal(CONDITIONS_MAGIC, stamp, &network.0, conditions_section::write(conditions))
}

/// # Errors
/// Why these are no conditions, or not those of that network.
pub fn read_conditions(
    octets: &[u8],
    network: &Network,
    digest: &Digest,
) -> Result<(Conditions, Stamp), FileError> {
    if octets.len() as u64 > LONGEST_CONDITIONS {
        return Err(FileError::Long(octets.len() as u64));
    }
    let opened = open(CONDITIONS_MAGIC, "conditions", octets)?;
    if opened.network != digest.0 {
        return Err(FileError::Network { found: Digest(opened.network), wanted: *digest });
    }
    let conditions =
        opened.read(conditions_section::NUMBER, |reader| conditions_section::read(reader, network))?;
    Ok((conditions, opened.stamp))
}

/// What a file of conditions says of itself, and its network, without the conditions.
///
/// # Errors
/// Why it is none.
pub fn peek_conditions(octets: &[u8]) -> Result<(Stamp, Digest), FileError> {
    head(CONDITIONS_MAGIC, "conditions", octets).map(|(stamp, network, ..)| (stamp, Digest(network)))
}

/// Octets that [`peek_conditions`] needs.
pub const PEEK: usize = HEAD;
