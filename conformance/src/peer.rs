//! Caches from the distribution's packages, started in front of an origin.

pub mod nginx;
pub mod varnish;

use std::fmt;
use std::io;

/// Why a peer does not run.
#[derive(Debug)]
pub enum StartError {
    /// The program is not there.
    Missing { name: &'static str },
    /// It, or what it needs, failed.
    Failed { name: &'static str, what: &'static str, source: io::Error },
    /// It ended at once; the last thing it said.
    Ended { name: &'static str, log: String },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Missing { name } => {
                write!(f, "{name} is not installed (Debian: apt-get install {name})")
            }
            StartError::Failed { name, what, source } => write!(f, "{name}: {what}: {source}"),
            StartError::Ended { name, log } => write!(f, "{name} ended at once: {log}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts the first of these programs that is there.
async fn first<T, F: Future<Output = io::Result<T>>>(
    name: &'static str,
    programs: &[&'static str],
    start: impl Fn(&'static str) -> F,
) -> Result<T, StartError> {
    for program in programs {
        match start(program).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StartError::Failed { name, what: "cannot be started", source }),
            Ok(done) => return Ok(done),
        }
    }
    Err(StartError::Missing { name })
}
