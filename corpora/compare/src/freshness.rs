//! Date, Age, Expires and what a cache says of its lifetimes, as algebra.
//!
//! Two caches that hold the same object may have fetched it at different moments, so that their `Date` and `Age`
//! differ while both are right. What must hold on each side is `Date + Age = moment of reception`, up to the error of
//! the origin's clock, which is the same on both sides. So the *gap* `received - Date - Age` is compared, not the
//! fields. In the same way `Expires - Date` is compared, not `Expires`; and a `max-age` that one side counts down
//! equals one that the other side sends whole with an `Age`.

use crate::collect::Collector;
use crate::named::{self, At, Named};
use crate::{CacheState, Class, Settings, cache_status, rules, syntax};
use exchange::{Fields, Time};

/// Beyond this a stored answer without `Age` and an origin with a wrong clock cannot be told apart.
const DAY: i64 = 86_400_000;

/// Ages are no longer than this in the arithmetic, about 30 000 years.
const LONGEST: u64 = 1_000_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Absent,
    Seconds(u64),
    Malformed,
}

/// What one side says.
struct Side<'f> {
    fields: &'f Fields,
    received: Option<Time>,
    date: Option<i64>,
    age: Age,
    directives: Named,
    state: CacheState,
}

/// What both sides say about time.
pub(crate) struct Freshness<'f> {
    settings: &'f Settings,
    left: Side<'f>,
    right: Side<'f>,
}

