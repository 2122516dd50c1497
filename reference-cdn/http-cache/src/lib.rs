//! The decisions of RFC 9110 and RFC 9111 as pure functions of request, stored response and now.
//!
//! No I/O, no clock, no randomness. An edge asks one object that implements [`Decisions`] ([`Standard`] in
//! production) and does what it says:
//!
//! 1. [`Decisions::admit`]: is the request looping or unanswerable?
//! 2. [`Decisions::lookup`]: may the store answer it at all? Then [`Decisions::key`] names the place to look.
//! 3. [`Decisions::plan`]: given the responses stored under that key, serve one, ask the origin, or refuse
//!    ([`Decisions::select`] chooses the variant, [`Decisions::reuse`] says what to do with it).
//! 4. [`Decisions::collapsing`] and [`Decisions::may_share`]: may the request wait for a fetch that is under
//!    way, and take its response?
//! 5. [`Decisions::origin_request`]: the fields to send to the origin.
//! 6. [`Decisions::received`]: what to do with the origin's response head: store, freshen, serve stale,
//!    relay.
//! 7. [`Decisions::reply`] for a stored response (also one being stored), [`Decisions::relay`] for one that
//!    is not: status, fields and part of the content that the client gets. [`Decisions::content`] sees each
//!    block of it. [`ExpectedDigests`] says what the origin's content must come to, [`wanted_digests`] which
//!    digests a client wants.
//! 8. [`Decisions::keep`]: the content has ended; is the stored response complete and still wanted?
//! 9. [`Decisions::invalidated`] and [`Decisions::invalidated_groups`] after unsafe methods,
//!    [`Decisions::purged`] for purges of a URL: what to forget.

mod age;
mod answering;
mod cache_status;
mod cdn_loop;
mod combining;
mod date;
mod decisions;
mod digest;
mod directives;
mod encoding;
mod fields;
mod freshening;
mod freshness;
mod handling;
mod invalidation;
mod key;
mod lines;
mod message;
mod octets;
mod plan;
mod proxy_status;
mod range;
mod reply;
mod settings;
mod slicing;
mod standard;
mod status;
mod stored;
mod storing;
mod tags;
mod time;
mod validation;
mod vary;

pub use cdn_loop::is_edge_id;
pub use decisions::Decisions;
pub use digest::{
    Digest, DigestAlgorithm, DigestField, DigestMismatch, ExpectedDigests, WantedDigest, add_digest,
    wanted as wanted_digests,
};
pub use encoding::DecodeError;
pub use freshness::Heuristic;
pub use handling::{ForwardReason, Handling, Outcome};
pub use key::Key;
pub use lines::{decode_fields, encode_fields};
pub use message::{Request, Response};
pub use plan::{
    Beside, Collapsing, Ended, Failure, Fetch, Keep, Lookup, NotStored, Plan, Received, Refusal, Slices,
};
pub use proxy_status::{ProxyError, ProxyStatus};
pub use range::has_greedy_ranges;
pub use reply::{Part, Reply, Selection};
pub use settings::{ClientDirectives, Settings, TagFields};
pub use standard::Standard;
pub use stored::{Extent, Stored};
pub use tags::{LONGEST_TAG, MOST_TAGS, Tags};
pub use time::Time;
