//! Deploy or do not deploy, as a function of the evidence.
//!
//! Three questions, in this order:
//!
//! 1. *Is the evidence sound?* A harness fault, a ledger that does not balance, or requests that the recorded world
//!    had no answer to make every finding doubtful: could not judge.
//! 2. *Does it speak against the candidate?* A MUST that the reference passes and the candidate fails, or a stable
//!    difference that nobody waived: do not deploy, however much else was not seen.
//! 3. *Is it enough?* An area of the suite in which nothing was judged, or fewer than 95 % of the transactions
//!    compared: could not judge.

use crate::evidence::{Check, Difference, Evidence, Outcome};
use std::collections::BTreeMap;

/// Share of the recorded, and of the mirrored, transactions that must have been compared, in percent.
pub const ENOUGH_PERCENT: u64 = 95;

/// The gate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Deploy,
    DoNotDeploy,
    CouldNotJudge,
}

/// One reason for the verdict, or a remark that did not decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: Kind,
    pub text: String,
    /// Ids of the checks it speaks of.
    pub checks: Vec<String>,
}

/// What a reason speaks of; the order is the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The evidence is not sound.
    Unsound,
    /// It speaks against the candidate.
    Against,
    /// It is not enough.
    TooLittle,
    /// Worth knowing, decides nothing.
    Remark,
}

/// The verdict with all its reasons, those that decided it first.
pub fn judge(evidence: &Evidence) -> (Verdict, Vec<Reason>) {
    let mut reasons = unsound(evidence);
    let sound = reasons.is_empty();
    reasons.extend(against(evidence));
    if sound {
        reasons.extend(too_little(evidence));
    }
    reasons.extend(remarks(evidence));
    let has = |kind| reasons.iter().any(|r| r.kind == kind);
    let verdict = if has(Kind::Unsound) {
        Verdict::CouldNotJudge
    } else if has(Kind::Against) {
        Verdict::DoNotDeploy
    } else if has(Kind::TooLittle) {
        Verdict::CouldNotJudge
    } else {
        Verdict::Deploy
    };
    (verdict, reasons)
}

fn unsound(evidence: &Evidence) -> Vec<Reason> {
    let mut reasons: Vec<_> =
        evidence.faults.iter().map(|f| reason(Kind::Unsound, format!("{}: {}", f.phase, f.what))).collect();
    for replay in &evidence.replays {
        if !replay.balanced {
            reasons.push(reason(
                Kind::Unsound,
                format!(
                    "replay of {}: its ledger does not balance, so transactions were lost or counted twice",
                    replay.capture
                ),
            ));
        }
        if replay.unrecorded > 0 {
            reasons.push(reason(
                Kind::Unsound,
                format!(
                    "replay of {}: the origin was asked {} that the recording does not answer; see `replay origin --help`",
                    replay.capture,
                    count(replay.unrecorded, "thing", "things"),
                ),
            ));
        }
    }
    if evidence.mirror.as_ref().is_some_and(|m| !m.balanced) {
        reasons.push(reason(
            Kind::Unsound,
            "mirror: its ledger does not balance, so copies were lost or counted twice".into(),
        ));
    }
    reasons
}

fn against(evidence: &Evidence) -> Vec<Reason> {
    let known = |id: &str| evidence.known.contains(id);
    let mut reasons = Vec::new();
    let failed: Vec<_> =
        checks(evidence).filter(|c| fails_a_must(c) && !known(&c.id)).map(|c| c.id.clone()).collect();
    if !failed.is_empty() {
        let musts = count(failed.len() as u64, "MUST", "MUSTs");
        let text = format!("suite: {musts} that the reference passes and the candidate fails");
        reasons.push(Reason { checks: failed, ..reason(Kind::Against, text) });
    }
    for (phase, differences) in phases(evidence) {
        let counted: Vec<_> =
            differences.iter().filter(|d| d.stable && !d.waived && !known(&d.fingerprint)).collect();
        if let Some(text) = name_differences(&counted) {
            reasons.push(reason(Kind::Against, format!("{phase}: {text}")));
        }
    }
    reasons
}

