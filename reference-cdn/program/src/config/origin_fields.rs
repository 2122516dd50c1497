//! The fields of the origin side: the section `[origin]`, and each table `[[customer.origin]]`.

use std::path::PathBuf;
use std::time::Duration;

use edge::{Protocol, Role};
use http::StatusCode;

use super::Draft;
use super::customer::OriginDraft;
use super::fields::{Field, KIB, MIB, SECOND, count, size, time, word};
use super::value::{Kind, Wrong, origin};

const PROTOCOLS: [Protocol; 3] = [Protocol::Auto, Protocol::H1, Protocol::H2];
const ROLES: [Role; 3] = [Role::Primary, Role::Backup, Role::Parent];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Statuses as people write them.
pub fn statuses(texts: &[&str]) -> Result<Vec<StatusCode>, Wrong> {
    let status = |text: &&str| {
        let number = text.parse::<u16>().ok().filter(|number| (400..600).contains(number));
        number.and_then(|number| StatusCode::from_u16(number).ok()).ok_or_else(|| {
            Wrong::new(format!("\"{text}\" is not a status that tells of a failure"))
                .hint("400 to 599, such as \"502\", \"503\", \"504\"")
        })
    };
    texts.iter().map(status).collect()
}

/// The path of a probe.
pub fn probe_path(text: &str) -> Result<String, Wrong> {
    let is_path = text == "*" || (text.starts_with('/') && http::uri::PathAndQuery::try_from(text).is_ok());
    if is_path {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("\"{text}\" is not a path"))
        .hint("it begins with a slash, as in \"/health\"; \"*\" asks with OPTIONS *"))
}

/// The Host of a probe.
pub fn probe_host(text: &str) -> Result<String, Wrong> {
    match http::uri::Authority::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Wrong::new(format!("\"{text}\" is not a host: {error}"))
            .hint("a name, with a port if the origin wants one, as in \"www.example.com\"")),
    }
}

fn expected(text: &str) -> Result<(u16, u16), Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|it| (100..600).contains(it));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Wrong::new(format!("\"{text}\" are no statuses")).hint("such as \"200\" or \"200-399\"")),
    }
}

fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("the path is empty").hint("leave the field out"));
    }
    Ok(PathBuf::from(text))
}

