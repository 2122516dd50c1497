//! Where prefixes are: databases in MaxMind's format (MMDB), of cities, countries or networks, whoever made them.

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::countries;
use super::keys::QuickMap;
use super::prefix::Prefix;
use super::problem::BadInput;
use super::source::Source;

/// Longest database. Those of all cities have about 100 MB.
pub const LONGEST_FILE: usize = 2 << 30;
/// Most networks that are looked at, those without data included: a tree whose branches meet again would have no end.
pub const MOST_NETWORKS: u64 = 64_000_000;
/// Most that are kept.
pub const MOST_PREFIXES: usize = 16_000_000;

/// What is known of a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Thousandths of a degree north and east.
    pub at: Option<(i32, i32)>,
    /// Only the country is known, and `at` is in the midst of its people.
    pub country_only: bool,
    /// 0 if unknown.
    pub asn: u32,
}

/// One database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Prefixes and which of `places` they are at.
    pub prefixes: Vec<(Prefix, u32)>,
    pub places: Vec<Place>,
    pub source: Source,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    location: Option<Location>,
    #[serde(default)]
    country: Option<Country>,
    #[serde(default)]
    registered_country: Option<Country>,
    #[serde(default)]
    autonomous_system_number: Option<u32>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    latitude: Option<f64>,
    #[serde(default)]
    longitude: Option<f64>,
}

/// A map with the code, or (in flat databases) the code itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Country {
    Map {
        #[serde(default)]
        iso_code: Option<String>,
    },
    Code(String),
    Other(IgnoredAny),
}

impl Country {
    fn code(&self) -> Option<&str> {
        match self {
            Self::Map { iso_code } => iso_code.as_deref(),
            Self::Code(code) => Some(code),
            Self::Other(_) => None,
        }
    }
}

impl Record {
    fn place(&self) -> Place {
        let thousandths = |degrees: f64, most: f64| {
            (degrees.is_finite() && degrees.abs() <= most).then(|| (degrees * 1000.0).round() as i32)
        };
        let exact = self.location.as_ref().and_then(|location| {
            Some((thousandths(location.latitude?, 90.0)?, thousandths(location.longitude?, 180.0)?))
        });
        let country = self
            .country
            .as_ref()
            .and_then(Country::code)
            .or(self.registered_country.as_ref().and_then(Country::code));
        let midst = country.and_then(countries::midst);
        Place {
            at: exact.or(midst),
            country_only: exact.is_none() && midst.is_some(),
            asn: self.autonomous_system_number.filter(|asn| !super::bgp::is_special(*asn)).unwrap_or(0),
        }
    }
}

/// Reads a database.
///
/// # Errors
/// When it is none, or is damaged so that nothing can be read.
pub fn read(file: &str, time: u64, octets: &[u8]) -> Result<Places, BadInput> {
    if octets.len() > LONGEST_FILE {
        return Err(BadInput::new(file, format!("has {} octets, of at most {LONGEST_FILE}", octets.len())));
    }
    let no_database = |error: maxminddb::MaxMindDbError| {
        BadInput::new(file, format!("is no MMDB database: {error}"))
            .hint("fetch it again; if it ends in .gz or .tar.gz, unpack it first")
    };
    let reader = Reader::from_source(octets).map_err(no_database)?;
    let built = reader.metadata().build_epoch;
    let mut source = Source::new(file, if built > 0 { built } else { time });
    let mut out = Places::default();
    // Which place a record in the database stands for: many networks share one.
    let mut known: QuickMap<u64, Option<u32>> = QuickMap::default();
    let mut numbers: QuickMap<Place, u32> = QuickMap::default();
    // Networks without data are asked for so that each step ends, and can be counted.
    let networks =
        reader.networks(WithinOptions::default().include_networks_without_data()).map_err(no_database)?;
    let mut seen = 0_u64;
    for found in networks {
        seen += 1;
        if seen > MOST_NETWORKS || out.prefixes.len() >= MOST_PREFIXES {
            source.skip(seen, "beyond the most networks; nothing after it was read");
            break;
        }
        let Ok(found) = found else {
            source.skip(seen, "the database is damaged; nothing after it was read");
            break;
        };
        let Some(offset) = found.offset() else { continue };
        source.lines += 1;
        let place = *known.entry(offset as u64).or_insert_with(|| {
            let place = found.decode::<Record>().ok()??.place();
            if place == Place::default() {
                return None;
            }
            let next = out.places.len() as u32;
            let number = *numbers.entry(place).or_insert(next);
            if number == next {
                out.places.push(place);
            }
            Some(number)
        });
        let Some(place) = place else {
            source.skip(source.lines, "says neither place nor network");
            continue;
        };
        let prefix = found.network().ok().and_then(|network| prefix(network.ip(), network.prefix()));
        match prefix {
            Some(prefix) => {
                out.prefixes.push((prefix, place));
                source.used += 1;
            }
            None => source.skip(source.lines, "an IPv6 prefix longer than 64 bits"),
        }
    }
    if source.used == 0 {
        return Err(BadInput::new(file, "says of no network where it is").hint(
            "a database with location.latitude, country.iso_code or autonomous_system_number is wanted",
        ));
    }
    out.source = source;
    Ok(out)
}

/// IPv4 within IPv6 (`::/96`) is IPv4.
fn prefix(address: std::net::IpAddr, length: u8) -> Option<Prefix> {
    match address {
        std::net::IpAddr::V6(v6) if length >= 96 && u128::from(v6) >> 32 == 0 => {
            Prefix::of(std::net::Ipv4Addr::from(u128::from(v6) as u32).into(), length - 96)
        }
        _ => Prefix::of(address, length),
    }
}
