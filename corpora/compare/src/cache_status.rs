//! What caches say they did: Cache-Status (RFC 9211) and its informal kin.

use crate::collect::Collector;
use crate::freshness::Freshness;
use crate::{CacheState, Class, rules};
use exchange::Fields;
use sfv::{BareItem, Item, List, ListEntry, Parser};

/// Where an answer came from: what the cache closest to the client says in `Cache-Status`, else in an informal
/// field, else what follows from `Age`.
pub(crate) fn state(fields: &Fields) -> CacheState {
    if let Some(value) = fields.combined("cache-status") {
        return parse(&value).and_then(|list| list.last().map(member_state)).unwrap_or_default();
    }
    let told = ["x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status"]
        .iter()
        .find_map(|name| fields.combined(name));
    match told.map(|value| informal(&value)) {
        Some(state) if state != CacheState::Unknown => state,
        // An Age says that the origin neither made nor confirmed it for this request (RFC 9111 section 5.1); no Age
        // says nothing.
        _ if fields.combined("age").and_then(|a| crate::syntax::number(&a)).is_some_and(|a| a > 0) => {
            CacheState::Hit
        }
        _ => CacheState::Unknown,
    }
}

fn parse(value: &[u8]) -> Option<Vec<Item>> {
    let list = Parser::new(value).parse::<List>().ok()?;
    let items = list.into_iter().map(|entry| match entry {
        ListEntry::Item(item) if matches!(item.bare_item, BareItem::Token(_) | BareItem::String(_)) => {
            Some(item)
        }
        _ => None,
    });
    items.collect()
}

fn member_state(item: &Item) -> CacheState {
    let forwarded = token(item, "fwd");
    if item.params.get("hit").is_some_and(|hit| *hit == BareItem::Boolean(true)) {
        CacheState::Hit
    } else if forwarded.as_deref() == Some("stale") && number(item, "fwd-status") == Some(304) {
        CacheState::Revalidated
    } else if forwarded.is_some() {
        CacheState::Miss
    } else {
        CacheState::Unknown
    }
}

fn token(item: &Item, key: &str) -> Option<String> {
    match item.params.get(key)? {
        BareItem::Token(token) => Some(token.as_str().to_owned()),
        _ => None,
    }
}

fn number(item: &Item, key: &str) -> Option<i64> {
    match item.params.get(key)? {
        BareItem::Integer(number) => Some(i64::from(*number)),
        _ => None,
    }
}

/// `HIT`, `Hit from cloudfront`, `TCP_MISS`, `MISS, HIT`: the last word decides.
fn informal(value: &[u8]) -> CacheState {
    let words = value.split(|b| !b.is_ascii_alphabetic());
    let mut states = words.filter_map(|word| match &word.to_ascii_lowercase()[..] {
        b"hit" | b"stale" | b"updating" => Some(CacheState::Hit),
        b"revalidated" | b"refreshhit" => Some(CacheState::Revalidated),
        b"miss" | b"expired" | b"bypass" | b"dynamic" | b"pass" => Some(CacheState::Miss),
        _ => None,
    });
    states.next_back().unwrap_or_default()
}

