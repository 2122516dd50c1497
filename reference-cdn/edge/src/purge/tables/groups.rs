//! Purged groups (RFC 9875): a group is a name within one origin.
//!
//! Origins may invalidate groups with any response to an unsafe request, so their number is bounded. Without room, all
//! grouped responses of the origin are invalidated, and without room for another origin all grouped responses: a purge
//! may take too much, never too little.

use std::collections::HashMap;

use http_cache::Time;

use super::super::generation::{Generation, Verdict};
use super::realm::shrink;
use super::{Mark, Names};

#[derive(Debug, Default)]
pub(super) struct Groups {
    origins: HashMap<Box<str>, Origin>,
    /// Every response with a group.
    whole: Generation,
    names: usize,
}

#[derive(Debug, Default)]
struct Origin {
    names: HashMap<Box<str>, Generation>,
    /// The latest of `names`: for responses of which not all groups are known.
    any: Generation,
    /// Every response with a group.
    whole: Generation,
}

impl Groups {
    /// Names of groups that are held.
    pub(super) fn len(&self) -> usize {
        self.names
    }

    pub(super) fn raise(&mut self, origin: &str, name: &str, mark: Mark, room: bool) {
        if !self.origins.contains_key(origin) {
            if !room {
                mark.raise(&mut self.whole);
                return;
            }
            self.origins.insert(origin.into(), Origin::default());
        }
        let Some(origin) = self.origins.get_mut(origin) else { return };
        mark.raise(&mut origin.any);
        if let Some(generation) = origin.names.get_mut(name) {
            mark.raise(generation);
        } else if room {
            self.names += 1;
            mark.raise(origin.names.entry(name.into()).or_default());
        } else {
            mark.raise(&mut origin.whole);
        }
    }

    pub(super) fn judge(&self, names: &mut Names<'_>, born: u64) -> Verdict {
        let origin = self.origins.get(names.it.key.origin());
        let whole = self.whole.judge(born).and(origin.map_or(Verdict::Alive, |it| it.whole.judge(born)));
        let any = whole.and(origin.map_or(Verdict::Alive, |it| it.any.judge(born)));
        if any == Verdict::Alive {
            return any;
        }
        let Some(tags) = names.tags() else { return any };
        if tags.more_groups {
            return any;
        }
        let found = tags.groups.iter().map(|name| {
            let generation = origin.and_then(|it| it.names.get(name.as_str()));
            whole.and(generation.map_or(Verdict::Alive, |it| it.judge(born)))
        });
        found.fold(Verdict::Alive, Verdict::and)
    }

    pub(super) fn forget(&mut self, to: u64, at: Time) {
        self.whole.forget(to, at);
        self.origins.retain(|_, origin| {
            origin.names.retain(|_, generation| generation.forget(to, at));
            shrink(&mut origin.names);
            // Either of the two may have something left, and both are to forget.
            let (any, whole) = (origin.any.forget(to, at), origin.whole.forget(to, at));
            any || whole || !origin.names.is_empty()
        });
        shrink(&mut self.origins);
        self.names = self.origins.values().map(|origin| origin.names.len()).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.origins.is_empty() && self.whole == Generation::default()
    }
}
