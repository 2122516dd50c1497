//! What a check is: one requirement, who states it, and the code that judges it.

use crate::bench::Trial;
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The part of HTTP a check belongs to; the first half of its id and the folder it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    Headers,
    Freshness,
    Validation,
    Vary,
    Ranges,
    Integrity,
    Collapsing,
    Purge,
    Framing,
    Limits,
}

impl Area {
    pub const ALL: [Area; 10] = [
        Area::Headers,
        Area::Freshness,
        Area::Validation,
        Area::Vary,
        Area::Ranges,
        Area::Integrity,
        Area::Collapsing,
        Area::Purge,
        Area::Framing,
        Area::Limits,
    ];

    /// The name in ids.
    pub fn name(self) -> &'static str {
        match self {
            Area::Headers => "headers",
            Area::Freshness => "freshness",
            Area::Validation => "validation",
            Area::Vary => "vary",
            Area::Ranges => "ranges",
            Area::Integrity => "integrity",
            Area::Collapsing => "collapsing",
            Area::Purge => "purge",
            Area::Framing => "framing",
            Area::Limits => "limits",
        }
    }

    /// What the area is about, for a heading.
    pub fn title(self) -> &'static str {
        match self {
            Area::Headers => "Header handling",
            Area::Freshness => "Freshness and TTL",
            Area::Validation => "Validation and conditional requests",
            Area::Vary => "Vary",
            Area::Ranges => "Ranges",
            Area::Integrity => "Integrity",
            Area::Collapsing => "Collapsed requests",
            Area::Purge => "Purge",
            Area::Framing => "Message framing",
            Area::Limits => "Limits and shared errors",
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How binding the requirement is (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Breaking it is a defect. Only these decide the exit status of a run without a baseline.
    Must,
    /// Breaking it needs a good reason.
    Should,
    /// A feature the standard leaves open; a pass says that the candidate has it and has it right.
    May,
    /// Nothing in a standard asks for it; reported because operators want to know.
    Behaviour,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::May => "MAY",
            Level::Behaviour => "BEHAVIOUR",
        })
    }
}

/// One check. All of them are listed in [`crate::checks::ALL`].
pub struct Check {
    /// `area/topic`; stable, never reused for another requirement.
    pub id: &'static str,
    pub area: Area,
    pub level: Level,
    /// RFC and section.
    pub cite: &'static str,
    /// The requirement, in one sentence of ours.
    pub rule: &'static str,
    /// What goes wrong for users when it is broken.
    pub reason: &'static str,
    /// Checks that must pass before this one means anything.
    pub depends_on: &'static [&'static str],
    pub judge: fn(Trial) -> Judging,
}

/// A check at work.
pub type Judging = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// `Ok` is a pass.
pub type Outcome = Result<(), Stop>;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.id)
    }
}

/// Why a check ended without a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The candidate broke the requirement.
    Broken(String),
    /// The candidate accepted a request and then closed or reset the connection with no answer to it.
    Dropped(String),
    /// The candidate accepted a request and then fell silent.
    Hung(String),
    /// Nothing was there to judge: the candidate does not do what the requirement is about.
    Nothing(String),
    /// We failed: our origin, our client, this machine. Never counts against the candidate.
    Harness(String),
}

impl Stop {
    /// What the text of [`Stop::Dropped`] holds where the candidate takes no connections.
    pub(crate) const NO_CONNECTION: &str = "accepts no connection: ";

    /// Why, in words.
    pub fn text(&self) -> &str {
        match self {
            Stop::Broken(why)
            | Stop::Dropped(why)
            | Stop::Hung(why)
            | Stop::Nothing(why)
            | Stop::Harness(why) => why,
        }
    }
}

/// Ends the check: the candidate broke the requirement, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::check::Stop::Broken(format!($($why)+)));
        }
    };
}

/// Ends the check as not judged, unless the condition holds.
macro_rules! need {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::check::Stop::Nothing(format!($($why)+)));
        }
    };
}

pub(crate) use {ensure, need};