impl<'f> Freshness<'f> {
    /// From the header fields of two messages and when they were received.
    pub fn new(
        settings: &'f Settings,
        left: (&'f Fields, Option<Time>),
        right: (&'f Fields, Option<Time>),
    ) -> Self {
        Freshness { settings, left: Side::new(left), right: Side::new(right) }
    }

    pub fn states(&self) -> (CacheState, CacheState) {
        (self.left.state, self.right.state)
    }

    /// Ages in seconds, an absent one counting as zero.
    pub fn ages(&self) -> (u64, u64) {
        (self.left.seconds(), self.right.seconds())
    }

    fn tolerance(&self) -> u64 {
        u64::try_from(self.settings.time_tolerance.as_millis()).unwrap_or(u64::MAX)
    }

    /// Both sides' `received - Date - Age` in milliseconds, where both have a `Date`.
    fn gaps(&self) -> Option<(i64, i64)> {
        let both_received = self.left.received.zip(self.right.received);
        let (at_left, at_right) = both_received.map_or((0, 0), |(l, r)| (l.0 / 1_000_000, r.0 / 1_000_000));
        let gap = |at: i64, side: &Side<'_>| {
            let age = i64::try_from(side.seconds()).unwrap_or(i64::MAX);
            side.date.map(|date| at.saturating_sub(date.saturating_add(age).saturating_mul(1000)))
        };
        Some((gap(at_left, &self.left)?, gap(at_right, &self.right)?))
    }

    /// Whether one side sends what is left of `max-age` where the other sends the whole and its `Age`.
    fn counted_down(&self) -> bool {
        let whole = |side: &Side<'_>| side.lifetime_of("max-age");
        let (Some(l), Some(r)) = (whole(&self.left), whole(&self.right)) else { return false };
        let (age_left, age_right) = self.ages();
        let tolerance = self.settings.tolerance_seconds();
        age_left.abs_diff(age_right) > tolerance
            && l.abs_diff(r) > tolerance
            && i128::from(l).saturating_sub(age_left.into()).abs_diff(i128::from(r) - i128::from(age_right))
                <= tolerance.into()
    }

    fn add_age(&self, out: &mut Collector<'_>, rule: &crate::Rule, class: Class, explanation: String) {
        let [l, r] = [&self.left, &self.right].map(|s| s.fields.combined("age"));
        out.add("fields.age", (l.as_deref(), r.as_deref()), rule, class, explanation);
    }

    /// Judges `Age`, present on at least one side.
    pub fn age(&self, out: &mut Collector<'_>) {
        let raw = |side: &Side<'_>| side.fields.combined("age");
        match (self.left.age, self.right.age) {
            (Age::Malformed, _) | (_, Age::Malformed) => {
                if raw(&self.left) != raw(&self.right) {
                    let explanation = "not both are one non-negative number of seconds".to_owned();
                    self.add_age(out, &rules::AGE_VALID, Class::Freshness, explanation);
                }
            }
            (Age::Seconds(l), Age::Seconds(r)) => {
                let apart = l.abs_diff(r) > self.settings.tolerance_seconds();
                let wrong = match self.gaps() {
                    Some((gap_left, gap_right)) => gap_left.abs_diff(gap_right) > self.tolerance(),
                    None => true,
                };
                if apart && wrong && !self.counted_down() {
                    self.add_age(out, &rules::AGE, Class::Freshness, self.explain_gaps());
                }
            }
            (Age::Seconds(_), Age::Absent) => self.age_on_one_side(out, false),
            (Age::Absent, Age::Seconds(_)) => self.age_on_one_side(out, true),
            (Age::Absent, Age::Absent) => {}
        }
    }

    /// One side was answered from a store; was the other one too, without saying so?
    fn age_on_one_side(&self, out: &mut Collector<'_>, left_lacks: bool) {
        if self.counted_down() {
            return;
        }
        let (without, name) =
            if left_lacks { (&self.left, out.names().0) } else { (&self.right, out.names().1) };
        let tolerance = i64::try_from(self.tolerance()).unwrap_or(i64::MAX);
        let behind =
            self.gaps().map(|(l, r)| if left_lacks { l.saturating_sub(r) } else { r.saturating_sub(l) });
        if without.state == CacheState::Hit {
            let explanation = format!("the {name} answered from a store and gives no Age");
            return self.add_age(out, &rules::AGE_MISSING, Class::Freshness, explanation);
        }
        match behind {
            Some(behind) if behind < -tolerance => {
                self.add_age(out, &rules::AGE, Class::Freshness, self.explain_gaps());
            }
            Some(behind) if behind > tolerance && behind < DAY && without.state == CacheState::Unknown => {
                let explanation = format!(
                    "the {name}'s Date is {} s old, so that it comes from a store, and it gives no Age",
                    behind / 1000
                );
                self.add_age(out, &rules::AGE_MISSING, Class::Freshness, explanation);
            }
            _ => {
                let explanation = format!("only the {name} was not answered from a store");
                self.add_age(out, &rules::AGE, Class::CacheState, explanation);
            }
        }
    }

    fn explain_gaps(&self) -> String {
        let Some((l, r)) = self.gaps() else {
            return "the ages differ, and there is no Date on both sides to explain it".to_owned();
        };
        let (wrong, name) = if l.abs_diff(0) > r.abs_diff(0) {
            (l, &self.settings.left_name)
        } else {
            (r, &self.settings.right_name)
        };
        let seconds = wrong.saturating_sub(if wrong == l { r } else { l }) / 1000;
        match seconds {
            0.. => format!(
                "Date plus Age of the {name} lie {seconds} s before it was received: it looks younger than it is"
            ),
            _ => format!(
                "Date plus Age of the {name} lie {} s after it was received: it looks older than it is",
                -seconds
            ),
        }
    }

    /// Judges `Date`, present on at least one side.
    pub fn date(&self, out: &mut Collector<'_>) {
        let [l, r] = [&self.left, &self.right].map(|s| s.fields.combined("date"));
        let values = (l.as_deref(), r.as_deref());
        if l.is_none() || r.is_none() {
            let explanation = out.presence(l.is_some(), r.is_some(), "");
            out.add("fields.date", values, &rules::DATE_RECEIVED, Class::Freshness, explanation);
            return;
        }
        let Some((gap_left, gap_right)) = self.gaps() else {
            if l != r {
                let explanation = "not both are dates";
                out.add("fields.date", values, &rules::DATE_RECEIVED, Class::Freshness, explanation);
            }
            return;
        };
        // Where the ages differ too, or one is missing or malformed, the gap is theirs to explain.
        let ages_alike = match (self.left.age, self.right.age) {
            (Age::Seconds(l), Age::Seconds(r)) => l.abs_diff(r) <= self.settings.tolerance_seconds(),
            (l, r) => l == r,
        };
        if ages_alike && gap_left.abs_diff(gap_right) > self.tolerance() {
            let explanation = format!(
                "received {} s after its Date on the {}, {} s on the {}",
                gap_left / 1000,
                self.settings.left_name,
                gap_right / 1000,
                self.settings.right_name
            );
            let explanation = match self.left.received.zip(self.right.received) {
                Some(_) => explanation,
                None => format!("the dates lie {} s apart", gap_left.abs_diff(gap_right) / 1000),
            };
            out.add("fields.date", values, &rules::DATE_RECEIVED, Class::Freshness, explanation);
        }
    }

    /// Judges `Expires`, present on at least one side: the same moment, or as long after `Date`.
    pub fn expires(&self, out: &mut Collector<'_>) {
        let [l, r] = [&self.left, &self.right].map(|s| s.fields.combined("expires"));
        let explanation = match (&l, &r) {
            (Some(el), Some(er)) => {
                let (dl, dr) = (syntax::date(el), syntax::date(er));
                let same_moment = dl.is_some() && dl == dr;
                // What is no date has expired (RFC 9111 section 5.3).
                let life = |expires: Option<i64>, side: &Side<'_>| match (expires, side.moment()) {
                    (None, _) => Some(0),
                    (Some(expires), Some(moment)) => Some(expires.saturating_sub(moment).max(0)),
                    (Some(_), None) => None,
                };
                let lives = life(dl, &self.left).zip(life(dr, &self.right));
                let as_long = lives.is_some_and(|(l, r)| l.abs_diff(r) <= self.settings.tolerance_seconds());
                if same_moment || as_long || el == er {
                    return;
                }
                match lives {
                    Some((l, r)) => format!(
                        "fresh for {l} s on the {}, for {r} s on the {}",
                        out.names().0,
                        out.names().1
                    ),
                    None => "the moments differ".to_owned(),
                }
            }
            _ => out.presence(l.is_some(), r.is_some(), ""),
        };
        out.add(
            "fields.expires",
            (l.as_deref(), r.as_deref()),
            &rules::EXPIRES,
            Class::Freshness,
            explanation,
        );
    }

