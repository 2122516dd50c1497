//! How long the keys of a zone last, and what an operator must see to before they are gone.

use super::keys::Key;
use super::sign::Signer;
use crate::dns::name;

/// How long before the last keys become inactive operators are told, in seconds: resolvers and the parent need days to follow a
/// roll-over.
pub const NOTICE: u64 = 7 * 86_400;

/// How it is with the keys of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lasting {
    Well,
    /// They become inactive within [`NOTICE`], and none follows.
    Ending(String),
    /// None is active, or none that the parent can refer to.
    Ended(String),
}

impl Signer {
    /// How it is, for operators: what, until when, and what to do.
    pub fn lasting(&self, now: u64) -> Lasting {
        if let Err(what) = self.check(now) {
            return Lasting::Ended(what);
        }
        let data = |key: &Key| !key.is_entry_point();
        let both = self.keys().iter().any(|key| data(key) && key.is_active(now));
        let keys = self.active_until(now, &Key::is_entry_point);
        let keys = keys.map(|end| (end, if both { "keys" } else { "keys and data" }));
        let data = both.then(|| self.active_until(now, &data)).flatten().map(|end| (end, "data"));
        let ends = keys.into_iter().chain(data);
        let ends = ends.filter(|(end, _)| end.saturating_sub(now) <= NOTICE);
        match ends.min() {
            None => Lasting::Well,
            Some((end, what)) => Lasting::Ending(format!(
                "the last key that signs the {what} of {} becomes inactive at {}, and none follows; make the next one with dnssec-keygen, or give this one more time with dnssec-settime -I (KEYS.md)",
                name::show(self.apex()),
                shown(end)
            )),
        }
    }

    /// When the zone cannot be validated any more, for want of an active key that the parent can refer to; in the past if it is so
    /// (0 if it always was). `None`: never.
    pub fn expires(&self, now: u64) -> Option<u64> {
        // Without a key-signing key, any may be what the parent refers to.
        let entry = self.keys().iter().any(Key::is_entry_point);
        let which = |key: &Key| !entry || key.is_entry_point();
        if self.keys().iter().any(|key| which(key) && key.is_active(now)) {
            return self.active_until(now, &which);
        }
        let past = self.keys().iter().filter(|key| which(key)).filter_map(Key::active_until);
        Some(past.filter(|end| *end <= now).max().unwrap_or(0))
    }

    /// Until when there is an active key of some without a gap. `None`: for ever.
    fn active_until(&self, now: u64, which: &dyn Fn(&Key) -> bool) -> Option<u64> {
        let mut at = now;
        loop {
            let active = self.keys().iter().filter(|key| which(key) && key.is_active(at));
            // Each is active beyond `at`, so that this goes on and ends with the last key.
            match active.map(|key| key.active_until().unwrap_or(u64::MAX)).max() {
                None => return Some(at),
                Some(u64::MAX) => return None,
                Some(end) => at = end,
            }
        }
    }

    /// When something about the keys changes next, if ever.
    pub fn next_change(&self, now: u64) -> Option<u64> {
        let times = self.keys().iter().flat_map(|key| {
            let times = key.times;
            [times.publish, times.activate, times.inactive, times.delete]
        });
        times.flatten().filter(|time| *time > now).min()
    }
}

/// A time for people.
pub(crate) fn shown(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds} since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::keys::Times;
    use super::super::keys::tests::{PRIVATE, PUBLIC};
    use super::*;

    const APEX: &[u8] = b"\x03cdn\x04test\0";
    const DAY: u64 = 86_400;

    fn key(flags: u16, activate: u64, inactive: Option<u64>, delete: Option<u64>) -> Key {
        let mut key = Key::parse(PRIVATE, PUBLIC, APEX, Path::new("K")).unwrap();
        key.flags = flags;
        key.times =
            Times { publish: Some(0), activate: Some(activate), inactive, delete, ..Times::default() };
        key
    }

    fn signer(keys: Vec<Key>) -> Signer {
        Signer::new(APEX, keys, DAY, 3600)
    }

    #[test]
    fn keys_that_end_are_told_a_week_before_and_when_they_have() {
        let end = 100 * DAY;
        let one = signer(vec![key(257, 1, Some(end), Some(end + DAY))]);
        assert_eq!(one.lasting(end - NOTICE - 1), Lasting::Well);
        let said = "the last key that signs the keys and data of cdn.test. becomes inactive at 1970-04-11T00:00:00Z, and none follows";
        assert!(
            matches!(one.lasting(end - NOTICE), Lasting::Ending(what) if what.starts_with(said)),
            "{:?}",
            one.lasting(end - NOTICE)
        );
        let Lasting::Ended(published) = one.lasting(end) else { panic!("{:?}", one.lasting(end)) };
        assert!(published.contains("no key of cdn.test. is active: those that are published sign"));
        let Lasting::Ended(none) = one.lasting(end + DAY) else { panic!("{:?}", one.lasting(end + DAY)) };
        assert!(none.contains("no key of cdn.test. is active or published: its answers are not signed"));
        assert_eq!([0, end - 1, end, end + DAY].map(|now| one.expires(now)), [0, end, end, end].map(Some));
        assert_eq!(
            [0, 1, end, end + DAY].map(|now| one.next_change(now)),
            [Some(1), Some(end), Some(end + DAY), None]
        );
    }

    #[test]
    fn a_key_that_follows_without_a_gap_lasts_on() {
        let end = 100 * DAY;
        let follows = signer(vec![key(257, 1, Some(end), None), key(257, end, None, None)]);
        assert_eq!((follows.lasting(end - 1), follows.expires(end - 1)), (Lasting::Well, None));
        assert_eq!(follows.lasting(end + 1), Lasting::Well);
        let gap = signer(vec![key(257, 1, Some(end), None), key(257, end + 1, None, None)]);
        assert!(matches!(gap.lasting(end - 1), Lasting::Ending(_)));
        assert_eq!(gap.expires(end - 1), Some(end));
        // A key is out of use when it is deleted, too.
        assert_eq!(signer(vec![key(257, 1, None, Some(end))]).expires(1), Some(end));
    }

    #[test]
    fn each_purpose_is_looked_at() {
        let end = 100 * DAY;
        let data = signer(vec![key(257, 1, None, None), key(256, 1, Some(end), None)]);
        let said = data.lasting(end - 1);
        assert!(matches!(&said, Lasting::Ending(what) if what.contains("signs the data of")), "{said:?}");
        // The other one signs everything then: the zone does not end with it.
        assert_eq!((data.lasting(end), data.expires(end - 1)), (Lasting::Well, None));
        let entry = signer(vec![key(257, 1, Some(end), None), key(256, 1, None, None)]);
        let said = entry.lasting(end - 1);
        assert!(matches!(&said, Lasting::Ending(what) if what.contains("signs the keys of")), "{said:?}");
        assert!(matches!(entry.lasting(end), Lasting::Ended(what) if what.starts_with("no key-signing key")));
        assert_eq!(entry.expires(end + 5), Some(end));
    }
}
