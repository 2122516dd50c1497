//! When a server is too loaded, and how slowly it is believed to be well again.

use serde::Deserialize;

/// Loads are in thousandths of what a server can do, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rules {
    /// Past it, a part of a server's content is also given to others, and nothing new to it.
    pub first: u16,
    /// Below it that ends.
    pub first_leave: u16,
    /// Past it, a server is no longer named.
    pub second: u16,
    /// Below it that ends.
    pub second_leave: u16,
    /// How long answers are kept by resolvers: nothing takes effect sooner.
    pub lifetime: u64,
    /// A server that reported once and is silent for so long has failed, unless probes reach it.
    pub silent: u64,
    /// So many probes in a row that fail mean that a server has failed; as many that succeed, that it is well.
    pub probes: u8,
    /// Lifetimes for which less must be enough before less is used: extra servers, shifted clients.
    pub patience: u8,
    /// At most so many thousandths of a site's servers are withdrawn for load at once: the rest could not carry it.
    pub most_overloaded: u16,
    /// When more than so many thousandths of all servers fall silent within a lifetime, it is taken for a fault of the reports, not
    /// of the servers.
    pub most_silent: u16,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            first: 700,
            first_leave: 600,
            second: 900,
            second_leave: 750,
            lifetime: 20_000,
            silent: 5_000,
            probes: 3,
            patience: 3,
            most_overloaded: 500,
            most_silent: 300,
        }
    }
}

/// Rules that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    #[error("{lower} ({lower_value}) must be below {upper} ({upper_value})")]
    Order { lower: &'static str, lower_value: u64, upper: &'static str, upper_value: u64 },
    #[error("{name} must be at least {least}, it is {value}")]
    Least { name: &'static str, least: u64, value: u64 },
    #[error("{name} must be at most {most}, it is {value}")]
    Most { name: &'static str, most: u64, value: u64 },
}

impl RulesError {
    /// The key that is wrong; or two that are in the wrong order.
    pub fn keys(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Order { lower, upper, .. } => (lower, Some(upper)),
            Self::Least { name, .. } | Self::Most { name, .. } => (name, None),
        }
    }
}

impl Rules {
    /// For how long less must be enough before less is used, in milliseconds.
    pub(super) fn patience(&self) -> u64 {
        self.lifetime.saturating_mul(self.patience.into())
    }

    /// # Errors
    /// Two thresholds are in the wrong order, or a value is too small.
    pub fn check(&self) -> Result<(), RulesError> {
        let thresholds = [
            ("first-leave", self.first_leave),
            ("first", self.first),
            ("second-leave", self.second_leave),
            ("second", self.second),
        ];
        for pair in [[0, 1], [2, 3], [1, 3]] {
            let [(lower, low), (upper, high)] = pair.map(|at| thresholds[at]);
            if low >= high {
                let (lower_value, upper_value) = (low.into(), high.into());
                return Err(RulesError::Order { lower, lower_value, upper, upper_value });
            }
        }
        let least = [
            ("first-leave", u64::from(self.first_leave), 1),
            ("lifetime", self.lifetime, 1_000),
            ("silent", self.silent, 2_000),
            ("probes", u64::from(self.probes), 1),
            ("patience", u64::from(self.patience), 1),
        ];
        for (name, value, least) in least {
            if value < least {
                return Err(RulesError::Least { name, least, value });
            }
        }
        // What was said is remembered for a lifetime.
        match self.lifetime {
            value @ LONGEST_LIFETIME.. => {
                Err(RulesError::Most { name: "lifetime", most: LONGEST_LIFETIME, value })
            }
            _ => Ok(()),
        }
    }
}

/// An hour, in milliseconds.
const LONGEST_LIFETIME: u64 = 3_600_000;
