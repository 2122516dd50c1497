//! What `ping`, `traceroute` and `mtr --json` print, read as it is.
//!
//! The site is that of the line `# site: NAME`, or else the beginning of the file's name, up to `--` or the first dot. The time is
//! that of the line `# time: SECONDS`, or else when the file was written.

use std::net::IpAddr;

use serde::Deserialize;

use super::prefix::Prefix;
use super::probes::{
    AROUND_V4, AROUND_V6, Kind, LONGEST_TRIP, MOST_PROBES, Probe, Probes, microseconds, millionths,
};
use super::problem::BadInput;
use super::source::Source;

/// Longest file: a trace has some thousand octets.
pub const LONGEST_FILE: usize = 64 << 20;
/// Most round trips of one target in a file that the median is taken of.
const MOST_TRIPS: usize = 100_000;

/// One target as far as it was read.
struct Seen {
    line: u64,
    target: Option<IpAddr>,
    kind: Kind,
    trips: Vec<u32>,
    loss: Option<u32>,
    /// Of a summary, when no single round trips are shown.
    average: Option<u32>,
}

impl Seen {
    fn new(line: u64, target: Option<IpAddr>, kind: Kind) -> Self {
        Self { line, target, kind, trips: Vec::new(), loss: None, average: None }
    }

    /// Its measurement: target, round trip, loss, kind.
    fn result(mut self) -> Result<(IpAddr, u32, u32, Kind), &'static str> {
        let target = self.target.ok_or("no address of a target")?;
        self.trips.sort_unstable();
        let median = self.trips.get(self.trips.len() / 2).copied().or(self.average);
        match (median, self.loss.unwrap_or(0)) {
            (Some(rtt), loss) => Ok((target, rtt, loss, self.kind)),
            // Only a ping says that nothing came back; a trace may have met a filter.
            (None, 1_000_000) if self.kind == Kind::Ping => Ok((target, LONGEST_TRIP, 1_000_000, self.kind)),
            (None, _) => Err("nothing answered"),
        }
    }
}

/// Adds a file of whichever tool.
///
/// # Errors
/// When nothing in it can be used.
pub fn read(file: &str, time: u64, text: &str, probes: &mut Probes) -> Result<(), BadInput> {
    if text.len() > LONGEST_FILE {
        return Err(BadInput::new(file, format!("has {} octets, of at most {LONGEST_FILE}", text.len())));
    }
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = stem.split("--").next().unwrap_or(stem);
    let mut site = stem.split('.').next().unwrap_or(stem).to_owned();
    let mut time = time;
    for header in text.lines().take(16).filter_map(|line| line.strip_prefix('#')) {
        match header.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("site", name)) => site = name.to_owned(),
            Some(("time", seconds)) => {
                time = seconds.parse().map_err(|_| {
                    BadInput::new(file, format!("{seconds:?} is no time"))
                        .key("time")
                        .hint("seconds since 1970 are wanted")
                })?;
            }
            _ => {}
        }
    }
    if site.is_empty() {
        return Err(BadInput::new(file, "does not say which site it is from")
            .hint("begin it with a line \"# site: NAME\", or name it NAME--anything.txt"));
    }
    let mut source = Source::new(file, time);
    let plain: String;
    let json = text.trim_start().starts_with('{')
        || text
            .lines()
            .find(|line| !line.starts_with('#'))
            .is_some_and(|line| line.trim_start().starts_with('{'));
    let seen = if json {
        plain = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        mtr(file, &plain)?
    } else {
        lines(text)
    };
    source.lines = text.lines().count() as u64;
    for one in seen {
        let line = one.line;
        let result = one.result().and_then(|(target, rtt, loss, kind)| {
            let around = if target.is_ipv4() { AROUND_V4 } else { AROUND_V6 };
            let target = Prefix::of(target, around).ok_or("no address of a target")?;
            let site = probes
                .site(&site)
                .filter(|_| probes.probes.len() < MOST_PROBES)
                .ok_or("beyond the most measurements")?;
            Ok(Probe { target, site, time, rtt, loss, kind })
        });
        match result {
            Ok(probe) => {
                probes.probes.push(probe);
                source.used += 1;
            }
            Err(reason) => source.skip(line, reason),
        }
    }
    if source.used == 0 {
        let reason = source.skipped.first().map_or("no target was found in it", |skipped| skipped.reason);
        return Err(BadInput::new(file, format!("has no measurement: {reason}"))
            .hint("the output of ping, traceroute or mtr --json is wanted, in English (LC_ALL=C)"));
    }
    probes.sources.push(source);
    Ok(())
}

