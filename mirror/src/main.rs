//! See the crate's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mirror::run(std::env::args_os()))
}
