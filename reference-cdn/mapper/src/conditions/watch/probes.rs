//! What probes of one kind said of a server, or of a site's name servers.

use crate::conditions::Rules;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probes {
    /// The last ones: so many alike in a row.
    pub(super) succeeded: bool,
    pub(super) row: u8,
    pub(super) at: u64,
    /// Between the last two.
    pub(super) gap: u64,
    /// What the rows came to.
    pub(super) failed: bool,
}

impl Probes {
    pub(super) fn take(&mut self, now: u64, succeeded: bool, rules: &Rules) {
        self.row = if self.succeeded == succeeded { self.row.saturating_add(1) } else { 1 };
        self.gap = if self.at == 0 { 0 } else { now.saturating_sub(self.at) };
        (self.succeeded, self.at) = (succeeded, now);
        if self.row >= rules.probes {
            self.failed = !succeeded;
        }
    }

    /// Whether the last one succeeded, and the next is not long overdue.
    pub(super) fn reach(&self, now: u64, rules: &Rules) -> bool {
        self.succeeded && now.saturating_sub(self.at) < rules.lifetime.max(self.gap.saturating_mul(2))
    }
}