fn too_little(evidence: &Evidence) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(suite) = &evidence.suite {
        let mut areas: BTreeMap<&str, (bool, Option<&str>)> = BTreeMap::new();
        for check in &suite.checks {
            let (judged, why) = areas.entry(&check.area).or_default();
            match (&check.reference, &check.candidate) {
                (_, Outcome::NotJudged(reason)) | (Outcome::NotJudged(reason), _) => {
                    *why = why.or(Some(reason))
                }
                _ => *judged = true,
            }
        }
        for (area, (judged, why)) in areas {
            if !judged {
                // The first sentence; what follows is how to mend it with the suite's own flags.
                let why = why.and_then(|why| why.split([';', '\n']).next()).unwrap_or("no reason was given");
                reasons.push(reason(
                    Kind::TooLittle,
                    format!("suite: nothing in the area {area} was judged: {why}"),
                ));
            }
        }
        if suite.checks.is_empty() {
            reasons.push(reason(Kind::TooLittle, "suite: it ran no check".into()));
        }
    } else {
        reasons.push(reason(Kind::TooLittle, "suite: it did not run".into()));
    }
    for replay in &evidence.replays {
        if let Some(text) = short_of_enough(replay.compared, replay.recorded) {
            reasons.push(reason(Kind::TooLittle, format!("replay of {}: {text}", replay.capture)));
        }
    }
    if let Some(mirror) = &evidence.mirror
        && let Some(text) = short_of_enough(mirror.compared, mirror.eligible)
    {
        reasons.push(reason(Kind::TooLittle, format!("mirror: {text}")));
    }
    reasons
}

fn remarks(evidence: &Evidence) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut remarks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for check in checks(evidence) {
        let remark = match (&check.reference, &check.candidate) {
            _ if fails_a_must(check) && evidence.known.contains(&check.id) => {
                "fails here and failed in the baseline"
            }
            (Outcome::Fail, Outcome::Fail) if check.must => "a MUST that both builds fail",
            (Outcome::Fail, Outcome::Pass) => "fails on the reference and passes on the candidate",
            (Outcome::Pass, Outcome::Fail) if !check.must => {
                "no MUST; the reference passes and the candidate does not"
            }
            _ => continue,
        };
        remarks.entry(remark).or_default().push(&check.id);
    }
    for (remark, ids) in remarks {
        reasons.push(reason(Kind::Remark, format!("suite: {remark}: {}", ids.join(", "))));
    }
    for (phase, differences) in phases(evidence) {
        // A mirror repeats nothing: it sees again what clients ask again.
        let unsteady = match phase.as_str() {
            "mirror" => "without weight, since the request was not asked again or was once answered alike",
            _ => "not seen again when repeated",
        };
        for (what, chosen) in [
            (unsteady, differences.iter().filter(|d| !d.stable && !d.waived).count()),
            ("waived", differences.iter().filter(|d| d.waived).count()),
            (
                "in the baseline already",
                differences.iter().filter(|d| evidence.known.contains(&d.fingerprint)).count(),
            ),
        ] {
            if chosen > 0 {
                let found = count(chosen as u64, "difference", "differences");
                reasons.push(reason(Kind::Remark, format!("{phase}: {found} {what}")));
            }
        }
    }
    reasons
}

fn checks(evidence: &Evidence) -> impl Iterator<Item = &Check> {
    evidence.suite.iter().flat_map(|s| &s.checks)
}

pub(crate) fn fails_a_must(check: &Check) -> bool {
    check.must && check.reference == Outcome::Pass && check.candidate == Outcome::Fail
}

fn phases(evidence: &Evidence) -> impl Iterator<Item = (String, &[Difference])> {
    let replays = evidence.replays.iter().map(|r| (format!("replay of {}", r.capture), &r.differences[..]));
    replays.chain(evidence.mirror.iter().map(|m| ("mirror".to_owned(), &m.differences[..])))
}

/// Differences in a line: how many, at which paths, and one request that shows it.
fn name_differences(differences: &[&Difference]) -> Option<String> {
    const SHOWN: usize = 5;
    let first = differences.first()?;
    let mut paths: BTreeMap<&str, u64> = BTreeMap::new();
    for difference in differences {
        *paths.entry(&difference.path).or_default() += 1;
    }
    let mut often: Vec<_> = paths.into_iter().collect();
    often.sort_by_key(|&(path, n)| (std::cmp::Reverse(n), path));
    let shown: Vec<_> = often.iter().take(SHOWN).map(|(path, n)| format!("{path} ({n})")).collect();
    let more =
        if often.len() > SHOWN { format!(" and {} more paths", often.len() - SHOWN) } else { String::new() };
    Some(format!(
        "{} at {}{more}; first at {}",
        count(differences.len() as u64, "stable difference", "stable differences"),
        shown.join(", "),
        first.transaction
    ))
}

