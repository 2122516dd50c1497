//! The program: from arguments to exit status.

use crate::cli::Cli;
use crate::rehearse;
use crate::stage::{self, Place};
use clap::Parser as _;
use endpoint::Clock;
use report::Outputs;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const COULD_NOT_JUDGE: u8 = 2;
/// As shells report a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(show(&cli)),
        Err(error) => fail(&format!("cannot start: {error}")),
    }
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "quickstart: {message}");
    ExitCode::from(COULD_NOT_JUDGE)
}

async fn show(cli: &Cli) -> ExitCode {
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return fail(&format!("cannot make a scratch folder: {error}")),
    };
    let Some(programs) = cli.programs.clone().or_else(beside_this_one) else {
        return fail("cannot tell where this program is; say where the others are with --programs DIR");
    };
    let place = Place { programs, scratch: scratch.path().to_owned(), diffs: cli.diffs() };
    if cli.list {
        return match stage::deviations(&place).await {
            Ok(list) => {
                let _ = std::io::stdout().write_all(list.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string()),
        };
    }
    let page = cli.page();
    let to_stdout = page.as_os_str() == "-";
    if (cli.html.is_none() || to_stdout)
        && let Some(dir) = place.diffs.parent()
        && let Err(error) = std::fs::create_dir_all(dir)
    {
        return fail(&format!("cannot make {} for the report: {error}", dir.display()));
    }
    // Where a report takes standard output, people read standard error.
    let aside = to_stdout || cli.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let say = |line: &str| {
        let _ =
            if aside { writeln!(std::io::stderr(), "{line}") } else { writeln!(std::io::stdout(), "{line}") };
    };
    let outputs = Outputs { json: cli.json.clone(), junit: None, html: Some(page.clone()) };
    if let Err(error) = outputs.check() {
        return fail(&error.to_string());
    }
    let clock = Clock::system();
    // Dropping the rehearsal ends every program it started.
    let judged = tokio::select! {
        judged = rehearse::rehearse(cli, &place, &clock, &say) => judged,
        () = interrupted() => {
            say("Interrupted: everything that was started has been ended.");
            return ExitCode::from(INTERRUPTED);
        }
    };
    let report = match judged {
        Ok(report) => report,
        Err(error) => return fail(&error.to_string()),
    };
    if let Err(error) = outputs.write(&report) {
        return fail(&error.to_string());
    }
    if !to_stdout {
        say(&format!("\nThe same as a page, with all evidence: {}", page.display()));
    }
    say(&format!("What the mirror saw, a line for each difference: {}", place.diffs.display()));
    let programs = place.programs.canonicalize().unwrap_or(place.programs);
    say(&format!(
        "To go on with each tool by itself, as README.md shows: export PATH=\"{}:$PATH\"",
        programs.display()
    ));
    ExitCode::from(report.outcome.exit_status())
}

fn beside_this_one() -> Option<PathBuf> {
    std::env::current_exe().ok()?.parent().map(PathBuf::from)
}

/// Ctrl-C or SIGTERM.
async fn interrupted() {
    let mut terminated = signal(SignalKind::terminate()).ok();
    let sigterm = async {
        match &mut terminated {
            Some(terminated) => drop(terminated.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = sigterm => {}
    }
}
