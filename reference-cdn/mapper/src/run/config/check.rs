//! What is wrong with a configuration that is of the right form.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::Config;
use super::parts::{Probe, RoleName};
use crate::server::MOST_THREADS;

/// Each thing that is wrong: the key where it is (`probe.0.status`), and what.
#[derive(Default)]
struct Wrong(Vec<(String, String)>);

impl Wrong {
    fn push(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.0.push((key.into(), what.into()));
    }

    /// A number beyond its bounds; `at` is what people call the key, and `why` what the bounds are for.
    fn within<T: PartialOrd + Display>(
        &mut self,
        (key, at): (String, &str),
        value: T,
        bounds: RangeInclusive<T>,
        why: &str,
    ) {
        if !bounds.contains(&value) {
            let (least, most) = bounds.into_inner();
            self.push(key, format!("{at} is {value}: give it {least} to {most}, {why}"));
        }
    }
}

/// A day, in seconds.
const DAY: u64 = 86_400;
/// Longest that one probe may take, in milliseconds.
const LONGEST_PROBE: u64 = 60_000;

impl Config {
    /// Each thing that is wrong, with its key.
    pub(super) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Wrong::default();
        if self.listen.is_empty() {
            wrong.push("listen", "listen: name at least one address, such as \"127.0.0.1:5300\"");
        }
        if self.zones.is_empty() {
            wrong.push("zone", "zone: a name server without a zone answers nothing; add a [[zone]]");
        }
        self.check_zones(&mut wrong);
        if let Err(error) = self.rules.check() {
            // Of two that do not go together, one that the file has.
            let (key, other) = error.keys();
            let given = |key: &&str| self.lines.has(&format!("rules.{key}"));
            let key = other.filter(given).filter(|_| !given(&key)).unwrap_or(key);
            wrong.push(format!("rules.{key}"), format!("rules: {error}"));
        }
        for (key, value) in [
            ("rules.most-overloaded", self.rules.most_overloaded),
            ("rules.most-silent", self.rules.most_silent),
        ] {
            wrong.within((key.to_owned(), key), value, 0..=1000, "in thousandths of the servers");
        }
        self.check_sockets(&mut wrong);
        self.check_load(&mut wrong);
        if let Some(inputs) = &self.inputs
            && inputs.network.is_empty()
            && (inputs.sites.is_empty() || inputs.servers.is_empty())
        {
            wrong.push("inputs", "inputs: name the network, or sites and servers");
        }
        for (number, probe) in self.probes.iter().enumerate() {
            self.check_probe(number, probe, &mut wrong);
        }
        self.check_name_probe(&mut wrong);
        let steered = self.zones.iter().any(|zone| zone.role != RoleName::Static);
        if self.map.is_none() && (steered || self.inputs.is_some()) {
            wrong
                .push("map", "map: top and low zones are answered from maps; name the folder where they are");
        }
        if let Some(map) = &self.map {
            if map.keep == 0 {
                wrong.push("map.keep", "map.keep: at least the map in use is kept");
            }
            let key = ("map.most-churn".to_owned(), "map.most-churn");
            wrong.within(
                key,
                map.most_churn,
                0..=1000,
                "in thousandths of the demand; 1000 holds no map back",
            );
        }
        if let Some(every) = self.build.every {
            let key = ("build.every".to_owned(), "build.every");
            wrong.within(key, every, 1..=DAY, "in seconds between two looks at the inputs; 10 is usual");
        }
        for (name, value) in [("most-units", self.build.most_units), ("candidates", self.build.candidates)] {
            if value == Some(0) {
                let key = format!("build.{name}");
                let what = format!("{key} is 0: nothing could be built; give it 1 or more, or leave it out");
                wrong.push(key, what);
            }
        }
        wrong.0
    }

    fn check_sockets(&self, wrong: &mut Wrong) {
        let key = |name: &'static str| (name.to_owned(), name);
        wrong.within(key("threads"), self.threads, 0..=MOST_THREADS, "0 for one on each core");
        let tcp = &self.tcp;
        wrong.within(key("tcp.threads"), tcp.threads, 1..=MOST_THREADS, "1 is usual");
        for (name, value) in [
            ("tcp.connections", tcp.connections as u64),
            ("tcp.per-client", tcp.per_client as u64),
            ("tcp.idle-seconds", tcp.idle_seconds),
        ] {
            if value == 0 {
                let what = "no query over TCP or TLS would be answered; give it 1 or more, or leave it out";
                wrong.push(name, format!("{name} is 0: {what}"));
            }
        }
    }

    fn check_zones(&self, wrong: &mut Wrong) {
        for (number, zone) in self.zones.iter().enumerate() {
            let at = format!("zone {}", zone.apex);
            let key = |name: &str| format!("zone.{number}.{name}");
            let top = zone.role == RoleName::Top;
            if top && zone.cut.is_none() {
                wrong.push(
                    key("cut"),
                    format!("{at}: a top zone needs cut, such as cut = \"g.{}\"", zone.apex),
                );
            }
            let given = [
                ("cut", zone.cut.is_some()),
                ("name-servers", zone.name_servers.is_some()),
                ("lifetime", zone.lifetime.is_some()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given && !top) {
                wrong.push(
                    key(name),
                    format!("{at}: cut, name-servers and lifetime are for zones with role = \"top\""),
                );
            }
            if let Some(days) = zone.signature_days {
                let at = format!("{at}: signature-days");
                wrong.within((key("signature-days"), &at), days, 1..=365, "7 is usual");
            }
        }
        let names: Vec<_> = self.name_server_names().into_iter().map(|names| names.len()).collect();
        if names.windows(2).any(|pair| pair[0] != pair[1]) {
            wrong.push("zone", "zone: all top zones must name as many name-servers");
        }
    }

    fn check_load(&self, wrong: &mut Wrong) {
        let Some(load) = &self.load else { return };
        if load.keys.is_empty() {
            wrong.push("load", "load: without a [[load.key]] no report can be believed");
        }
        for (at, key) in load.keys.iter().enumerate() {
            if load.keys[..at].iter().any(|other| other.id == key.id) {
                wrong.push(
                    format!("load.key.{at}.id"),
                    format!("load.key: id {} is there twice; give each key a number of its own", key.id),
                );
            }
        }
        if self.inputs.is_none() {
            wrong.push(
                "load",
                "load: reports are for who builds maps; give it [inputs] too, or send them to that one",
            );
        }
    }

    fn check_probe(&self, number: usize, probe: &Probe, wrong: &mut Wrong) {
        let at = format!("probe of {}", probe.host);
        let key = |name: &str| format!("probe.{number}.{name}");
        if !is_host(&probe.host) {
            let what = format!(
                "{at}: host is no name or address of a server, which is what the request asks for; write it as in \"www.g.cdn.example\""
            );
            wrong.push(key("host"), what);
        }
        if !probe.path.starts_with('/') {
            wrong.push(key("path"), format!("{at}: path begins with /"));
        } else if let Err(error) = http::Request::get(&probe.path).body(()) {
            wrong.push(key("path"), format!("{at}: path makes no request: {error}"));
        }
        let digits = |text: &String| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !probe.sha256.as_ref().is_none_or(digits) {
            wrong.push(key("sha256"), format!("{at}: sha256 has 64 hexadecimal digits"));
        }
        let named = |name: &str| (key(name), format!("{at}: {name}"));
        let (status, name) = named("status");
        wrong.within((status, &name), probe.status, 200..=599, "what a server answers at last; 200 is usual");
        let (port, name) = named("port");
        wrong.within((port, &name), probe.port, 1..=u16::MAX, "where servers listen; 80 is usual");
        let (every, name) = named("every");
        wrong.within((every, &name), probe.every, 1..=DAY, "in seconds between two rounds; 5 is usual");
        let (timeout, name) = named("timeout");
        let why = "in milliseconds for all of a probe; 2000 is usual";
        wrong.within((timeout, &name), probe.timeout, 1..=LONGEST_PROBE, why);
        let (once, name) = named("at-once");
        wrong.within((once, &name), probe.at_once, 1..=10_000, "64 is usual");
        if self.inputs.is_none() {
            wrong.push(
                format!("probe.{number}"),
                format!("{at}: probes are for who builds maps; give it [inputs] too"),
            );
        }
    }

    fn check_name_probe(&self, wrong: &mut Wrong) {
        let Some(probe) = &self.probe_names else { return };
        let key = |name: &str| format!("probe-names.{name}");
        wrong.within((key("port"), "probe-names.port"), probe.port, 1..=u16::MAX, "53 is usual");
        let why = "in seconds between two rounds; 5 is usual";
        wrong.within((key("every"), "probe-names.every"), probe.every, 1..=DAY, why);
        let why = "in milliseconds for one answer; 2000 is usual";
        wrong.within((key("timeout"), "probe-names.timeout"), probe.timeout, 1..=LONGEST_PROBE, why);
        if self.inputs.is_none() || self.low_zone().is_none() {
            wrong.push(
                "probe-names",
                "probe-names: it is for who builds maps ([inputs]) and has a top or low zone",
            );
        }
    }
}

