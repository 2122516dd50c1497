//! Which recorded answer a request gets.

use super::condition::{self, Verdict};
use super::{How, Unrecorded, parts, range};
use crate::extract::is_whole;
use exchange::{Body, Field, Request, Response, Sha256, Time};
use std::collections::{BTreeSet, HashMap};

/// A recorded answer to one request.
#[derive(Debug)]
pub(super) struct Entry {
    /// The transaction's number in the capture; behind a proxy, that of the client's request.
    pub index: usize,
    hop: Hop,
    pub request: Request,
    pub response: Response,
}

/// Where an answer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hop {
    /// At the client: from an origin or a proxy, nobody knows.
    Client,
    /// Between two proxies.
    Between,
    /// Behind the last proxy that was recorded.
    Origin,
}

/// Request fields that make an answer differ without the resource being another one.
const SELECTING: [&str; 6] =
    ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

impl Entry {
    pub fn new(index: usize, hop: Hop, request: &Request, response: &Response) -> Self {
        Entry { index, hop, request: request.clone(), response: response.clone() }
    }

    fn is_safe(&self) -> bool {
        is_safe(&self.request)
    }

    /// An answer that depends on nothing but the resource.
    pub fn is_plain(&self) -> bool {
        !matches!(self.response.status, 206 | 304 | 412 | 416)
    }

    /// A condition failed, or no range could be given.
    fn is_refusal(&self) -> bool {
        matches!(self.response.status, 412 | 416)
    }

    /// A whole 200 answer to GET: what conditions and ranges are evaluated on.
    fn is_representation(&self) -> bool {
        self.request.method == "GET" && self.response.status == 200 && is_whole(&self.response.body)
    }

    /// What tells it from another answer. Dates change with each answer and are shifted anyway.
    fn identity(&self) -> Identity<'_> {
        let passing = ["date", "expires", "age", "connection", "keep-alive"];
        let lasting = self.response.fields.iter().filter(|f| !passing.iter().any(|name| f.is(name)));
        (self.response.status, self.response.body.sha256, lasting.collect())
    }

    /// When its head came.
    fn seen(&self) -> Time {
        let seen = &self.response.seen;
        seen.head_end.unwrap_or(seen.start)
    }

    /// Whether two answers tell of the same version of a resource.
    fn same_version(&self, other: &Entry) -> bool {
        if std::ptr::eq(self, other) {
            return true;
        }
        let tags = |entry: &Entry| entry.response.fields.get("etag").cloned();
        if let (Some(a), Some(b)) = (tags(self), tags(other)) {
            return condition::weak(&a, &b);
        }
        let dates = |entry: &Entry| entry.response.fields.get("last-modified").cloned();
        if let (Some(a), Some(b)) = (dates(self), dates(other)) {
            return a == b;
        }
        // A 304 may leave out what the request named.
        for (changed, other) in [(self, other), (other, self)] {
            if changed.response.status == 304 {
                return condition::evaluate(&changed.request, &other.response) == Verdict::NotModified;
            }
        }
        self.response.status == other.response.status
            && self.response.body.sha256 == other.response.body.sha256
    }
}

fn is_safe(request: &Request) -> bool {
    request.method == "GET" || request.method == "HEAD"
}

/// Whether it matters at which moment these are asked for: the same question got different answers, or the resource
/// itself changed.
pub(super) fn has_several_answers(entries: &[Entry]) -> bool {
    let mut answers: HashMap<Vec<Option<Vec<u8>>>, Identity<'_>> = HashMap::new();
    let mut plain: Option<Identity<'_>> = None;
    entries.iter().any(|entry| {
        let identity = entry.identity();
        let mut question: Vec<_> = SELECTING.iter().map(|name| entry.request.fields.combined(name)).collect();
        question.push(Some(entry.request.method.to_vec()));
        let changed = entry.is_plain()
            && entry.request.method == "GET"
            && *plain.get_or_insert_with(|| identity.clone()) != identity;
        changed || *answers.entry(question).or_insert_with(|| identity.clone()) != identity
    })
}

/// What makes an answer another one.
type Identity<'a> = (u16, Sha256, Vec<&'a Field>);

