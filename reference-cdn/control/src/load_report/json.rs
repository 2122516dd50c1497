//! Load reports as JSON, read so that what is wrong is said with its field and its place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{LoadReport, MOST_NAMES, MOST_REPORTS, NameLoad, Refused};

/// Longest name, in octets.
const LONGEST_NAME: usize = 255;

/// One report, or a list of them.
pub(super) fn read(document: &[u8]) -> Result<Vec<LoadReport>, Refused> {
    let Document { reports, count } =
        serde_json::from_slice(document).map_err(|error| Refused::Json(error.to_string()))?;
    if count > MOST_REPORTS { Err(Refused::TooMany(count)) } else { Ok(reports) }
}

struct Document {
    reports: Vec<LoadReport>,
    /// Also those that were too many.
    count: usize,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a load report, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                Ok(Document { reports: vec![report(map)?], count: 1 })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
                let mut reports = Vec::new();
                let mut read = |at: usize| {
                    list.next_element()
                        .map_err(|error| within(format_args!("report {at} of the list"), &error))
                };
                while reports.len() < MOST_REPORTS {
                    match read(reports.len() + 1)? {
                        Some(report) => reports.push(report),
                        None => return Ok(Document { count: reports.len(), reports }),
                    }
                }
                let mut count = reports.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Document { reports, count })
            }
        }
        from.deserialize_any(Either)
    }
}

/// The same error, of a part. Its place is kept, since `serde_json` reads it from the end of the text.
fn within<E: Error>(part: impl fmt::Display, error: &E) -> E {
    E::custom(format_args!("{part}: {error}"))
}

/// Takes a field's value.
fn take<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    field: &str,
    place: &mut Option<T>,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(A::Error::custom(format_args!("{field}: it is there twice")));
    }
    *place = Some(map.next_value().map_err(|error| within(field, &error))?);
    Ok(())
}

fn needed<T, E: Error>(field: &str, value: Option<T>) -> Result<T, E> {
    value.ok_or_else(|| E::custom(format_args!("{field}: it is missing")))
}

impl<'de> Deserialize<'de> for LoadReport {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = LoadReport;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a load report")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LoadReport, A::Error> {
                report(map)
            }
        }
        from.deserialize_map(One)
    }
}

fn report<'de, A: MapAccess<'de>>(mut map: A) -> Result<LoadReport, A::Error> {
    let (mut server, mut state, mut names) = (None, None, None);
    let [mut started, mut number, mut sent, mut octets] = [None; 4];
    let [mut processor, mut disk, mut network] = [None; 3];
    let mut requests = None;
    while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
        match &*key {
            "server" => take(&mut map, "server", &mut server)?,
            "started" => take(&mut map, "started", &mut started)?,
            "number" => take(&mut map, "number", &mut number)?,
            "sent" => take(&mut map, "sent", &mut sent)?,
            "processor" => take(&mut map, "processor", &mut processor)?,
            "disk" => take(&mut map, "disk", &mut disk)?,
            "network" => take(&mut map, "network", &mut network)?,
            "state" => take(&mut map, "state", &mut state)?,
            "requests" => take(&mut map, "requests", &mut requests)?,
            "octets" => take(&mut map, "octets", &mut octets)?,
            "names" => take(&mut map, "names", &mut names)?,
            // Of tomorrow.
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    let whole = |field: &str, value: Option<Whole<{ u64::MAX }>>| Ok(needed::<_, A::Error>(field, value)?.0);
    let load = |field: &str, value: Option<Whole<LOAD>>| Ok(needed::<_, A::Error>(field, value)?.0 as u16);
    Ok(LoadReport {
        server: needed::<Name, A::Error>("server", server)?.0,
        started: whole("started", started)?,
        number: whole("number", number)?,
        sent: whole("sent", sent)?,
        processor: load("processor", processor)?,
        disk: load("disk", disk)?,
        network: load("network", network)?,
        state: state.unwrap_or_default(),
        requests: requests.map_or(0, |value: Whole<REQUESTS>| value.0 as u32),
        octets: octets.map_or(0, |value: Whole<{ u64::MAX }>| value.0),
        names: names.map_or_else(Vec::new, |names: Names| names.0),
    })
}

const LOAD: u64 = u16::MAX as u64;
const REQUESTS: u64 = u32::MAX as u64;

/// A number up to `MOST`.
#[derive(Clone, Copy)]
struct Whole<const MOST: u64>(u64);

impl<'de, const MOST: u64> Deserialize<'de> for Whole<MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number<const MOST: u64>;
        impl<const MOST: u64> Visitor<'_> for Number<MOST> {
            type Value = Whole<MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 0 to {MOST}")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                if value > MOST {
                    return Err(E::invalid_value(Unexpected::Unsigned(value), &self));
                }
                Ok(Whole(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Err(E::invalid_value(Unexpected::Signed(value), &self))
            }
        }
        from.deserialize_u64(Number::<MOST>)
    }
}

/// A name of a server, or one that clients ask for.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a name of 1 to {LONGEST_NAME} octets")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Name, E> {
                if !(1..=LONGEST_NAME).contains(&value.len()) {
                    return Err(E::invalid_value(Unexpected::Str(value), &self));
                }
                Ok(Name(value.to_owned()))
            }
        }
        from.deserialize_str(Text)
    }
}

/// At most [`MOST_NAMES`].
struct Names(Vec<NameLoad>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_NAMES} names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                loop {
                    let at = names.len() + 1;
                    let next =
                        list.next_element().map_err(|error| within(format_args!("number {at}"), &error));
                    match next? {
                        None => return Ok(Names(names)),
                        Some(_) if at > MOST_NAMES => return Err(A::Error::invalid_length(at, &self)),
                        Some(name) => names.push(name),
                    }
                }
            }
        }
        from.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for NameLoad {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = NameLoad;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{\"name\": NAME, \"share\": THOUSANDTHS}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NameLoad, A::Error> {
                let (mut name, mut share) = (None, None);
                while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                    match &*key {
                        "name" => take(&mut map, "name", &mut name)?,
                        "share" => take(&mut map, "share", &mut share)?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let name: Name = needed("name", name)?;
                let share: Whole<LOAD> = needed("share", share)?;
                Ok(NameLoad { name: name.0, share: share.0 as u16 })
            }
        }
        from.deserialize_map(One)
    }
}
