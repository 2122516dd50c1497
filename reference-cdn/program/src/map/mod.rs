//! `reference-cdn map` and `reference-cdn explain-dns`: looks at maps, and what they would do.

mod simulate;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use mapper::map::diff::{Options, Side, diff};
use mapper::map::moment::{self, rfc3339};
use mapper::map::publish::Edition;
use mapper::map::{Epoch, Map};
use mapper::run::{Config, Outside, epoch_at, explain_name, open_map};

use crate::output::{Output, write_text};

const DIFFERENT: u8 = 1;
const FAILED: u8 = 2;

#[derive(Clone, Debug, Subcommand)]
pub enum MapCommand {
    /// Build a map from a configuration's inputs, publish it, and tell what it rests on
    #[command(
        after_help = "Example:\n  reference-cdn map build --config mapper.toml\n\nExit status: 0 published, 1 held back, 2 it could not be built."
    )]
    Build(BuildArgs),
    /// Compare two maps: churn, load that moves, cache misses to expect
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Play a scenario on a map: surges, failures, lost reports, on virtual time
    #[command(after_help = simulate::examples())]
    Simulate(simulate::SimulateArgs),
}

const DIFF_EXAMPLES: &str = "\
Examples:
  # What changed between two maps that a mapper published
  reference-cdn map diff maps@1795800000 maps@1795800060

  # What would change: the map in force, and one that was built elsewhere
  reference-cdn map diff maps candidate-maps --json -

Exit status: 0 the maps are alike, 1 they differ, 2 they cannot be compared.";

/// A folder of maps, with an epoch or without: `FOLDER@EPOCH`.
#[derive(Clone, Debug)]
pub struct MapName {
    folder: PathBuf,
    epoch: Option<u64>,
}

impl std::str::FromStr for MapName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('@') {
            Some((folder, epoch)) => {
                let epoch = read_epoch(epoch)?;
                Ok(Self { folder: folder.into(), epoch: Some(epoch) })
            }
            None => Ok(Self { folder: text.into(), epoch: None }),
        }
    }
}

impl MapName {
    fn open(&self) -> Result<Edition, String> {
        open_map(&self.folder, self.epoch).map_err(|error| error.to_string())
    }
}

#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    /// The mapper's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Publish the map though it changes much at once
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Args, Clone, Debug)]
pub struct DiffArgs {
    /// The earlier map: FOLDER for the one in force there, or FOLDER@EPOCH
    old: MapName,
    /// The later one
    new: MapName,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = Options::default().top)]
    top: usize,
    #[command(flatten)]
    output: Output,
}

pub fn run(command: &MapCommand) -> ExitCode {
    let result = match command {
        MapCommand::Build(args) => build(args),
        MapCommand::Diff(args) => compare(args),
        MapCommand::Simulate(args) => simulate::run(args),
    };
    finish(result)
}

fn finish(result: Result<ExitCode, String>) -> ExitCode {
    result.unwrap_or_else(|error| {
        for line in error.lines() {
            anstream::eprintln!("error: {line}");
        }
        ExitCode::from(FAILED)
    })
}

