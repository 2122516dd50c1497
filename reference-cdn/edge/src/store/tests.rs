use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use http_cache::{Beside, Keep, Key, Stored};
use proptest::prelude::*;

use crate::store::*;

fn store(memory: u64) -> Arc<Store> {
    Arc::new(Store::new(StoreLimits { memory, object: memory, variants: 4 }))
}

fn key(store: &Store, path: &str) -> HashedKey {
    store.hashed(&"somebody".into(), Key::of(&format!("http://a{path}").parse().expect("uri")))
}

/// Some stored head; the store does not look at it.
pub(crate) fn head() -> Arc<Stored> {
    use http_cache::{
        Decisions, Fetch, ForwardReason, Received, Request, Response, Settings, Standard, Time,
    };
    let target = "http://a/".parse().expect("uri");
    let (method, none) = (http::Method::GET, HeaderMap::new());
    let request =
        Request { method: &method, target: &target, headers: &none, version: http::Version::HTTP_11 };
    let fetch = Fetch::forward(ForwardReason::UriMiss);
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", http::HeaderValue::from_static("max-age=60"));
    let now = Time::from_secs(1_000_000);
    let response =
        Response { status: http::StatusCode::OK, headers: &headers, request_time: now, response_time: now };
    match Standard::new(Settings::default()).received(&request, &fetch, &response, &[]) {
        Received::Store { stored, .. } => Arc::from(stored),
        other => panic!("not storable: {other:?}"),
    }
}

fn put(store: &Arc<Store>, path: &str, octets: usize) -> Arc<Body> {
    put_while(store, path, octets, |_| ())
}

/// Somebody does something before its end is known.
fn put_while(store: &Arc<Store>, path: &str, octets: usize, meanwhile: impl FnOnce(&Arc<Body>)) -> Arc<Body> {
    let key = key(store, path);
    let registration = store.take_off(&key, 0, None, false, |_| false).expect("no other");
    let mut filler = store.fill(&registration);
    filler.append(&vec![1; octets]);
    let body = Arc::clone(filler.body());
    meanwhile(&body);
    store.keep(
        &registration,
        filler,
        head(),
        End::Complete(Arc::default()),
        &[],
        |_| Beside::Both,
        |_| Keep::Store,
    );
    store.make_room(&key);
    body
}

fn read_all(body: &Arc<Body>, at: u64) -> Result<Vec<u8>, Fault> {
    let mut reader = body.read(at);
    let mut all = Vec::new();
    loop {
        match reader.next(u64::MAX)? {
            Next::Data(data) => all.extend_from_slice(&data),
            Next::End(_) => return Ok(all),
            Next::Wait => panic!("complete content has nothing to wait for"),
        }
    }
}

#[test]
fn memory_is_given_back_when_content_goes() {
    let store = store(1 << 20);
    let body = put(&store, "/a", 100_000);
    assert_eq!(store.objects(), 1);
    assert!(store.accounts().held() > 100_000);
    let reader = body.read(0);
    drop(body);
    assert_eq!(store.purge(&key(&store, "/a"), None).count, 1);
    assert_eq!((store.objects(), store.accounts().held()), (0, 0));
    assert!(store.accounts().resident() > 100_000, "a reader still has it");
    drop(reader);
    assert_eq!(store.accounts().resident(), 0);
}

#[test]
fn a_purge_between_fetch_and_keep_wins() {
    let store = store(1 << 20);
    let key = key(&store, "/a");
    let registration = store.take_off(&key, 0, None, true, |_| false).expect("no other");
    assert_eq!(store.flights(&key).len(), 1);
    let mut filler = store.fill(&registration);
    filler.append(b"old");
    let _ = store.purge(&key, None);
    assert!(store.flights(&key).is_empty(), "nobody may wait for it any more");
    let kept = store.keep(
        &registration,
        filler,
        head(),
        End::Complete(Arc::default()),
        &[],
        |_| Beside::Both,
        |purged| {
            assert!(purged);
            Keep::Discard
        },
    );
    assert!(!kept && store.find(&key).is_none());
    drop(registration);
    assert_eq!(store.accounts().held(), 0);
}

