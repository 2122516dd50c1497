//! Who deviates: recorded, reference or candidate?

use crate::{Class, Comparison, Rule, Settings, responses};
use exchange::{Request, Response};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who stands apart at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deviant {
    /// The candidate differs from the recording and the reference, which agree: a regression.
    Candidate,
    /// The reference differs from the recording and the candidate, which agree: perhaps a fix.
    Reference,
    /// Both builds agree and differ from the recording: the world changed, or a deviation older than the candidate.
    BothBuilds,
    /// All three differ.
    All,
}

/// One path at which not all three agree. Values are as in [`crate::Difference`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    pub path: String,
    pub deviant: Deviant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    pub rule: Rule,
    pub class: Class,
    /// Whether reference and candidate differ in meaning here; never for [`Deviant::BothBuilds`].
    pub counts: bool,
    pub explanation: String,
}

/// The three comparisons and what they say together.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThreeWay {
    /// Reference against candidate: what a verdict rests on. Waivers are applied to this one.
    pub builds: Comparison,
    /// Recorded against reference.
    pub reference: Comparison,
    /// Recorded against candidate.
    pub candidate: Comparison,
    /// By path.
    pub deviations: Vec<Deviation>,
}

/// Compares three answers to one request.
pub fn three_way(
    settings: &Settings,
    request: &Request,
    recorded: &Response,
    reference: &Response,
    candidate: &Response,
) -> ThreeWay {
    let builds = responses(settings, request, reference, candidate);
    let to_reference = responses(&settings.named("recording", "reference"), request, recorded, reference);
    let to_candidate = responses(&settings.named("recording", "candidate"), request, recorded, candidate);
    let mut paths = BTreeMap::<&str, [Option<&crate::Difference>; 3]>::new();
    for (index, comparison) in [&builds, &to_reference, &to_candidate].into_iter().enumerate() {
        for difference in &comparison.differences {
            paths.entry(&difference.path).or_default()[index].get_or_insert(difference);
        }
    }
    let deviations = paths.into_values().filter_map(deviation).collect();
    ThreeWay { builds, reference: to_reference, candidate: to_candidate, deviations }
}

/// From the differences at one path: between the builds, recorded to reference, recorded to candidate.
fn deviation(found: [Option<&crate::Difference>; 3]) -> Option<Deviation> {
    let [builds, reference, candidate] = found;
    let told = builds.or(candidate).or(reference)?;
    let deviant = match (builds.is_some(), reference.is_some(), candidate.is_some()) {
        (true, true, true) => Deviant::All,
        (true, true, false) => Deviant::Reference,
        (true, false, _) => Deviant::Candidate,
        (false, _, _) => Deviant::BothBuilds,
    };
    let left = |d: Option<&crate::Difference>| d.and_then(|d| d.left.clone());
    let right = |d: Option<&crate::Difference>| d.and_then(|d| d.right.clone());
    let recorded = left(reference).or_else(|| left(candidate));
    Some(Deviation {
        path: told.path.clone(),
        deviant,
        reference: left(builds).or_else(|| right(reference)),
        candidate: right(builds).or_else(|| right(candidate)),
        recorded,
        rule: told.rule.clone(),
        class: told.class,
        counts: builds.is_some_and(|d| d.counts),
        explanation: told.explanation.clone(),
    })
}
