//! Where prefixes are: databases in MaxMind's format (MMDB), of cities, countries or networks, whoever made them.

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::countries;
use super::keys::QuickMap;
use super::prefix::Prefix;
use super::problem::BadInput;
use super::source::{Skipped, Source};

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

/// Why a field is not used. The rest of its record is.
const NO_COORDINATES: &str = "location, where latitude and longitude are no numbers of degrees";
const NO_COUNTRY: &str =
    "country or registered_country, which is neither a code nor has one as text in iso_code";
const NO_NUMBER: &str = "autonomous_system_number, which is no whole number from 0 to 4294967295";
/// Why a record is not used.
const NO_RECORD: &str = "a record that is no map, or is damaged";
const SAYS_NOTHING: &str = "says neither place nor network";
const TOO_LONG: &str = "an IPv6 prefix longer than 64 bits";

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    location: Field<Location>,
    #[serde(default)]
    country: Field<Country>,
    #[serde(default)]
    registered_country: Field<Country>,
    #[serde(default)]
    autonomous_system_number: Field<Never>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    latitude: Field<Never>,
    #[serde(default)]
    longitude: Field<Never>,
}

#[derive(Deserialize)]
struct Country {
    #[serde(default)]
    iso_code: Field<Never>,
}

const LONGEST_CODE: usize = 8;

/// Where no map is wanted.
#[derive(Deserialize)]
struct Never {}

/// What a field has. Writers of databases choose types as they like: numbers are read in any width, and what is of no use spoils
/// nothing but its field.
#[derive(Default)]
enum Field<T> {
    #[default]
    Missing,
    Whole(i128),
    Real(f64),
    Text(String),
    Map(T),
    Other,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyType(std::marker::PhantomData))
    }
}

struct AnyType<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyType<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Field<T>, E> {
        Ok(Field::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Field<T>, E> {
        Ok(Field::Whole(value.into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Field<T>, E> {
        Ok(i128::try_from(value).map_or(Field::Other, Field::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Field<T>, E> {
        Ok(Field::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Field<T>, E> {
        // A longer one than a country's code says nothing, and is text all the same.
        Ok(Field::Text(if value.len() <= LONGEST_CODE { value.to_owned() } else { String::new() }))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<T>, E> {
        Ok(Field::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Field<T>, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Field<T>, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, values: A) -> Result<Field<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(values)).map(Field::Map)
    }
}

impl<T> Field<T> {
    fn degrees(&self, most: f64) -> Option<f64> {
        let degrees = match self {
            Self::Whole(whole) => *whole as f64,
            Self::Real(real) => *real,
            _ => return None,
        };
        (degrees.is_finite() && degrees.abs() <= most).then_some(degrees)
    }

    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

impl Field<Location> {
    /// Thousandths of a degree; or, in the second place, that what is there is none.
    fn read(&self) -> (Option<(i32, i32)>, bool) {
        let location = match self {
            Self::Missing => return (None, false),
            Self::Map(location) => location,
            _ => return (None, true),
        };
        // Half a place, or one without coordinates (time zones are here too), says nothing and is not wrong.
        if location.latitude.is_missing() || location.longitude.is_missing() {
            return (None, false);
        }
        let thousandths = |degrees: f64| (degrees * 1000.0).round() as i32;
        match (location.latitude.degrees(90.0), location.longitude.degrees(180.0)) {
            (Some(latitude), Some(longitude)) => {
                (Some((thousandths(latitude), thousandths(longitude))), false)
            }
            _ => (None, true),
        }
    }
}

impl Field<Country> {
    /// A code, which flat databases have in place of the map; or, in the second place, that what is there is none.
    fn read(&self) -> (Option<&str>, bool) {
        match self {
            Self::Missing => (None, false),
            Self::Text(code) => (Some(code), false),
            Self::Map(country) => match &country.iso_code {
                Field::Missing => (None, false),
                Field::Text(code) => (Some(code), false),
                _ => (None, true),
            },
            _ => (None, true),
        }
    }
}

impl Field<Never> {
    /// The number of a network; or, in the second place, that what is there is none.
    fn read(&self) -> (u32, bool) {
        match self {
            Self::Missing => (0, false),
            Self::Whole(whole) => match u32::try_from(*whole) {
                Ok(asn) => (if super::bgp::is_special(asn) { 0 } else { asn }, false),
                Err(_) => (0, true),
            },
            _ => (0, true),
        }
    }
}

/// What a record says, and what of it is not used.
#[derive(Clone, Copy)]
struct Said {
    /// Which place; `None` where it says none.
    place: Option<u32>,
    unused: [Option<&'static str>; 4],
}

impl Record {
    fn place(&self) -> (Place, [Option<&'static str>; 4]) {
        let (exact, no_coordinates) = self.location.read();
        let (country, no_country) = self.country.read();
        let (registered, no_registered) = self.registered_country.read();
        let (asn, no_number) = self.autonomous_system_number.read();
        let midst = country.or(registered).and_then(countries::midst);
        let place = Place { at: exact.or(midst), country_only: exact.is_none() && midst.is_some(), asn };
        let unused = [
            no_coordinates.then_some(NO_COORDINATES),
            (no_country || no_registered).then_some(NO_COUNTRY),
            no_number.then_some(NO_NUMBER),
            // Where a field is not used, that is the reason.
            (place == Place::default() && !no_coordinates && !no_country && !no_registered && !no_number)
                .then_some(SAYS_NOTHING),
        ];
        (place, unused)
    }
}

/// What of a database is not used and is told to people: much says nothing in any database, and only where it is most of one it is
/// hardly meant so.
pub fn hardly_meant(lines: u64, skipped: &Skipped) -> bool {
    match skipped.reason {
        SAYS_NOTHING | TOO_LONG => skipped.count > lines / 2,
        _ => true,
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
    let mut known: QuickMap<u64, Said> = QuickMap::default();
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
        let said = *known.entry(offset as u64).or_insert_with(|| {
            let Ok(Some(record)) = found.decode::<Record>() else {
                return Said { place: None, unused: [Some(NO_RECORD), None, None, None] };
            };
            let (place, unused) = record.place();
            if place == Place::default() {
                return Said { place: None, unused };
            }
            let next = out.places.len() as u32;
            let number = *numbers.entry(place).or_insert(next);
            if number == next {
                out.places.push(place);
            }
            Said { place: Some(number), unused }
        });
        for reason in said.unused.into_iter().flatten() {
            source.skip(source.lines, reason);
        }
        let Some(place) = said.place else { continue };
        let prefix = found.network().ok().and_then(|network| prefix(network.ip(), network.prefix()));
        match prefix {
            Some(prefix) => {
                out.prefixes.push((prefix, place));
                source.used += 1;
            }
            None => source.skip(source.lines, TOO_LONG),
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
