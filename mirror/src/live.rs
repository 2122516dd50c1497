//! A running mirror's numbers, for those who watch it.

use crate::budget::Budget;
use crate::findings::Findings;
use crate::ledger::{Ledger, State, Totals};
use crate::status::{ConnectionTotals, Connections};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can be read at any time.
#[derive(Debug)]
pub(crate) struct Live {
    pub ledger: Arc<Ledger>,
    pub connections: Arc<Connections>,
    pub budget: Arc<Budget>,
    pub findings: Arc<Mutex<Findings>>,
}

/// All numbers at one moment: what `/ledger` serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    #[serde(flatten)]
    pub totals: Totals,
    /// Requests that have not ended yet.
    pub open: u64,
    /// Whether each request is open or has ended in exactly one state: false shows a defect, at any moment.
    pub balances: bool,
    pub connections: ConnectionTotals,
    pub memory: Memory,
    pub files: Files,
    /// Compared answers by where primary and candidate say they took them from: `hit/miss`.
    pub caches: BTreeMap<String, u64>,
}

/// Bytes held by copies of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub limit: u64,
    pub used: u64,
    pub peak: u64,
}

/// What became of the files that are written.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Files {
    pub diffs_written: u64,
    pub diffs_lost: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diffs_error: Option<String>,
    pub recorded: u64,
    pub unrecorded: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_error: Option<String>,
}

impl Live {
    pub(crate) fn findings(&self) -> MutexGuard<'_, Findings> {
        // Counters stay whole whatever a thread that panicked was about to do with them.
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let totals = self.ledger.totals();
        let connections = self.connections.snapshot();
        let findings = self.findings();
        Numbers {
            open: totals.open(),
            balances: totals.balances(),
            totals,
            memory: Memory {
                limit: self.budget.limit() as u64,
                used: self.budget.used() as u64,
                peak: self.budget.peak() as u64,
            },
            files: Files {
                diffs_written: findings.diffs_written,
                diffs_lost: findings.diffs_lost,
                diffs_error: findings.diffs_error.clone(),
                recorded: findings.recorded,
                unrecorded: findings.unrecorded + connections.unrecorded,
                record_error: findings.record_error.clone(),
            },
            connections,
            caches: findings.caches.iter().map(|((p, c), n)| (format!("{p}/{c}"), *n)).collect(),
        }
    }

    pub(crate) fn ledger_json(&self) -> String {
        // Plain numbers and strings: writing them cannot fail.
        serde_json::to_string_pretty(&self.numbers()).unwrap_or_default() + "\n"
    }

    /// In Prometheus' text form.
    pub(crate) fn metrics(&self) -> String {
        let numbers = self.numbers();
        let mut out = String::new();
        let mut put = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP mirror_{name} {help}\n# TYPE mirror_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "mirror_{name}{labels} {value}");
            }
        };
        let plain = |value| [(String::new(), value)];
        put("requests_total", "counter", "Requests that began.", &plain(numbers.totals.requests));
        let states: Vec<_> = State::ALL
            .iter()
            .map(|state| {
                let group = serde_json::to_value(state.group()).unwrap_or_default();
                let group = group.as_str().unwrap_or_default();
                (format!("{{group=\"{group}\",state=\"{}\"}}", state.reason()), numbers.totals.of(*state))
            })
            .collect();
        put("requests_ended_total", "counter", "Requests by the state they ended in.", &states);
        put(
            "requests_lost_total",
            "counter",
            "Requests whose end nobody wrote down; a defect.",
            &plain(numbers.totals.lost),
        );
        put("requests_open", "gauge", "Requests that have not ended.", &plain(numbers.open));
        let caches: Vec<_> = numbers
            .caches
            .iter()
            .map(|(pair, n)| {
                let (primary, candidate) = pair.split_once('/').unwrap_or((pair, ""));
                (format!("{{primary=\"{primary}\",candidate=\"{candidate}\"}}"), *n)
            })
            .collect();
        put("compared_by_cache_total", "counter", "Compared answers by cache state.", &caches);
        for (name, value) in numbers.connections.each() {
            put(
                &format!("connections_{name}_total"),
                "counter",
                "See the README of the mirror.",
                &plain(value),
            );
        }
        put("copies_bytes", "gauge", "Bytes that copies of traffic hold.", &plain(numbers.memory.used));
        put("copies_bytes_peak", "gauge", "The most they held at once.", &plain(numbers.memory.peak));
        put("copies_bytes_limit", "gauge", "The most they may hold.", &plain(numbers.memory.limit));
        put(
            "differences_written_total",
            "counter",
            "Lines in the file of differences.",
            &plain(numbers.files.diffs_written),
        );
        put(
            "differences_lost_total",
            "counter",
            "Lines that could not be written.",
            &plain(numbers.files.diffs_lost),
        );
        put("recorded_total", "counter", "Transactions recorded.", &plain(numbers.files.recorded));
        put(
            "unrecorded_total",
            "counter",
            "Transactions that could not be recorded.",
            &plain(numbers.files.unrecorded),
        );
        out
    }
}
