//! The program `gate`.

use crate::run::{Build, Options, Progress};
use crate::{baseline, run, summary};
use clap::{CommandFactory as _, Parser, Subcommand, ValueHint};
use compare::Waivers;
use conformance::Profile;
use endpoint::{Clock, Origin, Settings};
use indicatif::ProgressBar;
use replay::http::Speed;
use report::{Outputs, Report};
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

const COULD_NOT_JUDGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  Both builds have http://127.0.0.1:9000 as their origin, and are purged as the profiles say:
    gate --reference http://127.0.0.1:8080 --reference-profile varnish \\
         --candidate http://127.0.0.1:8081 --candidate-profile varnish \\
         --origin-listen 127.0.0.1:9000

  In CI, with recorded and live traffic, and only what is new since the last release:
    gate --reference http://127.0.0.1:8080 --reference-profile old.toml \\
         --candidate http://127.0.0.1:8081 --candidate-profile new.toml \\
         --origin-listen 127.0.0.1:9000 --capture monday.pcapng --capture images.pcap \\
         --mirror-diffs diffs.jsonl --baseline last-release.json \\
         --json result.json --junit result.xml --html result.html

  Where the builds run in containers and reach this machine as host.lab:
    gate --reference http://10.0.0.5 --candidate http://10.0.0.6 \\
         --origin-listen 0.0.0.0:9000 --origin-advertise http://host.lab:9000

The origin is played by the gate: it serves what the captures recorded, and the suite's
pages, told apart by path. Both builds must have it as their origin server and pass on any
path and any Host.

A profile says how a build is purged; `conformance run --help` shows how one is written.
Without profiles the area purge is not judged, and the verdict can be no better than
\"could not judge\". Where a profile names an environment variable NAME, the gate looks for
REFERENCE_NAME or CANDIDATE_NAME first, then for NAME.

Do not deploy: a MUST that the reference passes and the candidate fails, or a stable
difference nobody waived.
Could not judge: a fault of the harness, an unbalanced ledger, no contact at the origin,
under 95 % of the transactions compared, a whole area of the suite not judged.

Exit status: 0 deploy, 1 do not deploy, 2 could not judge.";

/// Deploy or do not deploy: one verdict from the conformance suite, recorded traffic and mirrored traffic.
#[derive(Debug, Parser)]
#[command(name = "gate", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    /// The build that is known to be good: http://HOST[:PORT]
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    reference: Option<String>,
    /// The build under test
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    candidate: Option<String>,
    /// Where the origin listens that both builds ask
    #[arg(long, value_name = "ADDR", required = true)]
    origin_listen: Option<SocketAddr>,
    /// Where the builds reach it, if not at the same address: http://HOST:PORT
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    origin_advertise: Option<String>,
    /// How the reference is purged: a TOML file, or the name of a profile that ships with the suite
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    reference_profile: Option<String>,
    /// How the candidate is purged
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    candidate_profile: Option<String>,
    /// Recorded traffic to replay through both builds; may be given several times
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    capture: Vec<PathBuf>,
    /// How fast to replay: a factor of the recorded pace, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// What `mirror http --diffs FILE` wrote about the same two builds, wherever they ran then
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    mirror_diffs: Option<PathBuf>,
    /// JSON report of an accepted run of the gate: only what it had not found counts
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    baseline: Option<PathBuf>,
    /// Differences that somebody accepted for a while
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    waivers: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  gate completions bash > /etc/bash_completion.d/gate")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Completions { shell }) = arguments.command {
        let script = report::completions(&mut Arguments::command(), shell);
        // A reader that has seen enough is no error.
        let _ = std::io::stdout().write_all(script.as_bytes());
        return ExitCode::SUCCESS;
    }
    let judged = tokio::runtime::Runtime::new()
        .map_err(|error| format!("cannot start: {error}"))
        .and_then(|runtime| runtime.block_on(judge(&arguments)))
        .and_then(|report| arguments.outputs.write(&report).map(|()| report).map_err(|e| e.to_string()));
    match judged {
        Ok(report) => ExitCode::from(report.outcome.exit_status()),
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "gate: {message}");
            ExitCode::from(COULD_NOT_JUDGE)
        }
    }
}

