//! What an edge reads about purges: orders, the purge log, files of tokens.

use edge::purge::{Asker, AtOnce, LogError, Mode, Order, PurgeConfig, PurgeToken, Purges};
use http_cache::{Decisions as _, Key, Settings, Standard, Time};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

const NOW: Time = Time::from_secs(1_795_773_600);

fn admin() -> Asker {
    Asker { name: "admin".into(), customer: None }
}

fn parse(content: &[u8]) -> Option<Order> {
    let decisions = Standard::new(Settings::default());
    Order::parse(content, NOW, |uri| decisions.purged(uri)).ok()
}

/// Nothing is stored.
struct Nothing;

impl AtOnce for Nothing {
    fn reach(&self, _: Option<&str>, _: &Key, _: Mode) -> u64 {
        0
    }
}

const ORDERS: [&str; 9] = [
    r#"{"url": "HTTP://a.test:80/b?c#d", "id": "x", "mode": "soft"}"#,
    r#"{"tags": ["a", "b c", "\u00e9"], "customer": "c"}"#,
    r#"{"group": "g", "origin": "https://a.test:443/"}"#,
    r#"{"prefix": "https://a.test:8443/b/c/"}"#,
    r#"{"pattern": "http://[::1]/*.css?v=*"}"#,
    r#"{"host": "*.a.test", "at": "2026-11-27T11:00:00.5Z"}"#,
    r#"{"prefix": "/b", "every": "1h", "until": "2026-12-27T11:00:00Z", "coarser": true}"#,
    r#"{"pattern": "*b*", "every": "30s", "times": 7}"#,
    r#"{"all": true}"#,
];

pub(crate) fn order_seeds() -> Vec<Vec<u8>> {
    ORDERS.iter().map(|order| order.as_bytes().to_vec()).collect()
}

/// An order is refused, or is carried out once however often it comes, and is told so that it means the same when it is
/// given again.
pub(crate) fn orders(input: &[u8]) {
    let Some(order) = parse(input) else { return };
    if order.is_void() {
        return;
    }
    let purges = Purges::in_memory(Default::default(), 1);
    let carry_out =
        |order: Order| purges.order(order, &admin(), NOW, &Nothing).ok().map(|answer| answer.value);
    let Some(told) = carry_out(order.clone()) else { return };
    let at = purges.at(NOW);
    if String::from_utf8_lossy(input).contains("\"id\"")
        && told["id"].as_str().is_some_and(|id| !id.starts_with("edge-"))
    {
        assert_eq!(carry_out(order.clone()), Some(told.clone()), "the same id");
        assert_eq!(purges.at(NOW), at, "nothing happens twice");
    }
    let Value::Object(mut members) = told else { panic!("an answer is an object: {told}") };
    let names =
        ["url", "tag", "tags", "group", "groups", "origin", "prefix", "pattern", "host", "customer", "all"];
    members.retain(|name, _| names.contains(&name.as_str()));
    let again = Value::Object(members).to_string();
    let again = parse(again.as_bytes()).unwrap_or_else(|| panic!("what is told is no order: {again}"));
    assert_eq!(again.scope(), order.scope());
}

fn open(folder: &Path, epoch: u64) -> Option<Arc<Purges>> {
    let config = PurgeConfig { folder: Some(folder.to_owned()), ..PurgeConfig::default() };
    match Purges::open(&config, epoch) {
        Ok(purges) => Some(purges),
        Err(LogError::Foreign { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn log_seeds() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let purges = open(folder.path(), 5).unwrap();
    for order in ORDERS {
        purges.order(parse(order.as_bytes()).unwrap(), &admin(), NOW, &Nothing).unwrap();
    }
    purges.at(Time::from_secs(NOW.as_secs() + 7000));
    let walk = purges.begin_walk(NOW, u64::MAX).unwrap();
    purges.end_walk(&walk, false);
    purges.close(&Nothing);
    let log = std::fs::read(folder.path().join("purge.log")).unwrap();
    let mut torn = log.clone();
    torn.truncate(log.len() - 3);
    vec![log, torn, Vec::new(), b"purgelog".to_vec()]
}

/// Whatever stands in a log, the edge starts, or says that the log is of a later version; and what it made of it is what
/// it makes of it again.
pub(crate) fn log(input: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("purge.log"), input).unwrap();
    let Some(first) = open(folder.path(), 77) else { return };
    let (epoch, at) = (first.epoch(), first.at(Time::default()));
    let known = first.list(&admin(), u64::MAX, 1000);
    first.close(&Nothing);
    drop(first);
    let second = open(folder.path(), 78).unwrap();
    assert_eq!(second.epoch(), epoch, "what was written back is a whole log");
    assert!(second.at(Time::default()) >= at, "numbers never go back");
    assert_eq!(second.list(&admin(), u64::MAX, 1000), known);
}

pub(crate) fn token_seeds() -> Vec<Vec<u8>> {
    vec![b"# who\nshop aaaaaaaaaaaaaaaa\nshop bbbbbbbbbbbbbbbb deploy\n".to_vec(), b"shop short".to_vec()]
}

/// A file of tokens is refused without a word of them, or each of its tokens is good for its customer.
pub(crate) fn tokens(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let words =
        || text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    match PurgeToken::parse(text) {
        Ok(tokens) => {
            for token in &tokens {
                assert!(words().any(|word| token.token.matches(word.as_bytes())));
                assert!(words().any(|word| word == token.customer));
            }
        }
        Err(error) => {
            assert!(error.starts_with("line "), "{error}");
            assert!(!words().any(|word| word.len() >= 16 && error.contains(word)), "{error}");
        }
    }
}