    /// Judges `Cache-Control`, present on at least one side.
    pub fn cache_control(&self, out: &mut Collector<'_>) {
        let [l, r] = [&self.left, &self.right].map(|s| s.fields.combined("cache-control"));
        if l == r {
            return;
        }
        let at = At { path: "fields.cache-control", rule: &rules::DIRECTIVES, class: Class::Field };
        let mut names = named::differing(&self.left.directives, &self.right.directives, |l, r| {
            l == r || l.meaning == r.meaning
        });
        if self.counted_down() {
            names.retain(|name| name != b"max-age");
        }
        if names.len() == 1 && l.is_some() && r.is_some() {
            return named::add_each(out, &at, &names, &self.left.directives, &self.right.directives);
        }
        if names.is_empty() && l.is_some() == r.is_some() {
            return;
        }
        let explanation = match (&l, &r) {
            (Some(_), Some(_)) => {
                let names: Vec<_> = names.iter().take(8).map(|name| exchange::escape(name)).collect();
                format!("several directives differ: {}", names.join(", "))
            }
            _ => out.presence(l.is_some(), r.is_some(), ""),
        };
        out.add(at.path, (l.as_deref(), r.as_deref()), at.rule, at.class, explanation);
    }

    /// A hit must bring an `Age`: judged where neither side has one.
    pub fn age_where_required(&self, out: &mut Collector<'_>) {
        // Only what Cache-Status says is certain: the informal fields may have been relayed.
        let lacking = |side: &Side<'_>| {
            side.age == Age::Absent && side.state == CacheState::Hit && side.fields.contains("cache-status")
        };
        let (l, r) = (lacking(&self.left), lacking(&self.right));
        let both_say = self.left.state != CacheState::Unknown && self.right.state != CacheState::Unknown;
        if l != r && both_say && self.left.age == self.right.age {
            let name = if l { out.names().0 } else { out.names().1 };
            let explanation = format!("the {name} answered from a store and gives no Age");
            self.add_age(out, &rules::AGE_MISSING, Class::Freshness, explanation);
        }
    }

    /// One side within its lifetime, the other beyond: somebody serves a stale object.
    pub fn staleness(&self, out: &mut Collector<'_>) {
        let (Some(l), Some(r)) = (self.left.beyond(), self.right.beyond()) else { return };
        let stale =
            |beyond: i64| beyond > i64::try_from(self.settings.tolerance_seconds()).unwrap_or(i64::MAX);
        if stale(l) == stale(r) || (l <= 0) == (r <= 0) {
            return;
        }
        let (side, name) = if stale(l) { (&self.left, out.names().0) } else { (&self.right, out.names().1) };
        let told =
            |side: &Side<'_>| format!("Age {} of {} s", side.seconds(), side.lifetime().unwrap_or_default());
        let (left, right) = (told(&self.left), told(&self.right));
        let allowed =
            i64::try_from(side.lifetime_of("stale-while-revalidate").unwrap_or(0)).unwrap_or(i64::MAX);
        let (class, explanation) = if side.beyond().is_some_and(|b| b <= allowed) {
            (Class::CacheState, format!("the {name} serves a stale object, as stale-while-revalidate allows"))
        } else {
            (Class::Freshness, format!("the {name} serves an object that is no longer fresh"))
        };
        out.add(
            "freshness",
            (Some(left.as_bytes()), Some(right.as_bytes())),
            &rules::STALE,
            class,
            explanation,
        );
    }
}

