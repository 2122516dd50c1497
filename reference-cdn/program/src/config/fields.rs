//! Every field of the configuration: what it means, what it defaults to, and which attack or cost it bounds.
//!
//! [`FIELDS`] are those of the edge; [`CUSTOMER_FIELDS`] and [`CUSTOMER_ORIGIN_FIELDS`] those of each table
//! `[[customer]]` and `[[customer.origin]]`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use edge::{Host, Prefix};
use http::HeaderName;
use http_cache::{ClientDirectives, TagFields};

use edge::store::disk::{OtherVersion, Sync};

use super::Draft;
use super::customer::CustomerDraft;
pub use super::origin_fields::CUSTOMER_ORIGIN_FIELDS;
use super::origin_fields::{ORIGIN_FIELDS, probe_host, probe_path, statuses};
use super::report::REPORT_FIELDS;
use super::value::{Given, Kind, Wrong, address, host, prefix};

/// One field of a `D`.
pub struct Field<D> {
    /// Section and key, such as `client.idle`; a key alone stands before the first section.
    pub path: &'static str,
    pub kind: Kind<D>,
    /// As it would be written; `None` for fields without one.
    pub default: Option<&'static str>,
    pub meaning: &'static str,
    /// The attack or cost that it bounds, or why one would change it.
    pub bounds: &'static str,
}

impl<D> Clone for Field<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Field<D> {}

/// Sets the field with this path (such as `client.idle`).
///
/// # Errors
/// When there is no such field, or the value does not suit it.
pub fn set<D>(fields: &[Field<D>], draft: &mut D, path: &str, given: Given<'_>) -> Result<(), Wrong> {
    let field = fields
        .iter()
        .find(|field| field.path == path)
        .ok_or_else(|| Wrong::new(format!("there is no field `{path}`")))?;
    field.kind.set(draft, given).map_err(|wrong| match (&wrong.hint, field.default) {
        (Some(_), _) => wrong,
        (None, Some(default)) => wrong
            .hint(format!("the default is {default}; `reference-cdn config --explain` says what it means")),
        (None, None) => wrong.hint("`reference-cdn config --explain` says what it means"),
    })
}

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
pub(super) const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
/// Prefixes in one list.
const MOST_PREFIXES: usize = 256;

pub(super) const fn size<D>(least: u64, most: u64, set: fn(&mut D, u64)) -> Kind<D> {
    Kind::Size { least, most, set }
}

pub(super) const fn count<D>(least: u64, most: u64, set: fn(&mut D, u64)) -> Kind<D> {
    Kind::Count { least, most, set }
}

pub(super) const fn time<D>(set: fn(&mut D, Duration)) -> Kind<D> {
    Kind::Time { least: Duration::from_millis(10), most: HOUR, set }
}

/// Values are checked against their range before they get here, and ranges fit the machine's words.
pub(super) fn word(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn octet(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn paths(texts: &[&str]) -> Result<Vec<PathBuf>, Wrong> {
    if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
        return Err(Wrong::new("a path is missing").hint("leave the field out for none"));
    }
    Ok(texts.iter().map(PathBuf::from).collect())
}

fn prefixes(texts: &[&str]) -> Result<Vec<Prefix>, Wrong> {
    if texts.len() > MOST_PREFIXES {
        let wrong = format!("{} prefixes are more than {MOST_PREFIXES}", texts.len());
        return Err(Wrong::new(wrong).hint("each is compared with each client: join neighbours"));
    }
    texts.iter().map(|text| prefix(text)).collect()
}

fn token(text: &str, what: &str) -> Result<String, Wrong> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_token) {
        return Err(Wrong::new(format!("\"{text}\" is not a name for {what}"))
            .hint("1 to 64 letters, digits and signs such as - . _ (a token of RFC 9110)"));
    }
    Ok(text.to_owned())
}

fn field_name(text: &str) -> Result<HeaderName, Wrong> {
    HeaderName::try_from(text).map_err(|_| {
        Wrong::new(format!("\"{text}\" is not a field name")).hint("for example \"CDN-Cache-Control\"")
    })
}

