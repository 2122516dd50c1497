//! Reads zone files (RFC 1035 section 5) and checks what they say before anything is answered from it.

mod build;
mod check;
mod read;
mod units;

use std::path::{Path, PathBuf};

use super::zone::Zone;
use crate::dns::name;
use build::build;
use read::{Files, bytes_of};

/// What an operator says about a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Only what its file says.
    Static,
    /// Refers `cut` to low-level name servers near the resolver.
    Top {
        /// `g.example.net`.
        cut: String,
        /// Names of the name servers; see [`name_servers_of`]. They have no records in the file.
        names: Vec<String>,
        /// 1200 to 3600 seconds; 1800 is usual.
        ttl: u32,
    },
    /// Its names are steered, besides what its file says.
    Low,
}

/// The names that the design gives to low-level name servers: `n0g` to `n8g` below the top level's zone.
pub fn name_servers_of(apex: &str) -> Vec<String> {
    (0..9).map(|at| format!("n{at}g.{apex}")).collect()
}

/// Why a zone cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}: cannot be read: {error}; check the path and its permissions", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{}:{error}", file.display())]
    Syntax { file: PathBuf, error: String },
    #[error("{}:{line}: {what}", file.display())]
    Wrong { file: PathBuf, line: usize, what: String },
    /// The configuration asks for what cannot be.
    #[error("zone {apex}: {what}")]
    Zone {
        apex: String,
        /// Of the configuration: `apex`, `cut`, `name-servers` or `lifetime`.
        key: &'static str,
        what: String,
    },
    /// The file as a whole is not of such a zone.
    #[error("{}: zone {apex}: {what}", file.display())]
    File { file: PathBuf, apex: String, what: String },
}

/// Loads a zone from its file. `$INCLUDE` reaches files in the same folder and below it.
pub fn load(file: &Path, apex: &str, plan: &Plan) -> Result<Zone, LoadError> {
    let (files, wire) = read_files(file, apex)?;
    build(files, wire, plan)
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Wire format, lower case.
    pub owner: Box<[u8]>,
    pub rtype: u16,
    /// An included file may be another one than the zone's.
    pub file: PathBuf,
    pub line: usize,
}

/// Where the records of some owners are, in the order of the files. A zone does not keep that, so its file is read again: for warnings,
/// which are seldom. A file that is gone or wrong by now tells nothing.
pub fn places(file: &Path, apex: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<Place> {
    let Ok((files, _)) = read_files(file, apex) else { return Vec::new() };
    let Files { paths, records, .. } = files;
    let place = |read: read::Read| {
        let file = paths.get(read.file).cloned().unwrap_or_default();
        Place { owner: read.owner, rtype: read.rtype, file, line: read.line }
    };
    records.into_iter().filter(|read| wanted(&read.owner)).map(place).collect()
}

fn read_files(file: &Path, apex: &str) -> Result<(Files, Box<[u8]>), LoadError> {
    let zone_error = |what: String| LoadError::Zone { apex: apex.to_owned(), key: "apex", what };
    let wire =
        name::from_text(apex).map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let mut files = Files::default();
    let origin = domain::base::Name::from_octets(bytes_of(&wire))
        .map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let text = std::fs::read(file).map_err(|error| LoadError::Unreadable { file: file.to_owned(), error })?;
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        folder.canonicalize().map_err(|error| LoadError::Unreadable { file: folder.to_owned(), error })?;
    files.read(file, &text, origin, Some(&folder), 0)?;
    Ok((files, wire))
}

/// Loads a zone from text. `$INCLUDE` is refused; `file` is what errors name.
pub fn parse(text: &str, file: &Path, apex: &str, plan: &Plan) -> Result<Zone, LoadError> {
    let zone_error = |what: String| LoadError::Zone { apex: apex.to_owned(), key: "apex", what };
    let wire =
        name::from_text(apex).map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let origin = domain::base::Name::from_octets(bytes_of(&wire))
        .map_err(|error| zone_error(format!("its name is no domain name: {error}")))?;
    let mut files = Files::default();
    files.read(file, text.as_bytes(), origin, None, 0)?;
    build(files, wire, plan)
}