/// What a Host field has (RFC 9110 section 7.2): a name or an address, with or without a port.
fn is_host(text: &str) -> bool {
    let authority: Result<http::uri::Authority, _> = text.parse();
    let Ok(authority) = authority else { return false };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (host, rest) = match text.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, rest),
            _ => return false,
        },
        None => {
            let host = authority.host();
            (Some(host), text.get(host.len()..).unwrap_or_default())
        }
    };
    let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    port && host.is_none_or(|host| {
        let host = host.strip_suffix('.').unwrap_or(host);
        host.len() <= 253 && host.split('.').all(label)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is wrong with a configuration, in lines after the first ten.
    fn wrong(rest: &str) -> Vec<String> {
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\nrole = \"low\"\n[map]\nfolder = \"maps\"\n[inputs]\nnetwork = [\"network.toml\"]\n\n{rest}"
        );
        match Config::parse(&text, Path::new("mapper.toml")) {
            Ok(_) => Vec::new(),
            Err(error) => error.0,
        }
    }

    #[test]
    fn what_would_fail_everybody_or_ask_nobody_is_refused_with_its_line_and_bounds() {
        let probe = "[[probe]]\nhost = \"www.g.example\"\n";
        assert_eq!(wrong(probe), Vec::<String>::new());
        for (line, said) in [
            ("status = 9000", "status is 9000: give it 200 to 599, "),
            ("status = 0", "status is 0: give it 200 to 599, "),
            ("port = 0", "port is 0: give it 1 to 65535, "),
            ("every = 0", "every is 0: give it 1 to 86400, "),
            ("timeout = 0", "timeout is 0: give it 1 to 60000, "),
            ("timeout = 60001", "timeout is 60001: give it 1 to 60000, "),
            ("at-once = 0", "at-once is 0: give it 1 to 10000, "),
            ("path = \"x\"", "path begins with /"),
            ("path = \"/a b\"", "path makes no request"),
            ("sha256 = \"ab\"", "sha256 has 64 hexadecimal digits"),
        ] {
            let found = wrong(&format!("{probe}{line}\n"));
            let expected = format!("mapper.toml:13: probe of www.g.example: {said}");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{line}: {found:?}");
        }
        for (text, said) in [
            ("[build]\nevery = 0\n", "mapper.toml:12: build.every is 0: give it 1 to 86400, "),
            ("[build]\ncandidates = 0\n", "mapper.toml:12: build.candidates is 0: "),
            ("[probe-names]\nport = 0\n", "mapper.toml:12: probe-names.port is 0: give it 1 to 65535, "),
            ("[probe-names]\ntimeout = 0\n", "mapper.toml:12: probe-names.timeout is 0: "),
            (
                "[rules]\nmost-silent = 1001\n",
                "mapper.toml:12: rules.most-silent is 1001: give it 0 to 1000, ",
            ),
            ("[tcp]\nthreads = 0\n", "mapper.toml:12: tcp.threads is 0: give it 1 to "),
            ("[tcp]\nconnections = 0\n", "mapper.toml:12: tcp.connections is 0: no query over TCP"),
            ("[tcp]\nper-client = 0\n", "mapper.toml:12: tcp.per-client is 0: no query over TCP"),
            ("[tcp]\nidle-seconds = 0\n", "mapper.toml:12: tcp.idle-seconds is 0: no query over TCP"),
            ("[rules]\nlifetime = 0\n", "mapper.toml:12: rules: lifetime must be at least 1000, it is 0"),
            ("[rules]\nfirst = 0\n", "mapper.toml:12: rules: first-leave (600) must be below first (0)"),
            (
                "[[zone]]\napex = \"x.example\"\nfile = \"x\"\nsignature-days = 0\n",
                "mapper.toml:14: zone x.example: signature-days is 0: give it 1 to 365, ",
            ),
            (
                "[[zone]]\napex = \"x.example\"\nfile = \"x\"\ncut = \"g.x.example\"\n",
                "mapper.toml:14: zone x.example: cut, name-servers",
            ),
        ] {
            let found = wrong(text);
            assert!(found.len() == 1 && found[0].starts_with(said), "{text}: {found:?}");
        }
        let text = "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"g.example\"\nfile = \"g.zone\"\n[map]\nfolder = \"maps\"\nmost-churn = 5000\n";
        let found = Config::parse(text, Path::new("m")).unwrap_err().0;
        assert_eq!(
            found,
            [
                "m:7: map.most-churn is 5000: give it 0 to 1000, in thousandths of the demand; 1000 holds no map back"
            ]
        );
    }

    #[test]
    fn hosts_of_requests() {
        for host in
            ["www.g.example", "www.g.example.", "a_b", "a:8080", "192.0.2.1", "[2001:db8::1]", "[::1]:80"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in
            ["", "a b/c", "a b", "a/c", "a@b", ".", "a..b", "-a", "a-.b", "a:x", "a:99999", "[x]", "[::1]x"]
        {
            assert!(!is_host(host), "{host}");
        }
    }
}
