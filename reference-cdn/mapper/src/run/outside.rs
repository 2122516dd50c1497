//! The clock and the randomness of a mapper: the one place that reads them.

use std::sync::Arc;

use super::{Outside, RunError};

impl Outside {
    /// The machine's clock, and randomness of the system.
    ///
    /// # Errors
    /// The system gives no randomness.
    #[expect(clippy::disallowed_methods, reason = "the mapper's one reading of the real clock")]
    pub fn system() -> Result<Self, RunError> {
        use std::time::{Instant, SystemTime, UNIX_EPOCH};
        let begin = Instant::now();
        let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| RunError::Random)?;
        Ok(Self {
            unix: Arc::new(move || {
                milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
            }),
            // Never 0, so that "never yet" and "at the start" differ.
            monotonic: Arc::new(move || milliseconds(begin.elapsed()) + 1),
            secret,
        })
    }
}
