use super::*;
use crate::sample;

/// Three sites of 20 servers, 5 names of one customer, well wanted, and 75 of another.
fn network() -> Network {
    let mut network = sample::network(&[20, 20, 20]);
    let names = |letter: &str, count: usize| (0..count).map(|at| format!("{letter}{at}")).collect();
    network.services[0].hosts = names("a", 75);
    let mut shop = network.services[0].clone();
    (shop.name, shop.hosts) = ("shop".into(), names("shop", 5));
    network.services.insert(0, shop);
    network
}

fn play(events: &str) -> Outcome {
    let text = format!(
        "seconds = 900\nseed = 7\nrequests = 9000\nzipf = 100\nrequests-of-capacity = 1000\nresolvers = 256\n{events}"
    );
    let scenario = Scenario::read("surge.toml", &text, network()).unwrap();
    let outcome = simulate(&scenario, |_| {});
    let most: Vec<u32> = outcome.loads.iter().map(|loads| *loads.iter().max().unwrap()).collect();
    let every =
        |values: &[u32]| values.iter().step_by(15).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    println!("most loaded: {}", every(&most));
    println!("extra:       {}", every(&outcome.extra_copies));
    println!("overloaded:  {}", every(&outcome.overloaded));
    println!("longest over: {:?}", outcome.longest_over);
    outcome
}

#[test]
fn nothing_is_extra_in_quiet_times() {
    let outcome = play("");
    assert_eq!(outcome.holds(2), Ok(()));
    assert!(outcome.unanswered.iter().all(|lost| *lost == 0));
}

#[test]
fn a_surge_on_one_customer_gets_more_servers_and_gives_them_back() {
    let outcome =
        play("[[event]]\nat = 100\nfor = 300\nwhat = { surge = { names = \"shop*\", factor = 20 } }\n");
    assert!(outcome.extra_copies.iter().any(|extra| *extra > 0));
    assert_eq!(outcome.holds(2), Ok(()));
    assert!(outcome.unanswered.iter().all(|lost| *lost == 0));
}

/// A name that needs a third of a site's servers, and servers that tell only how loaded they are.
#[test]
fn a_surge_on_one_name_without_names_in_reports_is_spread_too() {
    let outcome = play(
        "names-in-reports = false\n[[event]]\nat = 100\nfor = 300\nwhat = { surge = { names = \"shop1\", factor = 120 } }\n",
    );
    assert!(outcome.extra_copies.iter().any(|extra| *extra > 0));
    assert_eq!(outcome.holds(4), Ok(()));
}

#[test]
fn a_surge_on_one_name_is_met_by_as_many_servers_as_it_takes() {
    let outcome =
        play("[[event]]\nat = 100\nfor = 300\nwhat = { surge = { names = \"shop1\", factor = 120 } }\n");
    assert!(outcome.extra_copies.iter().any(|extra| *extra > 8));
    assert_eq!(outcome.holds(2), Ok(()));
}

#[test]
fn servers_that_fail_are_named_no_longer_than_answers_live() {
    let outcome = play(
        "[[event]]\nat = 100\nfor = 300\nwhat = { server-down = { server = \"s1-4\" } }\n[[event]]\nat = 500\nfor = 100\nwhat = { site-down = { site = \"site2\" } }\n",
    );
    assert_eq!(outcome.holds(2), Ok(()));
    // Told by silence after five seconds, gone from the last answer a lifetime later.
    let met = |from: usize, to: usize| outcome.lost[from..to].iter().any(|lost| *lost > 0);
    assert!(met(500, 530) && !met(531, 900), "{:?}", &outcome.lost[495..540]);
    assert!(outcome.unanswered.iter().all(|requests| *requests == 0));
    assert!(outcome.failed[112..400].iter().all(|failed| *failed == 1));
    assert_eq!(outcome.failed[550], 20);
    assert_eq!(outcome.failed[899], 0);
}

#[test]
fn lost_reports_change_nothing() {
    let calm = play("");
    let outcome = play("[[event]]\nat = 0\nwhat = { reports-lost = { thousandths = 300 } }\n");
    assert_eq!(outcome.failed.iter().max(), Some(&0));
    let most = |outcome: &Outcome| outcome.loads.iter().flatten().copied().max();
    assert_eq!(most(&outcome), most(&calm));
}

