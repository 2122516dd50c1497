//! Purges as a whole: their log, crashes, faults of the disk, schedules, limits, ids.

mod crashes;
mod disk;

use std::sync::atomic::AtomicU64;

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::*;
use disk::Disk;

const START: Time = Time::from_secs(1_795_773_600);

/// No purge of a URL reaches anything at once.
impl AtOnce for () {
    fn reach(&self, _: Option<&str>, _: &Key, _: Mode) -> u64 {
        0
    }
}

fn admin() -> Asker {
    Asker { name: "admin".into(), customer: None }
}

fn shop() -> Asker {
    Asker { name: "shop/ci".into(), customer: Some("shop".into()) }
}

fn at(seconds: u64) -> Time {
    Time::from_millis(START.as_millis() + seconds * 1000)
}

fn order(text: &str, now: Time) -> Order {
    Order::parse(text.as_bytes(), now, |uri| vec![Key::of(uri)])
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Purges {
    fn ordered(&self, text: &str, now: Time) -> Result<Value, Refusal> {
        self.order(order(text, now), &admin(), now, &()).map(|answer| answer.value)
    }

    /// What they mean for a response with this tag.
    fn verdict(&self, tag: &str, born: u64) -> Verdict {
        let mut fields = HeaderMap::new();
        fields.insert("surrogate-key", HeaderValue::from_str(tag).expect("tag"));
        let key = Key::from_text("http://h/a");
        self.judge(&Identity { customer: "shop", key: &key, fields: Some(&fields) }, born, 0).0
    }

    fn state(&self, id: &str) -> String {
        self.show(&admin(), None, id).map_or("unknown".into(), |purge| purge["state"].to_string())
    }
}

fn memory() -> Arc<Purges> {
    Purges::in_memory(Limits::default(), 1)
}

#[test]
fn a_purge_takes_what_was_born_before_it_and_says_so() {
    let purges = memory();
    let born = purges.at(at(0));
    let answer = purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(5)).expect("accepted");
    assert_eq!(
        answer,
        json!({
            "id": "x", "tag": "t", "mode": "hard", "state": "in-force", "by": "admin", "durable": false,
            "purged": null, "accepted": "2026-11-27T10:00:05.000Z", "since": "2026-11-27T10:00:05.000Z",
        })
    );
    assert_eq!(purges.verdict("t", born), Verdict::Gone);
    assert_eq!(purges.verdict("u", born), Verdict::Alive);
    assert_eq!(purges.verdict("t", purges.at(at(5))), Verdict::Alive);
    purges.ordered(r#"{"tag": "u", "mode": "soft"}"#, at(6)).expect("accepted");
    assert_eq!(purges.verdict("u", born), Verdict::Soft { since: at(6) });
}

#[test]
fn the_same_id_is_the_same_purge() {
    let purges = memory();
    struct Counts(AtomicU64);
    impl AtOnce for Counts {
        fn reach(&self, _: Option<&str>, _: &Key, _: Mode) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed) + 7
        }
    }
    let counts = Counts(AtomicU64::new(0));
    let give = |text: &str, by: &Asker| purges.order(order(text, at(0)), by, at(0), &counts);
    let first = give(r#"{"url": "http://h/a", "id": "x"}"#, &admin()).expect("accepted");
    let born = purges.at(at(1));
    let again = give(r#"{"id": "x", "url": "http://h/a"}"#, &admin()).expect("known");
    assert_eq!((first.known, again.known, &first.value), (false, true, &again.value));
    assert_eq!((first.value["purged"].as_u64(), counts.0.load(Ordering::Relaxed)), (Some(7), 1));
    assert_eq!(purges.at(at(1)), born, "nothing was done twice");
    match give(r#"{"id": "x", "url": "http://h/b"}"#, &admin()) {
        Err(Refusal::Conflict(text)) => assert!(text.contains("id \"x\" was used"), "{text}"),
        other => panic!("{other:?}"),
    }
    // Ids are known to their owners only.
    let own = give(r#"{"id": "x", "url": "http://h/b"}"#, &shop()).expect("another's id is no obstacle");
    assert!(!own.known && own.value["owner"] == "shop");
    assert!(matches!(purges.show(&shop(), None, "y"), Err(Refusal::Unknown)));
    assert_eq!(purges.show(&shop(), None, "x").expect("own")["url"], "http://h/b");
    assert_eq!(purges.show(&admin(), None, "x").expect("own")["url"], "http://h/a");
    assert_eq!(purges.show(&admin(), Some("shop"), "x").expect("any")["url"], "http://h/b");
    let unnamed = give(r#"{"url": "http://h/a"}"#, &admin()).expect("accepted");
    let id = unnamed.value["id"].as_str().expect("an id").to_owned();
    assert_eq!(purges.show(&admin(), None, &id).expect("by the id that was given")["url"], "http://h/a");
}

#[test]
fn a_list_is_bounded_and_shows_customers_their_own() {
    let purges = memory();
    for n in 0..5 {
        let by = if n == 2 { shop() } else { admin() };
        purges.order(order(&format!("{{\"tag\": \"t{n}\"}}"), at(n)), &by, at(n), &()).expect("accepted");
    }
    let tags = |list: &Value| -> Vec<String> {
        let list = list["purges"].as_array().expect("a list");
        list.iter().map(|purge| purge["tag"].as_str().expect("a tag").to_owned()).collect()
    };
    let first = purges.list(&admin(), u64::MAX, 3);
    assert_eq!(tags(&first), ["t4", "t3", "t2"]);
    let rest = purges.list(&admin(), first["before"].as_u64().expect("more"), 3);
    assert_eq!((tags(&rest), &rest["before"]), (vec!["t1".to_owned(), "t0".to_owned()], &Value::Null));
    assert_eq!(tags(&purges.list(&shop(), u64::MAX, 3)), ["t2"]);
}

#[test]
fn a_scheduled_purge_comes_into_force_at_its_time_and_not_before() {
    let purges = memory();
    let answer =
        purges.ordered(r#"{"tag": "t", "id": "x", "at": "2026-11-27T10:01:40Z"}"#, at(0)).expect("accepted");
    assert_eq!((&answer["state"], &answer["at"]), (&json!("scheduled"), &json!("2026-11-27T10:01:40.000Z")));
    let born = purges.at(at(99));
    assert_eq!(purges.verdict("t", born), Verdict::Alive);
    // The look-up at its time is the one that brings it into force, without a timer.
    let later = purges.at(at(100));
    assert_eq!((purges.verdict("t", born), purges.verdict("t", later)), (Verdict::Gone, Verdict::Alive));
    let shown = purges.show(&admin(), None, "x").expect("known");
    assert_eq!((&shown["state"], &shown["since"]), (&json!("in-force"), &json!("2026-11-27T10:01:40.000Z")));
    // One that is due when it is ordered is in force at once; a clock that is set back takes nothing back.
    let born = purges.at(at(200));
    let late = purges.ordered(r#"{"tag": "u", "at": "2026-11-27T10:01:00Z"}"#, at(200)).expect("accepted");
    assert_eq!(late["state"], "in-force");
    assert_eq!(purges.at(at(1)), purges.at(at(200)));
    assert_eq!(purges.verdict("u", born), Verdict::Gone);
}

#[test]
fn a_repeated_purge_comes_again_until_it_ends() {
    let purges = memory();
    let text = r#"{"tag": "t", "id": "x", "mode": "soft", "at": "2026-11-27T10:00:10Z", "every": "10s", "times": 4}"#;
    purges.ordered(text, at(0)).expect("accepted");
    let mut born = purges.at(at(0));
    for n in 1..=2 {
        assert_eq!(purges.verdict("t", born), Verdict::Alive);
        let next = purges.at(at(n * 10));
        assert_eq!(purges.verdict("t", born), Verdict::Soft { since: at(10) });
        assert_eq!(purges.verdict("t", next), Verdict::Alive);
        let shown = purges.show(&admin(), None, "x").expect("known");
        assert_eq!((&shown["state"], &shown["fired"]), (&json!("scheduled"), &json!(n)));
        born = next;
    }
    // The clock jumps over the other two: one purge does for both, and that was the last.
    purges.at(at(1000));
    assert_eq!(purges.verdict("t", born), Verdict::Soft { since: at(10) });
    let shown = purges.show(&admin(), None, "x").expect("known");
    assert_eq!(
        (&shown["state"], &shown["fired"], &shown["times"]),
        (&json!("in-force"), &json!(4), &json!(4))
    );
    let born = purges.at(at(2000));
    assert_eq!((purges.at(at(3000)), purges.verdict("t", born)), (born, Verdict::Alive));
}

#[test]
fn a_scheduled_purge_can_be_cancelled_and_one_in_force_cannot() {
    let purges = memory();
    let cancel = |id: &str, now: Time| purges.cancel(&admin(), None, id, now, &());
    purges.ordered(r#"{"tag": "t", "id": "x", "at": "2026-11-27T10:00:10Z"}"#, at(0)).expect("accepted");
    let born = purges.at(at(0));
    for now in [1, 5] {
        let shown = cancel("x", at(now)).expect("cancelled");
        assert_eq!(
            (&shown["state"], &shown["cancelled"]),
            (&json!("cancelled"), &json!("2026-11-27T10:00:01.000Z"))
        );
    }
    assert_eq!((purges.at(at(100)), purges.verdict("t", born)), (born, Verdict::Alive));
    purges.ordered(r#"{"tag": "t", "id": "y", "at": "2026-11-27T10:02:00Z"}"#, at(100)).expect("accepted");
    assert!(matches!(cancel("y", at(120)), Err(Refusal::Conflict(_))), "it came into force at this moment");
    assert!(matches!(cancel("z", at(120)), Err(Refusal::Unknown)));
    assert!(matches!(purges.cancel(&shop(), None, "y", at(0), &()), Err(Refusal::Unknown)));
    // Of a repeated one, what is left is cancelled; what was done stays done.
    let born = purges.at(at(200));
    purges.ordered(r#"{"tag": "t", "id": "r", "every": "10s", "times": 9}"#, at(200)).expect("accepted");
    let after = purges.at(at(201));
    cancel("r", at(205)).expect("cancelled");
    assert_eq!((purges.verdict("t", born), purges.at(at(999))), (Verdict::Gone, after));
}

#[test]
fn what_a_walk_has_met_is_compacted() {
    let purges = memory();
    assert!(purges.begin_walk(at(0), u64::MAX).is_none(), "nothing is outstanding");
    purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(1)).expect("accepted");
    let early = purges.ticket(0).expect("a fetch that began before");
    let walk = purges.begin_walk(at(2), u64::MAX).expect("something to do");
    purges.ordered(r#"{"tag": "u", "id": "y"}"#, at(3)).expect("accepted");
    assert!(!purges.end_walk(&walk, false), "a fetch has yet to meet it");
    drop(early);
    assert!(purges.end_walk(&walk, false));
    assert_eq!((purges.state("x"), purges.state("y")), ("\"compacted\"".into(), "\"in-force\"".into()));
    assert_eq!(purges.verdict("t", 0), Verdict::Alive, "what was in the store has met it");
    let key = Key::from_text("http://h/");
    let it = Identity { customer: "shop", key: &key, fields: None };
    assert_eq!(purges.judge_arriving(&it, 0).0, Verdict::Gone, "what was not has not");
    assert!(purges.ticket(0).is_none(), "what such a request found may have been purged");
    assert!(purges.ticket(purges.at(at(4))).is_some());
    // A fetch that does not end does not keep purges for ever.
    let slow = purges.ticket(1).expect("a fetch");
    let walk = purges.begin_walk(at(5), u64::MAX).expect("something to do");
    assert!(!purges.end_walk(&walk, false) && purges.end_walk(&walk, true));
    assert_eq!(purges.state("y"), "\"compacted\"");
    assert_eq!(purges.judge_arriving(&it, slow.born()).0, Verdict::Gone);
    assert!(purges.begin_walk(at(6), u64::MAX).is_none());
}

#[test]
fn there_is_room_for_so_many_and_what_is_compacted_gives_it_back() {
    let limits = Limits { outstanding: 4, patterns: 2, schedules: 1, history: 2, rate: 1 };
    let purges = Purges::in_memory(limits, 1);
    let full = |text: &str, says: &str| match purges.ordered(text, at(0)) {
        Err(Refusal::Full(error)) => assert!(error.contains(says), "{text}: {error}"),
        other => panic!("{text}: {other:?}"),
    };
    for n in 0..2 {
        purges
            .ordered(&format!("{{\"pattern\": \"http://h/{n}*\", \"id\": \"p{n}\"}}"), at(0))
            .expect("room");
    }
    full(r#"{"pattern": "http://h/a/b*"}"#, "purge.patterns");
    let wider = purges.ordered(r#"{"pattern": "http://h/a/b*", "coarser": true}"#, at(0)).expect("room");
    assert_eq!((&wider["prefix"], &wider["coarsened"]), (&json!("http://h/a/"), &json!(true)));
    full(r#"{"tags": ["a", "b"]}"#, "purge.outstanding");
    let wider =
        purges.ordered(r#"{"tags": ["a", "b"], "customer": "shop", "coarser": true}"#, at(0)).expect("room");
    assert_eq!((&wider["customer"], &wider["tags"]), (&json!("shop"), &Value::Null));
    full(r#"{"tag": "a"}"#, "purge.outstanding");
    assert_eq!(purges.verdict("x", 3), Verdict::Gone, "everything of the customer went");
    let walk = purges.begin_walk(at(1), u64::MAX).expect("outstanding");
    assert!(purges.end_walk(&walk, false));
    // Only the last two are remembered.
    assert_eq!((purges.state("p0"), purges.state("p1")), ("unknown".into(), "unknown".into()));
    assert_eq!(purges.list(&admin(), u64::MAX, 9)["purges"].as_array().map(Vec::len), Some(2));
    purges
        .ordered(r#"{"tags": ["a", "b", "c"], "at": "2027-01-01T00:00:00Z", "id": "s"}"#, at(0))
        .expect("room");
    full(r#"{"tag": "a", "at": "2027-01-01T00:00:00Z"}"#, "purge.schedules");
    full(r#"{"tags": ["x", "y"]}"#, "purge.outstanding");
    purges.cancel(&admin(), None, "s", at(2), &()).expect("cancelled");
    purges.ordered(r#"{"tags": ["x", "y"]}"#, at(0)).expect("room");
}

#[test]
fn groups_that_an_origin_invalidates_are_gone() {
    let purges = memory();
    let born = purges.at(at(0));
    purges.invalidate_groups("shop", "http://h", &[]);
    assert_eq!(purges.at(at(0)), born);
    purges.invalidate_groups("shop", "http://h", &["g".into()]);
    let mut fields = HeaderMap::new();
    fields.insert("cache-groups", HeaderValue::from_static("\"g\""));
    let judged = |customer, url, born| {
        let key = Key::from_text(url);
        purges.judge(&Identity { customer, key: &key, fields: Some(&fields) }, born, 0).0
    };
    assert_eq!(judged("shop", "http://h/", born), Verdict::Gone);
    assert_eq!(judged("shop", "https://h/", born), Verdict::Alive);
    assert_eq!(judged("other", "http://h/", born), Verdict::Alive);
    assert_eq!(judged("shop", "http://h/", purges.at(at(0))), Verdict::Alive);
}

#[test]
fn purges_survive_a_restart_and_numbers_never_go_back() {
    let disk = Disk::default();
    let purges = disk.open(1);
    let born = purges.at(at(0));
    let answer = purges
        .order(order(r#"{"url": "http://h/a", "id": "u"}"#, at(0)), &admin(), at(0), &())
        .expect("accepted")
        .value;
    assert_eq!(answer["durable"], true);
    purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(1)).expect("accepted");
    purges
        .ordered(r#"{"tag": "s", "id": "s", "mode": "soft", "at": "2026-11-27T10:10:00Z"}"#, at(2))
        .expect("accepted");
    purges.ordered(r#"{"tag": "c", "id": "c", "at": "2026-11-27T10:10:00Z"}"#, at(2)).expect("accepted");
    purges.cancel(&admin(), None, "c", at(3), &()).expect("cancelled");
    // Neither of these is in the log.
    purges.invalidate_groups("shop", "http://h", &["g".into()]);
    let last = purges.at(at(4));
    drop(purges);
    disk.crash(0);

    let purges = disk.open(2);
    assert_eq!(purges.epoch(), 1);
    assert!(purges.at(at(4)) > last, "numbers that were given out are not given out again");
    assert_eq!(purges.verdict("t", born), Verdict::Gone);
    assert_eq!(purges.verdict("t", last), Verdict::Alive);
    assert_eq!(purges.show(&admin(), None, "u").expect("known")["url"], "http://h/a");
    let again = purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(5)).expect("known");
    assert_eq!(again["accepted"], "2026-11-27T10:00:01.000Z");
    assert_eq!((purges.state("c"), purges.state("s")), ("\"cancelled\"".into(), "\"scheduled\"".into()));
    drop(purges);

    // It was down when the purge was due; it is in force before anybody asks.
    let purges = disk.open(3);
    assert_eq!(purges.verdict("s", last), Verdict::Alive);
    purges.at(at(3600));
    assert_eq!(purges.verdict("s", last), Verdict::Soft { since: at(600) });
    purges.flush(&()).expect("written");
    drop(purges);
    let purges = disk.open(4);
    assert_eq!(purges.state("s"), "\"in-force\"");
    assert_eq!(purges.verdict("s", last), Verdict::Soft { since: at(600) });
    let walk = purges.begin_walk(at(3601), u64::MAX).expect("outstanding");
    assert!(purges.end_walk(&walk, false));
    purges.flush(&()).expect("written");
    drop(purges);
    let purges = disk.open(5);
    assert!(purges.begin_walk(at(3602), u64::MAX).is_none(), "compacted purges stay compacted");
    assert_eq!((purges.state("s"), purges.state("t")), ("\"compacted\"".into(), "unknown".into()));
}

#[test]
fn a_lost_or_damaged_log_means_another_epoch_and_what_can_be_read_is_kept() {
    let disk = Disk::default();
    let purges = disk.open(1);
    purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(1)).expect("accepted");
    purges.ordered(r#"{"tag": "s", "id": "s", "at": "2026-11-27T10:10:00Z"}"#, at(2)).expect("accepted");
    let last = purges.at(at(2));
    drop(purges);
    let good = disk.content();
    for place in [record::HEADER + 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 4;
        let disk = Disk::with(bad);
        let purges = disk.open(2);
        assert_eq!(purges.epoch(), 2);
        assert!(purges.state("x") != "unknown" || purges.state("s") != "unknown");
        assert!(purges.at(at(2)) > last || place < record::HEADER + 100);
        drop(purges);
        // It was written anew.
        assert_eq!(disk.open(3).epoch(), 2);
    }
    assert_eq!(Disk::default().open(7).epoch(), 7);
}

#[test]
fn what_a_later_version_wrote_counts_as_a_purge_of_everything() {
    let disk = Disk::default();
    let purges = disk.open(1);
    let last = purges.at(at(0));
    drop(purges);
    let mut content = disk.content();
    let unknown = br#"{"kind":"purge-by-moonlight"}"#;
    let mut numbers = Vec::new();
    record::write(&record::Record::Numbers { to: 0 }, &mut numbers);
    // The frame of another record around it.
    content.extend_from_slice(&disk::framed(&numbers, unknown));
    let purges = Disk::with(content).open(2);
    assert_eq!(purges.epoch(), 1);
    assert_eq!(purges.verdict("t", last), Verdict::Gone);
    assert_eq!(purges.verdict("t", purges.at(at(0))), Verdict::Alive);
}

#[test]
fn a_log_that_cannot_be_written_refuses_purges_until_it_can() {
    for fault in [disk::Fault::Append, disk::Fault::Sync] {
        let disk = Disk::default();
        let purges = disk.open(1);
        purges.ordered(r#"{"tag": "s", "id": "s", "at": "2026-11-27T10:00:10Z"}"#, at(0)).expect("accepted");
        let born = purges.at(at(0));
        disk.fail(&[fault, disk::Fault::Replace]);
        match purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(1)) {
            Err(Refusal::Log(error)) => assert!(error.to_string().contains("injected"), "{error}"),
            other => panic!("{other:?}"),
        }
        assert_eq!((purges.verdict("t", born), purges.state("x")), (Verdict::Alive, "unknown".into()));
        assert_eq!(purges.at(at(1)), purges.now.load(Ordering::Relaxed));
        assert!(matches!(purges.cancel(&admin(), None, "s", at(1), &()), Err(Refusal::Log(_))));
        assert!(purges.has_to_write());
        disk.fail(&[]);
        assert!(purges.cancel(&admin(), None, "s", at(1), &()).is_ok(), "asked again, it is written");
        purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(2)).expect("accepted");
        assert_eq!(purges.verdict("t", born), Verdict::Gone);
        assert!(!purges.has_to_write());
        let restarted = Disk::with(disk.content()).open(9);
        assert_eq!(restarted.epoch(), 1);
        assert_eq!(
            (restarted.state("x"), restarted.state("s")),
            ("\"in-force\"".into(), "\"cancelled\"".into())
        );
    }
}

#[test]
fn an_edge_starts_with_what_is_logged_where_nothing_can_be_written() {
    let disk = Disk::default();
    let purges = disk.open(1);
    let born = purges.at(at(0));
    purges.ordered(r#"{"tag": "t", "id": "t"}"#, at(1)).expect("accepted");
    drop(purges);
    disk.fail(&[disk::Fault::Append, disk::Fault::Replace]);
    let purges = disk.open(2);
    assert_eq!((purges.epoch(), purges.verdict("t", born)), (1, Verdict::Gone));
    assert!(purges.ordered(r#"{"tag": "u"}"#, at(2)).is_err());
    disk.fail(&[]);
    // As the keeper does once a second.
    assert!(purges.has_to_write() && purges.flush(&()).is_ok());
    purges.ordered(r#"{"tag": "u", "id": "u"}"#, at(3)).expect("accepted");
    assert_eq!(purges.verdict("u", born), Verdict::Gone);
    assert_eq!(Disk::with(disk.content()).open(9).state("u"), "\"in-force\"");
}

#[test]
fn a_new_file_does_where_the_old_one_does_not() {
    let disk = Disk::default();
    let purges = disk.open(1);
    disk.fail(&[disk::Fault::Append]);
    purges.ordered(r#"{"tag": "y", "id": "y"}"#, at(4)).expect("accepted");
    disk.crash(0);
    assert_eq!(Disk::with(disk.content()).open(9).state("y"), "\"in-force\"");
}

#[test]
fn what_was_accepted_for_later_comes_into_force_disk_or_no_disk() {
    let disk = Disk::default();
    let purges = disk.open(1);
    purges.ordered(r#"{"tag": "z", "id": "z", "at": "2026-11-27T10:00:10Z"}"#, at(5)).expect("accepted");
    let born = purges.at(at(9));
    disk.fail(&[disk::Fault::Append, disk::Fault::Replace]);
    purges.at(at(10));
    assert_eq!(purges.verdict("z", born), Verdict::Gone);
    // The log does not know; after a restart it comes into force once more.
    disk.crash(0);
    disk.fail(&[]);
    let purges = disk.open(2);
    let again = purges.at(at(11));
    assert_eq!((purges.verdict("z", born), purges.verdict("z", again)), (Verdict::Gone, Verdict::Alive));
}

#[test]
fn orders_at_once_are_written_together_and_none_is_lost() {
    let disk = Disk::default();
    let purges = disk.open(1);
    let born = purges.at(at(0));
    let syncs = disk.syncs();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let purges = &purges;
            scope.spawn(move || {
                for n in 0..50 {
                    let text = format!("{{\"tag\": \"t{thread}-{n}\", \"id\": \"i{thread}-{n}\"}}");
                    purges.ordered(&text, at(1)).expect("accepted");
                    assert_eq!(purges.verdict(&format!("t{thread}-{n}"), born), Verdict::Gone);
                }
            });
        }
    });
    assert!(disk.syncs() - syncs <= 400);
    drop(purges);
    disk.crash(0);
    let purges = disk.open(2);
    for thread in 0..8 {
        for n in 0..50 {
            assert_eq!(purges.verdict(&format!("t{thread}-{n}"), born), Verdict::Gone);
        }
    }
}

/// A purge is not in force before it is written; what is fetched meanwhile was asked for before it was accepted.
#[test]
fn what_is_fetched_while_a_purge_is_written_was_born_before_it() {
    let disk = Disk::default();
    let purges = disk.open(1);
    std::thread::scope(|scope| {
        let held = disk.hold();
        let writer = scope.spawn(|| purges.ordered(r#"{"tag": "t", "id": "x"}"#, at(0)));
        while locked(&purges.book).find(None, "x").is_none() {
            std::thread::yield_now();
        }
        let born = purges.at(at(0));
        assert_eq!((purges.verdict("t", born), purges.state("x")), (Verdict::Alive, "unknown".into()));
        // Others may overtake it.
        purges.invalidate_groups("shop", "http://h", &["g".into()]);
        let later = purges.at(at(0));
        drop(held);
        writer.join().expect("no panic").expect("accepted");
        for born in [born, later] {
            assert_eq!(purges.verdict("t", born), Verdict::Gone);
        }
        assert_eq!(purges.verdict("t", purges.at(at(0))), Verdict::Alive);
    });
}

#[test]
fn a_log_grows_no_longer_than_a_few_times_what_it_has_to_hold() {
    let disk = Disk::default();
    let limits = Limits { history: 10, ..Limits::default() };
    let purges = disk.open_with(1, limits);
    let long = "x".repeat(1000);
    for n in 0..20_000 {
        purges
            .ordered(&format!("{{\"tag\": \"{long}{}\", \"id\": \"i{n}\"}}", n % 7), at(n))
            .expect("accepted");
        if n % 50 == 0 {
            let walk = purges.begin_walk(at(n), u64::MAX).expect("outstanding");
            assert!(purges.end_walk(&walk, false));
        }
    }
    assert!(disk.content().len() < 2 << 20, "{}", disk.content().len());
    drop(purges);
    let purges = disk.open_with(2, limits);
    assert_eq!((purges.epoch(), purges.state("i19999")), (1, "\"in-force\"".into()));
}
