//! Which answers are allowed, and which must come. Written from RFC 9110 and RFC 9111 (sections named without a number of
//! their own are RFC 9111's), and from nothing of the edge: a bug that both had would hide itself.
//!
//! The oracle keeps every response that a cache may have stored ([`Entry`]). An answer is allowed if a stored response, or
//! what the origin sent for this very request, explains it. Where nothing else could be right the oracle knows that a
//! response must be stored (`certain`), and then it must also be used: a cache that never caches would pass otherwise.

mod directives;
mod freshness;
mod presenting;
mod selecting;
mod storing;
mod validation;

use std::ops::Range;

use crate::history::RESOURCES;
use crate::message::{Answer, Asked, Fields};
use crate::world::{Body, Contact, Seen, Sent};
use directives::{Directives, Wishes};
use freshness::{Lifetime, Situation};
use presenting::Source;

/// A response that a cache may have stored.
#[derive(Clone, Debug)]
pub struct Entry {
    resource: usize,
    /// The selecting field of the request that brought it.
    flavour: Option<String>,
    status: u16,
    head: Fields,
    body: Body,
    /// The octets of it that are known.
    range: Range<usize>,
    received: u64,
    /// A good cache has it for sure.
    certain: bool,
    /// A HEAD has told otherwise: it counts as stale (section 4.3.5).
    obsolete: bool,
}

impl Entry {
    fn of(now: u64, seen: &Seen, sent: &Sent) -> Self {
        Self {
            resource: seen.resource,
            flavour: seen.fields.get("flavour").map(str::to_owned),
            status: sent.status,
            head: sent.fields.clone(),
            body: sent.body.clone(),
            range: sent.range.clone(),
            received: now,
            certain: false,
            obsolete: false,
        }
    }

    fn directives(&self) -> Directives {
        Directives::of(&self.head)
    }

    fn is_whole(&self) -> bool {
        self.range == (0..self.body.octets.len())
    }

    fn etag(&self) -> Option<&str> {
        self.head.get("etag")
    }

    fn serial(&self) -> &str {
        self.head.get("x-serial").unwrap_or("?")
    }

    /// Date, or when it was received.
    fn date(&self) -> u64 {
        self.head.get("date").and_then(crate::message::seconds).unwrap_or(self.received)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Oracle {
    honor: bool,
    entries: Vec<Entry>,
}

/// How a stored response comes to be used.
#[derive(Clone, Copy)]
struct Use<'a> {
    now: u64,
    asked: &'a Asked,
    answer: &'a Answer,
    wishes: &'a Wishes,
    situation: Situation,
    /// The origin has just confirmed it for this request.
    validated: bool,
    /// Others asked at the same time.
    crowd: bool,
    /// Its content breaks off: another's response that many were following.
    cut: bool,
    /// What the origin sent for this request.
    own: &'a [&'a Contact],
}

impl Oracle {
    pub fn new(honor: bool) -> Self {
        Self { honor, entries: Vec::new() }
    }

    pub fn purged(&mut self, resource: usize) {
        self.entries.retain(|entry| entry.resource != resource);
    }

