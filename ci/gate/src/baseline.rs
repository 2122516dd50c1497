//! What an accepted run had found, read from its JSON report.

use report::Report;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The key of the JSON report under which findings are listed.
pub(crate) const FINDINGS: &str = "findings";

/// Why a baseline could not be used.
#[derive(Debug)]
pub struct BaselineError {
    path: PathBuf,
    what: String,
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot use the baseline {}: {}; give a report that `gate --json FILE` wrote",
            self.path.display(),
            self.what
        )
    }
}

impl std::error::Error for BaselineError {}

/// The findings that a gate's report lists: ids of checks and fingerprints of differences.
///
/// # Errors
/// The file cannot be read or is no report of the gate.
pub fn load(path: &Path) -> Result<BTreeSet<String>, BaselineError> {
    let error = |what: String| BaselineError { path: path.to_owned(), what };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    parse(&text).map_err(error)
}

fn parse(text: &str) -> Result<BTreeSet<String>, String> {
    let report = Report::from_json(text)?;
    if report.tool.name != "gate" {
        return Err(format!("it is a report of {}", report.tool.name));
    }
    let findings = report.extra.get(FINDINGS).ok_or_else(|| format!("it has no {FINDINGS:?}"))?;
    serde_json::from_value(findings.clone()).map_err(|e| format!("{FINDINGS:?}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::Time;

    #[test]
    fn reads_only_what_the_gate_wrote() {
        let mut report = Report::new("gate", "1", "t", Time(0), Time(0));
        assert!(parse(&report.to_json()).is_err_and(|e| e.contains("findings")));
        report.extra.insert(FINDINGS.into(), serde_json::json!(["b", "a"]));
        assert_eq!(parse(&report.to_json()), Ok(["a".to_owned(), "b".to_owned()].into()));
        report.tool.name = "replay".into();
        assert!(parse(&report.to_json()).is_err_and(|e| e.contains("a report of replay")));
        assert!(parse("{").is_err());
    }
}