/// Half of all reports stop at once: that is nobody's fault but the reports'.
#[test]
fn reports_that_stop_together_take_nobody_out() {
    let outcome = play(
        "[[event]]\nat = 100\nwhat = { reports-stop = { site = \"site0\" } }\n[[event]]\nat = 100\nwhat = { reports-stop = { site = \"site1\" } }\n",
    );
    assert_eq!(outcome.failed.iter().max(), Some(&0));
}

#[test]
fn a_site_that_is_loaded_as_a_whole_gives_clients_to_the_next() {
    let outcome = play(
        "[[event]]\nat = 100\nfor = 300\nwhat = { surge = { names = \"*\", factor = 8, near = \"site0\" } }\n",
    );
    assert_eq!(outcome.holds(2), Ok(()));
}

/// Long after an event loads stay as they are: sites do not send clients to and fro, however few and large units are.
#[test]
fn after_an_event_loads_come_to_rest() {
    for (sizes, one_of) in [(&[2, 1][..], 5), (&[3, 3], 5), (&[3, 3], 51), (&[5, 5, 5, 5], 3)] {
        let mut network = sample::network(sizes);
        network.prefixes.v4.retain(|(_, unit)| unit.0 % one_of == 0);
        network.services[0].hosts = (0..10).map(|at| format!("a{at}")).collect();
        let requests = sizes.iter().sum::<usize>() * 500;
        let text = format!(
            "seconds = 2000\nrequests = {requests}\nzipf = 0\nrequests-of-capacity = 1000\nresolvers = 300\n[[event]]\nat = 100\nfor = 200\nwhat = {{ server-down = {{ server = \"s0-0\" }} }}\n"
        );
        let outcome = simulate(&Scenario::read("down.toml", &text, network).unwrap(), |_| {});
        let mut first = 0;
        for count in sizes {
            let servers = first..first + count;
            let late = outcome.loads[1500..].iter().map(|loads| loads[servers.clone()].iter().sum::<u32>());
            let (least, most) = (late.clone().min().unwrap(), late.max().unwrap());
            assert!(most - least < 50, "servers {servers:?} of {sizes:?} and {one_of}: {least} to {most}");
            first += count;
        }
        let most = outcome.loads[1500..].iter().flatten().max();
        assert!(most.is_some_and(|most| *most < 850), "{most:?} in {sizes:?} and {one_of}");
    }
}

/// Three quarters of all there is are used: servers have much to do, and none is made to do everybody's work.
#[test]
fn load_that_is_everywhere_stays_where_it_is() {
    let outcome = play("[[event]]\nat = 100\nwhat = { surge = { names = \"*\", factor = 5 } }\n");
    let late = &outcome.loads[400..];
    let most = late.iter().flatten().copied().max();
    assert!(most.is_some_and(|most| most < 1300), "{most:?}");
}

