//! What this process asks of its system.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// How much the threads that look at copies stand back behind those that relay.
const NICE: i32 = 10;

/// Raises the number of open descriptors to what the system allows; each client takes two, its comparison one more.
pub(crate) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Where it fails the old limit stays, and connections beyond it wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Lowers the priority of the calling thread. Linux counts priorities by thread; where they are counted by process,
/// all threads stand back alike.
pub(crate) fn yield_to_others() {
    if cfg!(target_os = "linux") {
        // Where it fails, all threads are equal.
        let _ = setpriority_process(None, NICE);
    }
}