/// A report, or what is wrong with the arguments.
async fn judge(arguments: &Arguments) -> Result<Report, String> {
    let (Some(reference), Some(candidate), Some(listen)) =
        (&arguments.reference, &arguments.candidate, arguments.origin_listen)
    else {
        return Err("--reference, --candidate and --origin-listen are needed; see --help".into());
    };
    let build = |url: &String, profile: &Option<String>, role: &str| {
        let variables =
            |name: &str| std::env::var(format!("{role}_{name}")).or_else(|_| std::env::var(name)).ok();
        let profile = profile.as_ref().map(|name| Profile::load(name, &variables)).transpose();
        profile.map(|profile| Build { url: url.clone(), profile }).map_err(|e| e.to_string())
    };
    let reference = build(reference, &arguments.reference_profile, "REFERENCE")?;
    let candidate = build(candidate, &arguments.candidate_profile, "CANDIDATE")?;
    let known = arguments.baseline.as_deref().map(baseline::load).transpose().map_err(|e| e.to_string())?;
    let waivers = arguments.waivers.as_deref().map(waivers).transpose()?;
    for build in [&reference, &candidate] {
        conformance::bench::Candidate::parse(&build.url)
            .map_err(|e| e.to_string().replace("a candidate", "a build"))?;
    }
    arguments.outputs.check().map_err(|e| e.to_string())?;
    for path in &arguments.capture {
        std::fs::File::open(path).map_err(|e| format!("cannot read the capture {}: {e}", path.display()))?;
    }
    let origin = Origin::bind(listen, Settings::default()).await.map_err(|e| {
        format!(
            "{e}; free that address, or give another one with --origin-listen and point both builds at it"
        )
    })?;
    let advertise = match &arguments.origin_advertise {
        Some(url) => url.trim_start_matches("http://").trim_end_matches('/').to_owned(),
        None => origin.address().to_string(),
    };
    let options = Options {
        reference,
        candidate,
        advertise,
        captures: arguments.capture.clone(),
        mirror_diffs: arguments.mirror_diffs.clone(),
        known: known.unwrap_or_default(),
        waivers: waivers.unwrap_or_default(),
        speed: arguments.speed,
        nonce: conformance::cli::nonce(),
    };
    let clock = Clock::system();
    let started = clock.now();
    let teller = Teller::new();
    let (evidence, found) = run::run(&options, &origin, &clock, &|progress| teller.tell(progress)).await;
    teller.finish();
    Ok(summary::report(&options, &evidence, &found, started, clock.now()))
}

fn waivers(path: &std::path::Path) -> Result<Waivers, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read the waivers {}: {e}", path.display()))?;
    Waivers::parse(&text, &path.display().to_string()).map_err(|e| e.to_string())
}

/// Tells on standard error what is being done; a bar where that is a terminal.
struct Teller {
    bar: Option<ProgressBar>,
    phase: Mutex<String>,
}

impl Teller {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        Teller { bar, phase: Mutex::default() }
    }

    fn tell(&self, progress: Progress<'_>) {
        match (progress, &self.bar) {
            (Progress::Phase(phase), None) => {
                let _ = writeln!(std::io::stderr(), "gate: {phase} …");
            }
            (Progress::Phase(phase), Some(bar)) => {
                phase.clone_into(&mut self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
                bar.set_message(format!("{phase} …"));
                bar.enable_steady_tick(std::time::Duration::from_millis(120));
            }
            (Progress::Replayed { .. }, None) => {}
            (Progress::Replayed { came, expected }, Some(bar)) => {
                let phase = self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                bar.set_message(format!("{phase}: {came} of {expected} answers"));
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help() {
        insta::assert_snapshot!(Arguments::command().term_width(100).render_long_help());
    }
}