/// The section `[origin]`: the one origin of hosts that no customer has, and what holds for all origins.
pub const ORIGIN_FIELDS: &[Field<Draft>] = &[
    Field {
        path: "origin.url",
        kind: Kind::Text {
            form: "\"http://HOST:PORT\" or \"https://HOST:PORT\"",
            set: |draft, text| origin(text).map(|it| draft.origin.url = Some(it)),
        },
        default: None,
        meaning: "Where the content of all hosts comes from that no customer has. Required where there is no [[customer]].",
        bounds: "Requests go nowhere else, whatever their Host field or target says, and redirects are not followed.",
    },
    Field {
        path: "origin.host",
        kind: Kind::Choice {
            words: &["client", "origin"],
            set: |draft, index| draft.origin_defaults.keep_host = index == 0,
        },
        default: Some("client"),
        meaning: "Whose name the Host field of requests to the origin has: the client's, or that of origin.url.",
        bounds: "The cache key has the client's name in any case, so two names never share a response.",
    },
    Field {
        path: "origin.protocol",
        kind: Kind::Choice {
            words: &["auto", "h1", "h2"],
            set: |draft, index| draft.origin.protocol = Some(PROTOCOLS[index]),
        },
        default: None,
        meaning: "Version of HTTP towards origins: as agreed in TLS (auto, the default), HTTP/1.1, or HTTP/2, also in clear text.",
        bounds: "HTTP/2 carries many requests on one connection; what is lost on it holds up all of them.",
    },
    Field {
        path: "origin.server-name",
        kind: Kind::Text {
            form: "a host name",
            set: |draft, text| {
                draft.origin.server_name = Some(text.to_owned());
                Ok(())
            },
        },
        default: None,
        meaning: "Name to ask an https origin.url for and to find in its certificate. By default that of the Host field sent.",
        bounds: "Without it clients decide which name is asked for; with it there is one, and one set of connections.",
    },
    Field {
        path: "origin.ca",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| path(text).map(|it| draft.origin.ca = Some(it)),
        },
        default: None,
        meaning: "PEM file of the authorities that sign certificates of origins. By default those that the system trusts.",
        bounds: "Whoever can get a certificate from a trusted authority can be taken for the origin. Read again on SIGHUP or POST /reload, like origin.certificate and origin.key.",
    },
    Field {
        path: "origin.certificate",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| path(text).map(|it| draft.origin.certificate = Some(it)),
        },
        default: None,
        meaning: "PEM file of the certificate chain to show to origins that ask for one.",
        bounds: "An origin that asks for it answers this CDN alone.",
    },
    Field {
        path: "origin.key",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| path(text).map(|it| draft.origin.key = Some(it)),
        },
        default: None,
        meaning: "PEM file of the private key that goes with origin.certificate.",
        bounds: "In a file that only the edge's user can read.",
    },
    Field {
        path: "origin.connections",
        kind: count(1, 65_536, |draft, n| draft.origin_defaults.limits.connections = word(n)),
        default: Some("512"),
        meaning: "Requests to an origin at once, each on a connection of its own or a stream of HTTP/2; further ones wait.",
        bounds: "Protects the origin from a crowd whose requests cannot be collapsed.",
    },
    Field {
        path: "origin.idle-connections",
        kind: count(0, 65_536, |draft, n| draft.origin_defaults.limits.idle_connections = word(n)),
        default: Some("64"),
        meaning: "Connections to an origin kept open for later.",
        bounds: "Each costs the origin and this machine a descriptor and memory.",
    },
    Field {
        path: "origin.idle",
        kind: time(|draft, time| draft.origin_defaults.limits.idle = time),
        default: Some("30s"),
        meaning: "How long an unused connection to an origin is kept.",
        bounds: "Below the origin's own limit, a request rarely meets a connection that is just being closed.",
    },
    Field {
        path: "origin.connection-age",
        kind: Kind::Time {
            least: SECOND,
            most: DAY,
            set: |draft, time| draft.origin_defaults.limits.age = time,
        },
        default: Some("10m"),
        meaning: "How long a connection to an origin is given new requests.",
        bounds: "An origin whose addresses change is left after this time; so is one of several behind one address.",
    },
    Field {
        path: "origin.connection-requests",
        kind: count(1, 100_000_000, |draft, n| draft.origin_defaults.limits.requests = n),
        default: Some("10000"),
        meaning: "Requests that a connection to an origin is given.",
        bounds: "What an origin keeps for each connection and never frees.",
    },
    Field {
        path: "origin.streams",
        kind: count(1, 1000, |draft, n| draft.origin_defaults.limits.streams = word(n)),
        default: Some("64"),
        meaning: "Requests at once on one HTTP/2 connection to an origin; fewer if the origin says so.",
        bounds: "Each may hold 256 KiB that its client has not read yet; a lost packet holds up all of them.",
    },
    Field {
        path: "origin.wait",
        kind: time(|draft, time| draft.origin_defaults.limits.wait = time),
        default: Some("5s"),
        meaning: "How long a request may wait for its turn when origin.connections are in use.",
        bounds: "A crowd that waits for a slow origin is answered with stored responses or 502 after this time.",
    },
    Field {
        path: "origin.resolve",
        kind: time(|draft, time| draft.origin_defaults.limits.resolve = time),
        default: Some("2s"),
        meaning: "How long looking up an origin's name may take.",
        bounds: "Name servers that do not answer. Addresses found before stay in use.",
    },
    Field {
        path: "origin.resolve-again",
        kind: time(|draft, time| draft.origin_defaults.limits.resolve_again = time),
        default: Some("30s"),
        meaning: "How long an origin's addresses are used before they are looked up again, in the background.",
        bounds: "An origin that moves is followed within this time and origin.connection-age.",
    },
    Field {
        path: "origin.connect",
        kind: time(|draft, time| draft.origin_defaults.limits.connect = time),
        default: Some("5s"),
        meaning: "How long connecting to an origin may take, over all its addresses.",
        bounds: "A dead origin is answered with a stored response or 502 after this time.",
    },
    Field {
        path: "origin.handshake",
        kind: time(|draft, time| draft.origin_defaults.limits.handshake = time),
        default: Some("5s"),
        meaning: "How long the TLS handshake with an origin may take.",
        bounds: "An origin that accepts connections and says nothing.",
    },
    Field {
        path: "origin.response",
        kind: time(|draft, time| draft.origin_defaults.limits.response = time),
        default: Some("30s"),
        meaning: "How long an origin may neither begin its response nor take content of the request.",
        bounds: "A hung origin is answered with a stored response or 504 after this time.",
    },
    Field {
        path: "origin.head-time",
        kind: time(|draft, time| draft.origin_defaults.limits.head = time),
        default: Some("10s"),
        meaning: "How long the head of an origin's response may take from its first octet.",
        bounds: "An origin that sends an octet at a time.",
    },
    Field {
        path: "origin.content-stall",
        kind: time(|draft, time| draft.origin_defaults.limits.content_stall = time),
        default: Some("30s"),
        meaning: "How long an origin may send nothing within the content of a response.",
        bounds: "Everybody who waits for that content would wait for ever.",
    },
    Field {
        path: "origin.fetch",
        kind: Kind::Time {
            least: SECOND,
            most: Duration::from_secs(7 * 24 * 3600),
            set: |draft, time| draft.origin_defaults.limits.total = time,
        },
        default: Some("24h"),
        meaning: "How long a whole fetch may take, from the request to the end of the content.",
        bounds: "Fetches that creep on for ever without ever stalling. Long transfers to slow clients need it long.",
    },
    Field {
        path: "origin.ping",
        kind: time(|draft, time| draft.origin_defaults.limits.ping = time),
        default: Some("15s"),
        meaning: "How long an HTTP/2 connection in use may be silent before it is asked whether it is alive.",
        bounds: "Requests given to a connection whose other end is gone.",
    },
    Field {
        path: "origin.pong",
        kind: time(|draft, time| draft.origin_defaults.limits.pong = time),
        default: Some("5s"),
        meaning: "How long the answer to that may take; then the connection is closed.",
        bounds: "As origin.ping.",
    },
    Field {
        path: "origin.head",
        kind: size(8 * KIB, MIB, |draft, n| draft.origin_defaults.limits.head_bytes = word(n)),
        default: Some("64KiB"),
        meaning: "Octets of a response head from an origin.",
        bounds: "Memory for each request to an origin that lies.",
    },
    Field {
        path: "origin.fields",
        kind: count(16, 1024, |draft, n| draft.origin_defaults.limits.fields = word(n)),
        default: Some("128"),
        meaning: "Field lines in a response head from an origin.",
        bounds: "Processor time for each request to an origin that lies.",
    },
    Field {
        path: "origin.tries",
        kind: count(1, 16, |draft, n| draft.origin_defaults.retry.origins = n as u32),
        default: Some("3"),
        meaning: "Origins of one customer that a request is sent to at most. Only what is harmless to send again is.",
        bounds: "A single origin is asked once in any case.",
    },
    Field {
        path: "origin.retry-time",
        kind: time(|draft, time| draft.origin_defaults.retry.time = time),
        default: Some("10s"),
        meaning: "No further origin is asked after this time.",
        bounds: "Clients that wait through one origin's time-out after the other.",
    },
    Field {
        path: "origin.retry-share",
        kind: count(0, 100, |draft, n| draft.origin_defaults.retry.share = n as u32),
        default: Some("20"),
        meaning: "Requests of a customer that may be sent to a further origin, in percent of all.",
        bounds: "Origins that fail under load must not be asked twice as much for it.",
    },
    Field {
        path: "origin.retry-reserve",
        kind: count(0, 100_000, |draft, n| draft.origin_defaults.retry.reserve = n as u32),
        default: Some("100"),
        meaning: "Requests that may be sent to a further origin before that share counts: those under way when an origin dies.",
        bounds: "As origin.retry-share.",
    },
    Field {
        path: "origin.failure-statuses",
        kind: Kind::List {
            form: "statuses, such as \"503\"",
            set: |draft, texts| statuses(texts).map(|it| draft.origin_defaults.retry.statuses = it),
        },
        default: None,
        meaning: "Statuses that count as an origin's failure: another is asked, and Retry-After ejects. None by default.",
        bounds: "Many origins answer 503 for one page and are well otherwise.",
    },
    Field {
        path: "origin.failures",
        kind: count(1, 10_000, |draft, n| draft.origin_defaults.ejection.failures = n as u32),
        default: Some("5"),
        meaning: "Failures in a row that eject an origin, where there are several: it gets no requests for a while.",
        bounds: "Requests that go to a dead origin first.",
    },
    Field {
        path: "origin.failure-share",
        kind: count(1, 100, |draft, n| draft.origin_defaults.ejection.share = n as u32),
        default: Some("50"),
        meaning: "Share of failures, in percent, that ejects an origin, of at least origin.failure-requests within origin.failure-window.",
        bounds: "An origin that fails every other time never fails often in a row.",
    },
    Field {
        path: "origin.failure-requests",
        kind: count(1, 1_000_000, |draft, n| draft.origin_defaults.ejection.requests = n as u32),
        default: Some("20"),
        meaning: "Requests that the share of failures has to be of.",
        bounds: "One failure of two requests says nothing.",
    },
    Field {
        path: "origin.failure-window",
        kind: time(|draft, time| draft.origin_defaults.ejection.window = time),
        default: Some("10s"),
        meaning: "How far back failures count towards that share.",
        bounds: "Failures of an hour ago say nothing about now.",
    },
    Field {
        path: "origin.ejection",
        kind: time(|draft, time| draft.origin_defaults.ejection.time = time),
        default: Some("5s"),
        meaning: "How long an origin is ejected at first; twice as long each time it fails again soon after. Then one request tries it.",
        bounds: "Requests spent on finding out that it is still dead.",
    },
    Field {
        path: "origin.most-ejection",
        kind: time(|draft, time| draft.origin_defaults.ejection.most_time = time),
        default: Some("5m"),
        meaning: "How long an origin is ejected at most, also when it asks for more with Retry-After.",
        bounds: "An origin that is well again is used again after this time.",
    },
    Field {
        path: "origin.probe",
        kind: Kind::Text {
            form: "\"/PATH\" or \"*\"",
            set: |draft, text| probe_path(text).map(|it| draft.probe_path = Some(it)),
        },
        default: None,
        meaning: "Path that each origin is asked for from time to time; \"*\" asks with OPTIONS *, for parent edges. Off by default.",
        bounds: "Found out by probes, a dead origin costs no request.",
    },
    Field {
        path: "origin.probe-host",
        kind: Kind::Text {
            form: "a host",
            set: |draft, text| probe_host(text).map(|it| draft.probe.host = Some(it)),
        },
        default: None,
        meaning: "Host field of probes. By default the origin's own name.",
        bounds: "An origin of many sites has to be asked about the right one.",
    },
    Field {
        path: "origin.probe-interval",
        kind: time(|draft, time| draft.probe.interval = time),
        default: Some("10s"),
        meaning: "From one probe of an origin to its next, give or take a tenth.",
        bounds: "Never two at once to one origin, and never those of many origins together.",
    },
    Field {
        path: "origin.probe-timeout",
        kind: time(|draft, time| draft.probe.timeout = time),
        default: Some("2s"),
        meaning: "How long the answer to a probe may take, from connecting to its head.",
        bounds: "An origin that is too slow is as good as down.",
    },
    Field {
        path: "origin.probe-expect",
        kind: Kind::Text {
            form: "\"FIRST-LAST\", statuses",
            set: |draft, text| expected(text).map(|it| draft.probe.expect = it),
        },
        default: Some("200-399"),
        meaning: "Statuses that say that an origin is well.",
        bounds: "An origin that answers with an error page is not.",
    },
    Field {
        path: "origin.probe-up",
        kind: count(1, 1000, |draft, n| draft.probe.thresholds.up = n as u32),
        default: Some("2"),
        meaning: "Good probes in a row until an origin that was down is used again.",
        bounds: "An origin that comes and goes.",
    },
    Field {
        path: "origin.probe-down",
        kind: count(1, 1000, |draft, n| draft.probe.thresholds.down = n as u32),
        default: Some("3"),
        meaning: "Failed probes in a row until an origin is down. When all are, they are tried nevertheless.",
        bounds: "A probe that was lost on its way.",
    },
    Field {
        path: "origin.parent-load",
        kind: count(100, 1000, |draft, n| draft.origin_defaults.parents.bound.percent = n as u32),
        default: Some("125"),
        meaning: "Requests that one parent may have in flight, in percent of its share; the rest go to the next by hash.",
        bounds: "The parent of a page that everybody wants.",
    },
    Field {
        path: "origin.without-parents",
        kind: Kind::Choice {
            words: &["origins", "parents"],
            set: |draft, index| draft.origin_defaults.parents.origins_without_parents = index == 0,
        },
        default: Some("origins"),
        meaning: "Whom to ask when no parent is fit: the origins, or the least bad parent.",
        bounds: "Origins that could not carry all edges at once are better asked by parents alone.",
    },
];

