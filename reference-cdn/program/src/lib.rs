//! The program of the reference CDN, as a library: its commands, and its configuration.

pub mod cli;
pub mod config;
pub mod edge;
mod first_mapper;
mod log;
pub mod map;
pub mod mapper;
mod output;
pub mod purge;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, ValueEnum as _};
use clap_complete::Shell;

use cli::{Cli, Command};
use config::explain::{example, explain};
use config::file::Settings;

/// Runs the program with these arguments, the first being its name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.command {
        Command::Edge(args) => edge::run(&args, |decisions| decisions),
        Command::Purge(args) => purge::run(&args),
        Command::Mapper(args) => mapper::run(&args),
        Command::Map(command) => map::run(&command),
        Command::ExplainDns(args) => map::explain(&args),
        Command::Check { file } => check(&file),
        Command::Config { explain: true } => print(&explain()),
        Command::Config { explain: false } => print(&example()),
        Command::Completions { shell } => print(&completions(shell)),
    }
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reference-cdn", &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        // clap_complete (4.6.11, the newest) spells the hyphen of a program's name in one way where it looks at the words and in another
        // where it says what follows them, so that nothing below the first word is completed (clap-rs/clap issue 6421).
        Shell::Bash => script.replace("reference__subcmd__cdn", "reference__cdn"),
        Shell::Fish => for_fish(&script),
        _ => script.into_owned(),
    }
}

/// For fish, clap_complete has `help` itself among the words of which none may be there yet for more to be offered after `help`, so that
/// nothing ever is; and it knows no values of what is no option.
fn for_fish(script: &str) -> String {
    let mended = |line: &str| {
        let of_help = line.contains("_using_subcommand help; and not ");
        if of_help { line.replacen(" help\"", "\"", 1) } else { line.to_owned() }
    };
    let mut lines: Vec<String> = script.lines().map(mended).collect();
    let shells: Vec<String> = Shell::value_variants().iter().map(ToString::to_string).collect();
    lines.push(format!(
        "complete -c reference-cdn -n \"__fish_reference_cdn_using_subcommand completions\" -f -a \"{}\"\n",
        shells.join(" ")
    ));
    lines.join("\n")
}

fn check(path: &Path) -> ExitCode {
    match Settings::read(path).and_then(Settings::finish) {
        Ok(_) => print(&format!("{} is valid\n", path.display())),
        Err(_) if is_of_a_mapper(path) => {
            let path = path.display();
            anstream::eprintln!(
                "error: {path}: this is a mapper's configuration, not an edge's; check it with: reference-cdn mapper --config {path} --check"
            );
            ExitCode::from(1)
        }
        Err(faults) => {
            let colored = std::io::IsTerminal::is_terminal(&std::io::stderr());
            anstream::eprint!("{}", faults.render(colored));
            ExitCode::from(if path.is_file() { 1 } else { 2 })
        }
    }
}

/// Whether a configuration file has what every mapper's has, and no edge's.
fn is_of_a_mapper(path: &Path) -> bool {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(1 << 20).read_to_string(&mut text));
    let table = read.ok().and_then(|_| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.get("zone").is_some_and(toml::Value::is_array))
}

/// To standard output. A reader that has had enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}
