//! Load reports: each second a server tells how it is, in one datagram or as JSON over HTTP.
//!
//! ```text
//! datagram   0      4         5        6                 22
//!            "rcLR" │ version │ key id │ MAC (16 octets) │ fields …
//!
//! field      0      1        3
//!            type   │ length │ value                         numbers are big-endian
//! ```
//!
//! The MAC is the first half of HMAC-SHA-256 over the datagram with the MAC's own octets left out. A reader skips fields of types that
//! it does not know, so a newer sender may add some; what an older reader must not misread gets a new version. The sender's
//! clock, its start and a number that grows make an old report useless to whoever kept a copy.
//!
//! | type | name | value |
//! |---|---|---|
//! | 1 | server | name, 1 to 255 octets of UTF-8 |
//! | 2 | started | 8 octets: when the sender started, milliseconds since 1970 |
//! | 3 | number | 8 octets: grows with each report since the start |
//! | 4 | sent | 8 octets: the sender's clock, milliseconds since 1970 |
//! | 5 | load | 3 × 2 octets: processor, disk, network, in thousandths of what the server can do |
//! | 6 | state | 1 octet: 0 serves, 1 is about to stop |
//! | 7 | name | 2 octets: thousandths of the server's load; then the name. At most [`MOST_NAMES`] |
//! | 8 | requests | 4 octets: per second |
//! | 9 | octets | 8 octets: sent per second |

mod json;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

pub const VERSION: u8 = 1;
/// Longest datagram that is read; one that is written is never longer.
pub const LONGEST: usize = 1400;
/// Most names that a report lists.
pub const MOST_NAMES: usize = 16;
/// Most reports in one JSON document.
pub const MOST_REPORTS: usize = 10_000;
const MAGIC: &[u8; 4] = b"rcLR";
const HEAD: usize = 6;
const MAC: usize = 16;
/// Fewest octets of a key: half of what the MAC's hash has.
pub const SHORTEST_KEY: usize = 16;

/// How a server is. Loads are in thousandths of what it can do and may be above 1000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadReport {
    pub server: String,
    /// When the sender started, in milliseconds since 1970.
    pub started: u64,
    /// Grows with each report since then.
    pub number: u64,
    /// The sender's clock, in milliseconds since 1970.
    pub sent: u64,
    pub processor: u16,
    pub disk: u16,
    pub network: u16,
    pub state: State,
    /// Requests per second.
    pub requests: u32,
    /// Octets sent per second.
    pub octets: u64,
    /// The names that cause most of the load, with their share of it in thousandths, largest first.
    pub names: Vec<NameLoad>,
}

