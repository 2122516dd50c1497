//! The phases: the suite on both builds, each capture through both, the mirror's findings.

use crate::evidence::{Check, Difference, Evidence, Fault, Mirror, Outcome, Replay, Suite};
use conformance::bench::{Candidate, Stage};
use conformance::{CannotJudge, Judged, Profile, Run, Verdict};
use endpoint::{Clock, Origin};
use exchange::Secrets;
use mirror::diffs::{Differing, Diffs};
use replay::http::{Capture, Finding, FindingKind, Speed};
use replay::world::{Service, World};
use report::ShowSecrets;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A build: where it is, and how it is purged.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its URL.
    pub url: String,
    /// For the suite; without one purge is not judged.
    pub profile: Option<Profile>,
}

/// What to judge, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub reference: Build,
    pub candidate: Build,
    /// Where the builds reach the origin, for messages: `host:port`.
    pub advertise: String,
    pub captures: Vec<PathBuf>,
    /// What `mirror http --diffs` wrote.
    pub mirror_diffs: Option<PathBuf>,
    /// Ids of checks and fingerprints of differences that an accepted run had found.
    pub known: BTreeSet<String>,
    pub waivers: compare::Waivers,
    /// Of the replays.
    pub speed: Speed,
    /// Letters and digits; part of every path, so that nothing cached earlier answers.
    pub nonce: String,
}

impl Options {
    /// The file of the mirror's findings, as reports name it.
    pub(crate) fn mirror_name(&self) -> String {
        self.mirror_diffs.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }
}

/// What is being done, for people who wait.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A phase begins.
    Phase(&'a str),
    /// Answers that came, of how many.
    Replayed { came: u64, expected: u64 },
}

/// Everything the phases found, as they told it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub suite: Option<[Run; 2]>,
    pub replays: Vec<replay::http::Outcome>,
    pub mirror: Option<Diffs>,
}

