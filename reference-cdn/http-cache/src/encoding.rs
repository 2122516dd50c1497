//! A stored head as octets, to keep it where a process's memory ends.
//!
//! ```text
//! version        octet, 1
//! status         number
//! flags          number, see below
//! extent         first; length and complete, where flagged
//! announced      where flagged
//! freshness      lifetime; stale-while-revalidate and stale-if-error, where flagged
//! times          response_time, initial_age, date; last_modified, where flagged
//! selecting      piece, packed as vary.rs says
//! answered       range and content_range, pieces, where flagged
//! slices         size and id, where flagged
//! fields         piece, packed as lines.rs says
//! ```
//!
//! Numbers and pieces are those of octets.rs; a duration is its seconds and its nanoseconds, a time its milliseconds.
//! What is read may have been written by anybody: it is checked, and has one spelling.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::freshness::Freshness;
use crate::lines::Lines;
use crate::octets::{Malformed, Octets, put_number, put_piece};
use crate::stored::Answered;
use crate::vary::Selecting;
use crate::{Extent, Stored, Time};

const VERSION: u8 = 1;

const PARTIAL: u64 = 1;
const EXPLICIT: u64 = 1 << 1;
const NO_CACHE: u64 = 1 << 2;
const MUST_REVALIDATE: u64 = 1 << 3;
const SHARED_LIFETIME: u64 = 1 << 4;
const AGED: u64 = 1 << 5;
const HAS_LENGTH: u64 = 1 << 6;
const HAS_COMPLETE: u64 = 1 << 7;
const HAS_ANNOUNCED: u64 = 1 << 8;
const HAS_WHILE_REVALIDATE: u64 = 1 << 9;
const HAS_IF_ERROR: u64 = 1 << 10;
const HAS_LAST_MODIFIED: u64 = 1 << 11;
const HAS_ANSWERED: u64 = 1 << 12;
const HAS_SLICES: u64 = 1 << 13;
const IMMUTABLE: u64 = 1 << 14;
const EXPIRED: u64 = 1 << 15;
const ALL: u64 = (1 << 16) - 1;

