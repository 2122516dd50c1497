//! Varnish, as its package installs it, with PURGE.

use super::StartError;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const NAME: &str = "varnish";
const CONFIG: &str = include_str!("varnish.vcl");
const PROGRAMS: [&str; 2] = ["varnishd", "/usr/sbin/varnishd"];

/// A running Varnish; it ends with this value.
#[derive(Debug)]
pub struct Varnish {
    /// Killed on drop; its worker process ends when it does.
    _child: Child,
    address: SocketAddr,
}

/// The version, such as `7.1.1`.
///
/// # Errors
/// It is not installed, or tells no version.
pub async fn version() -> Result<String, StartError> {
    let output = super::first(NAME, &PROGRAMS, |program| Command::new(program).arg("-V").output()).await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split_once("(varnish-").and_then(|(_, rest)| rest.split_once(' '));
    version.map(|(version, _)| version.to_owned()).ok_or(StartError::Ended { name: NAME, log: text })
}

impl Varnish {
    /// Starts Varnish on a free loopback port in front of `origin`, with its files in `dir`, which must exist and be
    /// empty.
    ///
    /// # Errors
    /// It is not installed, or did not start.
    pub async fn start(origin: SocketAddr, dir: &Path) -> Result<Self, StartError> {
        let failed = |what| move |source| StartError::Failed { name: NAME, what, source };
        let config =
            CONFIG.replace("{host}", &origin.ip().to_string()).replace("{port}", &origin.port().to_string());
        let (file, work) = (dir.join("varnish.vcl"), dir.join("work"));
        std::fs::write(&file, config).map_err(failed("cannot write its configuration"))?;
        let mut child = super::first(NAME, &PROGRAMS, |program| {
            let command = Command::new(program)
                .args(["-F", "-j", "none", "-a", "127.0.0.1:0", "-t", "0", "-s", "malloc,256m", "-n"])
                .arg(&work)
                .arg("-f")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn();
            std::future::ready(command)
        })
        .await?;
        let mut last = String::new();
        if let Some(log) = child.stderr.take() {
            let mut lines = BufReader::new(log).lines();
            // It says so when its worker accepts connections.
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("said Child starts") {
                    // Read on, so that it is never stopped by a full pipe.
                    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                    return Ok(Varnish { _child: child, address: bound(&work).await? });
                }
                last = line;
            }
        }
        Err(StartError::Ended { name: NAME, log: last })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Where the Varnish that works in `dir` listens.
async fn bound(dir: &Path) -> Result<SocketAddr, StartError> {
    let asked = Command::new("varnishadm").arg("-n").arg(dir).arg("debug.listen_address").output().await;
    let output = asked.map_err(|source| StartError::Failed {
        name: NAME,
        what: "varnishadm cannot be started",
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [_, host, port, ..] => format!("{host}:{port}").parse().ok(),
        _ => None,
    }
    .ok_or(StartError::Ended { name: NAME, log: format!("varnishadm says `{text}`") })
}
