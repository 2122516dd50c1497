use std::process::ExitCode;

fn main() -> ExitCode {
    rehearsal::run(std::env::args_os())
}
