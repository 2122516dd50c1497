use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Stored responses come in all sizes and leave in any order. That leaves holes in glibc's heap: it had 1.3 to 1.7 times as
/// much resident as was in use. How this one is set up is in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    reference_cdn::run(std::env::args_os())
}
