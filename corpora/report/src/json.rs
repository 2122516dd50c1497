//! The form for programs, as `report.schema.json` describes.

use crate::{Report, clean};
use std::fmt::Write as _;

/// Longest block of evidence written, in bytes.
pub(crate) const EVIDENCE: usize = 64 << 10;

pub(crate) fn write(report: &Report) -> String {
    let long =
        |report: &Report| report.checks.iter().flat_map(|c| &c.evidence).any(|e| e.text.len() > EVIDENCE);
    let mut bounded;
    let mut report = report;
    if long(report) {
        bounded = report.clone();
        for evidence in bounded.checks.iter_mut().flat_map(|c| &mut c.evidence) {
            if evidence.text.len() > EVIDENCE {
                evidence.text = clean::block(&evidence.text, EVIDENCE);
            }
        }
        report = &bounded;
    }
    match serde_json::to_string_pretty(report) {
        Ok(json) => disarm(json) + "\n",
        // All keys are strings and nothing here serialises with errors of its own.
        Err(error) => unreachable!("a report is always JSON: {error}"),
    }
}

/// Writes what JSON allows as it is and terminals obey (C1 controls, marks of direction) as `\uNNNN`: the same JSON.
fn disarm(json: String) -> String {
    if !json.contains(clean::harmful) {
        return json;
    }
    let mut disarmed = String::with_capacity(json.len());
    for c in json.chars() {
        if clean::harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(disarmed, "\\u{unit:04x}");
            }
        } else {
            disarmed.push(c);
        }
    }
    disarmed
}

pub(crate) fn read(text: &str) -> Result<Report, String> {
    let report: Report = serde_json::from_str(text).map_err(|e| format!("this is no report: {e}"))?;
    match report.schema {
        1 => Ok(report),
        other => Err(format!(
            "this report follows version {other} of the report schema; this program reads version 1. \
             Write it again with a program of the same release"
        )),
    }
}
