//! The only place of the mirror that reads the clock.

use exchange::Time;
use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time; the epoch where the clock stands before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell's one reading of the clock; everything else takes `now`"
)]
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
