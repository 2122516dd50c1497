//! Totals that must balance.

use serde::{Deserialize, Serialize};

/// A total and the parts it is made of. Every unit counted in `total` ends in exactly one of `parts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Ledger {
    /// What is counted: `transactions`, `packets`.
    pub name: String,
    pub total: u64,
    pub parts: Vec<Count>,
}

/// One part of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub name: String,
    pub count: u64,
}

impl Ledger {
    pub fn new(name: impl Into<String>, total: u64) -> Self {
        Ledger { name: name.into(), total, parts: Vec::new() }
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, count: u64) -> Self {
        self.parts.push(Count { name: name.into(), count });
        self
    }

    /// Whether the parts add up to the total.
    pub fn balances(&self) -> bool {
        self.parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.count)) == Some(self.total)
    }
}

/// The JSON form, which says whether it balances.
#[derive(Serialize, Deserialize)]
struct Written {
    name: String,
    total: u64,
    #[serde(default)]
    balances: bool,
    parts: Vec<Count>,
}

impl From<Ledger> for Written {
    fn from(ledger: Ledger) -> Self {
        let balances = ledger.balances();
        Written { name: ledger.name, total: ledger.total, balances, parts: ledger.parts }
    }
}

impl From<Written> for Ledger {
    fn from(written: Written) -> Self {
        Ledger { name: written.name, total: written.total, parts: written.parts }
    }
}
