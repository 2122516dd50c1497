//! The recorded world: answers requests as the recorded servers did.
//!
//! A [`World`] is made of a capture's transactions. [`World::answer`] is a pure function of the request, the moment
//! of the recording it belongs to, and the time now; [`Service`] puts it on an [`endpoint::Origin`].
//!
//! # Which answer
//! A request is known by method, Host and target. Of the recorded answers to it, those count whose `Vary` fields
//! match; of these the one that was current at the given moment: the last one recorded at or before it, else the
//! first. The moment is a transaction's number in the capture, which `replay http --mark` sends in the field
//! [`MARK`] where a URL has several answers; caches forward it to their origin with the request. Without it, it is the
//! latest moment that this side (path prefix and pass) has told of. So two builds that ask different numbers of
//! times, because they cache differently, still see the same world.
//!
//! Where the recording holds an answer to a request with the same conditions and range, of the version that is
//! current, that one is given. Else conditions and ranges are evaluated (RFC 9110 sections 13.2.2 and 14) on the
//! whole representation, if it was recorded, or can be put together from recorded parts. A cache may fetch the whole
//! where only parts, or only "not modified", were ever recorded: then it gets these parts with filler between them.
//! A client that gets what was recorded sees no filler.
//!
//! # What is changed
//! `Date`, `Expires` and a `Retry-After` date are shifted by what lies between their recording and now, in whole
//! seconds, so that lifetimes hold. `Age`, `Last-Modified`, `ETag` and everything else stays. Framing is as recorded (chunked with
//! trailers, a length, until close), except towards HTTP/1.0, which knows no chunks and no interim responses.

mod condition;
mod date;
mod parts;
mod range;
mod select;
mod service;

pub use service::{Counters, Service, Unanswered};

use crate::extract::Recorded;
use bytes::Bytes;
use exchange::{Body, Fields, Request, Response, Time, Version};
use select::{Entry, Hop};
use std::collections::{BTreeSet, HashMap};

/// The request field that tells which recorded transaction a request belongs to.
pub const MARK: &str = "Replay-Transaction";

/// The status of an answer that says there is none.
pub const UNRECORDED: u16 = 599;

/// All recorded answers, by what was asked.
#[derive(Debug, Default)]
pub struct World {
    resources: HashMap<Key, Vec<Entry>>,
    /// For each path, the hosts under which it was recorded: for messages.
    hosts: HashMap<Bytes, BTreeSet<String>>,
    marked: BTreeSet<usize>,
}

/// Host (lower case, without the default port) and target's path and query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    path: Bytes,
}

/// An answer of the recorded world.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub response: Response,
    pub how: How,
}

/// How an answer came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// As the transaction with this number got it.
    Recorded(usize),
    /// A condition or range was evaluated on what the transaction with this number got.
    Derived(usize),
    /// As derived, on a representation of which only parts were recorded: the rest is made up, and no recorded client
    /// asked for it.
    Filled(usize),
    /// There is none.
    Unrecorded(Unrecorded),
}

/// Why the recording has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// Nobody asked for this path.
    Path,
    /// It was asked for at other hosts only.
    Host(BTreeSet<String>),
    /// It was asked for with other methods only.
    Method,
    /// It was asked for with another request body.
    Content,
    /// No recorded answer suits the fields that `Vary` names.
    Variant,
    /// Only something that does not tell of the whole was recorded, such as a failed condition.
    Partial,
    /// The recorded answer was cut short.
    Incomplete,
}

impl Unrecorded {
    /// As counters name it.
    pub fn name(&self) -> &'static str {
        match self {
            Unrecorded::Path => "path not recorded",
            Unrecorded::Host(_) => "host not recorded",
            Unrecorded::Method => "method not recorded",
            Unrecorded::Content => "request body not recorded",
            Unrecorded::Variant => "variant not recorded",
            Unrecorded::Partial => "recorded in parts only",
            Unrecorded::Incomplete => "recording cut short",
        }
    }

    /// One sentence for the person who has to find out why.
    pub fn explanation(&self) -> String {
        match self {
            Unrecorded::Path => "no recorded request has this target".to_owned(),
            Unrecorded::Host(hosts) => format!(
                "this target was recorded at {} only: the build must forward the Host field that it got",
                hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            Unrecorded::Method => "this target was recorded with other methods only".to_owned(),
            Unrecorded::Content => {
                "this target was recorded with other request bodies only: was the body changed on its way?"
                    .to_owned()
            }
            Unrecorded::Variant => {
                "no recorded answer suits the request fields that Vary names: were they changed on their way?"
                    .to_owned()
            }
            Unrecorded::Partial => {
                "what was recorded of this does not tell what the whole is like".to_owned()
            }
            Unrecorded::Incomplete => {
                "the recorded answer was cut short: it is not given as if it were whole".to_owned()
            }
        }
    }
}