#[test]
fn variants_are_bounded_and_replaced() {
    let store = store(1 << 20);
    for _ in 0..10 {
        put(&store, "/a", 10);
    }
    let variants = store.find(&key(&store, "/a")).expect("stored");
    assert_eq!((variants.bodies.len(), store.objects()), (4, 4));
}

#[test]
fn replacing_one_response_for_ever_leaves_nothing_behind() {
    let store = store(1 << 20);
    for _ in 0..5000 {
        let key = key(&store, "/a");
        let old = store.find(&key).map(|variants| variants.bodies.clone()).unwrap_or_default();
        let registration = store.take_off(&key, 0, None, false, |_| false).expect("no other");
        let mut filler = store.fill(&registration);
        filler.append(&[1; 1000]);
        store.keep(
            &registration,
            filler,
            head(),
            End::Complete(Arc::default()),
            &old,
            |_| Beside::Both,
            |_| Keep::Store,
        );
    }
    assert_eq!(store.objects(), 1);
    assert!(store.accounts().resident() < 10_000);
    assert_eq!(store.counters().evicted.load(Ordering::Relaxed), 0);
}

/// Between its look-up and its fetch another's fetch may have ended: what that brought is there, and nobody is asked.
#[test]
fn who_looked_up_before_a_change_looks_again() {
    let store = store(1 << 20);
    let key = key(&store, "/a");
    let nothing = Arc::default();
    let late = |seen: &Arc<Variants>| {
        matches!(store.take_off(&key, 0, Some(seen), true, |_| false), Err(Grounded::Late))
    };
    assert!(!late(&nothing));
    put(&store, "/a", 10);
    assert!(late(&nothing));
    let one = store.find(&key).expect("stored");
    assert!(!late(&one));
    put(&store, "/a", 20);
    assert!(late(&one));
    assert!(store.take_off(&key, 0, None, true, |_| false).is_ok());
    let _ = store.purge(&key, None);
    assert!(late(&one) && !late(&nothing));
}

/// What is read stays where it can answer others, as long as there is anything else to evict.
#[test]
fn what_is_read_goes_last() {
    let store = store(1 << 20);
    let read = put(&store, "/read", 50_000);
    for n in 0..100 {
        put(&store, &format!("/{n}"), 50_000);
    }
    assert!(store.find(&key(&store, "/read")).is_some());
    drop(read);
    for n in 0..100 {
        put(&store, &format!("/again/{n}"), 50_000);
    }
    assert!(store.find(&key(&store, "/read")).is_none());
}

/// Also where it is in the other queue, and all that stands before it is read.
#[test]
fn what_is_not_read_goes_wherever_it_is() {
    for also_read in [false, true] {
        let store = store(1 << 20);
        // What is asked for again stays when others go, and is in the main queue from then on.
        put(&store, "/unread", 50_000);
        for _ in 0..2 {
            let found = store.find(&key(&store, "/unread")).expect("stored");
            store.touch(&found.object(0).expect("one"));
        }
        for n in 0..20 {
            put(&store, &format!("/{n}"), 60_000);
        }
        for n in 0..20 {
            let _ = store.purge(&key(&store, &format!("/{n}")), None);
        }
        let read = put(&store, "/read", 300_000);
        let mut pinned = Vec::new();
        while !also_read && store.accounts().pinned() <= 1 << 19 {
            pinned.push(put(&store, "/pinned", 100_000));
            let _ = store.purge(&key(&store, "/pinned"), None);
        }
        let new = key(&store, "/new");
        let registration = store.take_off(&new, 0, None, false, |_| false).expect("no other");
        let mut filler = store.fill(&registration);
        while !store.accounts().over(0) {
            filler.append(&[1; 1000]);
        }
        assert!(store.make_room(&new), "{:?}", store.accounts());
        assert!(store.find(&key(&store, "/unread")).is_none(), "{also_read}");
        assert!(store.find(&key(&store, "/read")).is_some(), "{also_read}");
        drop((read, pinned));
    }
}

