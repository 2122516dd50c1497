//! Validators: which stored responses an answer of the origin confirms, updates or continues (RFC 9111 sections 3.2, 3.4,
//! 4.3.4 and 4.3.5; RFC 9110 section 8.8).

use super::{Entry, selecting, storing};
use crate::message::Fields;
use crate::oracle::Directives;
use crate::world::{Seen, Sent, listed};

fn is_weak(tag: &str) -> bool {
    tag.starts_with("W/")
}

fn opaque(tag: &str) -> &str {
    tag.trim_start_matches("W/")
}

/// The same strong entity tag.
pub fn names_strongly(head: &Fields, entry: &Entry) -> bool {
    match (head.get("etag"), entry.etag()) {
        (Some(a), Some(b)) => a == b && !is_weak(a),
        _ => false,
    }
}

pub fn names_weakly(head: &Fields, entry: &Entry) -> bool {
    match (head.get("etag"), entry.etag()) {
        (Some(a), Some(b)) => opaque(a) == opaque(b),
        (Some(_), None) => false,
        (None, _) => {
            head.get("last-modified").is_some()
                && head.get("last-modified") == entry.head.get("last-modified")
        }
    }
}

/// There is no validator in it.
pub fn tells_nothing(head: &Fields) -> bool {
    head.get("etag").is_none() && head.get("last-modified").is_none()
}

/// Could a 304 with this head mean the stored response?
pub fn confirms(head: &Fields, entry: &Entry) -> bool {
    names_weakly(head, entry) || tells_nothing(head)
}

/// Whether the stored response is named by the strong form of its own weak tag. To the letter of section 4.3.4 such a 304
/// updates nothing; common servers send it, so a cache may take it for an answer about what it asked, and leave the tag.
pub fn names_stronger(head: &Fields, entry: &Entry) -> bool {
    head.get("etag").is_some_and(|tag| !is_weak(tag))
        && entry.etag().is_some_and(is_weak)
        && names_weakly(head, entry)
}

/// The stored responses that a 304 updates (section 4.3.4).
pub fn identified(entries: &[Entry], seen: &Seen, sent: &Sent) -> Vec<usize> {
    let initial: Vec<usize> = (0..entries.len())
        .filter(|&index| {
            entries[index].resource == seen.resource && selecting::matches(&entries[index], &seen.fields)
        })
        .collect();
    if sent.fields.get("etag").is_some_and(|tag| !is_weak(tag)) {
        return initial.into_iter().filter(|&index| names_strongly(&sent.fields, &entries[index])).collect();
    }
    let weak = initial.into_iter().filter(|&index| names_weakly(&sent.fields, &entries[index]));
    weak.max_by_key(|&index| (entries[index].date(), entries[index].received, index)).into_iter().collect()
}

/// Is a part of the same representation as what is stored (RFC 9110 section 15.3.7.3)?
pub fn is_same(sent: &Sent, entry: &Entry) -> bool {
    sent.status == 206 && !sent.headless && names_strongly(&sent.fields, entry) && sent.body == entry.body
}

/// A stored response as the fields of a newer one update it (section 3.2). What the answer to one client's credentials says
/// beside how long a response is good may be kept from others: then there are two ways.
pub fn freshened(entry: &Entry, now: u64, seen: &Seen, sent: &Sent) -> Vec<Entry> {
    let fixed = ["content-length", "content-encoding", "content-range"];
    let mut updated = entry.clone();
    updated.received = now;
    updated.obsolete = false;
    updated.head.remove("age");
    updated.head.remove("date");
    let mut partly = updated.clone();
    let kept = if names_stronger(&sent.fields, entry) { &["etag"][..] } else { &[] };
    let fixed = [&fixed[..], kept].concat();
    updated.head.update(&sent.fields, &fixed);
    if sent.fields.get("vary").is_some() {
        updated.flavour = seen.fields.get("flavour").map(str::to_owned);
    }
    let directives = Directives::of(&sent.fields);
    if storing::is_for_all(&seen.fields, &directives) {
        return vec![updated];
    }
    // Permission given before is taken back (section 3.5).
    updated.certain = false;
    partly.certain = false;
    partly.flavour.clone_from(&updated.flavour);
    partly.head.update(&sent.fields, &[&fixed[..], &["x-serial"]].concat());
    vec![updated, partly]
}

/// Does the 200 to a HEAD describe the stored response (section 4.3.5)? Where the question was whether it is that, 200 says
/// that it is another one, unless its validator says that conditions are not known there.
pub fn described(asked: &Fields, head: &Fields, length: usize, entry: &Entry) -> bool {
    let about_it = match (asked.get("if-none-match"), entry.etag()) {
        (Some(list), Some(tag)) => listed(list, tag),
        (Some(_), None) => false,
        (None, _) => {
            let since = asked.get("if-modified-since");
            since.is_some() && since == entry.head.get("last-modified")
        }
    };
    if about_it && !names_weakly(head, entry) {
        return false;
    }
    let same = |name| head.get(name).is_none_or(|value| entry.head.get(name) == Some(value));
    same("etag") && same("last-modified") && entry.body.octets.len() == length
}
