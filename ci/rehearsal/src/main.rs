//! See [`cli::Cli`].

mod cli;
mod program;

use clap::Parser as _;

fn main() {
    let _ = cli::Cli::parse();
}
