use std::process::ExitCode;

fn main() -> ExitCode {
    reference_cdn::run(std::env::args_os())
}