impl World {
    /// The world of a capture's transactions, in the capture's order. Those without a request or a response are
    /// of no use here. Where a proxy asked on, the answers that it got come before those that it gave.
    pub fn of<'a>(recorded: impl IntoIterator<Item = &'a Recorded>) -> Self {
        let recorded: Vec<&Recorded> = recorded.into_iter().collect();
        let mut world = World::default();
        let mut asks_on = vec![false; recorded.len()];
        for outer in recorded.iter().filter_map(|r| r.asked_by) {
            asks_on[outer] = true;
        }
        for (index, one) in recorded.iter().enumerate() {
            let (Some(request), Some(response)) = (one.request(), one.response()) else { continue };
            if response.status == 101 || request.method == "CONNECT" {
                continue;
            }
            let key = Key::of(request);
            world.hosts.entry(key.path.clone()).or_default().insert(key.host.clone());
            // The moment is that of the client's request: it is the one that will be sent.
            let mut moment = index;
            while let Some(outer) = recorded[moment].asked_by {
                moment = outer;
            }
            let hop = match (one.asked_by, asks_on[index]) {
                (None, _) => Hop::Client,
                (Some(_), true) => Hop::Between,
                (Some(_), false) => Hop::Origin,
            };
            world.resources.entry(key).or_default().push(Entry::new(moment, hop, request, response));
        }
        for entries in world.resources.values() {
            if select::has_several_answers(entries) {
                world.marked.extend(entries.iter().map(|entry| entry.index));
            }
        }
        world
    }

    /// Whether a request for this transaction should carry [`MARK`]: its URL has several recorded answers.
    pub fn needs_mark(&self, index: usize) -> bool {
        self.marked.contains(&index)
    }

    /// How many different targets have an answer.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The answer to a request. `moment`: the number of the recorded transaction that it belongs to, where known.
    pub fn answer(&self, request: &Request, moment: Option<usize>, now: Time) -> Answer {
        let key = Key::of(request);
        // A client of HTTP/1.0 may have named no host: whoever asks on for it has to name one.
        let nameless = Key { host: String::new(), path: key.path.clone() };
        let entries = match self.resources.get(&key).or_else(|| self.resources.get(&nameless)) {
            Some(entries) => entries,
            None => {
                let why = match self.hosts.get(&key.path) {
                    Some(hosts) => Unrecorded::Host(hosts.clone()),
                    None => Unrecorded::Path,
                };
                return unrecorded(request, why);
            }
        };
        match select::answer(entries, request, moment) {
            Ok((mut response, how, seen)) => {
                date::rebase(&mut response, seen, now);
                // The listener answers Expect by itself.
                response.interim.retain(|interim| interim.status != 100);
                if request.version == Version::Http10 {
                    for_http10(&mut response);
                }
                Answer { response, how }
            }
            Err(why) => unrecorded(request, why),
        }
    }
}

impl Key {
    fn of(request: &Request) -> Self {
        let host = request.authority().map_or_else(String::new, exchange::escape).to_ascii_lowercase();
        let host = host.strip_suffix(":80").unwrap_or(&host).to_owned();
        Key { host, path: Bytes::copy_from_slice(request.path_and_query()) }
    }
}

/// HTTP/1.0 has neither the chunked coding nor interim responses.
fn for_http10(response: &mut Response) {
    response.interim.clear();
    if response.fields.remove("transfer-encoding") > 0 {
        response.fields.remove("trailer");
        response.trailers = Fields::new();
    }
}

/// The answer that says there is none, as JSON, so that it explains itself wherever it ends up.
fn unrecorded(request: &Request, why: Unrecorded) -> Answer {
    let text = |bytes: &[u8]| exchange::escape(bytes);
    let body = serde_json::json!({
        "error": "unrecorded request",
        "reason": why.name(),
        "explanation": why.explanation(),
        "method": text(&request.method),
        "host": request.authority().map(text),
        "target": text(request.path_and_query()),
    });
    let body = Bytes::from(format!("{body:#}\n"));
    let mut response = Response::new(UNRECORDED, Fields::new(), Body::empty());
    response.reason = Bytes::from_static(b"Not Recorded");
    response.fields.push("Content-Type", "application/json");
    response.fields.push("Cache-Control", "no-store");
    response.fields.push("Content-Length", body.len().to_string());
    response.body = Body::complete(body);
    Answer { response, how: How::Unrecorded(why) }
}
