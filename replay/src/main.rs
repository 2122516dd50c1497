use clap::Parser as _;

fn main() -> std::process::ExitCode {
    replay::run(replay::cli::Cli::parse())
}
