//! The section `[report]`: load reports to mappers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::load_report::Keys;
use edge::ReportConfig;

use super::About;
use super::value::Wrong;

/// What has been set so far.
#[derive(Clone, Debug)]
pub struct ReportDraft {
    pub to: Vec<SocketAddr>,
    pub server: Option<String>,
    pub key_file: Option<PathBuf>,
    pub key: u8,
    pub bandwidth: u64,
    pub leave: Duration,
    pub names: Vec<(String, String)>,
}

impl Default for ReportDraft {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            server: None,
            key_file: None,
            key: 1,
            bandwidth: 0,
            leave: Duration::from_secs(25),
            names: Vec::new(),
        }
    }
}

impl ReportDraft {
    /// Checks what single fields cannot tell.
    ///
    /// # Errors
    /// What is wrong, with the paths of the fields that it concerns.
    pub fn finish(self) -> Result<Option<ReportConfig>, (About, Wrong)> {
        let about = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<About>();
        let (server, file) = match (self.to.is_empty(), self.server, self.key_file) {
            (true, None, None) => return Ok(None),
            (true, ..) => {
                let wrong = Wrong::new("there is no mapper to report to").hint("set report.to");
                return Err((about(&["report.to", "report.server", "report.key-file"]), wrong));
            }
            (false, None, _) => {
                let wrong = Wrong::new("reports need the name that mappers know this edge by");
                return Err((about(&["report.server", "report.to"]), wrong.hint("set report.server")));
            }
            (false, _, None) => {
                let wrong = Wrong::new("reports need a key").hint("set report.key-file");
                return Err((about(&["report.key-file", "report.to"]), wrong));
            }
            (false, Some(server), Some(file)) => (server, file),
        };
        if server.is_empty() || server.len() > 255 {
            return Err((about(&["report.server"]), Wrong::new("a name has 1 to 255 octets")));
        }
        let unusable = |why: String| (about(&["report.key-file"]), Wrong::new(why));
        let secret = std::fs::read_to_string(&file)
            .map_err(|error| unusable(format!("{}: cannot be read: {error}", file.display())))?;
        let mut keys = Keys::default();
        keys.add(self.key, secret.trim().as_bytes())
            .map_err(|error| unusable(format!("{}: {error}", file.display())))?;
        Ok(Some(ReportConfig {
            to: self.to,
            server,
            keys,
            key: self.key,
            bandwidth: self.bandwidth,
            leave: self.leave,
            names: self.names,
        }))
    }
}