    /// What was stored may be gone.
    pub fn restarted(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.certain = false);
    }

    /// Is the answer allowed? `contacts`: all that reached the origin in this step; `down`: nobody listened there;
    /// `crowd`: others asked at the same time.
    pub fn judge(
        &self,
        now: u64,
        asked: &Asked,
        answer: &Answer,
        contacts: &[Contact],
        down: bool,
        crowd: bool,
    ) -> Result<(), String> {
        let own: Vec<&Contact> = contacts.iter().filter(|contact| contact.id == asked.id).collect();
        let wishes = Wishes::of(self.honor, &asked.fields);
        let last = own.last().map(|contact| &contact.sent);
        // In a crowd, the failure of another's question may stand for one's own.
        let others_failed = crowd && contacts.iter().any(|contact| contact.sent.headless);
        let others_erred = crowd && contacts.iter().any(|contact| freshness::is_error(contact.sent.status));
        let situation = Situation {
            failed: down || others_failed || last.is_some_and(|sent| sent.headless),
            error: others_erred || last.is_some_and(|sent| freshness::is_error(sent.status)),
        };
        if matches!(answer.status, 500 | 502 | 503 | 504) && answer.fields.get("x-serial").is_none() {
            let only = wishes.only_if_cached && answer.status == 504;
            let allowed = situation.failed || only;
            return allowed.then_some(()).ok_or("an error of the edge's own, and nothing failed".to_owned());
        }
        let safe = matches!(asked.method, "GET" | "HEAD");
        if !safe && own.is_empty() {
            return Err("an unsafe request was not written through (section 4)".into());
        }
        let mut reasons = Vec::new();
        let how = Use {
            now,
            asked,
            answer,
            wishes: &wishes,
            situation,
            validated: false,
            crowd,
            cut: false,
            own: &own,
        };
        let explained =
            (safe && self.has_it(how, contacts, crowd, &mut reasons)) || self.was_sent(how, &mut reasons);
        if !explained {
            return Err(format!("nothing explains this answer:\n  {}", reasons.join("\n  ")));
        }
        // In a crowd, what came for another may have changed what is stored.
        let disturbed =
            contacts.iter().any(|contact| contact.sent.purged.is_some() || contact.id != asked.id);
        if safe && !disturbed { self.obliged(how) } else { Ok(()) }
    }

    fn has_it(&self, how: Use<'_>, contacts: &[Contact], crowd: bool, reasons: &mut Vec<String>) -> bool {
        let mut pool = self.entries.clone();
        if crowd {
            let mut after = self.clone();
            after.learn(how.now, contacts);
            pool.extend(after.entries);
        }
        pool.retain(|entry| entry.resource == how.asked.resource);
        let mut candidates: Vec<(Entry, bool)> = pool.iter().map(|entry| (entry.clone(), false)).collect();
        // What was confirmed for this request, and in a crowd for another.
        let confirming = contacts.iter().filter(|contact| crowd || contact.id == how.asked.id);
        for contact in confirming.filter(|contact| contact.sent.status == 304 && !contact.sent.headless) {
            candidates.extend(
                pool.iter()
                    .filter(|entry| entry.resource == contact.seen.resource)
                    .filter(|entry| validation::confirms(&contact.sent.fields, entry))
                    .flat_map(|entry| validation::freshened(entry, how.now, &contact.seen, &contact.sent))
                    .map(|entry| (entry, contact.id == how.asked.id)),
            );
        }
        for contact in
            how.own.iter().filter(|contact| contact.seen.method == "HEAD" && !contact.sent.headless)
        {
            // Updated by a HEAD, it answers that HEAD (section 4.3.5).
            let Contact { seen, sent, .. } = contact;
            candidates.extend(
                pool.iter()
                    .filter(|entry| sent.status == 200 && entry.status == 200)
                    .filter(|entry| selecting::matches(entry, &seen.fields))
                    .filter(|entry| {
                        validation::described(&seen.fields, &sent.fields, sent.body.octets.len(), entry)
                    })
                    .flat_map(|entry| validation::freshened(entry, how.now, seen, sent))
                    .map(|entry| (entry, true)),
            );
        }
        for contact in how.own.iter().filter(|contact| contact.sent.status == 206 && !contact.sent.headless) {
            // Parts of one representation together (section 3.4).
            candidates.extend(
                pool.iter()
                    .filter(|entry| validation::is_same(&contact.sent, entry))
                    .flat_map(|entry| validation::freshened(entry, how.now, &contact.seen, &contact.sent))
                    .map(|entry| (entry, true)),
            );
        }
        let followed = contacts.iter().filter(|other| {
            let Contact { seen, sent, .. } = other;
            crowd && !sent.headless && storing::may_store(self.honor, seen, sent)
        });
        for other in followed.filter(|other| other.seen.resource == how.asked.resource) {
            let mut entry = Entry::of(how.now, &other.seen, &other.sent);
            entry.range = other.sent.came.clone();
            entry.status = if entry.status == 206 { 200 } else { entry.status };
            // A slice that another had fetched, and that was of another version, breaks off whoever needs it.
            let cut = other.sent.cut || has_changed(contacts, &entry);
            match self.explains(&entry, Use { cut, ..how }) {
                Ok(()) => return true,
                Err(why) => reasons.push(format!("the response {}, shared: {why}", entry.serial())),
            }
        }
        candidates.iter().any(|(entry, validated)| {
            match self.explains(entry, Use { validated: *validated, ..how }) {
                Ok(()) => true,
                Err(why) => {
                    let kind = if *validated { "updated" } else { "stored" };
                    reasons.push(format!("the {kind} response {}: {why}", entry.serial()));
                    false
                }
            }
        })
    }

    /// Section 4: may this stored response be used, and is the answer made of it?
    fn explains(&self, entry: &Entry, how: Use<'_>) -> Result<(), String> {
        let Use { now, asked, wishes, .. } = how;
        let directives = entry.directives();
        if !how.validated {
            if !selecting::matches(entry, &asked.fields) {
                return Err("it is for other request fields (section 4.1)".into());
            }
            if directives.no_cache {
                return Err("no-cache, and it was not validated (section 5.2.2.4)".into());
            }
            let fresh = freshness::may_be_fresh(entry, now);
            if !fresh {
                freshness::stale_use(entry, now, wishes, how.situation)?;
            }
            wishes.refuse(freshness::age(entry, now).least, freshness::most_left(entry, now), fresh)?;
            // What was fetched just now, for another too, is the origin's answer whatever it is dated.
            let fetched = how.crowd && entry.received == now;
            if let Some(newer) = self.newer(entry, now, asked).filter(|_| !fetched) {
                return Err(format!("the response {newer} is newer and stored too (section 4)"));
            }
        }
        let mut have = vec![entry.range.clone()];
        let parts = how.own.iter().filter(|contact| validation::is_same(&contact.sent, entry));
        have.extend(parts.clone().map(|contact| contact.sent.came.clone()));
        let cut = how.cut
            || has_changed(how.own.iter().copied(), entry)
            || parts.clone().any(|contact| contact.sent.cut);
        let source = Source { status: entry.status, head: &entry.head, body: &entry.body, have, cut };
        let date = entry.date();
        presenting::presents(&source, asked, how.answer, Some(date))?;
        let required = !how.validated && parts.count() == 0;
        freshness::check_age(freshness::age(entry, now), how.answer, required)
    }

    /// A stored response, certainly there, that this request would have to get rather than `entry`.
    fn newer(&self, entry: &Entry, now: u64, asked: &Asked) -> Option<String> {
        let newer = self.entries.iter().find(|other| {
            other.certain
                && other.resource == entry.resource
                && other.is_whole()
                && freshness::must_be_fresh(other, now)
                && !other.directives().no_cache
                && other.date() > entry.date()
                && other.received >= entry.received
                && selecting::matches(other, &asked.fields)
                // One that varies may come before one that does not (section 4.1).
                && (other.head.get("vary").is_some() || entry.head.get("vary").is_none())
        });
        newer.map(|newer| newer.serial().to_owned())
    }

    /// What the origin sent for this request, passed on.
    fn was_sent(&self, how: Use<'_>, reasons: &mut Vec<String>) -> bool {
        how.own.iter().any(|contact| match relayed(contact, how) {
            Ok(()) => true,
            Err(why) => {
                let serial = contact.sent.fields.get("x-serial").unwrap_or("?");
                reasons.push(format!("the origin's response {serial}: {why}"));
                false
            }
        })
    }

    /// What must be: a fresh response is used without a word to the origin, a stale one is validated.
    fn obliged(&self, how: Use<'_>) -> Result<(), String> {
        let Use { now, asked, wishes, .. } = how;
        let plain = asked.fields.get("if-match").is_none() && !wishes.any;
        let mut matching: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.resource == asked.resource && selecting::matches(entry, &asked.fields))
            .collect();
        matching.sort_by_key(|entry| (entry.date(), entry.received));
        let Some(newest) = matching.pop().filter(|newest| newest.certain && newest.is_whole()) else {
            return Ok(());
        };
        // Where two claim to be the newest, or one without Vary hides behind one that has it, either may be used.
        let alone =
            matching.iter().all(|other| other.date() < newest.date() && other.received <= newest.received)
                && (newest.head.get("vary").is_some()
                    || matching.iter().all(|other| other.head.get("vary").is_none()));
        if !plain || !alone {
            return Ok(());
        }
        let reusable = freshness::must_be_fresh(newest, now) && !newest.directives().no_cache;
        if reusable {
            if let Some(contact) = how.own.first() {
                return Err(format!(
                    "the origin was asked ({} {:?}) although the stored response {} is fresh",
                    contact.seen.method,
                    contact.seen.fields.get("if-none-match"),
                    newest.serial()
                ));
            }
            return Ok(());
        }
        let whole = asked.method == "GET"
            && ["range", "if-none-match", "if-modified-since"]
                .iter()
                .all(|name| asked.fields.get(name).is_none());
        if let (true, Some(tag), Some(contact)) = (whole, newest.etag(), how.own.first()) {
            let sent = contact.seen.fields.get("if-none-match");
            if !sent.is_some_and(|list| crate::world::listed(list, tag)) {
                return Err(format!(
                    "the stored response {} was not validated: If-None-Match is {sent:?} (section 4.3.1)",
                    newest.serial()
                ));
            }
        }
        Ok(())
    }

    /// What a cache may have after all that came from the origin in one step.
    pub fn learn(&mut self, now: u64, contacts: &[Contact]) {
        let crowd = contacts.iter().any(|contact| contact.id != contacts[0].id);
        for contact in contacts {
            let Contact { seen, sent, .. } = contact;
            if let Some(purged) = sent.purged {
                self.entries.retain(|entry| entry.resource != purged || crowd && entry.received == now);
                self.entries
                    .iter_mut()
                    .filter(|entry| entry.resource == purged)
                    .for_each(|entry| entry.certain = false);
            }
            if sent.headless {
                continue;
            }
            match seen.method.as_str() {
                "GET" | "HEAD" if sent.status == 304 => {
                    if storing::wants_no_store(self.honor, &seen.fields) {
                        continue;
                    }
                    self.learn_confirmed(now, seen, sent, crowd);
                }

                "HEAD" => self.learn_head(now, seen, sent, crowd),
                "GET" => {
                    let purged = sent.purged == Some(seen.resource);
                    self.learn_response(now, seen, sent, purged, crowd);
                }
                _ => self.learn_unsafe(now, seen, sent, crowd),
            }
        }
    }

    fn learn_confirmed(&mut self, now: u64, seen: &Seen, sent: &Sent, crowd: bool) {
        let identified = validation::identified(&self.entries, seen, sent);
        let mut updated = Vec::new();
        for &index in &identified {
            updated.extend(validation::freshened(&self.entries[index], now, seen, sent));
        }
        if identified.is_empty() || validation::tells_nothing(&sent.fields) {
            // A variant that was offered, and confirmed for this request too (section 4.3.1).
            let copies = self.entries.iter().filter(|entry| {
                entry.resource == seen.resource && validation::names_strongly(&sent.fields, entry)
            });
            let copies: Vec<Entry> = copies
                .flat_map(|entry| validation::freshened(entry, now, seen, sent))
                .map(|entry| Entry {
                    flavour: seen.fields.get("flavour").map(str::to_owned),
                    certain: false,
                    ..entry
                })
                .collect();
            updated.extend(copies);
            // Section 4.3.4 leaves open what a 304 without validators confirms: what was asked about, or nothing.
            if validation::tells_nothing(&sent.fields) {
                let asked_about: Vec<Entry> = self
                    .entries
                    .iter()
                    .filter(|entry| {
                        entry.resource == seen.resource && selecting::matches(entry, &seen.fields)
                    })
                    .flat_map(|entry| validation::freshened(entry, now, seen, sent))
                    .map(|entry| Entry { certain: false, ..entry })
                    .collect();
                updated.extend(asked_about);
                for entry in self.entries.iter_mut().filter(|entry| entry.resource == seen.resource) {
                    entry.certain = false;
                }
            }
        }
        let mut doubtful = Vec::new();
        // Of what came in a crowd, any may have been stored last, and so be the one that a weak validator means.
        for &index in &identified {
            let newest = &self.entries[index];
            let others = self.entries.iter().filter(|entry| {
                !entry.certain
                    && !newest.certain
                    && entry.resource == seen.resource
                    && (entry.date(), entry.received) == (newest.date(), newest.received)
                    && selecting::matches(entry, &seen.fields)
                    && validation::names_weakly(&sent.fields, entry)
            });
            doubtful.extend(others.flat_map(|entry| validation::freshened(entry, now, seen, sent)));
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.resource == seen.resource) {
            if selecting::matches(entry, &seen.fields) && validation::names_stronger(&sent.fields, entry) {
                entry.certain = false;
                doubtful.extend(validation::freshened(entry, now, seen, sent));
            }
        }
        updated.extend(doubtful.into_iter().map(|entry| Entry { certain: false, ..entry }));
        if crowd {
            // It may have been stored after the question was asked.
            for &index in &identified {
                self.entries[index].certain = false;
            }
        } else {
            let mut index = 0;
            self.entries.retain(|_| {
                index += 1;
                !identified.contains(&(index - 1))
            });
        }
        self.entries.extend(updated.into_iter().filter(storing::may_stay));
    }

    fn learn_head(&mut self, now: u64, seen: &Seen, sent: &Sent, crowd: bool) {
        let unseen = storing::wants_no_store(self.honor, &seen.fields);
        if sent.status != 200 || unseen || !storing::is_for_all(&seen.fields, &Directives::of(&sent.fields)) {
            for entry in self.entries.iter_mut().filter(|entry| entry.resource == seen.resource) {
                entry.certain &= sent.status != 200;
            }
            return;
        }
        let mut updated = Vec::new();
        for entry in &mut self.entries {
            if entry.resource != seen.resource || !selecting::matches(entry, &seen.fields) {
                continue;
            }
            entry.certain = false;
            if entry.status == 200
                && validation::described(&seen.fields, &sent.fields, sent.body.octets.len(), entry)
            {
                updated.extend(validation::freshened(entry, now, seen, sent));
            } else {
                // In a crowd, it may have been stored after the HEAD was asked.
                entry.obsolete = !crowd;
            }
        }
        self.entries.extend(updated.into_iter().filter(storing::may_stay));
    }

    fn learn_response(&mut self, now: u64, seen: &Seen, sent: &Sent, purged: bool, crowd: bool) {
        let mut new = Entry::of(now, seen, sent);
        let stored = !purged && !sent.cut && storing::may_store(self.honor, seen, sent);
        // Whatever becomes of it, it is the origin's newer word for requests like this one.
        let spoken = sent.status < 500;
        for old in &mut self.entries {
            if old.resource == seen.resource && (spoken || stored) && selecting::matches(old, &seen.fields) {
                old.certain = false;
            }
        }
        if !stored {
            return;
        }
        if sent.status == 206 {
            // Each union with a part of the same representation that it touches. A cache that keeps parts apart, each with
            // the fields it came with, may answer with those of either.
            let unions: Vec<Entry> = self
                .entries
                .iter()
                .filter(|old| validation::is_same(sent, old) && selecting::matches(old, &seen.fields))
                .filter(|old| old.range.start <= new.range.end && new.range.start <= old.range.end)
                .flat_map(|old| {
                    let updated = validation::freshened(old, now, seen, sent);
                    updated.into_iter().chain([old.clone()]).collect::<Vec<_>>()
                })
                .map(|old| Entry {
                    range: old.range.start.min(new.range.start)..old.range.end.max(new.range.end),
                    certain: false,
                    ..old
                })
                .collect();
            self.entries.extend(unions);
            new.status = 200;
        } else {
            new.certain = !crowd && !purged && storing::must_store(&new, sent);
        }
        self.entries.push(new);
    }

    /// Section 4.4.
    fn learn_unsafe(&mut self, now: u64, seen: &Seen, sent: &Sent, crowd: bool) {
        if !(200..400).contains(&sent.status) {
            return;
        }
        self.entries.retain(|entry| entry.resource != seen.resource || crowd && entry.received == now);
        let same_host = |resource: usize| RESOURCES[resource].0 == RESOURCES[seen.resource].0;
        let named = |entry: &Entry| {
            let (host, target, _) = RESOURCES[entry.resource];
            sent.fields.get("location") == Some(&*format!("http://{host}{target}"))
        };
        for entry in &mut self.entries {
            // Whether what Location names goes too is the cache's choice; another origin's may not.
            if entry.resource == seen.resource || named(entry) && same_host(entry.resource) {
                entry.certain = false;
            }
        }
    }
}

