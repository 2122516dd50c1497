//! Programs of ours, and peers, as child processes that never outlive us.

use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a program may take to say that it is ready.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to end after SIGTERM, before it is killed.
/// The mirror and the edge give open exchanges 10 s.
const DRAIN: Duration = Duration::from_secs(20);

/// Why a program could not be used.
#[derive(Debug, Error)]
pub enum ProgramError {
    #[error("cannot start {program}: {source}; {hint}")]
    Start { program: String, source: std::io::Error, hint: &'static str },
    #[error("{program} ended before it was ready ({status}); it said:\n{said}")]
    EndedEarly { program: String, status: String, said: String },
    #[error("{program} did not say within {} s that it was ready; it said:\n{said}", READY.as_secs())]
    NotReady { program: String, said: String },
    #[error("{program}'s ready line is not the JSON that was expected: {line}")]
    ReadyLine { program: String, line: String },
    #[error("cannot make {}: {source}", path.display())]
    Log { path: PathBuf, source: std::io::Error },
}

/// A running child process. Dropping it kills it.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts `command`; what it writes to standard error goes to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Program, ProgramError> {
        let file = std::fs::File::create(log)
            .map_err(|source| ProgramError::Log { path: log.to_owned(), source })?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ProgramError::Start {
                program: name.to_owned(),
                source,
                hint: "build it first: cargo build --workspace --bins, or ci/quickstart",
            })?;
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Program { name: name.to_owned(), child, log: log.to_owned(), stdout })
    }

    /// Waits for the one JSON line that says which addresses are bound.
    pub async fn ready(&mut self) -> Result<serde_json::Value, ProgramError> {
        let mut line = String::new();
        let Some(stdout) = &mut self.stdout else { return Err(self.not_ready()) };
        match timeout(READY, stdout.read_line(&mut line)).await {
            Ok(Ok(n)) if n > 0 => serde_json::from_str(&line).map_err(|_| ProgramError::ReadyLine {
                program: self.name.clone(),
                line: line.trim_end().to_owned(),
            }),
            Ok(_) => {
                let status = timeout(DRAIN, self.child.wait()).await;
                let status = status
                    .ok()
                    .and_then(Result::ok)
                    .map_or_else(|| "closed its output".into(), |s| s.to_string());
                Err(ProgramError::EndedEarly { program: self.name.clone(), status, said: self.said() })
            }
            Err(_) => Err(self.not_ready()),
        }
    }

    fn not_ready(&self) -> ProgramError {
        ProgramError::NotReady { program: self.name.clone(), said: self.said() }
    }

    /// The end of what it wrote to standard error.
    pub fn said(&self) -> String {
        const SHOWN: usize = 2000;
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN)..]).into_owned()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Asks it to end, waits until it has, and kills it where it takes too long.
    pub async fn stop(mut self) -> Option<ExitStatus> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended just now; then there is nobody to tell.
            let _ = kill_process(pid, Signal::TERM);
        }
        match timeout(DRAIN, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = self.child.kill().await;
                None
            }
        }
    }
}