/// The JSON of an outcome is for programs: its keys are as in all other JSON of the program, and events say how long they lasted.
#[test]
fn programs_are_told_how_long_events_lasted_and_who_was_over() {
    let events = "[[event]]\nat = 100\nfor = 300\nwhat = { server-down = { server = \"s0-0\" } }
        [[event]]\nat = 200\nfor = 900\nwhat = { surge = { names = \"*\", factor = 60 } }
        [[event]]\nat = 300\nwhat = { reports-lost = { thousandths = 3 } }";
    let events = events.replace("s0-0", &network().server_names[0]);
    let outcome = serde_json::to_value(play(&events)).unwrap();
    let keys: Vec<_> = outcome.as_object().unwrap().keys().collect();
    insta::assert_snapshot!(format!("{keys:?}\n{}\n{}", outcome["rules"], outcome["events"]));
    let longest = &outcome["longest-over"];
    assert!(longest["seconds"].as_u64() > Some(0) && longest["server"].is_string(), "{longest}");
    assert_eq!(serde_json::to_value(play("")).unwrap()["longest-over"], serde_json::Value::Null);
}

#[test]
fn a_scenario_plays_the_same_each_time() {
    let text = "[[event]]\nat = 10\nwhat = { reports-lost = { thousandths = 500 } }\n";
    assert_eq!(play(text).loads, play(text).loads);
}

#[test]
fn a_scenario_that_cannot_be_played_says_why() {
    let head = "seconds = 9\nrequests = 9\nrequests-of-capacity = 1\nresolvers = 1\n";
    let read = |text: &str| {
        let wrong = Scenario::read("surge.toml", text, network()).unwrap_err();
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        for line in &lines {
            assert!(line.lines().count() == 1 && line.starts_with("surge.toml:"), "{line}");
        }
        lines.join("\n")
    };
    insta::assert_snapshot!(
        [
            read("seconds = 9"),
            read(&format!("{head}colour = 1")),
            read(&format!("{head}[rules]\nfirst = 950\n")),
            read(&format!("{head}[[event]]\nat = 1\nwhat = {{ server-down = {{ server = \"x\" }} }}")),
            read(&head.replace("resolvers = 1", "resolvers = 0")),
            read(&head.replace("seconds = 9", "seconds = 0")),
            read(&format!("{head}x = [\n")),
            read(&format!("{head}seconds = 9\n")),
            read(&head.replace('1', "0").replace("requests = 9", "requests = 1000000001")),
            read(&format!(
                "{head}[[event]]\nat = 1\nwhat = {{ surge = {{ names = \"shop11\", factor = 10001, near = \"s0\" }} }}\n[[event]]\nat = 2\nwhat = {{ reports-lost = {{ thousandths = 1001 }} }}\n"
            )),
        ]
        .join("\n---\n")
    );
}

#[test]
fn an_event_after_the_end_is_refused() {
    let read = |at: u64| {
        let text = format!(
            "seconds = 900\nrequests = 9\nrequests-of-capacity = 1\nresolvers = 1\n[[event]]\nat = {at}\nwhat = {{ reports-lost = {{ thousandths = 1 }} }}\n"
        );
        Scenario::read("surge.toml", &text, network())
    };
    assert_eq!(read(899).unwrap().events.len(), 1);
    for at in [900, 5000] {
        assert_eq!(
            read(at).unwrap_err()[0].to_string(),
            format!(
                "surge.toml:5: event: it begins at second {at}, and the scenario ends at 900; let it begin earlier, or give the scenario more seconds"
            )
        );
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let read = |requests: u64, factor: u64| {
        let mut network = network();
        // A client at the very end of the address space.
        network.prefixes.v4.push((u32::MAX, crate::network::UnitId(0)));
        let text = format!(
            "seconds = 3\nrequests = {requests}\nrequests-of-capacity = 1\nresolvers = 300\n[[event]]\nat = 1\nwhat = {{ surge = {{ names = \"shop1\", factor = {factor} }} }}\n"
        );
        Scenario::read("surge.toml", &text, network)
    };
    simulate(&read(1_000_000_000, 10_000).unwrap(), |_| {});
    assert!(read(1_000_000_001, 1).unwrap_err()[0].to_string().contains("requests"));
    assert!(read(1, i64::MAX as u64).unwrap_err()[0].to_string().contains("factor"));
}

/// A site that nobody relieves: who plays it is told why.
#[test]
fn a_loaded_site_that_nobody_relieves_says_why() {
    let surge = "seconds = 300\nrequests = 3000\nzipf = 0\nrequests-of-capacity = 1000\nresolvers = 256\n[[event]]\nat = 100\nwhat = { surge = { names = \"*\", factor = 3, near = \"site0\" } }\n";
    let mut network = sample::network(&[3, 3]);
    network.services[0].hosts = (0..20).map(|at| format!("a{at}")).collect();
    let mut far = network.clone();
    for ranked in far.units.ranked.iter_mut().filter(|ranked| ranked.score > 10_000) {
        ranked.score = 200_000;
    }
    let play = |network| simulate(&Scenario::read("surge.toml", surge, network).unwrap(), |_| {});
    assert_eq!(play(network).unrelieved, Vec::new());
    let outcome = play(far);
    let [one] = outcome.unrelieved.as_slice() else { panic!("{:?}", outcome.unrelieved) };
    assert!(one.site == "site0" && one.seconds > 150, "{one:?}");
    let text = outcome.to_text(None);
    assert!(
        text.contains("not relieved      site site0, over for") && text.contains("near enough"),
        "{text}"
    );
}