impl<'f> Side<'f> {
    fn new((fields, received): (&'f Fields, Option<Time>)) -> Self {
        let age = match fields.combined("age") {
            None => Age::Absent,
            Some(value) => match syntax::number(&value) {
                Some(seconds) => Age::Seconds(seconds.min(LONGEST)),
                None => Age::Malformed,
            },
        };
        Side {
            fields,
            received,
            date: fields.combined("date").and_then(|d| syntax::date(&d)),
            age,
            directives: named::directives(fields.get_all("cache-control").map(|v| &v[..])),
            state: cache_status::state(fields),
        }
    }

    fn seconds(&self) -> u64 {
        match self.age {
            Age::Seconds(seconds) => seconds,
            Age::Absent | Age::Malformed => 0,
        }
    }

    /// When the answer was made: its `Date`, else when it was received (RFC 9110 section 6.6.1).
    fn moment(&self) -> Option<i64> {
        self.date.or_else(|| self.received.map(Time::seconds))
    }

    /// The value of a directive in seconds.
    fn lifetime_of(&self, directive: &str) -> Option<u64> {
        let member = self.directives.get(directive.as_bytes())?;
        syntax::number(member.meaning.strip_prefix(b"=")?).map(|n| n.min(LONGEST))
    }

    /// The lifetime for a shared cache (RFC 9111 section 4.2.1), where it is explicit.
    fn lifetime(&self) -> Option<u64> {
        self.lifetime_of("s-maxage").or_else(|| self.lifetime_of("max-age")).or_else(|| {
            let expires = syntax::date(&self.fields.combined("expires")?)?;
            u64::try_from(expires.saturating_sub(self.date?)).ok()
        })
    }

    /// Seconds by which it is older than its lifetime; negative while it is fresh.
    fn beyond(&self) -> Option<i64> {
        let lifetime = i64::try_from(self.lifetime()?).ok()?;
        let age = i64::try_from(self.seconds()).ok()?;
        Some(age - lifetime)
    }
}