/// The fields of one origin of a customer.
pub const CUSTOMER_ORIGIN_FIELDS: &[Field<OriginDraft>] = &[
    Field {
        path: "url",
        kind: Kind::Text {
            form: "\"http://HOST:PORT\" or \"https://HOST:PORT\"",
            set: |draft, text| origin(text).map(|it| draft.url = Some(it)),
        },
        default: None,
        meaning: "Where the customer's content comes from. Required; limits and times are those of [origin].",
        bounds: "Requests go nowhere else, whatever their Host field or target says, and redirects are not followed.",
    },
    Field {
        path: "role",
        kind: Kind::Choice {
            words: &["primary", "backup", "parent"],
            set: |draft, index| draft.role = Some(ROLES[index]),
        },
        default: None,
        meaning: "A primary origin (the default), a backup for when no primary is fit, or a parent edge to ask before any origin.",
        bounds: "Parents bring many edges' misses down to one fetch. They need tiers-below, or they see a loop.",
    },
    Field {
        path: "weight",
        kind: count(1, 1000, |draft, n| draft.weight = Some(n as u32)),
        default: None,
        meaning: "Its share of the requests among origins of its role, 1 by default.",
        bounds: "A small origin that gets as much as a large one.",
    },
    Field {
        path: "protocol",
        kind: Kind::Choice {
            words: &["auto", "h1", "h2"],
            set: |draft, index| draft.protocol = Some(PROTOCOLS[index]),
        },
        default: None,
        meaning: "As origin.protocol, which is the default.",
        bounds: "HTTP/2 carries many requests on one connection; what is lost on it holds up all of them.",
    },
    Field {
        path: "server-name",
        kind: Kind::Text {
            form: "a host name",
            set: |draft, text| {
                draft.server_name = Some(text.to_owned());
                Ok(())
            },
        },
        default: None,
        meaning: "Name to ask an https origin for and to find in its certificate. By default that of the Host field sent.",
        bounds: "Without it clients decide which name is asked for; with it there is one, and one set of connections.",
    },
    Field {
        path: "ca",
        kind: Kind::Text { form: "a path", set: |draft, text| path(text).map(|it| draft.ca = Some(it)) },
        default: None,
        meaning: "As origin.ca, which is the default.",
        bounds: "Whoever can get a certificate from a trusted authority can be taken for the origin.",
    },
    Field {
        path: "certificate",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| path(text).map(|it| draft.certificate = Some(it)),
        },
        default: None,
        meaning: "As origin.certificate, which with origin.key is the default.",
        bounds: "An origin that asks for it answers this CDN alone.",
    },
    Field {
        path: "key",
        kind: Kind::Text { form: "a path", set: |draft, text| path(text).map(|it| draft.key = Some(it)) },
        default: None,
        meaning: "PEM file of the private key that goes with `certificate`.",
        bounds: "In a file that only the edge's user can read.",
    },
];