/// However many read slowly, no more is in memory than the limit, and half of it is the store's. Their content is taken from
/// them in the end, those first whose content left the store first.
#[test]
fn what_slow_readers_pin_counts_and_is_bounded() {
    let store = store(16 << 20);
    let accounts = store.accounts();
    let mut readers = Vec::new();
    for n in 0..100 {
        // They begin while it is received.
        let mut reader = None;
        put_while(&store, &format!("/{n}"), 1 << 20, |body| reader = Some(body.read(0)));
        let mut reader = reader.expect("one");
        let on_its_way = reader.next(100);
        readers.push((reader, on_its_way));
        // As whoever takes content in does when there is no room: it is not kept.
        if !store.make_room(&key(&store, "/")) {
            readers.pop();
            let _ = store.purge(&key(&store, &format!("/{n}")), None);
        }
        assert!(accounts.resident() <= 16 << 20, "{accounts:?}");
    }
    assert!(accounts.pinned() > 6 << 20 && accounts.held() > 6 << 20, "{accounts:?}");
    for _ in 0..41 {
        store.look(None);
    }
    assert!(accounts.pinned() <= 4 << 20, "{accounts:?}");
    let cut = readers
        .iter_mut()
        .map(|(reader, _)| reader.next(100))
        .filter(|next| matches!(next, Err(Fault::Overrun)))
        .count();
    assert!(cut > 2 && cut < readers.len() / 2, "{cut} of {}", readers.len());
    // What clients were being sent counts until that is over.
    let before = accounts.pinned();
    readers.iter_mut().for_each(|(_, on_its_way)| *on_its_way = Ok(Next::Wait));
    store.look(None);
    assert_eq!(before - accounts.pinned(), cut as u64 * charge_of(BLOCK));
    drop(readers);
    assert_eq!(accounts.pinned(), 0);
}

/// What the process has too much, the store gives up; and takes again when it may.
#[test]
fn the_store_gives_way_to_the_process() {
    let store = store(64 << 20);
    for n in 0..1000 {
        put(&store, &format!("/{n}"), 64 << 10);
    }
    let accounts = store.accounts();
    assert!(accounts.held() > 60 << 20);
    for _ in 0..4 {
        store.look(Some(100 << 20));
    }
    assert!(
        accounts.reserve() > 10 << 20 && accounts.held() <= (64 << 20) - accounts.reserve(),
        "{accounts:?}"
    );
    for _ in 0..1000 {
        store.look(Some(1 << 40));
    }
    assert_eq!(accounts.reserve(), 32 << 20, "half of it is the store's in any case");
    for _ in 0..1000 {
        store.look(Some(20 << 20));
    }
    assert_eq!(accounts.reserve(), 0);
}

#[tokio::test]
async fn a_filler_that_vanishes_ends_its_readers() {
    let store = store(1 << 20);
    let registration = store.take_off(&key(&store, "/a"), 0, None, false, |_| false).expect("no other");
    let mut filler = store.fill(&registration);
    filler.append(b"abc");
    let mut reader = filler.body().read(0);
    assert!(matches!(reader.next(9), Ok(Next::Data(data)) if data == "abc"));
    assert!(matches!(reader.next(9), Ok(Next::Wait)));
    drop(filler);
    reader.arrival().await;
    assert!(matches!(reader.next(9), Err(Fault::Truncated)));
}

/// Who asked for content that cannot be kept may come to reading it a moment later.
#[tokio::test]
async fn content_that_is_not_kept_waits_for_its_first_reader() {
    let store = store(64 << 20);
    let registration = store.take_off(&key(&store, "/a"), 0, None, false, |_| false).expect("no other");
    let mut filler = store.fill(&registration);
    filler.pass_on();
    while filler.body().received() <= 1 << 20 {
        filler.room().await.expect("room before anybody reads");
        filler.append(&[1; 64 << 10]);
    }
    let body = Arc::clone(filler.body());
    let comes = async {
        tokio::task::yield_now().await;
        let mut reader = body.read(0);
        while matches!(reader.next(u64::MAX), Ok(Next::Data(_))) {}
        reader
    };
    let (room, reader) = tokio::join!(filler.room(), comes);
    assert_eq!(room, Ok(()));
    drop(reader);
    assert_eq!(filler.room().await, Err(Deserted));
}