/// The address in `name (192.0.2.1)` or `192.0.2.1`.
fn address(text: &str) -> Option<IpAddr> {
    let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inside, _)| inside);
    inside.and_then(|inside| inside.trim().parse().ok()).or_else(|| {
        text.split([' ', ',', ':'])
            .find_map(|word| word.trim_matches(['(', ')']).parse().ok())
            .or_else(|| text.split(' ').find_map(|word| word.trim_matches(['(', ')', ',']).parse().ok()))
    })
}

/// The number that follows a word in a line.
fn after(line: &str, word: &str) -> Option<f64> {
    let (_, rest) = line.split_once(word)?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// ping and traceroute, any number one after another.
fn lines(text: &str) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for (line, at) in text.lines().zip(1_u64..) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("PING ").or_else(|| line.strip_prefix("PING6(")) {
            seen.push(Seen::new(at, address(rest), Kind::Ping));
        } else if let Some(rest) =
            line.strip_prefix("traceroute to ").or_else(|| line.strip_prefix("traceroute6 to "))
        {
            seen.push(Seen::new(at, address(rest), Kind::LastHop));
        } else if let Some(now) = seen.last_mut() {
            match now.kind {
                Kind::Ping => ping_line(line, now),
                _ => hop_line(line, now),
            }
        }
    }
    seen
}

fn ping_line(line: &str, seen: &mut Seen) {
    // iputils, BusyBox, BSD and macOS agree on these parts.
    if line.contains("bytes from") && !line.contains("DUP!") {
        if let Some(trip) = after(line, "time=").and_then(microseconds)
            && seen.trips.len() < MOST_TRIPS
        {
            seen.trips.push(trip);
        }
    } else if let Some((before, _)) = line.split_once("% packet loss") {
        let start = before.rfind([' ', ',']).map_or(0, |space| space + 1);
        seen.loss = before[start..].parse::<f64>().ok().and_then(|percent| millionths(percent / 100.0));
    } else if line.starts_with("rtt min/avg/max") || line.starts_with("round-trip min/avg/max") {
        let mut values = line.split('=').nth(1).unwrap_or_default().trim().split('/');
        seen.average = values.nth(1).and_then(|average| average.parse().ok()).and_then(microseconds);
    }
}

/// ` 3  name (192.0.2.1)  1.2 ms  1.3 ms *`: a later hop that answers replaces the one before.
fn hop_line(line: &str, seen: &mut Seen) {
    let mut words = line.split_ascii_whitespace().peekable();
    if words.next().is_none_or(|hop| hop.parse::<u8>().is_err()) {
        return;
    }
    let mut trips = Vec::new();
    let mut here = None;
    while let Some(word) = words.next() {
        if words.peek() == Some(&"ms") {
            trips.extend(word.parse().ok().and_then(microseconds));
        } else if let Ok(address) = word.trim_matches(['(', ')']).parse::<IpAddr>() {
            here = Some(address);
        }
    }
    if !trips.is_empty() && trips.len() < 100 {
        // Of a hop, the least counts: routers answer late when they are busy.
        trips.sort_unstable();
        trips.truncate(1);
        seen.trips = trips;
        seen.kind = if here.is_some() && here == seen.target { Kind::Trace } else { Kind::LastHop };
    }
}

#[derive(Deserialize)]
struct MtrFile {
    report: MtrReport,
}

#[derive(Deserialize)]
struct MtrReport {
    mtr: MtrHead,
    #[serde(default)]
    hubs: Vec<MtrHub>,
}

#[derive(Deserialize)]
struct MtrHead {
    dst: String,
}

#[derive(Deserialize)]
struct MtrHub {
    host: String,
    #[serde(rename = "Loss%")]
    loss: f64,
    #[serde(rename = "Avg")]
    average: f64,
}

