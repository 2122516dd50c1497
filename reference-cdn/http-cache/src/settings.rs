//! What an operator can choose about the decisions.

use std::num::NonZeroU64;
use std::time::Duration;

use http::HeaderName;

use crate::Heuristic;

/// What [`Standard`](crate::Standard) is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of this cache in Via, CDN-Loop and Cache-Status: a token, the same for all edges of one CDN.
    pub name: String,
    pub client_directives: ClientDirectives,
    /// Fields that stand for Cache-Control here, the most applicable first (RFC 9213 section 2.2). `None`: the one named
    /// after this CDN (`NAME-Cache-Control`), then CDN-Cache-Control.
    pub targeted: Option<Vec<HeaderName>>,
    /// How lifetimes are guessed.
    pub heuristic: Heuristic,
    /// How long past its lifetime a response may be served when the origin does not answer at all and the
    /// response says nothing about it (RFC 9111 section 4.2.4). Zero: never.
    pub stale_when_disconnected: Duration,
    /// This edge's id among the edges of its CDN, a token ([`is_edge_id`](crate::is_edge_id)), sent in CDN-Loop.
    pub edge: Option<String>,
    /// Tiers of edges of this CDN that may stand between clients and this edge; beyond them a request is a loop.
    pub tiers_below: u32,
    /// Octets of a slice: range requests that the store cannot answer fetch aligned slices of this size, and what is too
    /// large to be stored in one piece is kept in them. `None`: ranges go to the origin as they are.
    pub slice: Option<NonZeroU64>,
    pub tag_fields: TagFields,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "reference-cdn".into(),
            client_directives: ClientDirectives::Ignore,
            targeted: None,
            heuristic: Heuristic::default(),
            stale_when_disconnected: Duration::from_secs(86_400),
            edge: None,
            tiers_below: 0,
            slice: NonZeroU64::new(1 << 20),
            tag_fields: TagFields::Pass,
        }
    }
}

/// Are Cache-Control directives and Pragma in requests obeyed? A cache may ignore them (RFC 9111 section
/// 5.2.1), and a CDN does by default: any client could otherwise send every request to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientDirectives {
    Honor,
    #[default]
    Ignore,
}

/// What becomes of Surrogate-Key and Cache-Tag towards clients.
///
/// Both are meant for caches. A CDN that is the last cache before the client may remove them (Fastly does so with
/// Surrogate-Key). Here they pass unless told otherwise: a cache below this one (a child edge, another CDN) that lost
/// them could no longer be purged by tag, and would not notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagFields {
    #[default]
    Pass,
    Strip,
}
