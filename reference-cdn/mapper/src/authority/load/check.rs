//! What a zone must be before it is served.

use super::LoadError;
use super::build::Builder;
use crate::authority::zone::Role;
use crate::dns::codes::rtype;
use crate::dns::name;

/// Octets of one RRset in a message, so that it fits with room for its signature.
const LARGEST_SET: usize = 48 * 1024;

impl Builder<'_> {
    /// Each name by itself.
    pub fn check(&mut self) -> Result<(), LoadError> {
        let apex = self.apex.clone();
        let Some(at_apex) = self.names.get(&apex) else {
            return Err(
                self.file("its file has no record at the zone's own name; is it the file of another zone?")
            );
        };
        match at_apex.get(&rtype::SOA).map(|set| set.records.len()) {
            Some(1) => {}
            Some(_) => {
                let soa = at_apex.get(&rtype::SOA).map(|set| (set.file, set.line)).unwrap_or_default();
                let what = format!(
                    "{} has several SOA records, of which this is the first; keep one",
                    name::show(&apex)
                );
                return Err(self.wrong(soa, what));
            }
            None => return Err(self.file("it has no SOA record; add one at @")),
        }
        if !at_apex.contains_key(&rtype::NS) {
            return Err(self.file("it has no NS record at @; name its name servers"));
        }
        for (owner, sets) in &mut self.names {
            for (rtype, set) in sets {
                set.records.sort_unstable();
                set.records.dedup();
                let size: usize = set.records.iter().map(|record| record.len() + 12).sum();
                if size > LARGEST_SET {
                    let what = format!(
                        "{} {} has {size} octets; no more than {LARGEST_SET} can be answered",
                        name::show(owner),
                        Self::show_type(*rtype)
                    );
                    let file = self.paths.get(set.file).cloned().unwrap_or_default();
                    return Err(LoadError::Wrong { file, line: set.line, what });
                }
            }
        }
        for (owner, sets) in &self.names {
            if owner.len() > apex.len()
                && let Some(soa) = sets.get(&rtype::SOA)
            {
                let what =
                    format!("{} SOA is below the zone's own name; that is another zone", name::show(owner));
                return Err(self.wrong((soa.file, soa.line), what));
            }
            if let Some(alias) = sets.get(&rtype::CNAME) {
                let place = (alias.file, alias.line);
                if let Some(other) = sets.keys().find(|rtype| **rtype != rtype::CNAME) {
                    let what = format!(
                        "{} has a CNAME and {}; a name with a CNAME has nothing else (RFC 2181 section 10.1)",
                        name::show(owner),
                        Self::show_type(*other)
                    );
                    return Err(self.wrong(place, what));
                }
                if alias.records.len() > 1 {
                    return Err(self
                        .wrong(place, format!("{} has several CNAME records; keep one", name::show(owner))));
                }
            }
        }
        Ok(())
    }

    /// Cuts of the file and the steered one: nothing but addresses of name servers below them.
    pub fn check_cuts(&self, role: &Role) -> Result<(), LoadError> {
        let steered = if let Role::Top { cut, .. } = role { Some(cut) } else { None };
        for (owner, sets) in &self.names {
            let labels = name::count(owner) - name::count(&self.apex);
            let above = |skipped: usize| name::skip(owner, skipped);
            if let Some(ds) = sets.get(&rtype::DS)
                && steered != Some(owner)
                && (labels == 0 || !sets.contains_key(&rtype::NS))
            {
                let what =
                    format!("{} DS is at no delegation; it belongs beside NS records", name::show(owner));
                return Err(self.wrong((ds.file, ds.line), what));
            }
            if labels == 0 {
                continue;
            }
            if let Some(ns) = sets.get(&rtype::NS) {
                let place = (ns.file, ns.line);
                if owner.starts_with(b"\x01*") {
                    return Err(self.wrong(
                        place,
                        format!(
                            "{} NS: a wildcard cannot be delegated (RFC 4592 section 4.2)",
                            name::show(owner)
                        ),
                    ));
                }
                if let Some(other) =
                    sets.keys().find(|it| !matches!(**it, rtype::NS | rtype::DS | rtype::A | rtype::AAAA))
                {
                    let what = format!(
                        "{} is delegated and has {}, which would never be answered; put it into the delegated zone",
                        name::show(owner),
                        Self::show_type(*other)
                    );
                    return Err(self.wrong(place, what));
                }
            }
            for skipped in 1..labels {
                let upper = above(skipped);
                let cut = steered.is_some_and(|cut| **cut == *upper)
                    || self.names.get(upper).is_some_and(|sets| sets.contains_key(&rtype::NS));
                let other = sets.iter().find(|(it, _)| {
                    steered.is_some_and(|cut| **cut == *upper) || !matches!(**it, rtype::A | rtype::AAAA)
                });
                if let (true, Some((rtype, set))) = (cut, other) {
                    let what = format!(
                        "{} {} is below the delegation of {} and would never be answered; put it into the delegated zone",
                        name::show(owner),
                        Self::show_type(*rtype),
                        name::show(upper)
                    );
                    return Err(self.wrong((set.file, set.line), what));
                }
            }
        }
        self.check_name_servers(role)
    }

    /// Name servers of the zone that are in the zone have addresses, and no alias (RFC 2181 section 10.3).
    fn check_name_servers(&self, role: &Role) -> Result<(), LoadError> {
        let steered: &[Box<[u8]>] = if let Role::Top { names, .. } = role { names } else { &[] };
        for (owner, sets) in &self.names {
            let Some(ns) = sets.get(&rtype::NS) else { continue };
            for target in &ns.records {
                let target = target.to_ascii_lowercase();
                // Addresses of a name server below a foreign cut are its own affair; those below this one are glue.
                if !name::is_within(&target, if **owner == *self.apex { &self.apex } else { owner })
                    || steered.iter().any(|it| **it == *target)
                {
                    continue;
                }
                let has = |rtype| self.names.get(&target[..]).is_some_and(|sets| sets.contains_key(&rtype));
                let below_cut = (1..name::count(&target).saturating_sub(name::count(owner))).any(|skipped| {
                    self.names
                        .get(name::skip(&target, skipped))
                        .is_some_and(|sets| sets.contains_key(&rtype::NS))
                });
                if !has(rtype::A) && !has(rtype::AAAA) && !below_cut {
                    let what = format!(
                        "{} is a name server of {} but has no address here; add an A or AAAA record",
                        name::show(&target),
                        name::show(owner)
                    );
                    return Err(self.wrong((ns.file, ns.line), what));
                }
            }
        }
        Ok(())
    }
}
