//! `reference-cdn mapper`: runs name servers until they are told to stop.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mapper::run::{Addresses, Config, Mapper, Outside};
use tokio::signal::unix::{SignalKind, signal};

const FAILED: u8 = 2;
/// Every field, with its meaning.
const EXAMPLE: &str = include_str!("../../mapper.example.toml");

/// How to start a mapper.
#[derive(Args, Clone, Debug)]
pub struct MapperArgs {
    /// Configuration file (TOML); --write-example writes a first one, --example shows one with every field
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print a configuration file with every field and what it means
    #[arg(long, conflicts_with = "config")]
    pub example: bool,
    /// Write a folder with a small configuration, network and zone that a mapper starts from as they are
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["config", "example"])]
    pub write_example: Option<PathBuf>,
    /// Check the configuration, its zones and its inputs, and end
    #[arg(long, conflicts_with_all = ["example", "write_example"])]
    pub check: bool,
    /// Print the bound addresses as one JSON line on standard output when ready
    #[arg(long)]
    pub json: bool,
}

/// Runs a mapper until SIGTERM or SIGINT.
pub fn run(args: &MapperArgs) -> ExitCode {
    if let Some(folder) = &args.write_example {
        return match crate::first_mapper::write(folder) {
            Ok(said) => crate::print(&said),
            Err(error) => failed(&error),
        };
    }
    if args.example {
        return crate::print(EXAMPLE);
    }
    let Some(path) = &args.config else {
        return failed(
            "a mapper needs a configuration: --config FILE\nto begin with, --write-example FOLDER writes a small one that starts as it is; \
             --example prints every field; --help has more",
        );
    };
    crate::log::start();
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => return failed(&error.to_string()),
    };
    if args.check {
        return check(&config);
    }
    // Every connection and each thread's socket, and some for files.
    let files = config.tcp.connections + config.listen.len() * 64 + 512;
    crate::log::raise_descriptor_limit(files as u64);
    match serve(config, args.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &str) -> ExitCode {
    for line in error.lines() {
        anstream::eprintln!("error: {line}");
    }
    ExitCode::from(FAILED)
}

fn check(config: &Config) -> ExitCode {
    let outside = match Outside::system() {
        Ok(outside) => outside,
        Err(error) => return failed(&error.to_string()),
    };
    let checked = mapper::run::check(config, &outside);
    for warning in &checked.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    if checked.wrong.is_empty() {
        let warned = match checked.warnings.len() {
            0 => String::new(),
            1 => "; see the warning".to_owned(),
            more => format!("; see the {more} warnings"),
        };
        return crate::print(&format!(
            "the configuration is valid, and so are its zones and inputs{warned}\n"
        ));
    }
    failed(&checked.wrong.join("\n"));
    ExitCode::FAILURE
}

fn serve(config: Config, json: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let _guard = runtime.enter();
    let signals = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
    // Asked for before anybody is told that the mapper is ready.
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let outside = Outside::system().map_err(|error| error.to_string())?;
    let mapper = Mapper::start(config, outside).map_err(|error| error.to_string())?;
    announce(json, mapper.addresses())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                // It logs what came of it.
                _ = hangup.recv() => {
                    mapper.reload();
                }
            }
        }
    });
    mapper.stop();
    Ok(())
}

fn announce(json: bool, addresses: &Addresses) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, addresses)?;
        writeln!(out)?;
    } else {
        let list = |addresses: &[std::net::SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        writeln!(out, "reference-cdn mapper: answers on {}", list(&addresses.dns))?;
        if !addresses.tls.is_empty() {
            writeln!(out, "with TLS: {}", list(&addresses.tls))?;
        }
        if let Some(load) = addresses.load {
            writeln!(out, "load reports: {load}")?;
        }
        if let Some(admin) = addresses.admin {
            writeln!(out, "admin: http://{admin}/status")?;
        }
    }
    out.flush()
}
