//! What a report says.

use crate::{Evidence, Ledger};
use exchange::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The result of one run of one tool. Strings are plain text; each writer neutralises what its format minds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this model; 1.
    pub schema: u32,
    pub tool: Tool,
    /// What was done, in a few words: `replay of page-load.pcap`.
    pub title: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub finished: String,
    /// Seed of everything random in the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What was judged, against what.
    pub subjects: Vec<Subject>,
    pub outcome: Outcome,
    /// Why the outcome is what it is, weightiest first. An outcome other than agreement has at least one.
    pub reasons: Vec<Reason>,
    /// Totals that must balance.
    pub ledgers: Vec<Ledger>,
    /// Everything judged that is worth a line.
    pub checks: Vec<Check>,
    /// What the reader should know or try next.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Further top-level keys of the JSON form, of one tool only.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Report {
    /// An empty report that could not judge yet: fill in what was found, then set [`Report::outcome`].
    pub fn new(tool: &str, version: &str, title: impl Into<String>, started: Time, finished: Time) -> Self {
        Report {
            schema: 1,
            tool: Tool { name: tool.to_owned(), version: version.to_owned() },
            title: title.into(),
            started: started.to_string(),
            finished: finished.to_string(),
            seed: None,
            subjects: Vec::new(),
            outcome: Outcome::CouldNotJudge,
            reasons: Vec::new(),
            ledgers: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
            extra: BTreeMap::new(),
        }
    }
}

/// The program that wrote the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
}

/// Something that was judged or judged against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `reference`, `candidate`, `capture`, `origin`.
    pub role: String,
    /// A URL, a file.
    pub name: String,
    /// A version, or what else identifies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Subject {
    pub fn new(role: impl Into<String>, name: impl Into<String>) -> Self {
        Subject { role: role.into(), name: name.into(), detail: None }
    }
}

/// The one verdict of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The gate's: nothing speaks against it.
    Deploy,
    /// The gate's.
    DoNotDeploy,
    /// Replay's and the mirror's: both builds answer alike.
    Agree,
    /// Replay's and the mirror's.
    Differences,
    /// The suite's: no requirement is broken.
    Pass,
    /// The suite's.
    Fail,
    /// The evidence does not suffice, or the harness is at fault. Never held against the candidate.
    CouldNotJudge,
}

impl Outcome {
    /// 0 where all is well, 1 where it is not, 2 where it could not be judged.
    pub fn exit_status(self) -> u8 {
        match self {
            Outcome::Deploy | Outcome::Agree | Outcome::Pass => 0,
            Outcome::DoNotDeploy | Outcome::Differences | Outcome::Fail => 1,
            Outcome::CouldNotJudge => 2,
        }
    }
}

/// As a headline: `do not deploy`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Deploy => "deploy",
            Outcome::DoNotDeploy => "do not deploy",
            Outcome::Agree => "agree",
            Outcome::Differences => "differences",
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::CouldNotJudge => "could not judge",
        })
    }
}

/// Why the outcome is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub fault: Fault,
    pub severity: Severity,
    /// One sentence.
    pub text: String,
    /// Ids of the checks it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// What to try next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Reason {
    /// A reason that decides the outcome.
    pub fn deciding(fault: Fault, text: impl Into<String>) -> Self {
        Reason { fault, severity: Severity::Deciding, text: text.into(), checks: Vec::new(), next: None }
    }

    /// A reason to look closer that does not decide.
    pub fn warning(fault: Fault, text: impl Into<String>) -> Self {
        Reason { severity: Severity::Warning, ..Reason::deciding(fault, text) }
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    #[must_use]
    pub fn resting_on(mut self, checks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.checks.extend(checks.into_iter().map(Into::into));
        self
    }
}

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The build under test misbehaved.
    Candidate,
    /// The build it is held against did.
    Reference,
    /// The tool or its surroundings: a port in use, a lost connection to its own origin.
    Harness,
    /// What the user gave: a capture, a profile, a URL.
    Input,
    /// Nobody: what was seen is right.
    Nobody,
}

/// What a reason does to the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Deciding,
    Warning,
    Note,
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable across runs; unique in a report.
    pub id: String,
    /// What it belongs to: `freshness`, `framing`; reports group by it.
    pub area: String,
    pub level: Level,
    pub verdict: Verdict,
    /// Why the verdict is what it is; required unless it is a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line for a person.
    pub title: String,
    /// What is required and why, a paragraph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Such as `RFC 9111 section 4.2.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cites: Option<String>,
    /// What differed, where two answers were compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Milliseconds it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// Further keys of the JSON form, of one tool only.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Check {
    /// A check without evidence. `title`: one line for a person.
    pub fn new(
        id: impl Into<String>,
        area: impl Into<String>,
        level: Level,
        verdict: Verdict,
        title: impl Into<String>,
    ) -> Self {
        Check {
            id: id.into(),
            area: area.into(),
            level,
            verdict,
            reason: None,
            title: title.into(),
            explanation: None,
            cites: None,
            differences: Vec::new(),
            evidence: Vec::new(),
            milliseconds: None,
            extra: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// How binding a requirement is (RFC 2119), or that it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Must,
    Should,
    May,
    /// Reported, not judged.
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

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Fail,
    NotJudged,
    /// It failed, and somebody accepted that for a while.
    Waived,
    Pass,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Fail => "fail",
            Verdict::NotJudged => "not judged",
            Verdict::Waived => "waived",
            Verdict::Pass => "pass",
        })
    }
}

/// One difference between two answers, as [`Check::differences`] lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Such as `fields.cache-control[max-age]`.
    pub path: String,
    /// Such as `freshness`.
    pub class: String,
    /// Id of the rule that judged, with its citation.
    pub rule: String,
    /// The reference's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// The candidate's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// Whether it speaks against the candidate: neither of a class that does not count, nor waived.
    pub counts: bool,
    pub explanation: String,
    /// A unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Who waived it, why, until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}