/// Judges `Cache-Status`, present on at least one side: well-formed, the same state, the same lifetime.
pub(crate) fn compare(out: &mut Collector<'_>, freshness: &Freshness<'_>, left: &Fields, right: &Fields) {
    let [l, r] = [left, right].map(|fields| fields.combined("cache-status"));
    let values = (l.as_deref(), r.as_deref());
    let (path, rule) = ("fields.cache-status", &rules::CACHE_STATUS);
    let (Some(raw_left), Some(raw_right)) = (&l, &r) else {
        let explanation = out.presence(l.is_some(), r.is_some(), "");
        out.add(path, values, rule, Class::CacheState, explanation);
        return;
    };
    let (parsed_left, parsed_right) = (parse(raw_left), parse(raw_right));
    let (Some(items_left), Some(items_right)) = (&parsed_left, &parsed_right) else {
        if raw_left != raw_right {
            let explanation = out.presence(
                parsed_left.is_some(),
                parsed_right.is_some(),
                "malformed on both sides, and not the same",
            );
            let explanation = explanation.replace("has it", "is well-formed");
            out.add(path, values, rule, Class::Field, explanation);
        }
        return;
    };
    let (state_left, state_right) = freshness.states();
    let (last_left, last_right) = (items_left.last(), items_right.last());
    if state_left != state_right {
        let explanation =
            format!("{state_left:?} on the {}, {state_right:?} on the {}", out.names().0, out.names().1);
        out.add(path, values, rule, Class::CacheState, explanation.to_lowercase());
        return;
    }
    let forwarded = |item: Option<&Item>| item.and_then(|i| token(i, "fwd"));
    if forwarded(last_left) != forwarded(last_right) {
        let explanation = "forwarded to the origin for another reason";
        out.add(path, values, rule, Class::CacheState, explanation);
        return;
    }
    // Age plus what is left is the lifetime, whenever each side fetched the object. Where Age itself is at fault,
    // that is said already.
    if out.found.iter().any(|d| d.path == "fields.age") {
        return;
    }
    let (age_left, age_right) = freshness.ages();
    let whole = |item: Option<&Item>, age: u64| {
        item.and_then(|i| number(i, "ttl"))
            .map(|ttl| ttl.saturating_add(i64::try_from(age).unwrap_or(i64::MAX)))
    };
    if let (Some(l), Some(r)) = (whole(last_left, age_left), whole(last_right, age_right))
        && l.abs_diff(r) > out.settings.tolerance_seconds()
    {
        let explanation =
            format!("Age plus ttl is {l} s on the {}, {r} s on the {}", out.names().0, out.names().1);
        out.add("fields.cache-status[ttl]", values, &rules::TTL, Class::Freshness, explanation);
    }
}

/// Judges `X-Cache` and its kin: another state is no other meaning; anything else is compared as it is.
pub(crate) fn compare_x_cache(out: &mut Collector<'_>, name: &str, left: &Fields, right: &Fields) {
    let (l, r) = (left.combined(name), right.combined(name));
    if l == r {
        return;
    }
    let states = (l.as_deref().map(informal), r.as_deref().map(informal));
    let known = |state: Option<CacheState>| state.is_some_and(|s| s != CacheState::Unknown);
    let (class, explanation) = if known(states.0) && known(states.1) {
        if states.0 == states.1 {
            return;
        }
        (
            Class::CacheState,
            format!("{:?} against {:?}", states.0.unwrap_or_default(), states.1.unwrap_or_default())
                .to_lowercase(),
        )
    } else {
        (
            Class::Field,
            out.presence(l.is_some(), r.is_some(), "the values differ, and not both are known words"),
        )
    };
    out.add(format!("fields.{name}"), (l.as_deref(), r.as_deref()), &rules::X_CACHE, class, explanation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        for (name, value, expected) in [
            ("cache-status", "a; hit", CacheState::Hit),
            ("cache-status", "origin; fwd=miss, \"Edge A\"; hit; ttl=30", CacheState::Hit),
            ("cache-status", "a; hit, b; fwd=uri-miss; stored", CacheState::Miss),
            ("cache-status", "a; fwd=stale; fwd-status=304", CacheState::Revalidated),
            ("cache-status", "a; fwd=stale; fwd-status=200", CacheState::Miss),
            ("cache-status", "a", CacheState::Unknown),
            ("cache-status", "a; hit=?0", CacheState::Unknown),
            ("cache-status", "a;; hit", CacheState::Unknown),
            ("x-cache", "MISS, HIT", CacheState::Hit),
            ("x-cache", "Miss from cloudfront", CacheState::Miss),
            ("x-cache-status", "EXPIRED", CacheState::Miss),
            ("age", "5", CacheState::Hit),
            ("age", "0", CacheState::Unknown),
            ("x", "y", CacheState::Unknown),
        ] {
            assert_eq!(state(&[(name, value)].into_iter().collect()), expected, "{name}: {value}");
        }
    }
}
