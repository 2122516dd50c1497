//! The edge as a process, and a client of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The process, its clients and operators' addresses.
pub struct Edge {
    process: Child,
    pub listen: String,
    pub admin: String,
}

/// What an edge is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    pub folder: &'a Path,
    pub memory: &'a str,
    pub size: &'a str,
    pub sync: &'a str,
    /// A file system that only some processes see, with its folder `disk`.
    pub mount: Option<&'a Mount>,
}

/// A small file system in memory, in a mount namespace of its own.
pub struct Mount(Child);

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mount namespace of process {}", self.0.id())
    }
}

impl Mount {
    /// `None` where this is not permitted.
    pub fn new(folder: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("folder");
        let mut keeper = Command::new("unshare")
            .args([
                "--mount",
                "sh",
                "-c",
                "mount -t tmpfs -o size=\"$2\" none \"$1\" && echo mounted && exec cat",
                "sh",
            ])
            .arg(folder)
            .arg(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut line).expect("its output");
        let mounted = line == "mounted\n";
        let mount = Self(keeper);
        mounted.then_some(mount)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.0.id().to_string(), program]);
        command
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub const TOKEN: &str = "a-secret-of-some-length";

impl Setting<'_> {
    fn spawn(&self, origin: &str) -> Child {
        let (token, config) = (self.folder.join("token"), self.folder.join("edge.toml"));
        std::fs::write(&token, TOKEN).expect("token");
        // A busy machine is no reason to do without the disk here: what is there has to be found.
        let text = format!("[disk]\nwait = \"60s\"\nsync = \"{}\"\n[store]\nobject = \"1MiB\"\n", self.sync);
        std::fs::write(&config, text).expect("configuration");
        let program = env!("CARGO_BIN_EXE_reference-cdn");
        let mut command = self.mount.map_or_else(|| Command::new(program), |mount| mount.command(program));
        command
            .args(["edge", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--json"])
            .args(["--origin", origin, "--memory", self.memory, "--disk-size", self.size])
            .arg("--config")
            .arg(config)
            .arg("--admin-token-file")
            .arg(token)
            .arg("--disk")
            .arg(self.folder.join("disk"))
            // Where that is full, purges are refused; these are about those that are not.
            .arg("--purge-folder")
            .arg(self.folder.join(if self.mount.is_some() { "purges" } else { "disk/purges" }))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    pub fn start(&self, origin: &str) -> Edge {
        let mut process = self.spawn(origin);
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("ready line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let address = |name: &str| ready[name].as_str().expect("an address").to_owned();
        Edge { listen: address("listen"), admin: address("admin"), process }
    }

    /// Starts one and kills it before it is ready, or soon after.
    pub fn start_in_vain(&self, origin: &str, after: Duration) {
        let mut process = self.spawn(origin);
        // Time is what is wanted here: any moment of its opening.
        let (_never, wait) = std::sync::mpsc::channel::<()>();
        let _ = wait.recv_timeout(after);
        process.kill().expect("killed");
        process.wait().expect("dead");
    }
}

impl Edge {
    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("dead");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn metric(&self, name: &str) -> io::Result<u64> {
        let mut client = Client::connect(&self.admin)?;
        let answer = client.ask("GET", "/metrics", "")?;
        if !answer.whole {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8(answer.octets).expect("text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        // All that have this name, whatever their labels.
        let of_name = lines.filter(|line| line.split([' ', '{']).next() == Some(name));
        let values: Vec<u64> = of_name
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .map(|it| it as u64)
            .collect();
        assert!(!values.is_empty(), "no metric {name}");
        Ok(values.iter().sum())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// An answer as far as it came.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub version: Option<u32>,
    pub hit: bool,
    pub octets: Vec<u8>,
    pub whole: bool,
}

impl Client {
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        // Far above what anything takes: a test that hangs fails.
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { reader: BufReader::new(stream.try_clone()?), stream })
    }

    /// # Errors
    /// When no head came.
    pub fn ask(&mut self, method: &str, path: &str, content: &str) -> io::Result<Answer> {
        let length =
            if method == "POST" { format!("Content-Length: {}\r\n", content.len()) } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: site.test\r\nAuthorization: Bearer {TOKEN}\r\n{length}\r\n{content}"
        );
        // Only operators need the token.
        let head = match content.is_empty() && method != "POST" {
            true => head.replace(&format!("Authorization: Bearer {TOKEN}\r\n"), ""),
            false => head,
        };
        self.stream.write_all(head.as_bytes())?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let mut answer = Answer { status: status.unwrap_or(0), ..Answer::default() };
        let mut length = None;
        loop {
            line.clear();
            if !matches!(self.reader.read_line(&mut line)?, 1.. if line.ends_with('\n')) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<u64>().ok(),
                "x-version" => answer.version = value.parse().ok(),
                "cache-status" => answer.hit = value.contains("hit"),
                _ => {}
            }
        }
        let length = length.expect("a length");
        // What came before the process died is judged too.
        let read = (&mut self.reader).take(length).read_to_end(&mut answer.octets);
        answer.whole = read.is_ok() && answer.octets.len() as u64 == length;
        Ok(answer)
    }
}
