//! Every field of the configuration: what it means, what it defaults to, and which attack or cost it bounds.
//!
//! [`FIELDS`] are those of the edge; [`CUSTOMER_FIELDS`] and [`CUSTOMER_ORIGIN_FIELDS`] those of each table
//! `[[customer]]` and `[[customer.origin]]`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use edge::Host;
use http::HeaderName;
use http_cache::ClientDirectives;

use super::Draft;
use super::customer::{CustomerDraft, OriginDraft};
use super::value::{Given, Kind, Wrong, address, host, origin};

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

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const fn size<D>(least: u64, most: u64, set: fn(&mut D, u64)) -> Kind<D> {
    Kind::Size { least, most, set }
}

const fn count<D>(least: u64, most: u64, set: fn(&mut D, u64)) -> Kind<D> {
    Kind::Count { least, most, set }
}

const fn time<D>(set: fn(&mut D, Duration)) -> Kind<D> {
    Kind::Time { least: Duration::from_millis(10), most: HOUR, set }
}

/// Values are checked against their range before they get here, and ranges fit the machine's words.
fn word(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
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
pub const FIELDS: &[Field<Draft>] = &[
    Field {
        path: "listen",
        kind: Kind::Text {
            form: "\"ADDRESS:PORT\"",
            set: |draft, text| address(text).map(|it| draft.config.listen = it),
        },
        default: Some("127.0.0.1:8080"),
        meaning: "Where clients connect. Port 0 takes a free one.",
        bounds: "Only this machine can connect until another address is given.",
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
    Field {
        path: "origin.url",
        kind: Kind::Text {
            form: "\"http://HOST:PORT\"",
            set: |draft, text| origin(text).map(|it| draft.origin = Some(it)),
        },
        default: None,
        meaning: "Where the content of all hosts comes from that no customer has. Required where there is no [[customer]].",
        bounds: "Requests go nowhere else, whatever their Host field or target says.",
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
        path: "origin.connections",
        kind: count(1, 65_536, |draft, n| draft.origin_defaults.limits.connections = word(n)),
        default: Some("512"),
        meaning: "Connections to the origin in use at once; further requests wait for up to origin.connect.",
        bounds: "Protects the origin from a crowd whose requests cannot be collapsed.",
    },
    Field {
        path: "origin.idle-connections",
        kind: count(0, 65_536, |draft, n| draft.origin_defaults.limits.idle_connections = word(n)),
        default: Some("64"),
        meaning: "Connections to the origin kept open for later.",
        bounds: "Each costs the origin and this machine a descriptor and memory.",
    },
    Field {
        path: "origin.idle",
        kind: time(|draft, time| draft.origin_defaults.limits.idle = time),
        default: Some("30s"),
        meaning: "How long an unused connection to the origin is kept.",
        bounds: "Below the origin's own limit, a request rarely meets a connection that is just being closed.",
    },
    Field {
        path: "origin.connect",
        kind: time(|draft, time| draft.origin_defaults.limits.connect = time),
        default: Some("5s"),
        meaning: "How long connecting to the origin may take.",
        bounds: "A dead origin is answered with a stored response or 502 after this time.",
    },
    Field {
        path: "origin.response",
        kind: time(|draft, time| draft.origin_defaults.limits.response = time),
        default: Some("30s"),
        meaning: "How long the origin may neither send the head of its response nor take content of the request.",
        bounds: "A hung origin is answered with a stored response or 504 after this time.",
    },
    Field {
        path: "origin.content-stall",
        kind: time(|draft, time| draft.origin_defaults.limits.content_stall = time),
        default: Some("30s"),
        meaning: "How long the origin may send nothing within the content of a response.",
        bounds: "Everybody who waits for that content would wait for ever.",
    },
    Field {
        path: "origin.head",
        kind: size(8 * KIB, MIB, |draft, n| draft.origin_defaults.limits.head_bytes = word(n)),
        default: Some("64KiB"),
        meaning: "Octets of a response head from the origin.",
        bounds: "Memory for each request to an origin that lies.",
    },
    Field {
        path: "origin.fields",
        kind: count(16, 1024, |draft, n| draft.origin_defaults.limits.fields = word(n)),
        default: Some("128"),
        meaning: "Field lines in a response head from the origin.",
        bounds: "Processor time for each request to an origin that lies.",
    },
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
        path: "store.memory",
        kind: size(MIB, 1024 * GIB, |draft, n| draft.config.store.memory = n),
        default: Some("256MiB"),
        meaning: "Octets of memory for stored responses.",
        bounds: "Content that slow clients still read after its eviction comes on top, up to a quarter of this.",
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
];

/// The fields of one origin of a customer.
pub const CUSTOMER_ORIGIN_FIELDS: &[Field<OriginDraft>] = &[Field {
    path: "url",
    kind: Kind::Text {
        form: "\"http://HOST:PORT\"",
        set: |draft, text| origin(text).map(|it| draft.url = Some(it)),
    },
    default: None,
    meaning: "Where the customer's content comes from. Required; limits and times are those of [origin].",
    bounds: "Requests go nowhere else, whatever their Host field or target says.",
}];