/// Is the answer what the origin sent for this request?
fn relayed(contact: &Contact, how: Use<'_>) -> Result<(), String> {
    let Contact { seen, sent, .. } = contact;
    if sent.headless {
        return Err("it had no head".into());
    }
    let entry = Entry::of(how.now, seen, sent);
    if sent.status == 304 {
        if how.answer.status != 304 {
            return Err("it is a 304".into());
        }
        if !presenting::unmodified(&how.asked.fields, &sent.fields, entry.date()) {
            return Err("its 304 does not answer a condition of the client's".into());
        }
        return presenting::same_fields(&sent.fields, how.answer, true);
    }
    let parts = how.own.iter().filter(|other| validation::is_same(&other.sent, &entry));
    let mut have = vec![sent.came.clone()];
    have.extend(parts.clone().map(|other| other.sent.came.clone()));
    let cut =
        sent.cut || has_changed(how.own.iter().copied(), &entry) || parts.clone().any(|other| other.sent.cut);
    let status = if sent.status == 206 { 200 } else { sent.status };
    let source = Source { status, head: &sent.fields, body: &sent.body, have, cut };
    presenting::presents(&source, how.asked, how.answer, None)?;
    freshness::check_age(freshness::age(&entry, how.now), how.answer, false)
}

/// The rest of a representation was asked for, and the origin has another version by now, or fails.
fn has_changed<'a>(contacts: impl IntoIterator<Item = &'a Contact>, entry: &Entry) -> bool {
    contacts.into_iter().any(|contact| {
        contact.seen.resource == entry.resource
            && contact.seen.fields.get("if-range").is_some()
            && !validation::is_same(&contact.sent, entry)
    })
}

/// When nothing else is said, a lifetime is one that the origin gave.
fn explicit(entry: &Entry) -> Option<u64> {
    match freshness::lifetime(entry) {
        Lifetime::Explicit(seconds) => Some(seconds),
        Lifetime::Guessed(_) => None,
    }
}
