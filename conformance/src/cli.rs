//! The program `conformance`.

use crate::baseline::Baseline;
use crate::bench::Candidate;
use crate::profile::Profile;
use crate::run::{self, Options};
use crate::{checks, describe, report};
use ::report::Outputs;
use clap::{CommandFactory as _, Parser, Subcommand};
use endpoint::{Origin, Settings};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status where nothing could be judged.
const COULD_NOT_JUDGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "conformance",
    version,
    about = "Judges any HTTP cache: header handling, freshness, validation, integrity, purge, framing",
    after_help = EXAMPLES
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  nginx, Varnish or your own build listens on port 8080 and has 127.0.0.1:9000 as its origin:
    conformance run --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000

  The same with purge, for CI, against the result of the last release:
    conformance run --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000 \\
        --profile varnish --baseline last-release.json --json result.json --junit result.xml

  What is checked, and why:
    conformance list
    conformance explain framing/length-and-chunked

Exit status: 0 no MUST fails (with --baseline: nothing fails anew), 1 one does,
2 could not judge.";

const RUN_EXAMPLES: &str = "\
Examples:
  conformance run --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000
  conformance run --candidate http://cache.lab \\
      --origin-listen 0.0.0.0:9000 --origin-advertise suite.lab:9000
  conformance run --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000 \\
      --only 'framing/*' --json report.json --junit report.xml --html report.html
  conformance run --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000 \\
      --baseline last-release.json
  CDN_ADMIN=127.0.0.1:9901 CDN_ADMIN_TOKEN=$(cat token) conformance run --profile reference-cdn \\
      --candidate http://127.0.0.1:8080 --origin-listen 127.0.0.1:9000

The candidate must have the suite's origin as its origin server before the run begins, serve
any path and any Host, and should relay responses unchanged otherwise. Every path holds a
number of this run, so that nothing an earlier run left in the cache answers.

A profile says how to purge; without one purge is not judged. It is a TOML file or one of:
reference-cdn, nginx, varnish, squid. Its texts may hold {url}, {path}, {host}, {candidate}
and {env:NAME}:

  name = \"my-cache\"
  [purge]
  method = \"PURGE\"
  url = \"{candidate}{path}\"
  headers = { Host = \"{host}\" }
  [purge.credentials]
  field = \"X-Purge-Key\"
  value = \"{secret}\"
  secret_env = \"PURGE_KEY\"

With --baseline the exit status is 1 only for new failures: a MUST that did not fail then, a
SHOULD that passed then.
Exit status: 0 no MUST fails (with --baseline: nothing fails anew), 1 one does,
2 could not judge.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge a candidate
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArguments>),
    /// Show the checks: id, level, citation
    #[command(after_help = "Example:\n  conformance list 'purge/*'")]
    List {
        /// Only ids that match one of these patterns
        only: Vec<String>,
    },
    /// Say what a check requires and why
    #[command(after_help = "Example:\n  conformance explain freshness/age-on-hit")]
    Explain {
        /// A check's id
        id: String,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  conformance completions bash > /etc/bash_completion.d/conformance")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The candidate's URL: http://HOST[:PORT][/BASE]
    #[arg(long, value_name = "URL")]
    candidate: String,
    /// Where the suite's origin listens; the candidate must have it as its origin
    #[arg(long, value_name = "ADDR")]
    origin_listen: String,
    /// Where the candidate reaches that origin, if not at the same address: http://HOST:PORT or HOST:PORT
    #[arg(long, value_name = "URL")]
    origin_advertise: Option<String>,
    /// Only checks whose id matches; may be given several times. What they rest on runs too
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// How to purge: a TOML file, or the name of a shipped profile
    #[arg(long, value_name = "FILE")]
    profile: Option<String>,
    /// JSON report of an earlier run: only what fails anew decides
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => execute(&arguments),
        Command::List { only } => print(&describe::list(&only)),
        Command::Explain { id } => explain(&id),
        Command::Completions { shell } => print(&::report::completions(&mut Arguments::command(), shell)),
    }
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "conformance: {message}");
    ExitCode::from(COULD_NOT_JUDGE)
}

fn explain(id: &str) -> ExitCode {
    match checks::find(id) {
        Some(check) => print(&describe::explain(check, 100)),
        None => {
            let hint = describe::nearest(id).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
            fail(&format!("there is no check `{id}`.{hint} `conformance list` shows all."))
        }
    }
}

fn execute(arguments: &RunArguments) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    match runtime.block_on(judge(arguments)) {
        Ok(report) => {
            if let Err(error) = arguments.outputs.write(&report) {
                return fail(&error.to_string());
            }
            ExitCode::from(report.outcome.exit_status())
        }
        Err(message) => fail(&message),
    }
}

/// A report, or what is wrong with the arguments.
async fn judge(arguments: &RunArguments) -> Result<::report::Report, String> {
    let candidate = Candidate::parse(&arguments.candidate).map_err(|error| error.to_string())?;
    let listen = resolve(&arguments.origin_listen)?;
    let variables = |name: &str| std::env::var(name).ok();
    let profile = match &arguments.profile {
        Some(name) => Some(Profile::load(name, &variables).map_err(|error| error.to_string())?),
        None => None,
    };
    let baseline = match &arguments.baseline {
        Some(path) => Some(Baseline::load(path).map_err(|error| error.to_string())?),
        None => None,
    };
    let origin = Origin::bind(listen, Settings::default()).await.map_err(|error| {
        format!(
            "{error}; give another address with --origin-listen and let the candidate have it as its origin"
        )
    })?;
    let advertise = match &arguments.origin_advertise {
        Some(url) => advertised(url)?,
        None => origin.address().to_string(),
    };
    let _ =
        writeln!(std::io::stderr(), "the origin listens on {}; judging {}", origin.address(), candidate.url);
    let settings = Settings::default();
    let started = settings.clock.now();
    let options = Options { candidate, advertise, only: arguments.only.clone(), profile, nonce: nonce() };
    let report = match run::run(&options, &origin).await {
        Ok(run) => report::of_run(&run, baseline.as_ref()),
        Err(failure) => report::of_failure(&arguments.candidate, &failure, started, settings.clock.now()),
    };
    Ok(report)
}

/// Host and port of where the candidate reaches the origin.
fn advertised(url: &str) -> Result<String, String> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '?' | '#' | '@');
    if address.is_empty() || address.contains(odd) {
        let why = "give host and port, such as http://suite.lab:9000";
        return Err(format!("--origin-advertise `{}` is no address of an origin: {why}", url.escape_debug()));
    }
    Ok(address.to_owned())
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    address.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| {
        format!("--origin-listen `{address}` is no address to listen on, such as 127.0.0.1:9000")
    })
}

/// Letters and digits that no other run has, from the random keys that hashing maps start with.
pub fn nonce() -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("c{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