/// Why octets are no stored head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by another version of this crate.
    Version(u8),
    /// Cut short, out of range, or contradicting themselves.
    Malformed,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a stored head of version {version}; this program reads {VERSION}")
            }
            Self::Malformed => f.write_str("not the octets of a stored head"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<Malformed> for DecodeError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Stored {
    /// Appends the head as octets. Fields for the first client only are left out, as in [`Stored::at_rest`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let (extent, freshness) = (self.extent, self.freshness);
        let flags = flag(extent.partial, PARTIAL)
            | flag(freshness.explicit, EXPLICIT)
            | flag(freshness.no_cache, NO_CACHE)
            | flag(freshness.must_revalidate, MUST_REVALIDATE)
            | flag(freshness.shared_lifetime, SHARED_LIFETIME)
            | flag(self.aged, AGED)
            | flag(extent.length.is_some(), HAS_LENGTH)
            | flag(extent.complete.is_some(), HAS_COMPLETE)
            | flag(self.announced.is_some(), HAS_ANNOUNCED)
            | flag(freshness.stale_while_revalidate.is_some(), HAS_WHILE_REVALIDATE)
            | flag(freshness.stale_if_error.is_some(), HAS_IF_ERROR)
            | flag(self.last_modified.is_some(), HAS_LAST_MODIFIED)
            | flag(self.answered.is_some(), HAS_ANSWERED)
            | flag(self.slices.is_some(), HAS_SLICES)
            | flag(freshness.immutable, IMMUTABLE)
            | flag(freshness.expired, EXPIRED);
        out.push(VERSION);
        put_number(out, self.status.as_u16().into());
        put_number(out, flags);
        put_number(out, extent.first);
        for number in [extent.length, extent.complete, self.announced].into_iter().flatten() {
            put_number(out, number);
        }
        put_duration(out, freshness.lifetime);
        for duration in [freshness.stale_while_revalidate, freshness.stale_if_error].into_iter().flatten() {
            put_duration(out, duration);
        }
        put_number(out, self.response_time.as_millis());
        put_duration(out, self.initial_age);
        put_number(out, self.date.as_millis());
        if let Some(modified) = self.last_modified {
            put_number(out, modified.as_millis());
        }
        put_piece(out, self.selecting.octets());
        if let Some(answered) = &self.answered {
            put_piece(out, answered.range.as_bytes());
            put_piece(out, answered.content_range.as_bytes());
        }
        if let Some(slices) = self.slices {
            put_number(out, slices.size.get());
            put_number(out, slices.id);
        }
        put_piece(out, self.headers.octets());
    }

    /// The head that was encoded as these octets.
    ///
    /// # Errors
    /// When they are of another version, or nothing that [`Stored::encode`] writes.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Octets(octets);
        let version = from.octet()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let status = u16::try_from(from.number()?).map_err(|_| Malformed)?;
        let status = StatusCode::from_u16(status).map_err(|_| Malformed)?;
        let flags = from.number()?;
        if flags & !ALL != 0 {
            return Err(DecodeError::Malformed);
        }
        let is = |flag: u64| flags & flag != 0;
        let extent = Extent {
            first: from.number()?,
            length: when(is(HAS_LENGTH), || from.number())?,
            complete: when(is(HAS_COMPLETE), || from.number())?,
            partial: is(PARTIAL),
        };
        // Whoever uses an extent adds its numbers up.
        let end = extent.first.checked_add(extent.length.unwrap_or(0)).ok_or(Malformed)?;
        if extent.complete.is_some_and(|complete| end > complete) || (!extent.partial && extent.first > 0) {
            return Err(DecodeError::Malformed);
        }
        let announced = when(is(HAS_ANNOUNCED), || from.number())?;
        let freshness = Freshness {
            lifetime: duration(&mut from)?,
            explicit: is(EXPLICIT),
            no_cache: is(NO_CACHE),
            must_revalidate: is(MUST_REVALIDATE),
            shared_lifetime: is(SHARED_LIFETIME),
            immutable: is(IMMUTABLE),
            expired: is(EXPIRED),
            stale_while_revalidate: when(is(HAS_WHILE_REVALIDATE), || duration(&mut from))?,
            stale_if_error: when(is(HAS_IF_ERROR), || duration(&mut from))?,
        };
        let stored = Self {
            status,
            extent,
            announced,
            freshness,
            aged: is(AGED),
            response_time: Time::from_millis(from.number()?),
            initial_age: duration(&mut from)?,
            date: Time::from_millis(from.number()?),
            last_modified: when(is(HAS_LAST_MODIFIED), || Ok(Time::from_millis(from.number()?)))?,
            selecting: Selecting::checked(from.piece()?)?,
            answered: when(is(HAS_ANSWERED), || {
                Ok(Box::new(Answered { range: value(&mut from)?, content_range: value(&mut from)? }))
            })?,
            slices: when(is(HAS_SLICES), || {
                let size = std::num::NonZeroU64::new(from.number()?).ok_or(Malformed)?;
                Ok(crate::Slices { size, id: from.number()? })
            })?,
            headers: Lines::checked(from.piece()?)?,
            once: None,
        };
        if !from.is_empty() {
            return Err(DecodeError::Malformed);
        }
        Ok(stored)
    }
}

fn when<T>(is: bool, read: impl FnOnce() -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
    if is { read().map(Some) } else { Ok(None) }
}

fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put_number(out, duration.as_secs());
    put_number(out, duration.subsec_nanos().into());
}

fn duration(from: &mut Octets<'_>) -> Result<Duration, Malformed> {
    let seconds = from.number()?;
    match u32::try_from(from.number()?) {
        Ok(nanos) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Malformed),
    }
}

fn value(from: &mut Octets<'_>) -> Result<HeaderValue, Malformed> {
    HeaderValue::from_bytes(from.piece()?).map_err(|_| Malformed)
}
