//! `reference-cdn purge`: gives an edge an order to purge, or asks about one.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use http::Uri;
use serde_json::{Map, Value, json};

/// The edge refused.
const REFUSED: u8 = 1;
/// The edge could not be asked, or could not do it.
const FAILED: u8 = 2;
/// How long connecting, and each wait for the answer, may take.
const TIME: Duration = Duration::from_secs(30);
/// Octets of an answer.
const MOST_ANSWER: u64 = 64 << 20;

/// What to purge, and how to reach the edge.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("what").required(true).multiple(false)
    .args(["url", "tag", "group", "prefix", "pattern", "host", "everything_of", "all", "show", "cancel", "list"]))]
pub struct PurgeArgs {
    /// The edge's admin listener
    #[arg(long, value_name = "URL", env = "REFERENCE_CDN_ADMIN")]
    pub admin: String,
    /// File with the token that it asks for
    #[arg(long, value_name = "FILE", env = "REFERENCE_CDN_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// A URL, with all its variants
    #[arg(long)]
    pub url: Option<String>,
    /// A tag (Surrogate-Key, Cache-Tag); may be given several times
    #[arg(long)]
    pub tag: Vec<String>,
    /// A group of --origin (RFC 9875); may be given several times
    #[arg(long, requires = "origin")]
    pub group: Vec<String>,
    /// The origin of --group
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// A path and what lies below it: http://host/path, or /path for every host
    #[arg(long)]
    pub prefix: Option<String>,
    /// Paths that match, * being any octets: http://host/*.css, or *.css for every host
    #[arg(long)]
    pub pattern: Option<String>,
    /// A host, or *.host for those below it
    #[arg(long)]
    pub host: Option<String>,
    /// Everything of a customer
    #[arg(long, value_name = "CUSTOMER")]
    pub everything_of: Option<String>,
    /// Everything
    #[arg(long)]
    pub all: bool,
    /// Show the purge with this id instead
    #[arg(long, value_name = "ID")]
    pub show: Option<String>,
    /// Cancel the scheduled purge with this id instead
    #[arg(long, value_name = "ID")]
    pub cancel: Option<String>,
    /// List the newest purges instead
    #[arg(long)]
    pub list: bool,
    /// Only content of this customer
    #[arg(long, conflicts_with_all = ["all", "everything_of", "show", "cancel", "list"])]
    pub customer: Option<String>,
    /// Make it stale rather than remove it: it is revalidated, and may be served meanwhile as stale responses may
    #[arg(long)]
    pub soft: bool,
    /// When, in UTC, such as 2026-11-27T10:00:00Z
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Again and again, at this interval: 30s, 10m, 1h, 1d
    #[arg(long, value_name = "INTERVAL")]
    pub every: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME", requires = "every", conflicts_with = "times")]
    pub until: Option<String>,
    /// So many times
    #[arg(long, value_name = "COUNT", requires = "every")]
    pub times: Option<u64>,
    /// An id to ask about it; the same order under the same id is carried out once
    #[arg(long)]
    pub id: Option<String>,
    /// If there is no room for it, purge more
    #[arg(long)]
    pub coarser: bool,
}

impl PurgeArgs {
    /// Method, target and content of the request.
    fn request(&self) -> (&'static str, String, String) {
        if self.list {
            return ("GET", "/purge".to_owned(), String::new());
        }
        if let Some(id) = &self.show {
            return ("GET", format!("/purge/{id}"), String::new());
        }
        if let Some(id) = &self.cancel {
            return ("DELETE", format!("/purge/{id}"), String::new());
        }
        let mut order = Map::new();
        let mut put = |name: &str, value: Value| order.insert(name.to_owned(), value);
        for (name, value) in [
            ("url", &self.url),
            ("origin", &self.origin),
            ("prefix", &self.prefix),
            ("pattern", &self.pattern),
            ("host", &self.host),
            ("customer", if self.customer.is_some() { &self.customer } else { &self.everything_of }),
            ("at", &self.at),
            ("every", &self.every),
            ("until", &self.until),
            ("id", &self.id),
        ] {
            if let Some(value) = value {
                put(name, json!(value));
            }
        }
        for (name, values) in [("tags", &self.tag), ("groups", &self.group)] {
            if !values.is_empty() {
                put(name, json!(values));
            }
        }
        for (name, flag) in [("all", self.all), ("coarser", self.coarser)] {
            if flag {
                put(name, json!(true));
            }
        }
        if self.soft {
            put("mode", json!("soft"));
        }
        if let Some(times) = self.times {
            put("times", json!(times));
        }
        ("POST", "/purge".to_owned(), Value::Object(order).to_string())
    }
}

