//! The command line.

use crate::http::Speed;
use clap::{Args, Parser, Subcommand};
use report::{Outputs, ShowSecrets};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Replay recorded HTTP traffic through two builds and see whether they answer alike.
#[derive(Debug, Parser)]
#[command(name = "replay", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  What does a capture hold, and what could not be rebuilt from it?
    replay inspect site.pcapng
  Play the recorded origin, put two builds in front of it, and compare them:
    replay origin site.pcapng --listen 127.0.0.1:8000
    replay http site.pcapng --mark \\
      --reference http://127.0.0.1:8001 --candidate http://127.0.0.1:8002
  The same at full speed; replay again what differs, and keep what both builds answered:
    replay http site.pcapng --mark --speed max --confirm 2 --record answers.capture \\
      --reference http://127.0.0.1:8001 --candidate http://127.0.0.1:8002
  Complete commands in the shell:
    replay completions bash > ~/.local/share/bash-completion/completions/replay

Exit status: 0 where all is well, 1 where the candidate alone deviates, 2 where it could not be judged.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(Inspect),
    Http(Box<Http>),
    Origin(Origin),
    Completions(Completions),
}

/// Show what a capture holds: connections, transactions, and what could not be rebuilt, by reason.
///
/// Reads pcap and pcapng files (also compressed with zstd) and native captures. Every packet and every byte is
/// counted in exactly one state.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay inspect site.pcapng
  replay inspect site.pcapng --transactions --connections
  replay inspect site.pcapng --transactions --json - | jq '.transactions[].name'

Exit status: 0, or 2 where the file could not be read to its end.")]
pub struct Inspect {
    /// A pcap, pcapng or native capture
    pub capture: PathBuf,
    /// List the transactions
    #[arg(long)]
    pub transactions: bool,
    /// List the connections
    #[arg(long)]
    pub connections: bool,
    /// Write what was found as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub show_secrets: ShowSecrets,
}

/// Replay a capture through a reference and a candidate at the same time, and compare their answers.
///
/// Each captured connection gets one connection to each build. Requests are sent as recorded, Host included, by an
/// absolute schedule. The recorded answers are the third opinion: what the candidate alone does differently decides.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay http site.pcapng --reference http://127.0.0.1:8001 --candidate http://127.0.0.1:8002
  replay http a.pcap --reference http://old.test --candidate http://new.test --speed max --confirm 1
  replay http a.pcap --reference http://old.test --candidate http://new.test --only 'GET *.css'
  replay http a.pcap --json a.json --junit a.xml --html a.html \\
    --reference http://old.test --candidate http://new.test
  replay http a.pcap --record answers.capture \\
    --reference http://old.test --candidate http://new.test

Exit status: 0 where both builds answer alike, 1 where the candidate alone deviates, 2 where it could not be judged.")]
pub struct Http {
    /// A pcap, pcapng or native capture
    pub capture: PathBuf,
    /// The build that is known to be good: http://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub reference: String,
    /// The build under test: http://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub candidate: String,
    /// How many times the recorded pace, or max: as fast as the recorded order allows
    #[arg(long, value_name = "N|max", default_value = "1")]
    pub speed: Speed,
    /// Give connecting, sending a request, or reading its whole answer up after so many seconds; 3 time-outs one
    /// after another without an answer in between, or 20 in all, end what is left for that build
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: std::time::Duration,
    /// Most connections open at once to each build
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Replay only transactions that fit: * and ? over "METHOD URL" or the URL; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Where something differs, replay so many times more; only what differs each time counts
    #[arg(long, value_name = "TIMES", default_value = "0")]
    pub confirm: u32,
    /// Put this before each recorded path, such as /run-7, so that what was cached before cannot answer;
    /// give the same to replay origin
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Tell replay origin, in a Replay-Transaction field, which recorded moment a request belongs to, where its
    /// URL was answered differently at different times
    #[arg(long)]
    pub mark: bool,
    /// Differences that are accepted until a day (TOML)
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// Keep what both builds answered, as a native capture; it holds secrets as they are: protect it
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub outputs: Outputs,
    #[command(flatten)]
    pub show_secrets: ShowSecrets,
}

/// Be the recorded origin: answer as the recorded servers did.
///
/// Requests are known by method, Host, path and query. Conditions and ranges are honoured. What was not recorded is
/// answered with status 599 and a body that says why. Ends on SIGINT or SIGTERM and tells what it was asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  replay origin site.pcapng --listen 127.0.0.1:8000
  replay origin site.pcapng --listen 127.0.0.1:0 --json --prefix /run-7

Exit status: 0, or 2 where something was asked that was not recorded.")]
pub struct Origin {
    /// A pcap, pcapng or native capture
    pub capture: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What stands before each recorded path
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Print the address, and at the end the counts, as one line of JSON each
    #[arg(long)]
    pub json: bool,
}

/// Print shell completions.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  replay completions bash > ~/.local/share/bash-completion/completions/replay"
)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() && n > 0.0 && n < 1e9 => Ok(std::time::Duration::from_secs_f64(n)),
        _ => Err("give a number of seconds above zero".to_owned()),
    }
}