fn mtr(file: &str, text: &str) -> Result<Vec<Seen>, BadInput> {
    let parsed: MtrFile = serde_json::from_str(text).map_err(|error| {
        BadInput::new(file, format!("is not what mtr --json prints: {error}")).line(error.line() as u64)
    })?;
    let answered = parsed.report.hubs.iter().rev().find(|hub| hub.host != "???" && hub.average > 0.0);
    let named = address(&parsed.report.mtr.dst);
    let last = parsed.report.hubs.last().and_then(|hub| address(&hub.host));
    let mut seen = Seen::new(1, named.or(last), Kind::LastHop);
    if let Some(hub) = answered {
        seen.average = microseconds(hub.average);
        let reached = seen.target.is_some() && address(&hub.host) == seen.target;
        // Routers on the way drop what is for themselves: only the target's loss is the path's.
        seen.loss = millionths(hub.loss / 100.0).filter(|_| reached);
        seen.kind = if reached { Kind::Trace } else { Kind::LastHop };
    }
    Ok(vec![seen])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn measured(file: &str, text: &str) -> Vec<(String, String, u32, u32, Kind)> {
        let mut probes = Probes::default();
        if let Err(bad) = read(file, 7, text, &mut probes) {
            return vec![(bad.to_string(), String::new(), 0, 0, Kind::Probe)];
        }
        let name = |probe: &Probe| probes.sites[probe.site as usize].clone();
        probes.probes.iter().map(|p| (name(p), p.target.to_string(), p.rtt, p.loss, p.kind)).collect()
    }

    #[test]
    fn ping_of_linux_busybox_and_macos() {
        let linux = "PING example.net (203.0.113.7) 56(84) bytes of data.\n\
            64 bytes from 203.0.113.7: icmp_seq=1 ttl=56 time=11.9 ms\n\
            64 bytes from 203.0.113.7: icmp_seq=2 ttl=56 time=40.2 ms\n\
            64 bytes from 203.0.113.7: icmp_seq=2 ttl=56 time=99 ms (DUP!)\n\
            64 bytes from 203.0.113.7: icmp_seq=3 ttl=56 time=12.1 ms\n\n\
            --- example.net ping statistics ---\n\
            4 packets transmitted, 3 received, 25% packet loss, time 3004ms\n\
            rtt min/avg/max/mdev = 11.912/21.4/40.2/0.1 ms\n";
        let one = ("fra1".to_owned(), "203.0.113.0/24".to_owned(), 12_100, 250_000, Kind::Ping);
        assert_eq!(measured("pings/fra1--today.txt", linux), [one]);
        let busybox = "# site: lon2\nPING 2001:db8:5::7 (2001:db8:5::7): 56 data bytes\n\n\
            --- 2001:db8:5::7 ping statistics ---\n3 packets transmitted, 3 packets received, 0% packet loss\n\
            round-trip min/avg/max = 1.1/2.25/3.0 ms\n";
        let one = ("lon2".to_owned(), "2001:db8:5::/48".to_owned(), 2250, 0, Kind::Ping);
        assert_eq!(measured("x.txt", busybox), [one]);
        let quiet = "PING 203.0.113.9 (203.0.113.9): 56 data bytes\n3 packets transmitted, 0 packets received, 100.0% packet loss\n";
        let one = ("fra1".to_owned(), "203.0.113.0/24".to_owned(), LONGEST_TRIP, 1_000_000, Kind::Ping);
        assert_eq!(measured("fra1.txt", quiet), [one]);
    }

    #[test]
    fn a_trace_that_arrives_and_one_that_does_not() {
        let head = "traceroute to example.net (203.0.113.7), 30 hops max, 60 byte packets\n \
            1  gw (192.0.2.1)  0.5 ms  0.4 ms *\n 2  * * *\n 3  198.51.100.9 (198.51.100.9)  9.5 ms !X  9.1 ms  9.3 ms\n";
        let short = ("a".to_owned(), "203.0.113.0/24".to_owned(), 9100, 0, Kind::LastHop);
        assert_eq!(measured("a.txt", &format!("{head} 4  * * *\n")), [short]);
        let whole = ("a".to_owned(), "203.0.113.0/24".to_owned(), 11_700, 0, Kind::Trace);
        assert_eq!(
            measured("a.txt", &format!("{head} 4  203.0.113.7 (203.0.113.7)  11.9 ms  11.7 ms  12.0 ms\n")),
            [whole]
        );
    }

    #[test]
    fn what_mtr_reports() {
        let text = r##"# site: ams
{"report":{"mtr":{"src":"a","dst":"203.0.113.7","tos":0,"tests":3},"hubs":[
 {"count":1,"host":"192.0.2.1","Loss%":40.0,"Snt":3,"Last":0.3,"Avg":0.4,"Best":0.3,"Wrst":0.5,"StDev":0.1},
 {"count":2,"host":"203.0.113.7","Loss%":1.5,"Snt":3,"Last":8,"Avg":8.25,"Best":8,"Wrst":9,"StDev":0.1}]}}"##;
        let one = ("ams".to_owned(), "203.0.113.0/24".to_owned(), 8250, 15_000, Kind::Trace);
        assert_eq!(measured("m.json", text), [one]);
        let short = text.replace("\"host\":\"203.0.113.7\"", "\"host\":\"???\"").replace("8.25", "0.0");
        let one = ("ams".to_owned(), "203.0.113.0/24".to_owned(), 400, 0, Kind::LastHop);
        assert_eq!(measured("m.json", &short), [one]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "(PING |traceroute to |# site: |# time: |[0-9]{1,3} |time=|% packet loss|bytes from|\\(|\\)|[0-9.]{1,9}| ms|\n|\\{\"report\":|\\PC){0,40}"
        ) {
            let mut probes = Probes::default();
            if read("a.txt", 7, &text, &mut probes).is_ok() {
                prop_assert!(probes.probes.iter().all(|probe| probe.loss <= 1_000_000 && probe.rtt <= LONGEST_TRIP && probe.rtt > 0));
            }
        }
    }
}
