//! What is remembered of a server.

use control::load_report::State;

use super::Probes;
use crate::conditions::{Rules, ServerNow, Standing};

/// How often servers report, in milliseconds.
const PERIOD: u64 = 1_000;
/// A server is silent when the chance to lose so many reports in a row is below one in this.
const CHANCE: u64 = 1_000_000_000;
/// However many are lost, so many in a row are too many.
pub(super) const MOST_MISSING: u64 = 20;

/// So many times patience reports are waited for of a server that probes find well.
const EXPECTED: u64 = 10;

#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) last: Option<Last>,
    /// Load, smoothed over a few reports.
    pub(super) load: u32,
    pub(super) now: ServerNow,
    /// Since when it has its standing.
    pub(super) since: u64,
    /// When its spread was last changed.
    pub(super) spread_since: u64,
    /// When its load was last too high for its spread to go down.
    pub(super) pressed: u64,
    pub(super) withdrawn: bool,
    /// Was not to be named when an earlier mapper ended, and was not heard of since.
    pub(super) unheard: bool,
    /// Fell silent together with so many others that it is not held against it.
    pub(super) excused: bool,
    /// Its probes began to fail together with nearly all others.
    pub(super) doubted: bool,
    /// No report is expected of it, so that none says nothing: an operator says that it is well, or probes have said so for long.
    pub(super) unexpected: bool,
    /// Thousandths of its reports that do not arrive, smoothed.
    pub(super) loss: u16,
    /// Of each kind of probe that is configured.
    pub(super) probes: Vec<Probes>,
}

#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) at: u64,
    pub(super) started: u64,
    pub(super) number: u64,
    pub(super) sent: u64,
    pub(super) state: State,
    pub(super) octets: u64,
    /// For how long no other report is no surprise, in milliseconds.
    pub(super) quiet: u64,
    pub(super) names: Vec<(u64, u16)>,
}

impl Watched {
    pub(super) fn stand(&mut self, now: u64, standing: Standing) {
        if self.now.standing != standing {
            (self.now.standing, self.since) = (standing, now);
        }
    }

    pub(super) fn stops(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.state == State::Stops)
    }

    /// A farewell is over when all probes find the server well that long after it was last said: one that stops would be gone.
    pub(super) fn end_farewell(&mut self, now: u64, rules: &Rules) {
        if !self.stops() {
            return;
        }
        let over = self.last.as_ref().map_or(now, |last| last.at.saturating_add(rules.patience()));
        let mut asked = self.probes.iter().filter(|probes| probes.row > 0).peekable();
        let well = |probes: &Probes| {
            probes.reach(now, rules) && !probes.failed && probes.row >= rules.probes && probes.at >= over
        };
        if asked.peek().is_some() && asked.all(well) {
            self.expect_nothing();
        }
    }

    /// What was said of the load long ago says nothing of now: a server that only probes reach would stay out for ever.
    pub(super) fn forget_load(&mut self, now: u64, rules: &Rules) {
        let long = rules.silent.saturating_add(rules.lifetime);
        if self.last.as_ref().is_some_and(|last| now.saturating_sub(last.at) >= long) {
            self.load = 0;
        }
    }

    /// Whether more reports are missing in a row than its losses explain.
    pub(super) fn is_silent(&self, now: u64, rules: &Rules) -> bool {
        let Some(last) = &self.last else { return false };
        !self.unexpected && now.saturating_sub(last.at) >= rules.silent.max(last.quiet)
    }

    /// Whether it reports.
    pub(super) fn tells(&self, now: u64, rules: &Rules) -> bool {
        self.last.is_some() && !self.unexpected && !self.is_silent(now, rules)
    }

    /// Whether it is one of those that report, or did until a moment ago.
    pub(super) fn is_reporter(&self) -> bool {
        self.last.is_some() && !self.unexpected
    }

    pub(super) fn is_reached(&self, now: u64, rules: &Rules) -> bool {
        self.probes.iter().any(|probes| probes.reach(now, rules))
    }

    /// What was said last does not hold any more, and nothing else is waited for.
    pub(super) fn expect_nothing(&mut self) {
        if let Some(last) = &mut self.last {
            last.state = State::Serves;
            self.unexpected = true;
        }
    }

    /// Ends the silence of one that has been silent for so long, and is well, that it is not expected to report any more.
    pub(super) fn end_expectation(&mut self, now: u64, rules: &Rules) {
        let long = rules.patience().saturating_mul(EXPECTED).max(super::CLOCK * 2);
        let silent = self.last.as_ref().is_some_and(|last| now.saturating_sub(last.at) >= long);
        if silent && !self.unexpected && self.is_reached(now, rules) {
            self.expect_nothing();
        }
    }

    pub(super) fn failed(&self, now: u64, rules: &Rules) -> bool {
        if self.probes.iter().any(|probes| probes.failed) && !self.doubted {
            return true;
        }
        if self.unheard {
            return !self.probes.iter().any(|probes| probes.succeeded && probes.row >= rules.probes);
        }
        self.is_silent(now, rules) && !self.is_reached(now, rules) && !self.excused
    }
}

/// How long a server may be quiet, in milliseconds, of whose reports so many thousandths are lost.
pub(super) fn quiet(loss: u16) -> u64 {
    let mut chance = CHANCE;
    let mut missing = 0;
    while chance > 1 && missing < MOST_MISSING {
        chance = chance * u64::from(loss) / 1000;
        missing += 1;
    }
    (missing + 1) * PERIOD
}
