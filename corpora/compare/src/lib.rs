//! Are these two answers the same in meaning?
//!
//! [`responses`] takes the request and two answers to it, `left` (the reference) and `right` (the candidate), and
//! gives every [`Difference`] with its path, both values, the [`Rule`] that judged it and its [`Class`].
//! [`requests`] does the same for two requests, such as those two builds sent to their origin. [`three_way`] adds a
//! recorded answer and says who deviates.
//!
//! Everything here is a function of its arguments: no clock, no I/O, no randomness. The same input gives the same
//! list in the same order: status, interim responses, header fields by name, body, trailers. When a response was
//! received is read from its [`Seen`]; an unseen response (all times zero) is taken to have been
//! received at the same moment as the one it is compared with.
//!
//! # Paths
//! `status`, `interim[0].status`, `interim[0].fields.link`, `fields.vary` (names in lower case),
//! `fields.cache-control[max-age]`, `fields.set-cookie[name]`, `freshness`, `body`, `body.ending`, `body.$.a[3]`
//! (inside JSON), `body.parts[0].fields.content-range` (inside multipart/byteranges), `trailers.x`; for requests
//! also `method` and `target`.
//!
//! # What counts
//! Some differences are worth showing and yet no change of meaning: a hit against a miss, the name a server gives
//! itself. Their class says so ([`Class::counts`]). A difference that a [`Waivers`] file accepts stays in the list
//! and does not count either.

#![forbid(unsafe_code)]

mod body;
mod cache_status;
mod coding;
mod collect;
mod difference;
mod field;
mod freshness;
mod glob;
mod hop;
mod interim;
mod json;
mod message;
mod multipart;
mod named;
mod rules;
mod settings;
mod syntax;
mod text;
mod three_way;
mod via;
mod waiver;

pub use difference::{CacheState, Class, Comparison, Difference, Fingerprint, Rule, Waived};
pub use settings::Settings;
pub use three_way::{Deviant, Deviation, ThreeWay, three_way};
pub use waiver::{Waiver, WaiverError, Waivers};

use collect::Collector;
use exchange::{Request, Response, Seen, Time};
use message::Message;

/// Compares two answers to one request: `left` is the reference's, `right` the candidate's.
pub fn responses(settings: &Settings, request: &Request, left: &Response, right: &Response) -> Comparison {
    let mut out = Collector::new(settings);
    if left.status != right.status {
        let (l, r) = (left.status.to_string(), right.status.to_string());
        let explanation = format!("{l} against {r}");
        out.add(
            "status",
            (Some(l.as_bytes()), Some(r.as_bytes())),
            &rules::STATUS,
            Class::Status,
            explanation,
        );
    }
    let states = (cache_status::state(&left.fields), cache_status::state(&right.fields));
    interim::compare(&mut out, (&left.interim, states.0), (&right.interim, states.1));
    let head = request.method.eq_ignore_ascii_case(b"HEAD");
    // There, Content-Length is of the content that was not sent (RFC 9110 section 8.6).
    let own_length = |r: &Response| !(head || r.status == 304);
    let (l, r) = (of_response(left, own_length(left)), of_response(right, own_length(right)));
    message::compare(&mut out, &l, &r);
    Comparison { differences: out.found, omitted: out.omitted, left_cache: states.0, right_cache: states.1 }
}

/// Compares two requests that should mean the same, such as those two builds sent to their origin.
pub fn requests(settings: &Settings, left: &Request, right: &Request) -> Comparison {
    let mut out = Collector::new(settings);
    if left.method != right.method {
        let values = (Some(&left.method[..]), Some(&right.method[..]));
        out.add("method", values, &rules::METHOD, Class::Request, "the methods differ");
    }
    let (l, r) = (left.path_and_query(), right.path_and_query());
    if l != r {
        out.add("target", (Some(l), Some(r)), &rules::TARGET, Class::Request, "path or query differ");
    }
    let (l, r) = (of_request(left), of_request(right));
    message::compare(&mut out, &l, &r);
    Comparison { differences: out.found, omitted: out.omitted, ..Comparison::default() }
}

fn of_response(response: &Response, own_length: bool) -> Message<'_> {
    Message {
        fields: &response.fields,
        body: &response.body,
        trailers: &response.trailers,
        received: received(&response.seen),
        own_length,
        status: Some(response.status),
        authority: None,
        request: false,
    }
}

fn of_request(request: &Request) -> Message<'_> {
    Message {
        fields: &request.fields,
        body: &request.body,
        trailers: &request.trailers,
        received: received(&request.seen),
        own_length: true,
        status: None,
        authority: request.authority(),
        request: true,
    }
}

/// When the head of a message was there.
fn received(seen: &Seen) -> Option<Time> {
    Some(seen.head_end.unwrap_or(seen.start)).filter(|&time| time != Time::default())
}
