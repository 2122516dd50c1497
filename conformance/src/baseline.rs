//! The result of an earlier run, to judge what is new.

use crate::check::Level;
use crate::run::{Judged, Run, Verdict};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// Verdicts of an earlier run by id.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The file.
    pub name: String,
    verdicts: HashMap<String, report::Verdict>,
}

/// A baseline that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineError {
    pub file: String,
    pub why: String,
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "baseline {}: {}; give the file that an earlier run wrote with --json", self.file, self.why)
    }
}

impl std::error::Error for BaselineError {}

impl Baseline {
    /// Reads the JSON report of an earlier run.
    ///
    /// # Errors
    /// The file cannot be read or is no such report.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let name = path.display().to_string();
        let error = |why: String| BaselineError { file: name.clone(), why };
        let text = std::fs::read_to_string(path).map_err(|e| error(format!("cannot be read: {e}")))?;
        let report = report::Report::from_json(&text).map_err(|e| error(format!("is no report: {e}")))?;
        if report.tool.name != "conformance" || report.checks.is_empty() {
            return Err(error(format!(
                "is a report of {} with {} checks",
                report.tool.name,
                report.checks.len()
            )));
        }
        Ok(Baseline::of(&name, &report))
    }

    /// The verdicts of a report.
    pub fn of(name: &str, report: &report::Report) -> Self {
        let verdicts = report.checks.iter().map(|check| (check.id.clone(), check.verdict)).collect();
        Baseline { name: name.to_owned(), verdicts }
    }

    /// Whether a failure is new: a MUST that did not fail then, or a SHOULD that passed then.
    pub fn is_new(&self, judged: &Judged) -> bool {
        let then = self.verdicts.get(judged.check.id);
        judged.verdict == Verdict::Fail
            && match judged.check.level {
                Level::Must => !matches!(then, Some(report::Verdict::Fail | report::Verdict::Waived)),
                Level::Should => then == Some(&report::Verdict::Pass),
                Level::May | Level::Behaviour => false,
            }
    }

    /// Ids of checks that failed then and pass now.
    pub fn mended(&self, run: &Run) -> Vec<&'static str> {
        run.checks
            .iter()
            .filter(|j| j.verdict == Verdict::Pass)
            .filter(|j| self.verdicts.get(j.check.id) == Some(&report::Verdict::Fail))
            .map(|j| j.check.id)
            .collect()
    }
}
