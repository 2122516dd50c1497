//! The program: starts a mirror, waits for a signal, ends it and reports.

use crate::cli::{Cli, Command, Http};
use crate::mirror::Mirror;
use crate::{clock, say};
use clap::{CommandFactory as _, Parser as _};
use std::ffi::OsString;
use std::io::{self, Write as _};
use tokio::signal::unix::{SignalKind, signal};

/// Could not judge.
const CANNOT: u8 = 2;

/// Runs the program with these arguments, the program's name first, and gives its exit status.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Where nobody reads it, nobody can be told.
            let _ = error.print();
            return if error.use_stderr() { CANNOT } else { 0 };
        }
    };
    match cli.command {
        Command::Completions { shell } => {
            // A reader that has seen enough is no error.
            let _ = io::stdout().write_all(report::completions(&mut Cli::command(), shell).as_bytes());
            0
        }
        Command::Http(http) => match serve(&http) {
            Ok(status) => status,
            Err(error) => {
                say(&error.to_string());
                CANNOT
            }
        },
    }
}

fn serve(http: &Http) -> Result<u8, Box<dyn std::error::Error>> {
    // The low bits change fastest.
    let seed = clock::now().0.unsigned_abs() & 0xffff_ffff;
    let config = http.config(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let summary = runtime.block_on(async {
        // Before the mirror is ready, so that a signal sent then is not missed.
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mirror = Mirror::start(config.clone())?;
        ready(&mirror, config.seed, http.reports_to_stdout())?;
        tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
        say("ending: no new connections, open exchanges may finish; a second signal cuts them off");
        let hurry = mirror.hurry();
        let mut stopping = tokio::task::spawn_blocking(|| mirror.stop());
        loop {
            tokio::select! {
                summary = &mut stopping => return Ok::<_, Box<dyn std::error::Error>>(summary?),
                _ = term.recv() => hurry.hurry(),
                _ = int.recv() => hurry.hurry(),
            }
        }
    })?;
    let report = summary.report();
    http.outputs.write(&report)?;
    Ok(report.outcome.exit_status())
}

/// Says where the mirror listens: one line of JSON on standard output, or on standard error, `aside`, where standard output
/// is to hold a report and nothing else.
fn ready(mirror: &Mirror, seed: u64, aside: bool) -> io::Result<()> {
    let line = serde_json::json!({
        "listen": mirror.listen().to_string(),
        "admin": mirror.admin().map(|a| a.to_string()),
        "seed": seed,
    });
    let mut out: Box<dyn io::Write> = if aside { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    writeln!(out, "{line}")?;
    out.flush()
}
