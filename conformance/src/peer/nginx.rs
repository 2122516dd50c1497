//! nginx with `proxy_cache`, as its package installs it.

use super::StartError;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

const NAME: &str = "nginx";
const CONFIG: &str = include_str!("nginx.conf");

/// A running nginx; it ends with this value.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    program: &'static str,
    config: PathBuf,
}

/// Where packages put it, for when it is not in the search path of ordinary users.
const PROGRAMS: [&str; 3] = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];

/// The version, such as `1.22.1`.
///
/// # Errors
/// It is not installed, or tells no version.
pub async fn version() -> Result<String, StartError> {
    let output = super::first(NAME, &PROGRAMS, |program| Command::new(program).arg("-v").output()).await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.trim()
        .rsplit_once('/')
        .map(|(_, version)| version.to_owned())
        .ok_or(StartError::Ended { name: NAME, log: text })
}

impl Nginx {
    /// Starts nginx on a free loopback port in front of `origin`, with its files in `dir`, which must exist and be
    /// empty.
    ///
    /// # Errors
    /// It is not installed, or did not start.
    pub async fn start(origin: SocketAddr, dir: &Path) -> Result<Self, StartError> {
        let failed = |what| move |source| StartError::Failed { name: NAME, what, source };
        // nginx cannot choose a port. It takes over a socket that is listening already, so connections are queued
        // from now on and nothing has to wait for it to be ready.
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed("no free port"))?;
        listener.set_nonblocking(true).map_err(failed("socket"))?;
        let address = listener.local_addr().map_err(failed("socket"))?;
        let config = CONFIG
            .replace("{dir}", &dir.display().to_string())
            .replace("{origin}", &origin.to_string())
            .replace("{listen}", &address.to_string());
        let file = dir.join("nginx.conf");
        std::fs::write(&file, config).map_err(failed("cannot write its configuration"))?;
        let (mut child, program) = super::first(NAME, &PROGRAMS, |program| {
            let socket = listener.try_clone().map(OwnedFd::from);
            let command = socket.and_then(|socket| {
                Command::new(program)
                    .arg("-c")
                    .arg(&file)
                    .arg("-p")
                    .arg(dir)
                    .arg("-e")
                    .arg(dir.join("error.log"))
                    .env("NGINX", "0;")
                    .stdin(Stdio::from(socket))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            });
            std::future::ready(command.map(|child| (child, program)))
        })
        .await?;
        drop(listener);
        // Its first answer shows that it runs; an error, that it has ended or is about to.
        let settings = endpoint::Settings::default();
        let host = [("Host", "localhost")].into_iter().collect();
        let probe = exchange::Request::new("GET", "/", host);
        if endpoint::fetch(address, &probe, &settings).await.is_err() {
            let _ = child.kill().await;
            let log = std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
            let log = log.lines().last().unwrap_or("its log is empty").to_owned();
            return Err(StartError::Ended { name: NAME, log });
        }
        Ok(Nginx { child, address, program, config: file })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

impl Drop for Nginx {
    /// Killing the first process would leave its workers behind, so it is told to stop.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = std::process::Command::new(self.program)
            .arg("-c")
            .arg(&self.config)
            .args(["-s", "stop"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
