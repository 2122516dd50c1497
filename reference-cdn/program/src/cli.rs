//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::edge::EdgeArgs;

const EXAMPLES: &str = "\
Examples:
  reference-cdn edge --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000
  reference-cdn edge --config edge.toml
  reference-cdn check edge.toml
  reference-cdn config --explain";

const EDGE_EXAMPLES: &str = "\
Examples:
  # In front of an origin on this machine
  reference-cdn edge --origin http://127.0.0.1:9000

  # On a free port, with an admin listener, addresses as JSON for a script
  reference-cdn edge --listen 127.0.0.1:0 --origin http://127.0.0.1:9000 \\
      --admin 127.0.0.1:0 --admin-token-file token.txt --json

  # Everything from a file, with more memory than it says
  reference-cdn edge --config edge.toml --memory 2GiB

SIGTERM or SIGINT stops it: requests in flight finish first. Set REFERENCE_CDN_LOG=info (or debug) for more log.";

/// The reference CDN.
#[derive(Debug, Parser)]
#[command(name = "reference-cdn", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an edge: a caching proxy in front of an origin
    #[command(after_help = EDGE_EXAMPLES)]
    Edge(EdgeArgs),
    /// Check a configuration file and explain each error
    #[command(
        after_help = "Example:\n  reference-cdn check edge.toml\n\nExit status: 0 it is valid, 1 it has errors, 2 it cannot be read."
    )]
    Check {
        /// Configuration file
        file: PathBuf,
    },
    /// Show what can be configured
    #[command(after_help = "Examples:\n  reference-cdn config --explain\n  reference-cdn config > edge.toml")]
    Config {
        /// Explain every field; without it, print a file with all defaults
        #[arg(long)]
        explain: bool,
    },
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  reference-cdn completions bash > /etc/bash_completion.d/reference-cdn"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}
