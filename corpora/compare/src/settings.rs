//! Tolerances and bounds of a comparison.

use exchange::Secrets;
use std::borrow::Cow;
use std::time::Duration;

/// Tolerances and bounds. [`Settings::default`] suits tools on one machine or one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How far times derived from `Date`, `Age`, `Expires` and the moment of reception may lie apart. `Date` and
    /// `Age` are rounded to whole seconds, so that less than two seconds cannot be judged.
    pub time_tolerance: Duration,
    /// Longest value shown, in bytes; longer ones are cut in the middle.
    pub max_value: usize,
    /// Most differences listed for one comparison; the others are counted in [`Comparison::omitted`](crate::Comparison::omitted).
    pub max_differences: usize,
    /// Longest text body that is compared line by line, in bytes; longer ones by their bytes.
    pub max_text: usize,
    /// Longest unified diff given, in bytes.
    pub max_diff: usize,
    /// Most bytes a content-coded body may decode to; beyond, it is compared as it is.
    pub max_decoded: usize,
    /// Whether differences in hop-by-hop fields (RFC 9110 section 7.6.1) are listed. They never count, except
    /// where a field that concerns one connection was relayed to another, which is always listed.
    pub hop_by_hop: bool,
    /// What explanations call the left side.
    pub left_name: Cow<'static, str>,
    /// What explanations call the right side.
    pub right_name: Cow<'static, str>,
    /// How secrets are shown in values and diffs; compared are always the messages as they are.
    pub secrets: Secrets,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            time_tolerance: Duration::from_secs(3),
            max_value: 512,
            max_differences: 100,
            max_text: 1 << 20,
            max_diff: 16 << 10,
            max_decoded: 16 << 20,
            hop_by_hop: false,
            left_name: Cow::Borrowed("reference"),
            right_name: Cow::Borrowed("candidate"),
            secrets: Secrets::default(),
        }
    }
}

impl Settings {
    /// These settings for two sides of other names.
    #[must_use]
    pub fn named(&self, left: &'static str, right: &'static str) -> Settings {
        Settings { left_name: Cow::Borrowed(left), right_name: Cow::Borrowed(right), ..self.clone() }
    }

    pub(crate) fn tolerance_seconds(&self) -> u64 {
        self.time_tolerance.as_secs()
    }
}