proptest! {
    /// However content is cut when it arrives, and wherever a reader starts, it reads the same octets.
    #[test]
    fn content_reads_back(lengths in prop::collection::vec(0_usize..200_000, 0..8), at in 0_usize..400_000) {
        let store = store(64 << 20);
        let registration = store.take_off(&key(&store, "/a"), 0, None, false, |_| false).expect("no other");
        let mut filler = store.fill(&registration);
        let mut whole = Vec::new();
        for length in lengths {
            let piece: Vec<u8> = (whole.len()..whole.len() + length).map(|n| (n * 31 / 7) as u8).collect();
            filler.append(&piece);
            whole.extend(piece);
        }
        let body = Arc::clone(filler.body());
        filler.end(End::Complete(Arc::new(HeaderMap::new())));
        prop_assert_eq!(body.received(), whole.len() as u64);
        let from = at.min(whole.len());
        prop_assert!(read_all(&body, from as u64) == Ok(whole[from..].to_vec()));
    }

    /// Whatever is put in, purged and read, the accounts say what is there.
    #[test]
    fn accounts_balance(steps in prop::collection::vec((0_u8..3, 0_u8..6, 0_usize..60_000), 1..60)) {
        let store = store(256 << 10);
        let mut pinned = Vec::new();
        for (step, name, octets) in steps {
            let path = format!("/{name}");
            match step {
                0 => drop(put(&store, &path, octets)),
                1 => drop(store.purge(&key(&store, &path), None)),
                _ => if let Some(variants) = store.find(&key(&store, &path)) {
                    pinned.push(variants.bodies[0].read(0));
                }
            }
            prop_assert!(store.accounts().held() <= 256 << 10);
        }
        drop(pinned);
        prop_assert_eq!(store.accounts().held(), store.accounts().resident());
        for name in 0..6 {
            let _ = store.purge(&key(&store, &format!("/{name}")), None);
        }
        prop_assert_eq!((store.accounts().held(), store.accounts().resident(), store.objects()), (0, 0, 0));
    }
}

#[test]
fn a_full_block_is_a_full_block() {
    let store = store(1 << 20);
    for octets in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
        let body = put(&store, &format!("/{octets}"), octets);
        assert_eq!(read_all(&body, 0).map(|all| all.len()), Ok(octets));
    }
}

/// Purges over the store's own interface; [`crate::purge`] has more.
mod purges {
    use http_cache::{Key, Time};

    use super::*;
    use crate::purge::{Asker, AtOnce, Mode, Order};

    /// As the edge does it, for the one customer of these tests.
    impl AtOnce for Store {
        fn reach(&self, _: Option<&str>, key: &Key, mode: Mode) -> u64 {
            let key = self.hashed(&"somebody".into(), key.clone());
            match mode {
                Mode::Hard => self.purge(&key, None).count,
                Mode::Soft => self.meet(&key),
            }
        }
    }

    fn order(store: &Store, text: &str) {
        let by = Asker { name: "admin".into(), customer: None };
        let now = Time::from_secs(2_000_000);
        let order = Order::parse(text.as_bytes(), now, |uri| vec![Key::of(uri)]).expect("an order");
        store.purges().order(order, &by, now, store).expect("accepted");
    }

    fn born(store: &Store) -> u64 {
        store.purges().at(Time::from_secs(2_000_000))
    }

