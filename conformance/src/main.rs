//! Judges any HTTP cache: header handling, freshness, integrity, purge and framing.

fn main() -> std::process::ExitCode {
    conformance::cli::main()
}
