//! What the program does for each command.

use crate::cli::{Cli, Command, Completions, Http, Inspect, Origin};
use crate::counted::{counted, times};
use crate::http::{self, Capture, Glob, Options};
use crate::inspect::{self, Lists};
use crate::origin;
use clap::CommandFactory as _;
use compare::Waivers;
use endpoint::Clock;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

type Failure = Box<dyn Error + Send + Sync>;

/// Exit status where nothing could be judged.
const COULD_NOT_JUDGE: u8 = 2;

/// Runs the program. Says on standard error what went wrong, if something did.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Inspect(args) => inspect(&args),
        Command::Http(args) => in_runtime(replay(&args)),
        Command::Origin(args) => in_runtime(serve(&args)),
        Command::Completions(Completions { shell }) => {
            // A reader that has seen enough is no error.
            let _ = io::stdout().write_all(report::completions(&mut Cli::command(), shell).as_bytes());
            Ok(0)
        }
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Where nobody reads standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "replay: {error}");
            ExitCode::from(COULD_NOT_JUDGE)
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<u8, Failure>>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn inspect(args: &Inspect) -> Result<u8, Failure> {
    let lists = Lists { transactions: args.transactions, connections: args.connections };
    let found = inspect::inspect(&args.capture, lists, &args.show_secrets.secrets())?;
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&found)? + "\n";
        if to_stdout {
            print(&json)?;
        } else {
            std::fs::write(path, json).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
    }
    if !to_stdout {
        print(&found.to_text())?;
    }
    Ok(if found.is_complete() { 0 } else { COULD_NOT_JUDGE })
}

/// A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn replay(args: &Http) -> Result<u8, Failure> {
    let waivers = match &args.waivers {
        None => Waivers::default(),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {name}: {e}"))?;
            Waivers::parse(&text, &name)?
        }
    };
    let capture = Capture::load(&args.capture)?;
    let options = Options {
        speed: args.speed,
        timeout: args.timeout,
        connections: args.connections as usize,
        waivers,
        record: args.record.clone(),
        prefix: args.prefix.clone(),
        only: args.only.iter().map(Glob::new).collect(),
        confirm: args.confirm,
        mark: args.mark,
        compare: compare::Settings { secrets: args.show_secrets.secrets(), ..compare::Settings::default() },
        ..Options::new(&args.reference, &args.candidate)
    };
    let bar = progress_bar();
    let outcome = http::run(&capture, &options, &Clock::system(), &|came, expected| {
        bar.set_length(expected);
        bar.set_position(came);
    })
    .await?;
    bar.finish_and_clear();
    args.outputs.write(&outcome.report)?;
    Ok(outcome.report.outcome.exit_status())
}

fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} answers, {eta} left") {
        bar.set_style(style);
    }
    bar
}

async fn serve(args: &Origin) -> Result<u8, Failure> {
    let running = origin::start(&args.capture, args.listen, &args.prefix, Clock::system()).await?;
    let mut stop = Stop::new()?;
    if let Some(error) = &running.file_error {
        writeln!(io::stderr(), "replay: {}: {error}", args.capture.display())?;
    }
    let address = running.address();
    if args.json {
        let line = serde_json::json!({ "listen": address.to_string(), "targets": running.targets });
        print(&format!("{line}\n"))?;
    } else {
        writeln!(
            io::stderr(),
            "serving {} on http://{address}",
            counted(running.targets as u64, "recorded target", "recorded targets")
        )?;
    }
    stop.wait().await;
    running.shutdown().await;
    let counters = running.counters();
    if args.json {
        print(&format!("{}\n", serde_json::to_string(&counters)?))?;
    } else {
        let c = &counters;
        writeln!(
            io::stderr(),
            "{}: {} answered as recorded, {} derived from what was recorded, {} of parts with filler, {} not recorded; {} something that is no request",
            counted(c.requests, "request", "requests"),
            c.recorded,
            c.derived,
            c.filled,
            c.unrecorded,
            times(running.faults() as u64)
        )?;
        for unanswered in counters.unanswered.iter().take(20) {
            let u = unanswered;
            writeln!(io::stderr(), "  {} http://{}{}: {}", u.method, u.host, u.target, u.explanation)?;
        }
    }
    Ok(if counters.unrecorded == 0 { 0 } else { COULD_NOT_JUDGE })
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