const DIRECTIVES: [ClientDirectives; 2] = [ClientDirectives::Honor, ClientDirectives::Ignore];

/// The fields of the edge, in the order in which they are shown.
pub const FIELDS: &[Field<Draft>] = &joined::<
    Draft,
    { GENERAL.len() + ORIGIN_FIELDS.len() + SERVING.len() + REPORT_FIELDS.len() },
>(&[GENERAL, ORIGIN_FIELDS, SERVING, REPORT_FIELDS]);

const fn joined<D, const COUNT: usize>(lists: &[&[Field<D>]]) -> [Field<D>; COUNT] {
    let mut all = [lists[0][0]; COUNT];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[count] = lists[list][index];
            (index, count) = (index + 1, count + 1);
        }
        list += 1;
    }
    all
}

/// The fields before the first section.
const GENERAL: &[Field<Draft>] = &[
    Field {
        path: "listen",
        kind: Kind::Text {
            form: "\"ADDRESS:PORT\" or \"off\"",
            set: |draft, text| {
                draft.config.listen = if text == "off" { None } else { Some(address(text)?) };
                Ok(())
            },
        },
        default: Some("127.0.0.1:8080"),
        meaning: "Where clients connect in the clear; \"off\" where they connect with TLS only (tls.listen). Port 0 takes a free one.",
        bounds: "Only this machine can connect until another address is given. What goes in the clear can be read and changed on its way.",
    },
    Field {
        path: "name",
        kind: Kind::Text {
            form: "a token",
            set: |draft, text| token(text, "this CDN").map(|name| draft.settings.name = name),
        },
        default: Some("reference-cdn"),
        meaning: "Name of this CDN in Via, CDN-Loop and Cache-Status; the same for all its edges.",
        bounds: "A request that comes back with this name in CDN-Loop is a loop and is refused with 508.",
    },
    Field {
        path: "edge-id",
        kind: Kind::Text {
            form: "a token",
            set: |draft, text| token(text, "an edge").map(|id| draft.settings.edge = Some(id)),
        },
        default: None,
        meaning: "Name of this edge among those of its CDN, sent in CDN-Loop; each has its own.",
        bounds: "A request that comes back to the edge whose name it carries is a loop, whatever tiers-below says.",
    },
    Field {
        path: "tiers-below",
        kind: count(0, 8, |draft, n| draft.settings.tiers_below = n as u32),
        default: Some("0"),
        meaning: "Edges of this CDN that may have passed a request on to this one: 1 for a parent of edges that clients use.",
        bounds: "A request that has passed more of them is a loop and is refused with 508.",
    },
    Field {
        path: "client-directives",
        kind: Kind::Choice {
            words: &["honor", "ignore"],
            set: |draft, index| draft.settings.client_directives = DIRECTIVES[index],
        },
        default: Some("ignore"),
        meaning: "Whether Cache-Control and Pragma in requests are obeyed (RFC 9111 section 5.2.1).",
        bounds: "Obeyed, any client can send every one of its requests to the origin.",
    },
    Field {
        path: "targeted-fields",
        kind: Kind::List {
            form: "field names, such as \"CDN-Cache-Control\"",
            set: |draft, names| {
                let names: Result<Vec<HeaderName>, Wrong> =
                    names.iter().map(|name| field_name(name)).collect();
                draft.settings.targeted = Some(names?);
                Ok(())
            },
        },
        default: None,
        meaning: "Response fields that stand for Cache-Control and Expires here, the most applicable first (RFC 9213). \
                  If not given: `name` with -Cache-Control behind it, then CDN-Cache-Control.",
        bounds: "A field named here overrides even no-store for others, so it must mean what RFC 9213 says.",
    },
    Field {
        path: "tag-fields",
        kind: Kind::Choice {
            words: &["pass", "strip"],
            set: |draft, index| draft.settings.tag_fields = [TagFields::Pass, TagFields::Strip][index],
        },
        default: Some("pass"),
        meaning: "Whether Surrogate-Key and Cache-Tag, by which responses are purged, go to clients.",
        bounds: "Stripped, they cost no octets and tell nothing; but a cache between this edge and its clients could not be purged by tag.",
    },
    Field {
        path: "access-log",
        kind: Kind::Text {
            form: "a path, or \"-\" for standard output",
            set: |draft, text| {
                if text.is_empty() {
                    return Err(Wrong::new("the path is empty").hint("leave the field out for no log"));
                }
                draft.config.access_log = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "File to which one JSON line for each request is appended.",
        bounds: "Off by default: a log costs time for each request, and holds addresses of people.",
    },
    Field {
        path: "drain",
        kind: Kind::Time { least: Duration::ZERO, most: HOUR, set: |draft, time| draft.config.drain = time },
        default: Some("30s"),
        meaning: "How long requests in flight may take to finish after SIGTERM.",
        bounds: "A client that never finishes would otherwise keep the process alive.",
    },
];

/// The sections that serve clients, store and show.
const SERVING: &[Field<Draft>] = &[
    Field {
        path: "client.connections",
        kind: count(1, 1_000_000, |draft, n| draft.config.connections = word(n)),
        default: Some("10000"),
        meaning: "Client connections open at once. When all are taken, the one idle for longest is closed.",
        bounds: "Memory and descriptors under a flood of connections; keep it below the limit of open files.",
    },
    Field {
        path: "client.head",
        kind: size(KIB, MIB, |draft, n| draft.config.client.head.bytes = word(n)),
        default: Some("32KiB"),
        meaning: "Octets of a request head; more is answered with 431. Bounds trailer sections too.",
        bounds: "Memory for each connection. An origin that accepts less answers with errors that could be cached.",
    },
    Field {
        path: "client.target",
        kind: size(256, 64 * KIB - 2, |draft, n| draft.config.client.head.target = word(n)),
        default: Some("8KiB"),
        meaning: "Octets of a request target; more is answered with 414.",
        bounds: "Memory for keys.",
    },
    Field {
        path: "client.fields",
        kind: count(16, 256, |draft, n| draft.config.client.head.fields = word(n)),
        default: Some("100"),
        meaning: "Field lines in a request head; more is answered with 431.",
        bounds: "Processor time for each request.",
    },
    Field {
        path: "client.idle",
        kind: time(|draft, time| draft.config.client.idle = time),
        default: Some("60s"),
        meaning: "How long a connection may wait for its next request.",
        bounds: "Connections that do nothing.",
    },
    Field {
        path: "client.head-time",
        kind: time(|draft, time| draft.config.client.head_time = time),
        default: Some("10s"),
        meaning: "How long a request head may take from its first octet; later is answered with 408.",
        bounds: "Heads sent an octet at a time to hold connections (Slowloris).",
    },
    Field {
        path: "client.content-stall",
        kind: time(|draft, time| draft.config.client.content_stall = time),
        default: Some("30s"),
        meaning: "How long a client may send nothing of the content it announced.",
        bounds: "Uploads that hold a connection here and one to the origin.",
    },
    Field {
        path: "client.write-stall",
        kind: time(|draft, time| draft.config.client.write_stall = time),
        default: Some("30s"),
        meaning: "How long a client may take nothing of a response.",
        bounds: "Clients that ask for much and read nothing, which pins stored content in memory.",
    },
    Field {
        path: "client.write-time",
        kind: Kind::Time {
            least: SECOND,
            most: Duration::from_secs(24 * 3600),
            set: |draft, time| draft.config.client.write_time = time,
        },
        default: Some("5m"),
        meaning: "How long a client may take for each 256 KiB of a response.",
        bounds: "Clients that read an octet at a time, which no stall limit meets.",
    },
    Field {
        path: "client.content",
        kind: size(0, 1024 * GIB, |draft, n| draft.config.client.request_content = n),
        default: Some("1GiB"),
        meaning: "Octets of content in one request; more is answered with 413.",
        bounds: "Uploads are streamed, not held, so this bounds the origin's cost rather than ours.",
    },
    Field {
        path: "client.unread-content",
        kind: size(0, 64 * MIB, |draft, n| draft.config.client.unread_content = n),
        default: Some("256KiB"),
        meaning: "Octets of content nobody read that are read and dropped so that the connection can stay open.",
        bounds: "Content that is left unread would be taken for the next request; beyond this the connection is closed.",
    },
    Field {
        path: "client.drain-time",
        kind: time(|draft, time| draft.config.client.drain_time = time),
        default: Some("2s"),
        meaning: "How long that, and waiting until a refused client has read its refusal, may take.",
        bounds: "Connections held by clients that were told to go.",
    },
    Field {
        path: "http2.streams",
        kind: count(1, 1000, |draft, n| draft.config.http2.streams = number(n)),
        default: Some("100"),
        meaning: "Streams of an HTTP/2 connection open at once; more are refused with REFUSED_STREAM.",
        bounds: "Requests that one client has answered at the same time, and memory for each connection.",
    },
    Field {
        path: "http2.stream-window",
        kind: size(16 * KIB, 64 * MIB, |draft, n| draft.config.http2.stream_window = number(n)),
        default: Some("256KiB"),
        meaning: "Octets of request content that a stream may send before the origin takes them.",
        bounds: "Memory for each upload; the window is opened again only as the content is taken.",
    },
    Field {
        path: "http2.connection-window",
        kind: size(64 * KIB, GIB, |draft, n| draft.config.http2.connection_window = number(n)),
        default: Some("1MiB"),
        meaning: "The same for all streams of a connection together.",
        bounds: "Memory for each connection. Half of it also bounds what DATA in tiny frames costs beyond its octets.",
    },
    Field {
        path: "http2.queue",
        kind: size(256 * KIB, GIB, |draft, n| draft.config.http2.queue = word(n)),
        default: Some("4MiB"),
        meaning: "Octets of responses that wait in a connection to be written; each stream has its share.",
        bounds: "Stored content pinned by a client that opens its windows wide and then reads nothing.",
    },
    Field {
        path: "http2.resets",
        kind: count(10, 100_000, |draft, n| draft.config.http2.resets = number(n)),
        default: Some("200"),
        meaning: "Streams that a client may reset, or make this edge reset, within 10 s; one more ends the connection.",
        bounds: "Rapid reset (CVE-2023-44487) and MadeYouReset (CVE-2025-8671): work begun for requests nobody waits for.",
    },
    Field {
        path: "http2.frames",
        kind: count(100, 1_000_000, |draft, n| draft.config.http2.frames = number(n)),
        default: Some("1000"),
        meaning: "Frames that bring nothing (PING, SETTINGS, PRIORITY, empty ones, WINDOW_UPDATE for next to nothing) within 10 s; one more ends the connection.",
        bounds: "Floods of such frames (CVE-2019-9511 to 9518).",
    },
    Field {
        path: "tls.listen",
        kind: Kind::Text {
            form: "\"ADDRESS:PORT\"",
            set: |draft, text| address(text).map(|it| draft.tls.listen = Some(it)),
        },
        default: None,
        meaning: "Where clients connect with TLS 1.2 or 1.3, for HTTP/2 and HTTP/1.1.",
        bounds: "Off by default, as it needs a certificate. No early data (0-RTT): it can be replayed.",
    },
    Field {
        path: "tls.certificate",
        kind: Kind::List {
            form: "paths",
            set: |draft, texts| paths(texts).map(|it| draft.tls.certificates = it),
        },
        default: None,
        meaning: "PEM files, each with a certificate and those that vouch for it. Clients get the one for the name they ask for, else the first.",
        bounds: "Read again on SIGHUP or POST /reload; files that are no good change nothing, and dates that are over are warned of. A request for a host that the certificate does not cover is answered with 421.",
    },
    Field {
        path: "tls.key",
        kind: Kind::List { form: "paths", set: |draft, texts| paths(texts).map(|it| draft.tls.keys = it) },
        default: None,
        meaning: "PEM files with the private keys, in the order of the certificates; leave it out if their files hold them.",
        bounds: "Whoever can read them can be this site: chmod 600.",
    },
    Field {
        path: "tls.handshakes",
        kind: count(1, 65_536, |draft, n| draft.tls.limits.handshakes = word(n)),
        default: Some("256"),
        meaning: "TLS handshakes under way at once; further connections wait, within tls.handshake-time.",
        bounds: "Processor time and memory under a flood of handshakes that are never finished.",
    },
    Field {
        path: "tls.handshake-time",
        kind: time(|draft, time| draft.tls.limits.handshake_time = time),
        default: Some("10s"),
        meaning: "How long a TLS handshake may take.",
        bounds: "Connections held by clients that never say who they are.",
    },
    Field {
        path: "per-client.connections",
        kind: count(0, 1_000_000, |draft, n| draft.config.per_client.connections = number(n)),
        default: Some("0"),
        meaning: "Connections of one client open at once; further ones are closed as they come. 0: no limit. On a public address 200 leaves room for the people behind one router.",
        bounds: "One client that takes all of client.connections. Off by default: the addresses in front of an edge may stand for any number of people.",
    },
    Field {
        path: "per-client.rate",
        kind: count(0, 1_000_000, |draft, n| draft.limits.client_rate.per_second = number(n)),
        default: Some("0"),
        meaning: "Requests of one client in a second, to each customer; more are answered with 429 and Retry-After. 0: no limit. On a public address 100, with a burst of 500, is beyond what people do.",
        bounds: "One client that takes the processor, or the origin's. Off by default, as per-client.connections.",
    },
    Field {
        path: "per-client.burst",
        kind: count(0, 1_000_000, |draft, n| draft.limits.client_rate.burst = number(n)),
        default: Some("0"),
        meaning: "Requests that a client which was quiet may make at once. 0: as many as in a second.",
        bounds: "A page with all its images is asked for at once; more than that is no page.",
    },
    Field {
        path: "per-client.ipv4-prefix",
        kind: count(0, 32, |draft, n| draft.config.per_client.lengths.ipv4 = octet(n)),
        default: Some("32"),
        meaning: "Bits of an IPv4 address that tell one client from another.",
        bounds: "Somebody who owns a network is many clients; below 32, neighbours share a limit.",
    },
    Field {
        path: "per-client.ipv6-prefix",
        kind: count(0, 128, |draft, n| draft.config.per_client.lengths.ipv6 = octet(n)),
        default: Some("64"),
        meaning: "Bits of an IPv6 address that tell one client from another.",
        bounds: "Anybody has a /64 and can take a new address in it for each request; many have a /56 or a /48.",
    },
    Field {
        path: "per-client.remembered",
        kind: count(1024, 16_777_216, |draft, n| draft.config.per_client.remembered = word(n)),
        default: Some("65536"),
        meaning: "Clients whose rate is watched at one time, 34 octets each. When there are more, the one nearest to its whole burst is forgotten, and has it anew.",
        bounds: "Memory under a flood of addresses. Nobody is refused for it: it only lets some have more.",
    },
    Field {
        path: "per-client.exempt",
        kind: Kind::List {
            form: "prefixes, such as \"10.0.0.0/8\" or \"2001:db8::1\"",
            set: |draft, texts| prefixes(texts).map(|it| draft.config.per_client.exempt = it),
        },
        default: None,
        meaning: "Who is not limited: monitoring, and a load balancer that limits clients itself.",
        bounds: "Whoever has such an address has no limit but those on all: name none that is not yours.",
    },
    Field {
        path: "per-client.proxies",
        kind: Kind::List {
            form: "prefixes, such as \"10.0.0.0/8\" or \"2001:db8::1\"",
            set: |draft, texts| prefixes(texts).map(|it| draft.config.per_client.proxies = it),
        },
        default: None,
        meaning: "Proxies in front of this edge. The client of a request they bring is the last address in X-Forwarded-For that is not among them.",
        bounds: "From anybody else X-Forwarded-For is not believed: it would give each request a new client.",
    },
    Field {
        path: "per-customer.rate",
        kind: count(0, 100_000_000, |draft, n| draft.limits.rate.per_second = number(n)),
        default: Some("0"),
        meaning: "Requests for one customer in a second; more are answered with 503 and Retry-After. 0: no limit.",
        bounds: "One customer's crowd that takes the processor from the others. Off by default: how much is fair depends on how many share the edge.",
    },
    Field {
        path: "per-customer.burst",
        kind: count(0, 100_000_000, |draft, n| draft.limits.rate.burst = number(n)),
        default: Some("0"),
        meaning: "Requests for a customer that may come at once after a pause. 0: as many as in a second.",
        bounds: "How sharp a peak passes.",
    },
    Field {
        path: "per-customer.in-flight",
        kind: count(0, 1_000_000, |draft, n| draft.limits.in_flight = number(n)),
        default: Some("0"),
        meaning: "Requests for one customer being answered at once; more are answered with 503 and Retry-After. 0: no limit. Where several share an edge, half of client.connections keeps the other half free.",
        bounds: "A customer whose origin hangs, whose requests would wait on every connection there is.",
    },
    Field {
        path: "store.memory",
        kind: size(MIB, 1024 * GIB, |draft, n| draft.config.store.memory = n),
        default: Some("256MiB"),
        meaning: "Octets of memory for stored responses, with what passes through and what slow clients still read after its eviction.",
        bounds: "The process stays under 1.1 times this, the program itself (14 MiB) and what connections buffer; to many of these the store gives way, down to half of it.",
    },
    Field {
        path: "store.object",
        kind: size(KIB, 64 * GIB, |draft, n| draft.config.store.object = n),
        default: Some("32MiB"),
        meaning: "Octets of content of a response stored in one piece. Larger ones are kept in slices, or passed on where the origin cannot send parts.",
        bounds: "One response that pushes out all others.",
    },
    Field {
        path: "store.variants",
        kind: count(1, 1024, |draft, n| draft.config.store.variants = word(n)),
        default: Some("64"),
        meaning: "Responses stored under one URL, told apart by Vary. The oldest goes when there are more.",
        bounds: "Clients that invent values for a field that Vary names.",
    },
    Field {
        path: "store.slice",
        kind: size(0, GIB, |draft, n| draft.settings.slice = NonZeroU64::new(n)),
        default: Some("1MiB"),
        meaning: "Octets of a slice: what is fetched for a range that is not stored, and how content larger than store.object is kept. 0: no slices.",
        bounds: "A request for one octet of a large file moves at most this much; content of any size streams through a few of them.",
    },
    Field {
        path: "disk.path",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| {
                if text.is_empty() {
                    return Err(Wrong::new("the path is empty").hint("leave the field out for no disk tier"));
                }
                draft.config.disk.path = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "Folder for stored responses, which a restart keeps. It is made if it is not there.",
        bounds: "Off by default. One edge uses it at a time; files in it that are not segments of the store are left alone.",
    },
    Field {
        path: "disk.size",
        kind: size(64 * MIB, 1024 * GIB, |draft, n| draft.config.disk.size = n),
        default: Some("10GiB"),
        meaning: "Octets of all files in it. At least nine times store.object.",
        bounds: "The oldest segment goes when there is no room; what was read from it is kept.",
    },
    Field {
        path: "disk.sync",
        kind: Kind::Choice {
            words: &["sealed", "always", "never"],
            set: |draft, index| {
                draft.config.disk.sync = [Sync::Sealed, Sync::Always, Sync::Never][index];
            },
        },
        default: Some("sealed"),
        meaning: "When what was written is made durable: when a segment is full, with each batch, or when the system likes.",
        bounds: "A process that is killed loses nothing by this; a machine that loses power may lose what was not durable, and bring back what was removed since.",
    },
    Field {
        path: "disk.wait",
        kind: time(|draft, time| draft.config.disk.patience = time),
        default: Some("1s"),
        meaning: "How long a request waits for the disk before it is answered without it.",
        bounds: "A disk that hangs costs each request this time, and the origin is asked instead.",
    },
    Field {
        path: "disk.other-version",
        kind: Kind::Choice {
            words: &["empty", "refuse"],
            set: |draft, index| {
                draft.config.disk.other_version = [OtherVersion::Empty, OtherVersion::Refuse][index];
            },
        },
        default: Some("empty"),
        meaning: "What is done with a folder that another version of the program wrote: begin anew, or do not start.",
        bounds: "What is stored can be fetched again; an origin that cannot bear that is a reason to refuse.",
    },
    Field {
        path: "admin.listen",
        kind: Kind::Text {
            form: "\"ADDRESS:PORT\"",
            set: |draft, text| address(text).map(|it| draft.admin = Some(it)),
        },
        default: None,
        meaning: "Where operators connect: purge, health, metrics, status.",
        bounds: "Off by default. It is clear-text HTTP: keep it on the machine or on a network you trust.",
    },
    Field {
        path: "admin.token-file",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| {
                draft.admin_token_file = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "File with the secret that purge and status ask for, at least 16 characters.",
        bounds: "In a file, not a flag: other users of the machine can see flags.",
    },
    Field {
        path: "purge.folder",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| {
                if text.is_empty() {
                    return Err(Wrong::new("the path is empty").hint("leave the field out to keep no log"));
                }
                draft.config.purge.folder = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "Folder of the purge log, for this edge alone. Without it, purges end with the process.",
        bounds: "An accepted purge has been written there, and survives a crash; scheduled ones survive a restart.",
    },
    Field {
        path: "purge.token-file",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| {
                draft.purge_token_file = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "File with tokens for customers: lines of CUSTOMER TOKEN [NAME].",
        bounds: "Each is good for purges of its customer's content only. Without it, only the admin token purges. Read again on SIGHUP or POST /reload.",
    },
    Field {
        path: "purge.rate",
        kind: count(1, 1_000_000, |draft, n| {
            draft.config.purge.limits.rate = u32::try_from(n).unwrap_or(u32::MAX);
        }),
        default: Some("1000"),
        meaning: "Names (URLs, tags, prefixes, ...) that one token may purge in a second; more is answered with 429.",
        bounds: "A script gone wild, which would empty the store and take the room that others need.",
    },
    Field {
        path: "purge.outstanding",
        kind: count(1000, 100_000_000, |draft, n| draft.config.purge.limits.outstanding = word(n)),
        default: Some("100000"),
        meaning: "Names of purges that are scheduled, or not yet compacted; more is answered with 503.",
        bounds: "Memory, about 1 KiB for each. A walk through the store compacts those in force, within seconds.",
    },
    Field {
        path: "purge.patterns",
        kind: count(0, 1_000_000, |draft, n| draft.config.purge.limits.patterns = word(n)),
        default: Some("10000"),
        meaning: "Patterns among these; more is answered with 503.",
        bounds: "Each is tried once on each response: 10 000 take about 20 microseconds of its next use.",
    },
    Field {
        path: "purge.schedules",
        kind: count(0, 1_000_000, |draft, n| draft.config.purge.limits.schedules = word(n)),
        default: Some("1000"),
        meaning: "Purges that wait for their time; more is answered with 503.",
        bounds: "Memory, and work at a time when many are due.",
    },
    Field {
        path: "purge.history",
        kind: count(0, 10_000_000, |draft, n| draft.config.purge.limits.history = word(n)),
        default: Some("10000"),
        meaning: "Purges that are over and still known by their ids.",
        bounds: "Memory and size of the log. An order that is sent again under an id that was forgotten is done again.",
    },
];

/// The fields of one customer.
pub const CUSTOMER_FIELDS: &[Field<CustomerDraft>] = &[
    Field {
        path: "name",
        kind: Kind::Text {
            form: "a token",
            set: |draft, text| token(text, "a customer").map(|name| draft.name = Some(name)),
        },
        default: None,
        meaning: "Name of the customer. Required; `default` is whoever has the hosts that no customer has.",
        bounds: "Stored responses carry it: what is one customer's never answers for another.",
    },
    Field {
        path: "hosts",
        kind: Kind::List {
            form: "hosts, such as \"www.example.com\" or \"*.example.com\"",
            set: |draft, texts| {
                draft.hosts = texts.iter().map(|text| host(text)).collect::<Result<Vec<Host>, Wrong>>()?;
                Ok(())
            },
        },
        default: None,
        meaning: "The hosts that are this customer's, without port. `*.` takes all names below. The nearest name wins. Required.",
        bounds: "A request for a host that nobody has, where [origin] has no url, is answered with 421.",
    },
    Field {
        path: "client-directives",
        kind: Kind::Choice {
            words: &["honor", "ignore"],
            set: |draft, index| draft.client_directives = Some(DIRECTIVES[index]),
        },
        default: None,
        meaning: "As `client-directives` of the edge, which is the default.",
        bounds: "Obeyed, any client can send every one of its requests to the customer's origin.",
    },
    Field {
        path: "host",
        kind: Kind::Choice {
            words: &["client", "origin"],
            set: |draft, index| draft.keep_host = Some(index == 0),
        },
        default: None,
        meaning: "As origin.host, which is the default.",
        bounds: "The cache key has the client's name in any case, so two names never share a response.",
    },
    Field {
        path: "client-rate",
        kind: count(0, 1_000_000, |draft, n| draft.client_rate = Some(number(n))),
        default: None,
        meaning: "As per-client.rate, which is the default.",
        bounds: "One client that takes the customer's origin.",
    },
    Field {
        path: "client-burst",
        kind: count(0, 1_000_000, |draft, n| draft.client_burst = Some(number(n))),
        default: None,
        meaning: "As per-client.burst, which is the default.",
        bounds: "How much of a page may be asked for at once.",
    },
    Field {
        path: "rate",
        kind: count(0, 100_000_000, |draft, n| draft.rate = Some(number(n))),
        default: None,
        meaning: "As per-customer.rate, which is the default.",
        bounds: "This customer's crowd that takes the processor from the others.",
    },
    Field {
        path: "burst",
        kind: count(0, 100_000_000, |draft, n| draft.burst = Some(number(n))),
        default: None,
        meaning: "As per-customer.burst, which is the default.",
        bounds: "How sharp a peak passes.",
    },
    Field {
        path: "in-flight",
        kind: count(0, 1_000_000, |draft, n| draft.in_flight = Some(number(n))),
        default: None,
        meaning: "As per-customer.in-flight, which is the default.",
        bounds: "A hanging origin of this customer, whose requests would wait on every connection there is.",
    },
    Field {
        path: "probe",
        kind: Kind::Text {
            form: "\"/PATH\" or \"*\"",
            set: |draft, text| probe_path(text).map(|it| draft.probe_path = Some(it)),
        },
        default: None,
        meaning: "As origin.probe, which is the default.",
        bounds: "Found out by probes, a dead origin costs no request.",
    },
    Field {
        path: "probe-host",
        kind: Kind::Text {
            form: "a host",
            set: |draft, text| probe_host(text).map(|it| draft.probe_host = Some(it)),
        },
        default: None,
        meaning: "As origin.probe-host, which is the default.",
        bounds: "An origin of many sites has to be asked about the right one.",
    },
    Field {
        path: "failure-statuses",
        kind: Kind::List {
            form: "statuses, such as \"503\"",
            set: |draft, texts| statuses(texts).map(|it| draft.failure_statuses = Some(it)),
        },
        default: None,
        meaning: "As origin.failure-statuses, which are the default.",
        bounds: "Many origins answer 503 for one page and are well otherwise.",
    },
];
