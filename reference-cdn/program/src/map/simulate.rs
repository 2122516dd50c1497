//! `reference-cdn map simulate`: plays a scenario.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mapper::simulate::{Scenario, page, simulate};

use super::{DIFFERENT, MapName, read_text, write_page};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  # Files to begin with, and what happens to them; open the page in a browser
  reference-cdn mapper --write-example first
  reference-cdn map simulate first/surge.toml --config first/mapper.toml --html surge.html

  # On the map in force, result as JSON
  reference-cdn map simulate surge.toml --map maps --json -
";

const FIELDS: &str = "\
Its fields:
  seconds               how long it is played
  requests              requests per second, for all names together
  requests-of-capacity  requests per second that a server of capacity 1 carries
  resolvers             how many ask, spread over the prefixes of the network
  zipf                  how much less each next name is wanted: the exponent of
                        Zipf's law in thousandths, 0 for all alike [default: 1000]
  names-in-reports      whether servers report which names load them [default: true]
  seed                  what is drawn at random is drawn from it [default: 0]
  [rules]               as in the mapper's configuration

Fields of each [[event]]: at, a second; for, how many seconds it lasts, to the end if not
given; and what, which is one of:
  { surge = { names = \"www*\", factor = 25 } }
      names that match are wanted so many times as much; a * can be the last character
  { surge = { names = \"*\", factor = 3, near = \"ams\" } }
      only by clients whose nearest site is this one; names has to be given, too
  { server-down = { server = \"ams-2\" } }
  { site-down = { site = \"ams\" } }
  { reports-lost = { thousandths = 300 } }
      so many of a thousand load reports do not arrive
  { reports-stop = { site = \"ams\" } }
      none of a site's load reports arrives, though its servers are well

Exit status: 0 no server stayed above the second threshold for longer than --lifetimes
and all that was extra was given back,
1 that does not hold, 2 it could not be played.";

/// What comes after the options: the scenario is the one that `mapper --write-example` writes.
pub fn examples() -> String {
    let mut text = format!("{EXAMPLES}\nA scenario is a file like surge.toml of these:\n\n");
    for line in crate::first_mapper::SURGE.lines() {
        text += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    }
    text + "\n" + FIELDS
}

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
    let verdict = outcome.holds(args.lifetimes);
    if let Some(path) = &args.html {
        let title =
            args.scenario.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        write_page(path, &page(&outcome, &title, verdict.as_ref().err()))?;
    }
    let text = outcome.to_text(verdict.as_ref().err());
    args.output.write(&outcome, &text)?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}
