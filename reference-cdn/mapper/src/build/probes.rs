//! Measurements from sites to clients: round trips and loss. JSON Lines here; what ping, traceroute and mtr print in [`super::traces`].

use serde::Deserialize;

use super::keys::QuickMap;
use super::prefix::Prefix;
use super::problem::{BadInput, suggestion};
use super::source::Source;

pub const LONGEST_FILE: usize = 2 << 30;
const LONGEST_LINE: usize = 4096;
/// Most measurements of all files together.
pub const MOST_PROBES: usize = 32_000_000;
/// Most names of sites in them.
const MOST_NAMES: usize = 100_000;
/// What stands for a round trip that never came back, in microseconds; longer ones are taken for this.
pub const LONGEST_TRIP: u32 = 10_000_000;

/// A single address stands for a prefix of this length around it: what the Internet routes as one at the least.
pub const AROUND_V4: u8 = 24;
pub const AROUND_V6: u8 = 48;

/// How a measurement was made, which decides how much it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Made for this purpose.
    Probe,
    Ping,
    /// A trace that reached its target.
    Trace,
    /// A trace that ended before: the last hop that answered.
    LastHop,
}

impl Kind {
    /// Of 256 parts.
    pub const fn worth(self) -> u32 {
        match self {
            Self::Probe => 256,
            Self::Ping => 240,
            Self::Trace => 176,
            Self::LastHop => 96,
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    pub target: Prefix,
    /// Position in [`Probes::sites`].
    pub site: u32,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Median round trip in microseconds, or the least if that is all there is.
    pub rtt: u32,
    /// Parts of a million that were lost.
    pub loss: u32,
    pub kind: Kind,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Names of sites.
    pub sites: Vec<String>,
    pub probes: Vec<Probe>,
    pub sources: Vec<Source>,
    names: QuickMap<u64, u32>,
}

impl Probes {
    /// The number of a site's name; `None` when there are too many.
    pub fn site(&mut self, name: &str) -> Option<u32> {
        let key = super::keys::of_name(name);
        if let Some(&known) = self.names.get(&key) {
            return Some(known);
        }
        if self.sites.len() >= MOST_NAMES {
            return None;
        }
        let number = self.sites.len() as u32;
        self.sites.push(name.to_owned());
        self.names.insert(key, number);
        Some(number)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line<'a> {
    #[serde(borrow)]
    site: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    target: std::borrow::Cow<'a, str>,
    /// Milliseconds.
    rtt: Option<f64>,
    rtt_min: Option<f64>,
    rtt_median: Option<f64>,
    /// Share, 0 to 1.
    loss: Option<f64>,
    time: Option<u64>,
}

/// Milliseconds in microseconds, at least 1.
pub(super) fn microseconds(milliseconds: f64) -> Option<u32> {
    // Compared before it is converted, so that it fits.
    (milliseconds >= 0.0 && milliseconds.is_finite())
        .then(|| (milliseconds * 1000.0).round().clamp(1.0, f64::from(LONGEST_TRIP)) as u32)
}

/// A share in parts of a million.
pub(super) fn millionths(share: f64) -> Option<u32> {
    (0.0..=1.0).contains(&share).then(|| (share * 1e6).round() as u32)
}

fn line(text: &str, probes: &mut Probes, file_time: u64) -> Result<Probe, &'static str> {
    let raw: Line<'_> = serde_json::from_str(text).map_err(|error| {
        if suggestion(&error.to_string()).is_some() {
            "a key that is misspelt"
        } else {
            "not the JSON that is wanted"
        }
    })?;
    let target =
        Prefix::parse(&raw.target, AROUND_V4, AROUND_V6).map_err(|_| "target is no address or prefix")?;
    let loss = millionths(raw.loss.unwrap_or(0.0)).ok_or("loss is no share from 0 to 1")?;
    let rtt = match raw.rtt_median.or(raw.rtt).or(raw.rtt_min) {
        Some(rtt) => microseconds(rtt).ok_or("rtt is no time in milliseconds")?,
        None if loss == 1_000_000 => LONGEST_TRIP,
        None => return Err("no rtt, though not all was lost"),
    };
    if target.length == 0 {
        return Err("target is all addresses");
    }
    let site = probes.site(&raw.site).ok_or("too many different sites")?;
    Ok(Probe { target, site, time: raw.time.unwrap_or(file_time), rtt, loss, kind: Kind::Probe })
}

/// Adds a file of JSON Lines.
///
/// # Errors
/// When nothing in it can be used. Lines that cannot are counted with a reason.
pub fn read(file: &str, time: u64, text: &str, probes: &mut Probes) -> Result<(), BadInput> {
    if text.len() > LONGEST_FILE {
        return Err(BadInput::new(file, format!("has {} octets, of at most {LONGEST_FILE}", text.len())));
    }
    let mut source = Source::new(file, time);
    let mut newest = 0;
    for (content, at) in text.lines().zip(1..).filter(|(content, _)| !content.trim().is_empty()) {
        source.lines += 1;
        let result = if content.len() > LONGEST_LINE {
            Err("longer than 4096 octets")
        } else if probes.probes.len() >= MOST_PROBES {
            Err("beyond the most measurements")
        } else {
            line(content, probes, time)
        };
        match result {
            Ok(probe) => {
                newest = newest.max(probe.time);
                probes.probes.push(probe);
                source.used += 1;
            }
            Err(reason) => source.skip(at, reason),
        }
    }
    if let (0, Some(first)) = (source.used, source.skipped.first()) {
        let example = r#"{"site":"fra1","target":"203.0.113.0/24","rtt":11.8,"loss":0.01,"time":1790000000}"#;
        return Err(BadInput::new(file, format!("no line can be used: {}", first.reason))
            .line(first.first)
            .hint(format!("a line is like {example}")));
    }
    source.time = if newest > 0 { newest } else { time };
    probes.sources.push(source);
    Ok(())
}