impl LoadReport {
    /// What limits the server: the largest of its loads.
    pub fn load(&self) -> u16 {
        self.processor.max(self.disk).max(self.network)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    #[default]
    Serves,
    /// Wants no new clients: it is about to stop.
    Stops,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameLoad {
    /// Name as clients ask for it, lowercase, without the final dot.
    pub name: String,
    pub share: u16,
}

/// Why a report is not taken. Each is counted by its reader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{0} octets are no load report; one has 22 to {LONGEST}")]
    Length(usize),
    #[error("this is no load report: it does not begin with \"rcLR\"")]
    NotOne,
    #[error("the report is of version {0}, this reader knows version {VERSION}: update the reader first")]
    Version(u8),
    #[error("the report is signed with key {0}, which this reader does not have")]
    Key(u8),
    #[error(
        "the report's MAC is wrong for key {0}: sender and reader have different keys, or somebody changed it"
    )]
    Mac(u8),
    #[error("field {field} of the report is broken: {why}")]
    Field { field: u8, why: &'static str },
    #[error("the report has no {0}")]
    Missing(&'static str),
    #[error("this is no JSON of load reports: {0}")]
    Json(String),
    #[error("key {id} does not speak for server {server}")]
    Server { id: u8, server: String },
    #[error("{0} reports at once, more than {MOST_REPORTS}")]
    TooMany(usize),
}

/// Keys by their number. Several are good at once so that they can be changed without losing a report.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<u8, Key>);

#[derive(Clone)]
struct Key {
    key: hmac::Key,
    /// For which servers it speaks; all if it is empty.
    servers: Vec<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A key that is too short to keep a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {id} has {length} octets; give it at least {SHORTEST_KEY}, from a random source")]
pub struct ShortKey {
    pub id: u8,
    pub length: usize,
}

impl Keys {
    /// # Errors
    /// The key is too short.
    pub fn add(&mut self, id: u8, secret: &[u8]) -> Result<(), ShortKey> {
        if secret.len() < SHORTEST_KEY {
            return Err(ShortKey { id, length: secret.len() });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        self.0.insert(id, Key { key, servers: Vec::new() });
        Ok(())
    }

    /// Lets a key speak for these servers only; `*` in last place stands for anything. One that an attacker took from one of them is then
    /// good for these alone.
    pub fn bind(&mut self, id: u8, servers: Vec<String>) {
        if let Some(key) = self.0.get_mut(&id) {
            key.servers = servers;
        }
    }

    fn speaks_for(&self, id: u8, server: &str) -> Result<(), Refused> {
        let is = |pattern: &String| match pattern.strip_suffix('*') {
            Some(front) => server.starts_with(front),
            None => pattern == server,
        };
        match self.0.get(&id) {
            Some(key) if key.servers.is_empty() || key.servers.iter().any(is) => Ok(()),
            _ => Err(Refused::Server { id, server: server.to_owned() }),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn sign(&self, id: u8, parts: &[&[u8]]) -> Option<[u8; MAC]> {
        let mut context = hmac::Context::with_key(&self.0.get(&id)?.key);
        for part in parts {
            context.update(part);
        }
        context.sign().as_ref().first_chunk().copied()
    }

    fn agrees(&self, id: u8, parts: &[&[u8]], mac: &[u8]) -> Result<(), Refused> {
        let own = self.sign(id, parts).ok_or(Refused::Key(id))?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&own, mac).map_err(|_| Refused::Mac(id))
    }

    /// The MAC of a JSON document, in hexadecimal: what goes into the header field beside it. None for a key that is not there.
    pub fn sign_json(&self, id: u8, document: &[u8]) -> Option<String> {
        let mac = self.sign(id, &[b"json", document])?;
        Some(mac.iter().map(|octet| format!("{octet:02x}")).collect())
    }
}

/// Writes a report as a datagram. Names that do not fit are left out, smallest share first.
///
/// # Errors
/// There is no such key, or the server's name is empty or longer than 255 octets.
pub fn write(report: &LoadReport, keys: &Keys, id: u8) -> Result<Vec<u8>, Refused> {
    let mut datagram = Vec::with_capacity(256);
    datagram.extend_from_slice(MAGIC);
    datagram.extend_from_slice(&[VERSION, id]);
    datagram.resize(HEAD + MAC, 0);
    if report.server.is_empty() || report.server.len() > 255 {
        return Err(Refused::Field { field: 1, why: "a server's name has 1 to 255 octets" });
    }
    let mut field = |kind: u8, value: &[&[u8]]| {
        let length: usize = value.iter().map(|part| part.len()).sum();
        if datagram.len() + 3 + length <= LONGEST {
            datagram.push(kind);
            datagram.extend_from_slice(&(length as u16).to_be_bytes());
            value.iter().for_each(|part| datagram.extend_from_slice(part));
        }
    };
    field(1, &[report.server.as_bytes()]);
    field(2, &[&report.started.to_be_bytes()]);
    field(3, &[&report.number.to_be_bytes()]);
    field(4, &[&report.sent.to_be_bytes()]);
    let loads = [report.processor, report.disk, report.network].map(u16::to_be_bytes);
    field(5, &[&loads[0], &loads[1], &loads[2]]);
    field(6, &[&[u8::from(report.state == State::Stops)]]);
    field(8, &[&report.requests.to_be_bytes()]);
    field(9, &[&report.octets.to_be_bytes()]);
    for name in report.names.iter().take(MOST_NAMES).filter(|name| (1..=255).contains(&name.name.len())) {
        field(7, &[&name.share.to_be_bytes(), name.name.as_bytes()]);
    }
    let mac = keys.sign(id, &[&datagram[..HEAD], &datagram[HEAD + MAC..]]).ok_or(Refused::Key(id))?;
    datagram[HEAD..HEAD + MAC].copy_from_slice(&mac);
    Ok(datagram)
}

/// Reads a datagram.
///
/// # Errors
/// It is no report, or nobody with one of these keys wrote it.
pub fn read(datagram: &[u8], keys: &Keys) -> Result<LoadReport, Refused> {
    if datagram.len() < HEAD + MAC || datagram.len() > LONGEST {
        return Err(Refused::Length(datagram.len()));
    }
    if !datagram.starts_with(MAGIC) {
        return Err(Refused::NotOne);
    }
    let (version, id) = (datagram[4], datagram[5]);
    if version != VERSION {
        return Err(Refused::Version(version));
    }
    let fields = &datagram[HEAD + MAC..];
    keys.agrees(id, &[&datagram[..HEAD], fields], &datagram[HEAD..HEAD + MAC])?;
    let mut report = LoadReport::default();
    let mut seen = 0_u32;
    let mut rest = fields;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let broken = |why| Refused::Field { field: *kind, why };
        let value = after.get(..length).ok_or_else(|| broken("it is longer than the datagram"))?;
        rest = &after[length..];
        let eight = || value.try_into().map(u64::from_be_bytes).map_err(|_| broken("it has 8 octets"));
        let text = |octets: &[u8]| match std::str::from_utf8(octets) {
            Ok(text) if (1..=255).contains(&text.len()) => Ok(text.to_owned()),
            _ => Err(broken("a name has 1 to 255 octets of UTF-8")),
        };
        match kind {
            1 => report.server = text(value)?,
            2 => report.started = eight()?,
            3 => report.number = eight()?,
            4 => report.sent = eight()?,
            5 => {
                let &[a, b, c, d, e, f] = value else { return Err(broken("it has 6 octets")) };
                report.processor = u16::from_be_bytes([a, b]);
                report.disk = u16::from_be_bytes([c, d]);
                report.network = u16::from_be_bytes([e, f]);
            }
            6 => {
                report.state = match value {
                    [0] => State::Serves,
                    [1] => State::Stops,
                    _ => return Err(broken("it is 0 or 1")),
                }
            }
            7 => {
                let Some((share, name)) = value.split_first_chunk() else {
                    return Err(broken("it has a share and a name"));
                };
                if report.names.len() == MOST_NAMES {
                    return Err(broken("there are more of it than a report may have"));
                }
                report.names.push(NameLoad { share: u16::from_be_bytes(*share), name: text(name)? });
            }
            8 => {
                let four = value.try_into().map_err(|_| broken("it has 4 octets"))?;
                report.requests = u32::from_be_bytes(four);
            }
            9 => report.octets = eight()?,
            _ => {}
        }
        seen |= 1_u32.checked_shl(u32::from(*kind)).unwrap_or(0);
    }
    if !rest.is_empty() {
        return Err(Refused::Field { field: rest[0], why: "the datagram ends within it" });
    }
    for (kind, name) in [(1, "server"), (2, "start"), (3, "number"), (4, "time"), (5, "load")] {
        if seen & (1 << kind) == 0 {
            return Err(Refused::Missing(name));
        }
    }
    keys.speaks_for(id, &report.server)?;
    Ok(report)
}

/// Reads a JSON document: one report or a list. `mac` is what its sender put beside it.
///
/// # Errors
/// It is no report, or nobody with one of these keys wrote it.
pub fn read_json(document: &[u8], keys: &Keys, id: u8, mac: &str) -> Result<Vec<LoadReport>, Refused> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let mac: Option<Vec<u8>> = mac.as_bytes().chunks(2).map(pair).collect();
    keys.agrees(id, &[b"json", document], &mac.unwrap_or_default())?;
    let reports = json::read(document)?;
    for report in &reports {
        keys.speaks_for(id, &report.server)?;
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.add(1, b"an old secret of some length").unwrap();
        keys.add(2, b"a new secret of some length").unwrap();
        keys
    }

    fn report() -> LoadReport {
        LoadReport {
            server: "edge-1.ams".into(),
            started: 1_700_000_000_000,
            number: 7,
            sent: 1_700_000_007_000,
            processor: 310,
            disk: 20,
            network: 1_200,
            state: State::Serves,
            requests: 4_100,
            octets: 9_000_000_000,
            names: vec![NameLoad { name: "a1.g.cdn.example".into(), share: 700 }],
        }
    }

    #[test]
    fn what_limits_a_server_is_its_load() {
        assert_eq!(report().load(), 1_200);
    }

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        let datagram = write(&report(), &keys(), 2).unwrap();
        assert_eq!(read(&datagram, &keys()), Ok(report()));
        assert_eq!(write(&report(), &keys(), 3), Err(Refused::Key(3)));
    }

    #[test]
    fn every_octet_counts() {
        let datagram = write(&report(), &keys(), 1).unwrap();
        for at in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 1;
            assert!(read(&changed, &keys()).is_err(), "octet {at} can be changed unnoticed");
        }
        assert!(read(&datagram[..datagram.len() - 1], &keys()).is_err());
    }

    #[test]
    fn fields_of_tomorrow_are_skipped() {
        let mut datagram = write(&report(), &keys(), 1).unwrap();
        datagram.extend_from_slice(&[200, 0, 2, 9, 9]);
        let mac = keys().sign(1, &[&datagram[..HEAD], &datagram[HEAD + MAC..]]).unwrap();
        datagram[HEAD..HEAD + MAC].copy_from_slice(&mac);
        assert_eq!(read(&datagram, &keys()), Ok(report()));
    }

    #[test]
    fn names_that_do_not_fit_are_left_out() {
        let name = |at: usize| NameLoad { name: format!("{at}{}", "x".repeat(200)), share: 10 };
        let many = LoadReport { names: (0..16).map(name).collect(), ..report() };
        let datagram = write(&many, &keys(), 1).unwrap();
        assert!(datagram.len() <= LONGEST);
        assert_eq!(read(&datagram, &keys()).unwrap().names, (0..6).map(name).collect::<Vec<_>>());
    }

    #[test]
    fn json_says_the_same() {
        let document = serde_json::to_vec(&vec![report()]).unwrap();
        let mac = keys().sign_json(1, &document).unwrap();
        assert_eq!(read_json(&document, &keys(), 1, &mac), Ok(vec![report()]));
        assert_eq!(read_json(&document, &keys(), 2, &mac), Err(Refused::Mac(2)));
        assert_eq!(read_json(&document, &keys(), 1, "zz"), Err(Refused::Mac(1)));
        let one = br#"{"server":"s","started":1,"number":2,"sent":3,"processor":4,"disk":5,"network":6,"tomorrow":7}"#;
        let mac = keys().sign_json(1, one).unwrap();
        assert_eq!(read_json(one, &keys(), 1, &mac).unwrap()[0].load(), 6);
    }

    /// What is wrong with a document that has a good MAC.
    fn wrong(document: &str) -> String {
        let mac = keys().sign_json(1, document.as_bytes()).unwrap();
        read_json(document.as_bytes(), &keys(), 1, &mac).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_json_is_said_with_its_field_and_place() {
        let good = r#"{"server":"s","started":1,"number":2,"sent":3,"processor":4,"disk":5,"network":6}"#;
        let with = |field: &str| good.replace('}', &format!(",{field}}}"));
        let cases = [
            (good.replace(r#""disk":5,"#, ""), "disk: it is missing at line 1 column 72"),
            (
                good.replace(":4", ":0.5"),
                "processor: invalid type: floating point `0.5`, expected a whole number from 0 to 65535 at line 1 column 61",
            ),
            (
                good.replace(":4", ":-1"),
                "processor: invalid value: integer `-1`, expected a whole number from 0 to 65535 at line 1 column 60",
            ),
            (
                good.replace(":6", ":65536"),
                "network: invalid value: integer `65536`, expected a whole number from 0 to 65535 at line 1 column 84",
            ),
            (
                good.replace(":2,", ":\"2\","),
                "number: invalid type: string \"2\", expected a whole number from 0 to 18446744073709551615 at line 1 column 38",
            ),
            (
                good.replace("\"s\"", "\"\""),
                "server: invalid value: string \"\", expected a name of 1 to 255 octets at line 1 column 12",
            ),
            (
                with(r#""state":"sleeps""#),
                "state: unknown variant `sleeps`, expected `serves` or `stops` at line 1 column 97",
            ),
            (
                with(r#""names":[{"name":"a","share":1},{"name":"b"}]"#),
                "names: number 2: share: it is missing at line 1 column 125",
            ),
            (
                with(&format!(r#""names":[{}]"#, vec![r#"{"name":"a","share":1}"#; 17].join(","))),
                "names: invalid length 17, expected at most 16 names",
            ),
            (with(r#""disk":1"#), "disk: it is there twice at line 1 column 87"),
            (
                format!("[{good},{}]", good.replace(":4", ":{}")),
                "report 2 of the list: processor: invalid type: map, expected a whole number from 0 to 65535 at line 1 column 141",
            ),
            (
                "7".into(),
                "invalid type: integer `7`, expected a load report, or a list of them at line 1 column 1",
            ),
            (
                "[7]".into(),
                "report 1 of the list: invalid type: integer `7`, expected a load report at line 1 column 2",
            ),
            (" \n".into(), "EOF while parsing a value at line 2 column 0"),
            (format!("{good} x"), "trailing characters at line 1 column 83"),
        ];
        for (document, expected) in cases {
            let said = wrong(&document);
            let said = said.strip_prefix("this is no JSON of load reports: ").unwrap();
            assert!(said.starts_with(expected), "{document}:\n{said}\n{expected}");
        }
        let many = format!("[{}]", vec![good; MOST_REPORTS + 1].join(","));
        assert_eq!(wrong(&many), Refused::TooMany(MOST_REPORTS + 1).to_string());
    }

    #[test]
    fn a_key_may_speak_for_some_servers_only() {
        let mut keys = keys();
        keys.bind(1, vec!["edge-2.ams".into(), "edge-1.*".into()]);
        let told = |server: &str, id| {
            let datagram = write(&LoadReport { server: server.into(), ..report() }, &keys, id).unwrap();
            let document = serde_json::to_vec(&LoadReport { server: server.into(), ..report() }).unwrap();
            let mac = keys.sign_json(id, &document).unwrap();
            let both =
                (read(&datagram, &keys).map(|_| ()), read_json(&document, &keys, id, &mac).map(|_| ()));
            assert_eq!(both.0, both.1);
            both.0
        };
        assert_eq!(
            (told("edge-1.ams", 1), told("edge-2.ams", 1), told("edge-3.ams", 2)),
            (Ok(()), Ok(()), Ok(()))
        );
        for server in ["edge-2.ams2", "edge-2.am", "edge-3.ams"] {
            assert_eq!(told(server, 1), Err(Refused::Server { id: 1, server: server.into() }));
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(Keys::default().add(1, b"secret"), Err(ShortKey { id: 1, length: 6 }));
        assert!(!format!("{:?}", keys()).contains("secret"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in r#"[\[\]{}:,"0-9.a-z\\ -]{0,80}"#, after in 0..83_usize) {
            let good = r#"{"server":"s","started":1,"number":2,"sent":3,"processor":4,"disk":5,"network":6}"#;
            let (front, back) = good.split_at(after.min(good.len()));
            let document = format!("{front}{text}{back}");
            let mac = keys().sign_json(1, document.as_bytes()).unwrap();
            let _ = read_json(document.as_bytes(), &keys(), 1, &mac);
        }

        #[test]
        fn no_octets_are_too_much(octets in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let _ = read(&octets, &keys());
            // And behind a good MAC.
            let mut datagram = [MAGIC.as_slice(), &[VERSION, 1], &[0; MAC], &octets[..octets.len().min(1300)]].concat();
            let mac = keys().sign(1, &[&datagram[..HEAD], &datagram[HEAD + MAC..]]).unwrap();
            datagram[HEAD..HEAD + MAC].copy_from_slice(&mac);
            let _ = read(&datagram, &keys());
        }

        #[test]
        fn any_report_arrives(
            server in "[a-z0-9.-]{1,40}",
            numbers in any::<[u64; 3]>(),
            loads in any::<[u16; 3]>(),
            names in proptest::collection::vec(("[a-z.]{1,30}", any::<u16>()), 0..16),
        ) {
            let report = LoadReport {
                server, started: numbers[0], number: numbers[1], sent: numbers[2],
                processor: loads[0], disk: loads[1], network: loads[2],
                state: State::Stops, requests: 3, octets: 5,
                names: names.into_iter().map(|(name, share)| NameLoad { name, share }).collect(),
            };
            prop_assert_eq!(read(&write(&report, &keys(), 2).unwrap(), &keys()), Ok(report));
        }
    }
}