/// The response to a request for these entries' resource, how it came about, and when its original was seen. Answers
/// seen nearest to the origin come first; others help out where those do not suit, for a proxy may have changed
/// what it was asked.
pub(super) fn answer(
    entries: &[Entry],
    request: &Request,
    moment: Option<usize>,
) -> Result<(Response, How, Time), Unrecorded> {
    let all: Vec<&Entry> = entries.iter().collect();
    let nearest = entries.iter().map(|e| e.hop).max();
    let near: Vec<&Entry> = entries.iter().filter(|e| Some(e.hop) == nearest).collect();
    match answer_from(&near, request, moment) {
        Err(_) if near.len() < all.len() => answer_from(&all, request, moment),
        result => result,
    }
}

fn answer_from(
    entries: &[&Entry],
    request: &Request,
    moment: Option<usize>,
) -> Result<(Response, How, Time), Unrecorded> {
    let method = |entry: &&Entry| match is_safe(request) {
        true => entry.is_safe(),
        false => entry.request.method == request.method,
    };
    let of_method: Vec<&Entry> = entries.iter().copied().filter(method).collect();
    if of_method.is_empty() {
        return Err(Unrecorded::Method);
    }
    let variants = variants(of_method, request)?;
    if is_safe(request) {
        return safe(&variants, request, moment);
    }
    let same_body: Vec<&Entry> =
        variants.into_iter().filter(|e| e.request.body.sha256 == request.body.sha256).collect();
    let entry = current(&same_body, moment).ok_or(Unrecorded::Content)?;
    as_recorded(entry, request)
}

/// The answer to GET and HEAD.
fn safe(
    variants: &[&Entry],
    request: &Request,
    moment: Option<usize>,
) -> Result<(Response, How, Time), Unrecorded> {
    // A refusal of a condition or range tells nothing of the version: it belongs to the one that was current then.
    let telling: Vec<&Entry> = variants.iter().copied().filter(|e| !e.is_refusal()).collect();
    let now = current(&telling, moment).or_else(|| current(variants, moment)).ok_or(Unrecorded::Variant)?;
    let is_of_version = |e: &&Entry| match e.is_refusal() {
        true => current(&telling, Some(e.index)).is_none_or(|then| then.same_version(now)),
        false => e.same_version(now),
    };
    let of_version: Vec<&Entry> = variants.iter().copied().filter(is_of_version).collect();
    // As recorded, where the same was asked.
    let asked_alike: Vec<&Entry> = of_version
        .iter()
        .copied()
        .filter(|e| e.request.method == request.method && same_fields(&e.request, request, &SELECTING))
        .filter(|e| is_available(e, request))
        .collect();
    if let Some(entry) = current(&asked_alike, moment.or(Some(now.index))) {
        return as_recorded(entry, request);
    }
    if now.is_plain() && now.response.status != 200 && is_available(now, request) {
        return as_recorded(now, request);
    }
    let representations: Vec<&Entry> = of_version.iter().copied().filter(|e| e.is_representation()).collect();
    let moment = moment.or(Some(now.index));
    let (how, seen, mut response) = if let Some(entry) = current(&representations, moment) {
        (How::Derived(entry.index), entry.seen(), entry.response.clone())
    } else if let Some((entry, response)) = parts::assemble(&of_version) {
        (How::Derived(entry.index), entry.seen(), response)
    } else if let Some(entry) = current(&heads(&of_version, request), moment) {
        (How::Derived(entry.index), entry.seen(), entry.response.clone())
    } else if let Some((entry, response)) = parts::fill(&of_version) {
        (How::Filled(entry.index), entry.seen(), response)
    } else if of_version.iter().any(|e| e.is_plain() && e.request.method == "GET") {
        return Err(Unrecorded::Incomplete);
    } else {
        return Err(Unrecorded::Partial);
    };
    // Redirects and errors are the same to everybody (RFC 9110 section 13.2.1).
    let verdict = match response.status {
        200 => condition::evaluate(request, &response),
        _ => Verdict::Proceed { range: false },
    };
    match verdict {
        Verdict::NotModified => not_modified(&mut response),
        Verdict::Failed => failed(&mut response),
        Verdict::Proceed { range } => {
            if let Some(value) = request.fields.get("range").filter(|_| range && request.method == "GET")
                && honours_ranges(variants, &response)
            {
                range::apply(&mut response, value);
            }
        }
    }
    if request.method == "HEAD" {
        response.body = Body::empty();
        response.trailers.0.clear();
    }
    Ok((response, how, seen))
}

/// Answers whose head is all that a HEAD request needs.
fn heads<'a>(of_version: &[&'a Entry], request: &Request) -> Vec<&'a Entry> {
    of_version.iter().copied().filter(|e| e.is_plain() && is_available(e, request)).collect()
}