fn short_of_enough(compared: u64, of: u64) -> Option<String> {
    // Fewer than 95 of each 100, without rounding; nothing to compare is never enough.
    let short = of == 0 || u128::from(compared) * 100 < u128::from(of) * u128::from(ENOUGH_PERCENT);
    short.then(|| {
        format!("{compared} of {of} transactions were compared; the verdict needs {ENOUGH_PERCENT} %")
    })
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn reason(kind: Kind, text: String) -> Reason {
    Reason { kind, text, checks: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Fault, Mirror, Replay, Suite};

    fn check(id: &str, must: bool, reference: Outcome, candidate: Outcome) -> Check {
        Check {
            id: id.into(),
            area: id.split('.').next().unwrap_or_default().into(),
            must,
            reference,
            candidate,
        }
    }

    fn replay() -> Replay {
        Replay { capture: "a.pcap".into(), recorded: 100, compared: 100, balanced: true, ..Replay::default() }
    }

    fn mirror() -> Mirror {
        Mirror { eligible: 100, compared: 100, balanced: true, differences: Vec::new() }
    }

    fn difference() -> Difference {
        Difference {
            fingerprint: "f1".into(),
            transaction: "GET http://h/a".into(),
            path: "fields.vary".into(),
            stable: true,
            waived: false,
        }
    }

    /// Evidence that deserves "deploy".
    fn good() -> Evidence {
        let checks = vec![
            check("age.a", true, Outcome::Pass, Outcome::Pass),
            check("age.b", false, Outcome::Pass, Outcome::NotJudged("nothing was stored".into())),
            check("purge.a", true, Outcome::Pass, Outcome::Pass),
            check("age.c", false, Outcome::Pass, Outcome::Pass),
        ];
        Evidence {
            suite: Some(Suite { checks }),
            replays: vec![replay()],
            mirror: Some(mirror()),
            ..Evidence::default()
        }
    }

    /// A case: its name, what spoils the good evidence, the verdict, and a part of the first reason's text.
    type Case = (&'static str, fn(&mut Evidence), Verdict, &'static str);

    fn checks_of(e: &mut Evidence) -> &mut Vec<Check> {
        &mut e.suite.get_or_insert_default().checks
    }

    const CASES: &[Case] = &[
        ("all well", |_| {}, Verdict::Deploy, ""),
        ("no mirror, no replay", |e| (e.mirror, e.replays) = (None, vec![]), Verdict::Deploy, ""),
        // Unsound.
        (
            "no contact at the origin",
            |e| e.faults.push(Fault { phase: "suite".into(), what: "the origin was not asked".into() }),
            Verdict::CouldNotJudge,
            "suite: the origin was not asked",
        ),
        ("replay's ledger", |e| e.replays[0].balanced = false, Verdict::CouldNotJudge, "does not balance"),
        (
            "mirror's ledger",
            |e| e.mirror = Some(Mirror { balanced: false, ..mirror() }),
            Verdict::CouldNotJudge,
            "mirror: its ledger",
        ),
        ("unrecorded request", |e| e.replays[0].unrecorded = 1, Verdict::CouldNotJudge, "asked 1 thing that"),
        (
            "an unsound run says nothing of what it lacks",
            |e| {
                e.suite = None;
                e.faults.push(Fault { phase: "contact".into(), what: "refused".into() });
            },
            Verdict::CouldNotJudge,
            "contact: refused",
        ),
        (
            "an unsound run convicts nobody",
            |e| {
                e.replays[0].balanced = false;
                e.replays[0].differences.push(difference());
            },
            Verdict::CouldNotJudge,
            "does not balance",
        ),
        // Against the candidate.
        (
            "a MUST that only the candidate fails",
            |e| checks_of(e)[0].candidate = Outcome::Fail,
            Verdict::DoNotDeploy,
            "suite: 1 MUST that the reference passes and the candidate fails",
        ),
        (
            "a SHOULD that the candidate fails",
            |e| checks_of(e)[1].candidate = Outcome::Fail,
            Verdict::Deploy,
            "no MUST; the reference passes and the candidate does not: age.b",
        ),
        (
            "a MUST that both fail",
            |e| (checks_of(e)[0].reference, checks_of(e)[0].candidate) = (Outcome::Fail, Outcome::Fail),
            Verdict::Deploy,
            "both builds fail",
        ),
        (
            "a MUST that only the reference fails",
            |e| checks_of(e)[0].reference = Outcome::Fail,
            Verdict::Deploy,
            "passes on the candidate",
        ),
        (
            "a MUST not judged on the reference",
            |e| {
                checks_of(e)[0].reference = Outcome::NotJudged("why".into());
                checks_of(e)[0].candidate = Outcome::Fail;
            },
            Verdict::Deploy,
            "",
        ),
        (
            "a MUST known to fail",
            |e| {
                checks_of(e)[0].candidate = Outcome::Fail;
                e.known.insert("age.a".into());
            },
            Verdict::Deploy,
            "failed in the baseline",
        ),
        (
            "replay's difference",
            |e| e.replays[0].differences.push(difference()),
            Verdict::DoNotDeploy,
            "replay of a.pcap: 1 stable difference at fields.vary (1); first at GET http://h/a",
        ),
        (
            "mirror's difference",
            |e| e.mirror = Some(Mirror { differences: vec![difference(), difference()], ..mirror() }),
            Verdict::DoNotDeploy,
            "mirror: 2 stable differences at fields.vary (2)",
        ),
        (
            "unstable",
            |e| e.replays[0].differences.push(Difference { stable: false, ..difference() }),
            Verdict::Deploy,
            "1 difference not seen again",
        ),
        (
            "waived",
            |e| e.replays[0].differences.push(Difference { waived: true, ..difference() }),
            Verdict::Deploy,
            "1 difference waived",
        ),
        (
            "in the baseline",
            |e| {
                e.replays[0].differences.push(difference());
                e.known.insert("f1".into());
            },
            Verdict::Deploy,
            "in the baseline already",
        ),
        // Too little.
        (
            "an area not judged",
            |e| checks_of(e)[2].candidate = Outcome::NotJudged("no profile".into()),
            Verdict::CouldNotJudge,
            "nothing in the area purge was judged: no profile",
        ),
        (
            "an area not judged on the reference",
            |e| checks_of(e)[2].reference = Outcome::NotJudged("no token".into()),
            Verdict::CouldNotJudge,
            "nothing in the area purge was judged: no token",
        ),
        (
            "guilt outweighs what was not seen",
            |e| {
                checks_of(e)[2].candidate = Outcome::NotJudged("no profile".into());
                checks_of(e)[0].candidate = Outcome::Fail;
            },
            Verdict::DoNotDeploy,
            "1 MUST that the reference passes",
        ),
        ("no suite", |e| e.suite = None, Verdict::CouldNotJudge, "suite: it did not run"),
        ("an empty suite", |e| checks_of(e).clear(), Verdict::CouldNotJudge, "no check"),
        ("95 %", |e| e.replays[0].compared = 95, Verdict::Deploy, ""),
        ("94 %", |e| e.replays[0].compared = 94, Verdict::CouldNotJudge, "94 of 100"),
        (
            "949 of 1000",
            |e| (e.replays[0].compared, e.replays[0].recorded) = (949, 1000),
            Verdict::CouldNotJudge,
            "949 of 1000",
        ),
        (
            "an empty recording",
            |e| (e.replays[0].compared, e.replays[0].recorded) = (0, 0),
            Verdict::CouldNotJudge,
            "0 of 0",
        ),
        (
            "mirror saw nothing",
            |e| e.mirror = Some(Mirror { eligible: 0, compared: 0, ..mirror() }),
            Verdict::CouldNotJudge,
            "mirror: 0 of 0",
        ),
        (
            "mirror dropped much",
            |e| e.mirror = Some(Mirror { compared: 90, ..mirror() }),
            Verdict::CouldNotJudge,
            "mirror: 90 of 100",
        ),
    ];

    #[test]
    fn every_branch() {
        for (name, spoil, verdict, text) in CASES {
            let mut evidence = good();
            spoil(&mut evidence);
            let (found, reasons) = judge(&evidence);
            assert_eq!(found, *verdict, "{name}: {reasons:?}");
            let first = reasons.first().map_or("", |r| &r.text);
            assert!(first.contains(text), "{name}: {first:?} lacks {text:?}");
            assert!(reasons.is_sorted_by_key(|r| r.kind), "{name}: {reasons:?}");
            assert_eq!(reasons.is_empty(), text.is_empty(), "{name}: {reasons:?}");
        }
    }

    #[test]
    fn paths_are_counted_and_bounded() {
        let differences: Vec<_> =
            (0..9).map(|i| Difference { path: format!("fields.{}", i % 7), ..difference() }).collect();
        let text = name_differences(&differences.iter().collect::<Vec<_>>());
        assert_eq!(
            text.as_deref(),
            Some(
                "9 stable differences at fields.0 (2), fields.1 (2), fields.2 (1), fields.3 (1), fields.4 (1) and 2 more paths; first at GET http://h/a"
            )
        );
    }
}
