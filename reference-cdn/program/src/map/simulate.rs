//! `reference-cdn map simulate`: plays a scenario.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mapper::simulate::{Scenario, page, simulate};

use super::{DIFFERENT, MapName, read_text, write_page};
use crate::output::Output;

pub const EXAMPLES: &str = "\
Examples:
  # A scenario on the map in force, with a page of pictures
  reference-cdn map simulate surge.toml --map maps --html surge.html

  # On the network that a configuration describes, result as JSON
  reference-cdn map simulate surge.toml --config mapper.toml --json -

A scenario is a file like this:

  seconds = 900
  requests = 9000                # per second, for all names together
  requests-of-capacity = 1000    # what a server of capacity 1 carries
  resolvers = 300
  [[event]]
  at = 100
  for = 300
  what = { surge = { names = \"shop*\", factor = 20 } }

Other events: surge with near = \"SITE\", server-down = { server }, site-down = { site }, reports-lost = { thousandths },
reports-stop = { site }. Also: seed, zipf (in thousandths), names-in-reports, and [rules] as in the mapper's configuration.

Exit status: 0 no server stayed above the second threshold for longer than --lifetimes and all that was extra was given back,
1 that does not hold, 2 it could not be played.";

#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// What is played (TOML)
    scenario: PathBuf,
    /// The map that it is played on: FOLDER for the one in force there, or FOLDER@EPOCH
    #[arg(long, value_name = "MAP", required_unless_present = "config")]
    map: Option<MapName>,
    /// A mapper's configuration whose inputs make the network, in place of a map
    #[arg(long, value_name = "FILE", conflicts_with = "map")]
    config: Option<PathBuf>,
    /// For how many lifetimes of answers a server may be above the second threshold
    #[arg(long, value_name = "N", default_value_t = 2)]
    lifetimes: u64,
    /// Write a page that shows the load of each server over time
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub fn run(args: &SimulateArgs) -> Result<ExitCode, String> {
    let network = match (&args.map, &args.config) {
        (Some(map), _) => map.open()?.network,
        (None, Some(config)) => {
            let config = mapper::run::Config::read(config).map_err(|error| error.to_string())?;
            let outside = mapper::run::Outside::system().map_err(|error| error.to_string())?;
            mapper::run::network_of(&config, &outside).map_err(|error| error.to_string())?
        }
        (None, None) => return Err("say --map or --config".into()),
    };
    let text = read_text(&args.scenario)?;
    let network = std::sync::Arc::unwrap_or_clone(network);
    let file = args.scenario.display().to_string();
    let scenario = Scenario::read(&file, &text, network)
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let outcome = simulate(&scenario, |second| {
        if terminal && (second + 1) % 10 == 0 {
            anstream::eprint!("\r{} of {} s", second + 1, scenario.seconds);
        }
    });
    if terminal {
        anstream::eprintln!("\r");
    }
    if let Some(path) = &args.html {
        let title =
            args.scenario.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        write_page(path, &page(&outcome, &title))?;
    }
    let verdict = outcome.holds(args.lifetimes);
    let text = outcome.to_text(verdict.as_ref().err());
    args.output.write(&outcome, &text)?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}
