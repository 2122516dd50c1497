//! Ten edges that each break one rule; see the library.

fn main() -> std::process::ExitCode {
    faulty_edge::run(std::env::args_os())
}
