//! The builds and the mirror, started as the programs a user would start.

use crate::program::{Program, ProgramError};
use conformance::Profile;
use conformance::peer::StartError;
use conformance::peer::nginx::Nginx;
use conformance::peer::varnish::Varnish;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::process::Command;

/// Why the stage could not be set.
#[derive(Debug, Error)]
pub enum StageError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Peer(#[from] StartError),
    #[error("cannot write {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program}'s ready line has no address {key:?}: {line}")]
    Address { program: &'static str, key: &'static str, line: String },
    #[error("the profile of the suite: {0}")]
    Profile(String),
}

/// Where programs and files of this rehearsal are.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of `reference-cdn`, `faulty-edge` and `mirror`.
    pub programs: PathBuf,
    /// Scratch files: tokens and logs.
    pub scratch: PathBuf,
    /// The mirror's findings, which stay.
    pub diffs: PathBuf,
}

/// A build that runs, with what is needed to judge it.
pub struct Build {
    pub url: String,
    pub profile: Option<Profile>,
    running: Running,
}

enum Running {
    Program(Program),
    #[expect(dead_code, reason = "nginx ends with this value")]
    Nginx(Nginx),
    #[expect(dead_code, reason = "Varnish ends with this value")]
    Varnish(Varnish),
    /// Somebody else runs it.
    Elsewhere,
}

impl Build {
    /// An edge of ours in front of `origin`: `program` with `arguments`, purged over its admin listener.
    pub async fn edge(
        place: &Place,
        role: &str,
        program: &'static str,
        arguments: &[&str],
        origin: SocketAddr,
    ) -> Result<Build, StageError> {
        let token = conformance::cli::nonce();
        let token_file = place.scratch.join(format!("{role}.token"));
        std::fs::write(&token_file, &token)
            .map_err(|source| StageError::File { path: token_file.clone(), source })?;
        let mut command = Command::new(place.programs.join(program));
        command
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json", "--origin"])
            .arg(format!("http://{origin}"))
            .arg("--admin-token-file")
            .arg(&token_file);
        let (running, ready) = started(place, role, program, &mut command).await?;
        let (listen, admin) = (address(program, "listen", &ready)?, address(program, "admin", &ready)?);
        let variables = |name: &str| match name {
            "CDN_ADMIN" => Some(admin.clone()),
            "CDN_ADMIN_TOKEN" => Some(token.clone()),
            _ => None,
        };
        let profile =
            Profile::load("reference-cdn", &variables).map_err(|e| StageError::Profile(e.to_string()))?;
        Ok(Build {
            url: format!("http://{listen}"),
            profile: Some(profile),
            running: Running::Program(running),
        })
    }

    /// Debian's nginx with `proxy_cache`; it has no way to purge.
    pub async fn nginx(place: &Place, origin: SocketAddr) -> Result<Build, StageError> {
        let nginx = Nginx::start(origin, &folder(place, "nginx")?).await?;
        Ok(Build {
            url: format!("http://{}", nginx.address()),
            profile: None,
            running: Running::Nginx(nginx),
        })
    }

    /// Debian's Varnish, purged with the method PURGE.
    pub async fn varnish(place: &Place, origin: SocketAddr) -> Result<Build, StageError> {
        let varnish = Varnish::start(origin, &folder(place, "varnish")?).await?;
        let profile = Profile::load("varnish", &|_| None).map_err(|e| StageError::Profile(e.to_string()))?;
        let url = format!("http://{}", varnish.address());
        Ok(Build { url, profile: Some(profile), running: Running::Varnish(varnish) })
    }

    /// A build of the user's own.
    pub fn elsewhere(url: &str, profile: Option<&Path>) -> Result<Build, StageError> {
        let variables = |name: &str| std::env::var(name).ok();
        let load = |path: &Path| Profile::load(&path.to_string_lossy(), &variables);
        let profile = profile.map(load).transpose().map_err(|e| StageError::Profile(e.to_string()))?;
        Ok(Build { url: url.to_owned(), profile, running: Running::Elsewhere })
    }

    /// Whether it still runs, as far as that can be seen from here; else the end of what it wrote to its log.
    pub fn ended(&mut self) -> Option<String> {
        match &mut self.running {
            Running::Program(program) => program.has_ended().then(|| program.said()),
            Running::Nginx(_) | Running::Varnish(_) | Running::Elsewhere => None,
        }
    }

    pub async fn stop(self) {
        match self.running {
            Running::Program(program) => drop(program.stop().await),
            // These end with their values.
            Running::Nginx(_) | Running::Varnish(_) | Running::Elsewhere => {}
        }
    }
}

/// An empty folder for a peer's files.
fn folder(place: &Place, name: &str) -> Result<PathBuf, StageError> {
    let dir = place.scratch.join(name);
    match std::fs::create_dir(&dir) {
        Ok(()) => Ok(dir),
        Err(source) => Err(StageError::File { path: dir, source }),
    }
}

/// The mirror, teeing what comes to it.
pub struct Tee {
    pub url: String,
    /// What it writes down; whole once it has been stopped.
    pub diffs: PathBuf,
    program: Program,
}

impl Tee {
    pub async fn start(place: &Place, primary: &str, candidate: &str) -> Result<Tee, StageError> {
        let diffs = place.diffs.clone();
        let mut command = Command::new(place.programs.join("mirror"));
        command
            .args([
                "http",
                "--listen",
                "127.0.0.1:0",
                "--primary",
                primary,
                "--candidate",
                candidate,
                "--unsafe-methods",
                "--diffs",
            ])
            .arg(&diffs);
        let (program, ready) = started(place, "mirror", "mirror", &mut command).await?;
        Ok(Tee { url: format!("http://{}", address("mirror", "listen", &ready)?), diffs, program })
    }

    /// Ends it in order, so that its ledger is written.
    pub async fn stop(self) -> PathBuf {
        self.program.stop().await;
        self.diffs
    }
}

/// A program that has said where it listens.
async fn started(
    place: &Place,
    role: &str,
    name: &str,
    command: &mut Command,
) -> Result<(Program, serde_json::Value), StageError> {
    let mut program = Program::start(name, command, &place.scratch.join(format!("{role}.log")))?;
    let ready = program.ready().await?;
    Ok((program, ready))
}

fn address(
    program: &'static str,
    key: &'static str,
    ready: &serde_json::Value,
) -> Result<String, StageError> {
    let found = ready.get(key).and_then(|value| value.as_str());
    found.map(str::to_owned).ok_or_else(|| StageError::Address { program, key, line: ready.to_string() })
}

/// The deviations that `faulty-edge` knows: what `faulty-edge --list` prints.
pub async fn deviations(place: &Place) -> Result<String, StageError> {
    let output = Command::new(place.programs.join("faulty-edge")).arg("--list").output().await;
    let output = output.map_err(|source| ProgramError::Start {
        program: "faulty-edge".into(),
        source,
        hint: "build it first: cargo build --workspace --bins, or ci/quickstart",
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