    #[test]
    fn what_a_purge_takes_is_not_found_and_gives_its_memory_back() {
        let store = store(1 << 20);
        put(&store, "/a", 1000);
        put(&store, "/b", 1000);
        order(&store, r#"{"prefix": "/a"}"#);
        assert_eq!(store.objects(), 2, "a purge touches nothing");
        assert!(store.find(&key(&store, "/a")).is_none() && store.find(&key(&store, "/b")).is_some());
        assert_eq!(store.objects(), 1);
        put_born(&store, "/a", born(&store));
        assert!(store.find(&key(&store, "/a")).is_some());
    }

    fn put_born(store: &Arc<Store>, path: &str, born: u64) -> bool {
        let key = key(store, path);
        let registration = store.take_off(&key, born, None, false, |_| false).expect("no other");
        let filler = store.fill(&registration);
        let keep = |purged| if purged { Keep::Discard } else { Keep::Store };
        store.keep(&registration, filler, head(), End::Complete(Arc::default()), &[], |_| Beside::Both, keep)
    }

    #[test]
    fn what_was_asked_for_before_a_purge_is_not_kept_after_it() {
        let store = store(1 << 20);
        let early = born(&store);
        order(&store, r#"{"host": "a"}"#);
        assert!(!put_born(&store, "/a", early));
        assert!(put_born(&store, "/a", born(&store)));
        // After a soft one it is, stale.
        let early = born(&store);
        order(&store, r#"{"host": "a", "mode": "soft"}"#);
        assert!(put_born(&store, "/b", early));
        let found = store.find(&key(&store, "/b")).expect("stored");
        assert!(!found.stored[0].is_fresh(Time::from_secs(1_000_001)));
    }

    /// A request that looked before the purge, and begins its fetch after it.
    #[test]
    fn what_was_found_before_a_purge_is_neither_confirmed_nor_shared_after_it() {
        let store = store(1 << 20);
        let body = put(&store, "/a", 10);
        let key = key(&store, "/a");
        let early = born(&store);
        let found = store.find(&key).expect("stored").object(0).expect("one");
        order(&store, r#"{"host": "a"}"#);
        let registration = store.take_off(&key, early, None, true, |_| true).expect("no other");
        registration.flight().land(Landing::Stale(found.clone()));
        let late =
            store.take_off(&key, born(&store), None, true, |_| true).expect("nobody waits for the early one");
        store.freshen(&registration, &[found]);
        assert!(store.find(&key).is_none(), "a 304 to a question from before the purge confirms nothing");
        assert_eq!(store.objects(), 0);
        drop((registration, late));
        drop(body);
        assert_eq!(store.accounts().resident(), 0);
    }

    #[test]
    fn what_the_origin_confirmed_after_a_purge_is_fresh_again() {
        let store = store(1 << 20);
        put(&store, "/a", 10);
        let key = key(&store, "/a");
        order(&store, r#"{"host": "a", "mode": "soft"}"#);
        let found = store.find(&key).expect("stored").object(0).expect("one");
        assert!(!found.stored.is_fresh(Time::from_secs(1_000_001)));
        let registration = store.take_off(&key, born(&store), None, true, |_| true).expect("no other");
        store.freshen(&registration, &[Object { stored: head(), body: found.body }]);
        drop(registration);
        order(&store, r#"{"host": "other"}"#);
        let found = store.find(&key).expect("stored");
        assert!(found.stored[0].is_fresh(Time::from_secs(1_000_001)));
    }

    #[test]
    fn who_looked_before_purges_were_forgotten_looks_again() {
        let store = store(1 << 20);
        let early = born(&store);
        order(&store, r#"{"host": "a"}"#);
        let walk = store.purges().begin_walk(Time::from_secs(2_000_000), u64::MAX).expect("outstanding");
        assert!(store.purges().end_walk(&walk, false));
        let key = key(&store, "/a");
        assert!(matches!(store.take_off(&key, early, None, true, |_| false), Err(Grounded::Late)));
        assert!(store.take_off(&key, born(&store), None, true, |_| false).is_ok());
    }

    #[test]
    fn a_purge_of_a_url_counts_what_it_reaches() {
        let store = store(1 << 20);
        put(&store, "/a", 10);
        put(&store, "/a", 10);
        order(&store, r#"{"url": "http://a/a", "mode": "soft", "id": "s"}"#);
        order(&store, r#"{"url": "http://a/a", "id": "h"}"#);
        let by = Asker { name: "admin".into(), customer: None };
        let purged = |id: &str| store.purges().show(&by, None, id).expect("known")["purged"].as_u64();
        assert_eq!((purged("s"), purged("h")), (Some(2), Some(2)));
    }
}