/// Asks the edge, and prints what it answers.
pub fn run(args: &PurgeArgs) -> ExitCode {
    let failed = |text: String| {
        anstream::eprintln!("error: {text}");
        ExitCode::from(FAILED)
    };
    let token = match std::fs::read_to_string(&args.token_file) {
        Ok(token) => token.trim().to_owned(),
        Err(error) => {
            return failed(format!("cannot read the token file {}: {error}", args.token_file.display()));
        }
    };
    if !token.bytes().all(|octet| octet.is_ascii_graphic()) {
        return failed(format!(
            "{} holds no token: one word of visible ASCII characters",
            args.token_file.display()
        ));
    }
    let (method, target, content) = args.request();
    if !target.bytes().all(|octet| octet.is_ascii_graphic()) {
        return failed("an id has letters, digits and signs of - . _ ~ : only".to_owned());
    }
    let (status, answer) = match ask(&args.admin, &token, method, &target, &content) {
        Ok(answer) => answer,
        Err(error) => return failed(format!("cannot ask {}: {error}", args.admin)),
    };
    let value = serde_json::from_slice::<Value>(&answer).ok();
    match (status, value) {
        (200..=299, Some(value)) => crate::print(&format!("{value:#}\n")),
        (_, value) => {
            let reason = value.as_ref().and_then(|value| value["error"].as_str());
            let reason = reason.unwrap_or("this is no answer of an edge's admin listener");
            anstream::eprintln!("error: {} answered {status}: {reason}", args.admin);
            ExitCode::from(if (400..500).contains(&status) { REFUSED } else { FAILED })
        }
    }
}

/// Sends one request; gives status and content of the answer.
fn ask(admin: &str, token: &str, method: &str, target: &str, content: &str) -> io::Result<(u16, Vec<u8>)> {
    let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
    let uri: Uri = admin.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) if matches!(uri.path(), "" | "/") => authority,
        _ => return Err(wrong("write it as http://ADDRESS:PORT")),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let mut error = wrong("it has no address");
    let mut connected = None;
    for address in (host, authority.port_u16().unwrap_or(80)).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIME) {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(refused) => error = refused,
        }
    }
    let mut stream = connected.ok_or(error)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.set_write_timeout(Some(TIME))?;
    let length = content.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}"
    )?;
    let mut all = Vec::new();
    stream.take(MOST_ANSWER).read_to_end(&mut all)?;
    answer(&all)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not answer as an edge does"))
}

/// Status and content of an answer that has come whole.
fn answer(octets: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&octets[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    let content = octets.get(end + 4..)?;
    (content.len() == length).then(|| (status, content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: PurgeArgs,
    }

    fn request(flags: &str) -> Result<(&'static str, String, String), String> {
        let words =
            ["purge", "--admin", "http://a:1", "--token-file", "t"].into_iter().chain(flags.split(' '));
        Cli::try_parse_from(words).map(|cli| cli.args.request()).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_orders() {
        for (flags, expected) in [
            ("--url http://h/a", r#"{"url":"http://h/a"}"#),
            ("--tag a --tag b --soft", r#"{"mode":"soft","tags":["a","b"]}"#),
            ("--group g --origin https://h", r#"{"groups":["g"],"origin":"https://h"}"#),
            (
                "--prefix /a --customer c --id x --coarser",
                r#"{"coarser":true,"customer":"c","id":"x","prefix":"/a"}"#,
            ),
            ("--everything-of c", r#"{"customer":"c"}"#),
            ("--all --at 2026-11-27T10:00:00Z", r#"{"all":true,"at":"2026-11-27T10:00:00Z"}"#),
            ("--host h --every 1h --times 3", r#"{"every":"1h","host":"h","times":3}"#),
        ] {
            assert_eq!(request(flags), Ok(("POST", "/purge".into(), expected.into())), "{flags}");
        }
        assert_eq!(request("--list"), Ok(("GET", "/purge".into(), String::new())));
        assert_eq!(request("--show x"), Ok(("GET", "/purge/x".into(), String::new())));
        assert_eq!(request("--cancel x"), Ok(("DELETE", "/purge/x".into(), String::new())));
        for flags in ["--soft", "--url u --tag t", "--group g", "--all --customer c", "--tag t --times 3"] {
            assert!(request(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(answer(whole), Some((200, b"{}".to_vec())));
        for bad in [
            &whole[..whole.len() - 1],
            b"",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
            b"HTTP/1.1 2\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-x\r\n\r\n",
        ] {
            assert_eq!(answer(bad), None);
        }
    }
}
