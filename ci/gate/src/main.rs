use std::process::ExitCode;

fn main() -> ExitCode {
    gate::cli::main()
}