/// Runs all phases. A phase that could not do its work is a fault in the evidence; the others still run.
pub async fn run(
    options: &Options,
    origin: &Origin,
    clock: &Clock,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> (Evidence, Found) {
    let mut evidence = Evidence { known: options.known.clone(), ..Evidence::default() };
    let mut found = Found::default();

    // What was given is read first: nobody should wait for a minute to hear of a wrong file name.
    let mut captures = Vec::new();
    for path in &options.captures {
        match load(path).await {
            Ok(capture) => captures.push(capture),
            Err(what) => evidence.faults.push(Fault { phase: format!("replay of {}", path.display()), what }),
        }
    }
    if let Some(path) = &options.mirror_diffs {
        match mirrored(path) {
            Ok((mirror, diffs)) => {
                evidence.mirror = Some(mirror);
                found.mirror = Some(diffs);
            }
            Err(what) => evidence.faults.push(Fault { phase: "mirror".into(), what }),
        }
    }
    evidence.faults.extend(one_build_twice(options));
    if !evidence.faults.is_empty() {
        return (evidence, found);
    }
    // Without both builds and the way from each to the origin, every finding would be about something else.
    progress(Progress::Phase("looking for both builds and their way to the origin"));
    for (role, build) in [("reference", &options.reference), ("candidate", &options.candidate)] {
        evidence.faults.extend(contact(role, build, &options.advertise, &options.nonce, origin).await.err());
    }
    if !evidence.faults.is_empty() {
        return (evidence, found);
    }
    match suite(options, origin, progress).await {
        Ok(runs) => {
            evidence.faults.extend(harness_faults(&runs));
            evidence.suite = Some(beside(&runs));
            found.suite = Some(runs);
        }
        Err(fault) => evidence.faults.push(fault),
    }
    for (index, capture) in captures.iter().enumerate() {
        let phase = format!("replay of {}", capture.name);
        progress(Progress::Phase(&phase));
        match replay(options, (index, capture), origin, clock, progress).await {
            Ok((replay, outcome)) => {
                evidence.replays.push(replay);
                found.replays.push(outcome);
            }
            Err(what) => evidence.faults.push(Fault { phase, what }),
        }
    }
    (evidence, found)
}

/// Makes sure that a request through the build reaches `origin` and its answer comes back.
///
/// # Errors
/// The hop that fails, and what to do.
pub async fn contact(
    role: &str,
    build: &Build,
    advertise: &str,
    nonce: &str,
    origin: &Origin,
) -> Result<(), Fault> {
    let fault = |what: String| Fault { phase: format!("contact with the {role}"), what };
    let candidate = Candidate::parse(&build.url).map_err(|error| fault(error.to_string()))?;
    let stage = Stage::new(candidate, origin.clone(), format!("{nonce}p{}", &role[..1]), None);
    match conformance::preflight::fly(stage, advertise).await {
        Ok(_) => Ok(()),
        // The suite calls whatever it judges the candidate.
        Err(failure) => Err(fault(cannot(&failure).replace("candidate", role))),
    }
}

/// The same listener under both names would agree with itself whatever it does.
fn one_build_twice(options: &Options) -> Option<Fault> {
    let address = |build: &Build| Candidate::parse(&build.url).ok().map(|candidate| candidate.address);
    let (reference, candidate) = (address(&options.reference)?, address(&options.candidate)?);
    (reference == candidate).then(|| Fault {
        phase: "builds".into(),
        what: format!(
            "reference {} and candidate {} are one and the same listener; give the address of each build",
            options.reference.url, options.candidate.url
        ),
    })
}

fn cannot(e: &CannotJudge) -> String {
    format!("{}: {}. {}", e.hop, e.what, e.next)
}

/// The suite on the reference, then on the candidate.
async fn suite(
    options: &Options,
    origin: &Origin,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<[Run; 2], Fault> {
    progress(Progress::Phase("the suite on the reference"));
    let reference = suite_on(&options.reference, "reference", options, origin).await?;
    progress(Progress::Phase("the suite on the candidate"));
    let candidate = suite_on(&options.candidate, "candidate", options, origin).await?;
    Ok([reference, candidate])
}

async fn suite_on(build: &Build, role: &str, options: &Options, origin: &Origin) -> Result<Run, Fault> {
    let fault = |what: String| Fault { phase: format!("suite on the {role}"), what };
    let candidate = Candidate::parse(&build.url).map_err(|error| fault(error.to_string()))?;
    let nonce = format!("{}{}", options.nonce, &role[..1]);
    let mut suite = conformance::Options {
        candidate,
        advertise: options.advertise.clone(),
        only: Vec::new(),
        profile: build.profile.clone(),
        nonce: nonce.clone(),
    };
    let failed = |e: CannotJudge| fault(cannot(&e));
    let mut run = conformance::run(&suite, origin).await.map_err(failed)?;
    // What our side failed to judge is measured once more, by itself: a busy machine is no reason to give up.
    suite.only = run.harness_faults().map(|j| j.check.id.to_owned()).collect();
    if !suite.only.is_empty() {
        suite.nonce = format!("{nonce}again");
        let again = conformance::run(&suite, origin).await.map_err(failed)?;
        for one in again.checks.into_iter().filter(|j| suite.only.iter().any(|id| id == j.check.id)) {
            if let Some(place) = run.checks.iter_mut().find(|j| j.check.id == one.check.id) {
                *place = one;
            }
        }
    }
    Ok(run)
}

fn harness_faults(runs: &[Run; 2]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (run, role) in runs.iter().zip(["reference", "candidate"]) {
        let ids: Vec<_> = run.harness_faults().map(|j| j.check.id).collect();
        if let Some(first) = run.harness_faults().next() {
            let why = first.reason.as_deref().unwrap_or("no reason was given");
            faults.push(Fault {
                phase: format!("suite on the {role}"),
                what: format!(
                    "{} could not be judged through a fault of ours, also not when repeated: {why}",
                    ids.join(", ")
                ),
            });
        }
    }
    faults
}

/// Each check with its verdict on both builds.
fn beside([reference, candidate]: &[Run; 2]) -> Suite {
    let checks = candidate.checks.iter().map(|judged| {
        let other = reference.checks.iter().find(|j| j.check.id == judged.check.id);
        Check {
            id: judged.check.id.to_owned(),
            area: judged.check.area.name().to_owned(),
            must: judged.check.level == conformance::Level::Must,
            reference: other.map_or_else(|| Outcome::NotJudged("it did not run".into()), outcome),
            candidate: outcome(judged),
        }
    });
    Suite { checks: checks.collect() }
}

fn outcome(judged: &Judged) -> Outcome {
    match judged.verdict {
        Verdict::Pass => Outcome::Pass,
        Verdict::Fail => Outcome::Fail,
        Verdict::NotJudged => Outcome::NotJudged(judged.reason.clone().unwrap_or_default()),
    }
}

async fn load(path: &Path) -> Result<Capture, String> {
    let path = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || Capture::load(&path)).await;
    loaded.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

/// How long a build may keep a replay waiting for a step.
const STEP: Duration = Duration::from_secs(10);

async fn replay(
    options: &Options,
    (index, capture): (usize, &Capture),
    origin: &Origin,
    clock: &Clock,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<(Replay, replay::http::Outcome), String> {
    let prefix = format!("/{}r{index}", options.nonce);
    let service = Service::new(Arc::new(World::of(&*capture.recorded)), prefix.clone(), clock.clone());
    let route = service.mount(origin);
    let http = replay::http::Options {
        speed: options.speed,
        timeout: STEP,
        waivers: options.waivers.clone(),
        prefix,
        confirm: 1,
        mark: true,
        compare: compare::Settings {
            secrets: ShowSecrets::default().secrets(),
            ..compare::Settings::default()
        },
        ..replay::http::Options::new(&options.reference.url, &options.candidate.url)
    };
    let told = |came, expected| progress(Progress::Replayed { came, expected });
    let outcome = replay::http::run(capture, &http, clock, &told).await.map_err(|e| e.to_string())?;
    drop(route);
    let replay = Replay {
        capture: capture.name.clone(),
        recorded: outcome.totals.sent(),
        // That the candidate gave no answer is a finding too.
        compared: outcome.totals.compared + outcome.totals.failed_candidate,
        balanced: outcome.totals.ledger().balances(),
        unrecorded: service.counters().unrecorded,
        differences: outcome.findings.iter().filter_map(|f| replayed(&capture.name, f)).collect(),
    };
    Ok((replay, outcome))
}

/// A finding as the verdict sees it. What does not count by its class is left out.
fn replayed(capture: &str, finding: &Finding) -> Option<Difference> {
    let (path, counts, waived) = match &finding.kind {
        FindingKind::Difference(d) => (d.path.clone(), d.counts, d.waived.is_some()),
        FindingKind::NoAnswer(_) => ("(no answer)".to_owned(), true, false),
        FindingKind::Omitted(_) => ("(further differences)".to_owned(), true, false),
    };
    let aside = finding.deviant == compare::Deviant::Reference;
    (counts && !aside).then(|| Difference {
        fingerprint: fingerprint(capture, finding),
        transaction: finding.name.clone(),
        path,
        stable: finding.stable != Some(false),
        waived,
    })
}

/// The same for the same finding in another run.
pub(crate) fn fingerprint(capture: &str, finding: &Finding) -> String {
    let kind = finding.fingerprint.map_or_else(|| "none".to_owned(), |f| f.to_string());
    format!("replay {capture} {} {} {kind}", finding.index, lasting(&finding.name))
}

/// A name with secrets as it is in each run: pseudonyms differ between runs.
fn lasting(name: &str) -> String {
    Secrets::Withheld.printable(name)
}

fn mirrored(path: &Path) -> Result<(Mirror, Diffs), String> {
    use mirror::{Group, State};
    let diffs = mirror::diffs::read(path).map_err(|e| e.to_string())?;
    let Some(ledger) = &diffs.ledger else {
        return Err(format!(
            "{} has no ledger at its end: the mirror did not end in order; end it with SIGTERM or Ctrl-C",
            path.display()
        ));
    };
    let totals = &ledger.totals;
    let broken: u64 = State::ALL.iter().filter(|s| s.is_broken_answer()).map(|&s| totals.of(s)).sum();
    let compared = totals.of_group(Group::Compared);
    let mirror = Mirror {
        eligible: compared + totals.of_group(Group::Dropped),
        compared: compared + broken,
        balanced: ledger.balances && totals.balances(),
        differences: mirrored_differences(&diffs),
    };
    if ledger.unwritten > 0 {
        return Err(format!(
            "{} lacks {} differences that could not be written",
            path.display(),
            ledger.unwritten
        ));
    }
    Ok((mirror, diffs))
}

/// A single sighting in live traffic proves little: what arrives at the candidate in another order than at the primary
/// may meet another cache state. A difference has weight if its request was asked more than once and differed each time,
/// or if its kind was seen in so many requests, none of them ever answered alike.
const MANY: u64 = 5;

fn mirrored_differences(diffs: &Diffs) -> Vec<Difference> {
    let weighty = weighty(diffs);
    let difference = |(differing, stable): (&Differing, bool)| Difference {
        fingerprint: format!("mirror {} {} {}", differing.method, differing.url, differing.fingerprint),
        transaction: format!("{} {}", differing.method, differing.url),
        path: mirrored_path(differing),
        stable,
        waived: !differing.stands,
    };
    diffs.differences.iter().zip(weighty).map(difference).collect()
}

/// For each of the mirror's differing requests, whether it has weight.
pub(crate) fn weighty(diffs: &Diffs) -> Vec<bool> {
    let mut sightings: BTreeMap<&str, u64> = BTreeMap::new();
    for differing in diffs.differences.iter().filter(|d| diffs.is_stable(d)) {
        for kind in kinds(differing) {
            *sightings.entry(kind).or_default() += 1;
        }
    }
    let many = |kind: &str| sightings.get(kind).is_some_and(|&n| n >= MANY);
    let weight = |differing: &Differing| {
        let again = diffs.compared(differing).is_some_and(|s| s.compared > 1);
        diffs.is_stable(differing) && (again || kinds(differing).into_iter().any(many))
    };
    diffs.differences.iter().map(weight).collect()
}

/// What stands against the candidate in one answer, each kind once.
fn kinds(differing: &Differing) -> BTreeSet<&str> {
    let broken = differing.outcome.is_broken_answer().then(|| differing.outcome.reason());
    let standing = differing.differences.iter().filter(|f| f.difference.stands());
    standing.map(|f| f.fingerprint.as_str()).chain(broken).collect()
}

/// The path that tells most: a status before an end, content before fields.
fn mirrored_path(differing: &Differing) -> String {
    let weight = |path: &str| match path {
        "status" => 0,
        "body.ending" => 1,
        path if path.starts_with("body") => 2,
        _ => 3,
    };
    let standing = differing.differences.iter().filter(|f| f.difference.stands());
    let heaviest = standing.min_by_key(|f| weight(&f.difference.path)).or(differing.differences.first());
    heaviest.map_or_else(|| format!("({})", differing.outcome.reason()), |f| f.difference.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was accepted in one run is known again in the next, though its secrets have other pseudonyms there.
    #[test]
    fn fingerprints_outlast_a_run() {
        let of = |secrets: &Secrets| {
            let finding = Finding {
                index: 3,
                name: secrets.printable("GET http://h.test/?a=b&token=hunter2"),
                kind: FindingKind::NoAnswer("closed".into()),
                fingerprint: None,
                deviant: compare::Deviant::Candidate,
                stands: true,
                stable: None,
            };
            fingerprint("site.pcap", &finding)
        };
        let known = of(&ShowSecrets::default().secrets());
        assert_eq!(known, of(&ShowSecrets::default().secrets()));
        assert_eq!(known, "replay site.pcap 3 GET http://h.test/?a=b&token=[secret] none");
    }
}
