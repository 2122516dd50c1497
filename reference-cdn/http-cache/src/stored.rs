//! A stored response: its head, and everything about it that later decisions need, parsed once.

use std::ops::Range;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::freshness::Freshness;
use crate::lines::{FieldLines, Lines};
use crate::tags::Tags;
use crate::vary::Selecting;
use crate::{Slices, Time};

/// The head of a stored response. Its content is kept by the edge.
///
/// It is small and shares memory with nothing: fields are packed, and no slice of a message's buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// 200 also for a 206 that turned out to be everything.
    pub(crate) status: StatusCode,
    /// End-to-end fields, without Age, Content-Length and Content-Range (made anew for each reply), with a
    /// valid Date.
    pub(crate) headers: Lines,
    /// Fields for the client that caused the fetch only: those that `no-cache` and `private` name. None at rest.
    pub(crate) once: Option<Box<Lines>>,
    pub(crate) extent: Extent,
    /// Octets that the origin announced, by Content-Length or Content-Range.
    pub(crate) announced: Option<u64>,
    pub(crate) freshness: Freshness,
    pub(crate) selecting: Selecting,
    pub(crate) response_time: Time,
    /// `corrected_initial_age`.
    pub(crate) initial_age: Duration,
    /// The origin sent Age: it is a cache itself.
    pub(crate) aged: bool,
    /// Date, or when the response was received.
    pub(crate) date: Time,
    pub(crate) last_modified: Option<Time>,
    /// The question and the answer that a stored part came from.
    pub(crate) answered: Option<Box<Answered>>,
    /// The content is kept in slices, not with this head: all of it can be had, one way or the other.
    pub(crate) slices: Option<Slices>,
}

/// A Range as it was sent, and the Content-Range that the origin answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub range: HeaderValue,
    pub content_range: HeaderValue,
}

/// Which octets of the representation are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first stored octet.
    pub first: u64,
    /// How many octets are stored, or announced while they are being received; `None` if nobody announced it.
    pub length: Option<u64>,
    /// Length of the whole representation, when known.
    pub complete: Option<u64>,
    /// Only a part of the representation is stored.
    pub partial: bool,
}

impl Extent {
    /// Offset behind the last stored octet.
    pub fn end(&self) -> Option<u64> {
        self.length.and_then(|length| self.first.checked_add(length))
    }
}

impl Stored {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields as stored, unpacked: end-to-end ones only. To look at a few, [`Stored::field`] costs less.
    pub fn headers(&self) -> HeaderMap {
        self.headers.to_map(0)
    }

    /// The values of the stored lines of one field, in their order.
    pub fn field(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.headers.all(name)
    }

    /// Tells this response from others under its key: the request fields that Vary names, as octets that are equal
    /// where those are.
    pub fn variant(&self) -> &[u8] {
        self.selecting.octets()
    }

    /// Tells versions of a response apart: its ETag, or else its Last-Modified, as they were sent; empty if it has
    /// neither.
    pub fn validator(&self) -> &[u8] {
        let lines = &self.headers;
        lines.get(&http::header::ETAG).or_else(|| lines.get(&http::header::LAST_MODIFIED)).unwrap_or_default()
    }

    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// How the content is kept, if not with this head.
    pub fn slices(&self) -> Option<Slices> {
        self.slices
    }

    /// Chooses the id of the slices that the content is kept in, unless they have one.
    pub fn name_slices(&mut self, id: u64) {
        if let Some(slices) = self.slices.as_mut().filter(|slices| slices.id == 0) {
            slices.id = id;
        }
    }

    /// The head under which the octets `range`, a slice of the content, are kept.
    pub fn slice(&self, range: Range<u64>) -> Self {
        let length = Some(range.end - range.start);
        let extent = Extent { first: range.start, length, complete: self.extent.complete, partial: true };
        Self { extent, announced: length, slices: None, ..self.clone().at_rest() }
    }

    /// When the response was received, or last validated.
    pub fn response_time(&self) -> Time {
        self.response_time
    }

    /// `current_age` (RFC 9111 section 4.2.3).
    pub fn age(&self, now: Time) -> Duration {
        self.initial_age.saturating_add(now.since(self.response_time))
    }

    /// How long the response may be reused, counted from age zero.
    pub fn lifetime(&self) -> Duration {
        self.freshness.lifetime
    }

    /// Its age is below its lifetime, and it did not [expire](Self::expired_at) early. Fresh responses may still need
    /// validation (`no-cache`).
    pub fn is_fresh(&self, now: Time) -> bool {
        !self.freshness.expired && self.age(now) < self.freshness.lifetime
    }

