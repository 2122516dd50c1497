//! What the program tells its surroundings: a log on standard error, and a limit of open files that fits.

use tracing_subscriber::EnvFilter;

/// Environment variable with the log's filter, such as `debug` or `edge=debug`.
pub const VARIABLE: &str = "REFERENCE_CDN_LOG";

/// What is logged unless the variable says otherwise. `h2` warns of what clients do wrong, and they can do that often. A mapper says
/// little else than what operators did, and that what it warned of is over.
const DEFAULT: &str = "warn,mapper=info,h2=error";

/// Starts the log, once; later calls change nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let colored = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colored)
        .with_target(false)
        .try_init();
}

/// Raises the limit of open files to what the configuration needs, as far as the system lets us.
pub fn raise_descriptor_limit(needed: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else { return };
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let granted = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    let now = if granted.is_ok() { raised } else { current };
    if now < needed {
        tracing::warn!(
            needed,
            open_files = now,
            "the limit of open files is below what client.connections, origin.connections and the segments of disk.size may need: raise it (ulimit -n), or lower those"
        );
    }
}
