//! `reference-cdn mapper --write-example`: a folder that a mapper starts from as it is.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::path::Path;

const CONFIG: &str = "mapper.toml";
/// A scenario for `map simulate`.
pub const SURGE: &str = include_str!("../../first-mapper/surge.toml");
const SCENARIO: &str = "surge.toml";
const FILES: [(&str, &str); 5] = [
    (CONFIG, include_str!("../../first-mapper/mapper.toml")),
    ("network.toml", include_str!("../../first-mapper/network.toml")),
    ("measured.jsonl", include_str!("../../first-mapper/measured.jsonl")),
    ("g.zone", include_str!("../../first-mapper/g.zone")),
    (SCENARIO, SURGE),
];
/// Where the configuration leaves the choice of a port to the system.
const ANY_PORT: &str = "127.0.0.1:0";
/// Below the ports that systems give to whoever asks for any, which may have another owner when the mapper starts.
const PORTS: Range<u16> = 10_000..30_000;

/// Writes the folder and says what to do with it.
///
/// # Errors
/// A file is there already or cannot be written; in the first case none was.
pub fn write(folder: &Path) -> Result<String, String> {
    let paths = FILES.map(|(name, _)| folder.join(name));
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(format!(
            "{}: is there already, and is not overwritten; name another folder",
            there.display()
        ));
    }
    let failed = |path: &Path, error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{}: is there already; name another folder", path.display()),
        _ => format!("{}: cannot be written: {error}", path.display()),
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let port = free_port()?;
    for (path, (_, text)) in paths.iter().zip(FILES) {
        let text = text.replace(ANY_PORT, &format!("127.0.0.1:{port}"));
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, error))?;
    }
    let names = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let [config, maps, surge] = [CONFIG, "maps", SCENARIO].map(|name| quoted(&folder.join(name)));
    let mut said = format!("written: {names}\n\nNext:\n");
    for command in [
        format!("reference-cdn mapper --config {config} --check"),
        format!("reference-cdn mapper --config {config} &"),
        format!("dig @127.0.0.1 -p {port} www.g.cdn.example +subnet=10.2.7.0/24"),
        format!("reference-cdn explain-dns www.g.cdn.example --client 10.2.7.1 --map {maps}"),
        format!("reference-cdn map simulate {surge} --config {config} --html surge.html"),
    ] {
        let _ = writeln!(said, "  {command}");
    }
    Ok(said)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+@%:,=".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A port of this machine's loopback that nobody has now, for UDP and TCP; another process begins to look elsewhere.
fn free_port() -> Result<u16, String> {
    let here = Ipv4Addr::LOCALHOST;
    let first = std::process::id() as usize * 7 % PORTS.len();
    let free =
        |port: &u16| TcpListener::bind((here, *port)).is_ok() && UdpSocket::bind((here, *port)).is_ok();
    let found = PORTS.cycle().skip(first).take(PORTS.len()).find(free);
    found.ok_or_else(|| {
        format!("no port of {here} from {} to {} is free for UDP and TCP", PORTS.start, PORTS.end - 1)
    })
}