fn build(args: &BuildArgs) -> Result<ExitCode, String> {
    crate::log::start();
    let config = Config::read(&args.config).map_err(|error| error.to_string())?;
    let outside = Outside::system().map_err(|error| error.to_string())?;
    let built = mapper::run::build_once(&config, &outside, args.accept).map_err(|error| error.to_string())?;
    let text = built.to_text();
    args.output.write(&built, &text)?;
    Ok(if built.held_back.is_some() { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

fn compare(args: &DiffArgs) -> Result<ExitCode, String> {
    let (old, new) = (args.old.open()?, args.new.open()?);
    let options = Options { top: args.top, ..Options::default() };
    let difference = diff(
        Side { network: &old.network, conditions: &old.conditions },
        Side { network: &new.network, conditions: &new.conditions },
        options,
    );
    let text = if difference.is_none() { "the maps are alike\n".to_owned() } else { difference.to_text() };
    args.output.write(&difference, &text)?;
    Ok(if difference.is_none() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// An epoch, as `ls maps` and the status have it, or in the hexadecimal digits in which dig shows the epoch option.
fn read_epoch(text: &str) -> Result<u64, String> {
    let plain = text.trim();
    // dig shows the octets as text, too: ("....j.B.").
    let octets = plain.split_once('(').map_or(plain, |(octets, _)| octets.trim_end());
    let hexadecimal = |digits: &str| {
        let right = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| right)
    };
    let epoch = if let Some(digits) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        hexadecimal(digits)
    } else if octets.contains(' ') {
        let pairs = octets.split_whitespace().all(|pair| pair.len() == 2);
        hexadecimal(&octets.split_whitespace().collect::<String>()).filter(|_| pairs)
    } else {
        plain.parse().ok()
    };
    epoch.ok_or_else(|| {
        format!(
            "{text} is no epoch: write the number, such as 1795800000, or what dig shows of the epoch option, such as 0x6b0a0373 or \"00 00 00 00 6b 0a 03 73\""
        )
    })
}

/// An address, or a prefix as EDNS Client Subnet tells it: its first address.
fn client(text: &str) -> Result<IpAddr, String> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address: IpAddr =
        address.parse().map_err(|_| format!("{address} is no address: write 192.0.2.1, or 192.0.2.0/24"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match length.map(str::parse::<u8>) {
        None => Ok(address),
        Some(Ok(length)) if length <= most => Ok(address),
        Some(_) => Err(format!("the length of a prefix is 0 to {most}")),
    }
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(u64);

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no time: write 2026-11-27T16:00:00Z, or seconds since 1970");
        if let Ok(seconds) = text.parse::<u64>() {
            return Ok(Self(seconds.saturating_mul(1000)));
        }
        moment::read(text).map(Self).ok_or_else(wrong)
    }
}

/// What to explain.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The name that was asked for
    name: String,
    /// The client: its own address, or that of its resolver where the query had no EDNS Client Subnet
    #[arg(long, value_name = "ADDRESS[/LENGTH]", value_parser = client)]
    client: IpAddr,
    /// Folder of maps
    #[arg(long, value_name = "FOLDER", env = "REFERENCE_CDN_MAPS")]
    map: PathBuf,
    /// The map that answered, as a number or as dig shows the epoch option (0x6b0a0373, "6b 0a 03 73"); without it, the one in force
    #[arg(long, value_name = "N", value_parser = read_epoch)]
    epoch: Option<u64>,
    /// The map that was in force at this time: 2026-11-27T16:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", conflicts_with = "epoch")]
    at: Option<Moment>,
    /// Apex of the steered zone; without it, what comes before any dot is tried as a steered name, and the zone that follows is said
    #[arg(long, value_name = "APEX")]
    zone: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub fn explain(args: &ExplainArgs) -> ExitCode {
    finish(explain_result(args))
}

fn explain_result(args: &ExplainArgs) -> Result<ExitCode, String> {
    let epoch = match &args.at {
        Some(moment) => Some(epoch_at(&args.map, moment.0).map_err(|error| error.to_string())?),
        None => args.epoch,
    };
    let now = (Outside::system().map_err(|error| error.to_string())?.unix)();
    // The first map of a folder is said with the second that follows it.
    if let Some(Moment(later)) = args.at.filter(|moment| moment.0 > now + 1000) {
        anstream::eprintln!(
            "warning: {} is in the future (it is {} here): this is what the newest map says",
            rfc3339(later / 1000),
            rfc3339(now / 1000)
        );
    }
    let edition = open_map(&args.map, epoch).map_err(|error| error.to_string())?;
    let map = Map::new(Epoch(edition.epoch.0), edition.network, edition.conditions, 0);
    let zones: Vec<&str> = args.zone.as_deref().map(|zone| zone.trim_end_matches('.')).into_iter().collect();
    let explanation = explain_name(&map, &args.name, &zones, args.client).ok_or_else(|| {
        let known: Vec<&str> = map
            .network
            .services
            .iter()
            .flat_map(|service| &service.hosts)
            .take(5)
            .map(String::as_str)
            .collect();
        let of = zones.first().map_or_else(String::new, |zone| format!(" below {zone}"));
        format!(
            "{} is no steered name{of} of map {}; steered are, for example, {}",
            args.name,
            map.epoch.0,
            known.join(", ")
        )
    })?;
    let mut text = explanation.to_text();
    if let (None, Some(zone)) = (&args.zone, &explanation.zone) {
        text = format!(
            "as if the steered zone were {}: a map does not know which zones are answered from it; --zone refuses other names\n{text}",
            if zone.is_empty() { "." } else { zone }
        );
    }
    args.output.write(&explanation, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Longest file that a person writes for these commands.
const LONGEST: u64 = 1 << 20;

/// The bounded text of a file.
fn read_text(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let unread = |error| format!("{}: cannot be read: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > LONGEST {
        return Err(format!("{}: longer than {LONGEST} octets; is it the right file?", path.display()));
    }
    Ok(text)
}

/// Writes a page.
fn write_page(path: &Path, page: &str) -> Result<(), String> {
    write_text(path, page)
}

#[cfg(test)]
mod tests {
    use super::{MapName, Moment, client, read_epoch};

    #[test]
    fn an_epoch_is_a_number_or_what_dig_shows() {
        for text in [
            "1795818355",
            "0x6b0a0373",
            "0X6B0A0373",
            "0x000000006b0a0373",
            "6b 0a 03 73",
            "00 00 00 00 6b 0a 03 73",
            "00 00 00 00 6b 0a 03 73 (\"....k..s\")",
        ] {
            assert_eq!(read_epoch(text), Ok(0x6b0a_0373), "{text}");
        }
        assert_eq!("maps@0x10".parse::<MapName>().map(|name| name.epoch), Ok(Some(16)));
        for text in [
            "",
            "0x",
            "x",
            "6b0a0373",
            "6b 0",
            "-1",
            "0x+1",
            "00 00 00 00 00 00 00 00 01",
            "0x11112222333344445",
        ] {
            assert!(read_epoch(text).is_err_and(|error| error.contains("what dig shows")), "{text}");
        }
    }

    #[test]
    fn a_client_is_an_address_or_a_prefix() {
        assert_eq!(client("192.0.2.7"), Ok("192.0.2.7".parse().unwrap()));
        assert_eq!(client("2001:db8::/56"), Ok("2001:db8::".parse().unwrap()));
        for wrong in ["192.0.2.0/33", "192.0.2", "192.0.2.0/", "name"] {
            assert!(client(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.0 / 1000).ok();
        assert_eq!(read("1795795200"), Some(1_795_795_200));
        assert_eq!(read("2026-11-27T16:00:00Z"), Some(1_795_795_200));
        assert_eq!(read("2026-11-27T17:30:00+01:30"), Some(1_795_795_200));
        assert_eq!(read("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        assert_eq!(read("2000-03-01T00:00:01Z"), Some(951_868_801));
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        for wrong in ["yesterday", "2026-11-27", "1969-12-31T23:59:59Z", "16:00"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
