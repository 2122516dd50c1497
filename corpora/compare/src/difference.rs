//! What a comparison gives.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The status code.
    Status,
    /// An interim (1xx) response.
    Interim,
    /// A header field.
    Field,
    /// `Date`, `Age`, `Expires` or what follows from them: how old, how long fresh.
    Freshness,
    /// A content coding was applied on one side and not on the other, or another one; the decoded content is the same.
    Encoding,
    /// The bytes of the content.
    Body,
    /// Where a message ends: cut short, or of another length than it announced.
    Framing,
    /// A trailer field.
    Trailer,
    /// The method or target of a request.
    Request,
    /// A field that concerns one connection only (RFC 9110 section 7.6.1). Counts only where it was relayed.
    HopByHop,
    /// Answered from a store on one side and not on the other, or one side does not say. Does not count.
    CacheState,
    /// The name software gives itself (`Server`). Does not count.
    Identity,
}

impl Class {
    pub const ALL: [Class; 12] = [
        Class::Status,
        Class::Interim,
        Class::Field,
        Class::Freshness,
        Class::Encoding,
        Class::Body,
        Class::Framing,
        Class::Trailer,
        Class::Request,
        Class::HopByHop,
        Class::CacheState,
        Class::Identity,
    ];

    /// Whether a difference of this class changes what the answer means to its reader.
    pub fn counts(self) -> bool {
        !matches!(self, Class::CacheState | Class::Identity)
    }

    /// As in JSON and waiver files: `hop-by-hop`.
    pub fn name(self) -> &'static str {
        match self {
            Class::Status => "status",
            Class::Interim => "interim",
            Class::Field => "field",
            Class::Freshness => "freshness",
            Class::Encoding => "encoding",
            Class::Body => "body",
            Class::Framing => "framing",
            Class::Trailer => "trailer",
            Class::Request => "request",
            Class::HopByHop => "hop-by-hop",
            Class::CacheState => "cache-state",
            Class::Identity => "identity",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The rule that judged: a stable name, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// Such as `field.set`.
    pub id: Cow<'static, str>,
    /// Such as `RFC 9110 section 12.5.5`.
    pub cites: Cow<'static, str>,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.cites)
    }
}

/// One difference between two messages. Values are printable ([`exchange::escape`]) and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// Where: see the [paths](crate#paths).
    pub path: String,
    /// The reference's value; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The candidate's value; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    pub rule: Rule,
    pub class: Class,
    /// Whether it alters the meaning, by class and rule; see [`Difference::stands`] for waivers.
    pub counts: bool,
    /// One sentence for a person.
    pub explanation: String,
    /// A unified diff of text bodies, escaped and bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Who accepted it, until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

impl Difference {
    /// Whether it counts and nobody waived it.
    pub fn stands(&self) -> bool {
        self.counts && self.waived.is_none()
    }

    /// The same for the same kind of difference in two runs: made of path, class, rule and of which sides have a
    /// value, not of the values, which may hold times and nonces. The request is not part of it.
    pub fn fingerprint(&self) -> Fingerprint {
        let shape = format!(
            "{}\n{}\n{}\n{}{}",
            self.path,
            self.class,
            self.rule.id,
            u8::from(self.left.is_some()),
            u8::from(self.right.is_some())
        );
        let digest = exchange::Sha256::of(shape.as_bytes()).0;
        Fingerprint(digest[..8].iter().fold(0, |n, &b| n << 8 | u64::from(b)))
    }
}

/// Identifies a kind of difference across runs; printed as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The waiver that accepted a difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Waived {
    pub reason: String,
    pub owner: String,
    /// Last day it holds, as `YYYY-MM-DD`.
    pub expires: String,
    /// Which waiver of the file, counted from 0.
    pub index: usize,
}

/// Where an answer came from, as far as it says: from `Cache-Status` (RFC 9211), `X-Cache` and its kin, or `Age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheState {
    /// From a store, without asking the origin.
    Hit,
    /// From a store, after the origin confirmed it.
    Revalidated,
    /// From the origin.
    Miss,
    /// It does not say.
    #[default]
    Unknown,
}

/// All differences between two messages.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// In a stable order; at most [`Settings::max_differences`](crate::Settings::max_differences).
    pub differences: Vec<Difference>,
    /// Differences beyond that bound.
    #[serde(default)]
    pub omitted: u64,
    /// The reference's cache state.
    #[serde(default)]
    pub left_cache: CacheState,
    /// The candidate's cache state.
    #[serde(default)]
    pub right_cache: CacheState,
}

impl Comparison {
    /// Differences that count and are not waived.
    pub fn standing(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|d| d.stands())
    }

    /// Whether the two mean the same: no difference stands and none was left out.
    pub fn agrees(&self) -> bool {
        self.omitted == 0 && self.standing().next().is_none()
    }
}