/// What was recorded, to the letter, if all of it was.
fn as_recorded(entry: &Entry, request: &Request) -> Result<(Response, How, Time), Unrecorded> {
    if !is_available(entry, request) {
        return Err(Unrecorded::Incomplete);
    }
    let mut response = entry.response.clone();
    if request.method == "HEAD" {
        response.body = Body::empty();
        response.trailers.0.clear();
    }
    Ok((response, How::Recorded(entry.index), entry.seen()))
}

/// Whether a recorded answer can be given: HEAD needs its head only, all others the whole body.
fn is_available(entry: &Entry, request: &Request) -> bool {
    request.method == "HEAD" || (entry.request.method != "HEAD" && is_whole(&entry.response.body))
}

/// The entry that was current at a moment: the last one at or before it, else the first. Without a moment, the first.
fn current<'a>(entries: &[&'a Entry], moment: Option<usize>) -> Option<&'a Entry> {
    let moment = moment.unwrap_or(0);
    let before = entries.iter().copied().filter(|e| e.index <= moment).max_by_key(|e| e.index);
    before.or_else(|| entries.iter().copied().min_by_key(|e| e.index))
}

/// The entries whose `Vary` fields match the request. Where none does, those whose content coding the request
/// accepts: caches may rewrite Accept-Encoding, and nothing else.
fn variants<'a>(entries: Vec<&'a Entry>, request: &Request) -> Result<Vec<&'a Entry>, Unrecorded> {
    let matches = |entry: &&Entry, but: &str| {
        entry.response.fields.members("vary").all(|name| {
            let name = String::from_utf8_lossy(name);
            // `*` names no field: the recording does not tell what it depended on.
            name == "*" || name.eq_ignore_ascii_case(but) || same_field(&entry.request, request, &name)
        })
    };
    let exact: Vec<&Entry> = entries.iter().copied().filter(|e| matches(e, "")).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let acceptable: Vec<&Entry> = entries
        .into_iter()
        .filter(|e| matches(e, "accept-encoding") && accepts_coding(request, &e.response))
        .collect();
    if acceptable.is_empty() { Err(Unrecorded::Variant) } else { Ok(acceptable) }
}

fn same_fields(a: &Request, b: &Request, names: &[&str]) -> bool {
    names.iter().all(|name| same_field(a, b, name))
}

/// Whether a field has the same value in both, apart from how its lines are cut and spaced.
fn same_field(a: &Request, b: &Request, name: &str) -> bool {
    a.fields.members(name).eq(b.fields.members(name))
}

/// Whether a request accepts the content coding of a response (RFC 9110 section 12.5.3).
fn accepts_coding(request: &Request, response: &Response) -> bool {
    let accepted = |coding: &[u8]| {
        request.fields.members("accept-encoding").any(|member| {
            let mut parameters = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parameters.next().unwrap_or_default();
            let refused = parameters.any(|p| {
                p.strip_prefix(b"q=").is_some_and(|q| q.iter().all(|digit| matches!(digit, b'0' | b'.')))
            });
            (name == b"*" || name.eq_ignore_ascii_case(coding)) && !refused
        })
    };
    response.fields.members("content-encoding").all(accepted)
}

/// Whether the recorded server serves ranges: it did not say no, and did not ignore one.
fn honours_ranges(variants: &[&Entry], representation: &Response) -> bool {
    let says_no = representation.fields.members("accept-ranges").any(|m| m.eq_ignore_ascii_case(b"none"));
    let ignored = |e: &&Entry| {
        let fields = &e.request.fields;
        e.response.status == 200 && fields.contains("range") && !fields.contains("if-range")
    };
    !says_no && !variants.iter().any(ignored)
}

/// Keeps what RFC 9110 section 15.4.5 wants in a 304, and the fields that tell of the server.
fn not_modified(response: &mut Response) {
    response.status = 304;
    response.reason = wire::write::reason(304).into();
    let left_out: BTreeSet<&str> = [
        "content-length",
        "content-type",
        "content-encoding",
        "content-language",
        "content-range",
        "accept-ranges",
        "transfer-encoding",
        "trailer",
    ]
    .into();
    response.fields.0.retain(|f| !left_out.iter().any(|name| f.is(name)));
    response.body = Body::empty();
    response.trailers.0.clear();
}

fn failed(response: &mut Response) {
    not_modified(response);
    response.status = 412;
    response.reason = wire::write::reason(412).into();
    response.fields.push("Content-Length", "0");
}
