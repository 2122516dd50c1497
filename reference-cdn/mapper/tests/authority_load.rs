//! Zone files that cannot be served are refused with file, line and what to do; `$INCLUDE` stays in its folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use authority_support::*;
use mapper::authority::load::{Plan, load, name_servers_of, parse};
use std::path::Path;

const HEAD: &str = "$TTL 300\n@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";

fn error(text: &str, plan: &Plan) -> String {
    match parse(text, Path::new("z.zone"), "z.test.", plan) {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let top = |cut: &str, names: &[&str], ttl| Plan::Top {
        cut: cut.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ttl,
    };
    let usual = top("g.z.test", &["n0g.z.test"], 1800);
    let mut text = String::new();
    for (records, plan) in [
        ("x A 192.0.2.999", &Plan::Static),
        ("x 1y A 192.0.2.9", &Plan::Static),
        ("x TXT \"open", &Plan::Static),
        ("x SOA a b ( 1 2", &Plan::Static),
        ("x TXT ( \"a\" ( \"b\" )", &Plan::Static),
        ("x TXT \"a\" )", &Plan::Static),
        ("*.( TXT \"w\"\nx CAA 0 issue \"ca\"", &Plan::Static),
        ("other.example. A 192.0.2.1", &Plan::Static),
        ("x CNAME y\nx A 192.0.2.1", &Plan::Static),
        ("x CNAME y\nx CNAME z", &Plan::Static),
        ("@ CNAME y", &Plan::Static),
        ("x 300 A 192.0.2.1\nx 400 A 192.0.2.2", &Plan::Static),
        ("x 4294967295 A 192.0.2.1", &Plan::Static),
        ("x CH TXT \"a\"", &Plan::Static),
        ("@ SOA ns admin 2 2 3 4 5", &Plan::Static),
        ("x SOA ns admin 2 2 3 4 5", &Plan::Static),
        ("x DNAME y", &Plan::Static),
        ("x URI 10 1 \"https://example.net/\"", &Plan::Static),
        ("x DNSKEY 257 3 13 AAAA", &Plan::Static),
        ("x NSEC y A", &Plan::Static),
        ("x TYPE250 \\# 0", &Plan::Static),
        ("x DS 1 13 2 00", &Plan::Static),
        ("*.x NS ns", &Plan::Static),
        ("x NS ns\nx TXT \"a\"", &Plan::Static),
        ("x NS ns\ny.x TXT \"a\"", &Plan::Static),
        ("x NS ns.x", &Plan::Static),
        ("@ NS ns9", &Plan::Static),
        ("$INCLUDE other.zone", &Plan::Static),
        ("", &top("g.z.test", &["n0g.z.test"], 86_400)),
        ("", &top("g.z.test", &[], 1800)),
        ("", &top("g.elsewhere.test", &["n0g.z.test"], 1800)),
        ("", &top("z.test", &["n0g.z.test"], 1800)),
        ("", &top("g..z.test", &["n0g.z.test"], 1800)),
        ("", &top("g.z.test", &["n0.g.z.test"], 1800)),
        ("", &top("g.z.test", &["n0g.z.test", "N0g.z.test"], 1800)),
        ("n0g A 192.0.2.1", &usual),
        ("g NS ns", &usual),
        ("x.g A 192.0.2.1", &usual),
        ("g DS 1 13 2 00", &usual),
        ("x A 192.0.2.1", &usual),
    ] {
        text += &format!("{records}\n  {}\n", error(&format!("{HEAD}{records}\n"), plan));
    }
    for whole in ["", "@ NS ns\nns A 192.0.2.1\n", "$TTL 5\n@ SOA ns admin 1 2 3 4 5\n", "x A 192.0.2.1\n"] {
        text += &format!("{whole:?}\n  {}\n", error(whole, &Plan::Static));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(text));
}

#[test]
fn sets_that_no_message_holds_are_refused() {
    let many: String = (0..300).map(|at| format!("x TXT \"{at:0200}\"\n")).collect();
    assert!(error(&format!("{HEAD}{many}"), &Plan::Static).contains("can be answered"));
}

#[test]
fn included_files() {
    let folder = tempfile::tempdir().unwrap();
    let zones = folder.path().join("zones");
    std::fs::create_dir_all(zones.join("parts")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(zones.join(name), text).unwrap();
    write("z.zone", &format!("{HEAD}$INCLUDE parts/sub.zone sub\n$INCLUDE same.zone\nlast A 192.0.2.4"));
    write("parts/sub.zone", "a A 192.0.2.2\n");
    write("same.zone", "$ORIGIN deeper.z.test.\nb A 192.0.2.3\n");
    let load_it = || load(&zones.join("z.zone"), "z.test.", &Plan::Static).map_err(|error| error.to_string());
    let zone = load_it().unwrap();
    for owner in [&b"\x01a\x03sub"[..], b"\x01b\x06deeper", b"\x04last"] {
        let owner = [owner, b"\x01z\x04test\x00"].concat();
        assert!(zone.nodes.contains_key(&owner[..]), "{owner:?}");
    }
    write("same.zone", "$INCLUDE same.zone\n");
    assert!(load_it().unwrap_err().contains("including itself"));
    std::fs::write(folder.path().join("outside"), "x A 192.0.2.1\n").unwrap();
    write("same.zone", "\n$INCLUDE ../outside\n");
    let error = load_it().unwrap_err();
    assert!(error.contains("same.zone:2: $INCLUDE ../outside leads out"), "{error}");
    write("same.zone", "$INCLUDE missing\n");
    assert!(load_it().unwrap_err().contains("check the path"));
    write("same.zone", "\nx A 192.0.2\n");
    assert!(load_it().unwrap_err().contains("same.zone:2:"));
}

/// Strings without a space between them are two strings.
#[test]
fn strings_side_by_side() {
    let text = format!("{HEAD}x TXT \"a\"\"b;\" ; c (\ny TXT \"a\\\"\"\n");
    let zone = parse(&text, Path::new("z.zone"), "z.test.", &Plan::Static).unwrap();
    let data = |owner: &[u8]| zone.nodes[owner].sets[0].records[0].to_vec();
    assert_eq!(data(b"\x01x\x01z\x04test\x00"), b"\x01a\x02b;");
    assert_eq!(data(b"\x01y\x01z\x04test\x00"), b"\x02a\"");
}

#[test]
fn times_with_units() {
    let text = "$TTL 1h30m\n@ SOA ns admin 1 ( 1d ; refresh\n 2h\n 4W 5m )\n@ NS ns\nns 2m A 192.0.2.1\n";
    let zone = parse(text, Path::new("z.zone"), "z.test.", &Plan::Static).unwrap();
    let node = &zone.nodes[&b"\x02ns\x01z\x04test\x00"[..]];
    assert_eq!((zone.soa.ttl, node.sets[0].ttl, zone.negative_ttl), (5400, 120, 300));
    let soa = &zone.soa.records[0];
    let times: Vec<u32> =
        soa[soa.len() - 16..].chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
    assert_eq!(times, [86_400, 7200, 2_419_200, 300]);
}

#[test]
fn errors_hold_no_control_characters() {
    let error = error("$TTL\u{15}300\n", &Plan::Static);
    assert!(error.contains("\\u{15}") && !error.chars().any(char::is_control), "{error:?}");
}

#[test]
fn usual_names() {
    assert_eq!(name_servers_of("z.test.")[8], "n8g.z.test.");
    assert_eq!(zones_top().all().len() + zones_low().all().len(), 3);
}