    /// How long it has been stale; zero while it is fresh.
    pub fn staleness(&self, now: Time) -> Duration {
        self.age(now).saturating_sub(self.freshness.lifetime)
    }

    /// Lifetime minus age, both in whole seconds as Age has them; negative once it is stale.
    pub fn ttl(&self, now: Time) -> i64 {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let left = seconds(self.freshness.lifetime) - seconds(self.age(now));
        if self.freshness.expired { left.min(0) } else { left }
    }

    /// The response as it is kept: without the fields meant for the first client only. An edge replies with
    /// the original, and stores this.
    pub fn at_rest(mut self) -> Self {
        self.once = None;
        self
    }

    /// The response as it is kept once its content has ended after `octets`.
    pub fn with_length(mut self, octets: u64) -> Self {
        self.extent.length = Some(octets);
        if !self.extent.partial {
            self.extent.complete = Some(octets);
        }
        self.at_rest()
    }

    /// Has the content received the length that was announced? A part may be shorter: what came is its
    /// beginning.
    pub(crate) fn is_as_announced(&self) -> bool {
        match (self.extent.length, self.announced) {
            (Some(length), Some(announced)) if self.extent.partial => length <= announced,
            (Some(length), Some(announced)) => length == announced,
            _ => true,
        }
    }

    /// The names and groups under which it can be purged.
    pub fn tags(&self) -> Tags<'_> {
        Tags::of_lines(&self.headers)
    }

    /// The response with its lifetime ended at `since` (a soft purge): from then on it is stale, whatever the clock
    /// says, and may be used as stale responses may. What was received after `since` is stale from its receipt on; what
    /// was stale before stays so for as long. `None`: nothing changes.
    pub fn expired_at(&self, since: Time) -> Option<Self> {
        let lifetime = self.freshness.lifetime.min(self.age(since));
        if self.freshness.expired && self.freshness.lifetime == lifetime {
            return None;
        }
        let mut stale = self.clone();
        stale.freshness.lifetime = lifetime;
        stale.freshness.expired = true;
        Some(stale)
    }

    /// About how many octets of memory the head takes.
    pub fn weight(&self) -> usize {
        // What an allocation takes beside its octets.
        const PIECE: usize = 16;
        let pieces = [self.headers.octets().len(), self.selecting.octets().len()];
        size_of::<Self>()
            + pieces.into_iter().filter(|length| *length > 0).map(|length| length + PIECE).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decisions, Fetch, ForwardReason, Received, Request, Response, Settings, Standard};

    fn stored(now: Time, cache_control: &'static str) -> Stored {
        let (method, none, target) = (http::Method::GET, HeaderMap::new(), "http://h/".parse().unwrap());
        let request =
            Request { method: &method, target: &target, headers: &none, version: http::Version::HTTP_11 };
        let fetch = Fetch::forward(ForwardReason::UriMiss);
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        let response =
            Response { status: StatusCode::OK, headers: &headers, request_time: now, response_time: now };
        match Standard::new(Settings::default()).received(&request, &fetch, &response, &[]) {
            Received::Store { stored, .. } => *stored,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_expired_response_is_stale_from_then_on() {
        let at = |seconds: u64| Time::from_secs(1_000_000 + seconds);
        let fresh = stored(at(0), "max-age=100");
        let stale = fresh.expired_at(at(40)).unwrap();
        assert!(fresh.is_fresh(at(50)) && !stale.is_fresh(at(50)));
        assert_eq!(stale.staleness(at(50)), Duration::from_secs(10));
        assert_eq!((stale.ttl(at(50)), stale.age(at(50)).as_secs()), (-10, 50));
        // A clock that is set back does not bring it back.
        assert!(!stale.is_fresh(at(10)));
        assert_eq!((stale.ttl(at(10)), stale.staleness(at(10))), (0, Duration::ZERO));
        // The first purge counts.
        assert_eq!(stale.expired_at(at(60)), None);
        assert_eq!(stale.expired_at(at(40)), None);
        assert_eq!(stale.expired_at(at(30)).unwrap().staleness(at(50)), Duration::from_secs(20));
        // What came after the purge is stale from the start; what was stale before is no less so.
        assert_eq!(fresh.expired_at(at(0)).unwrap().staleness(at(50)), Duration::from_secs(50));
        assert_eq!(fresh.expired_at(Time::from_secs(5)).unwrap().staleness(at(50)), Duration::from_secs(50));
        assert_eq!(fresh.expired_at(at(150)).unwrap().staleness(at(160)), Duration::from_secs(60));
    }
}
