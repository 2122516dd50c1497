//! What every check uses.

pub(crate) use crate::bench::{Credentials, OTHER_HOST, Reply, Trial, http_date};
pub(crate) use crate::check::{Area, Check, Level, Outcome, Stop, ensure, need};
pub(crate) use std::time::Duration;

/// A text long enough that half of it is more than any buffer would call empty, and too short to be split.
pub(crate) const LONG: &str = {
    const LINE: &str = "All work and no play makes a cache a dull box, as the operators say.\n";
    const fn repeat<const N: usize>() -> [u8; N] {
        let mut text = [0; N];
        let mut at = 0;
        while at < N {
            text[at] = LINE.as_bytes()[at % LINE.len()];
            at += 1;
        }
        text
    }
    const TEXT: [u8; 2000] = repeat();
    match std::str::from_utf8(&TEXT) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// Judges a request that must not be forwarded: `what` is wrong with it.
pub(crate) async fn refused(line: &mut crate::bench::Line, page: &crate::bench::Page, what: &str) -> Outcome {
    let answer = line.answer_or_close().await?;
    ensure!(page.count() == 0, "a request with {what} was forwarded");
    let status = answer.map_or(400, |a| a.status);
    ensure!(status >= 400, "a request with {what} got status {status}");
    Ok(())
}
