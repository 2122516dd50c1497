//! Ten edges that each break one rule: what the tools of this project must find, and a candidate to try them
//! on.
//!
//! Each is the reference edge with its [`http_cache::Decisions`] wrapped, so that exactly one decision is
//! taken wrongly.

mod deviation;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use reference_cdn::edge::EdgeArgs;

pub use deviation::{Deviation, Faulty};

const EXAMPLES: &str = "\
Examples:
  faulty-edge --list
  faulty-edge --deviation age-frozen --listen 127.0.0.1:0 --origin http://127.0.0.1:9000 --json

All other options are those of `reference-cdn edge`.";

/// An edge that breaks one rule, to see whether it is found. Not for traffic.
#[derive(Debug, Parser)]
#[command(name = "faulty-edge", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The rule to break
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        hide_possible_values = true,
        required_unless_present = "list"
    )]
    pub deviation: Option<Deviation>,
    /// Name the deviations, one a line with what it does, and stop
    #[arg(long, exclusive = true)]
    pub list: bool,
    #[command(flatten)]
    pub edge: EdgeArgs,
}

/// Runs the program with these arguments, the first being its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let Some(deviation) = cli.deviation else {
        for deviation in Deviation::value_variants() {
            anstream::println!("{:<20} {}", deviation.name(), deviation.does());
        }
        return ExitCode::SUCCESS;
    };
    reference_cdn::edge::run(&cli.edge, |standard| Arc::new(Faulty::new(standard, deviation)))
}
