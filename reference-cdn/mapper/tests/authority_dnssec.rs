//! Signed zones: each signature verified from what `domain` reads, and the whole by delv and unbound where they are installed.
//!
//! Without them these two are not run and say so; with REQUIRE_PEERS=1 that is a failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority_support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use authority_support::*;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use domain::base::rdata::ComposeRecordData as _;
use domain::base::{Message, Rtype};
use domain::rdata::AllRecordData;
use domain::utils::base64;
use mapper::authority::Authority;
use mapper::authority::dnssec::{Key, Signer, keys};
use mapper::authority::load::{Plan, name_servers_of, parse};
use mapper::authority::zone::{Zone, Zones};
use mapper::dns::name;
use mapper::respond::{Asked, Now, Respond as _, Transport};

const WEEK: u64 = 7 * 86_400;

/// Private and public key in the form of dnssec-keygen, with these lines of times.
fn key_text(apex: &str, flags: u16, times: &str) -> (String, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let secret = aws_lc_rs::encoding::AsBigEndian::<aws_lc_rs::encoding::EcPrivateKeyBin<'_>>::as_be_bytes(
        &pair.private_key(),
    )
    .unwrap();
    let private = base64::encode_string(secret.as_ref());
    let public = base64::encode_string(&pair.public_key().as_ref()[1..]);
    (
        format!("Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {private}\n{times}"),
        format!("{apex} IN DNSKEY {flags} 3 13 {public}\n"),
    )
}

fn key(apex: &str, flags: u16, times: &str) -> Key {
    let (private, public) = key_text(apex, flags, times);
    Key::parse(&private, &public, &name::from_text(apex).unwrap(), Path::new("K")).unwrap()
}

fn signed(zone: Zone, keys: Vec<Key>) -> Arc<Zone> {
    let signer = Signer::new(&zone.apex, keys, WEEK, 3600);
    Arc::new(zone.signed(signer))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// Both levels and the plain zone, signed: the top level with two keys, the others with one. And the trust anchors.
fn world() -> (Zones, Vec<(String, Vec<u8>)>) {
    let low_key = key("g.cdn.test.", 257, "");
    let ds = low_key.ds(b"\x01g\x03cdn\x04test\0");
    let ds = format!("g DS {} 13 2 {}\n", u16::from_be_bytes([ds[0], ds[1]]), hex(&ds[4..]));
    let file: String =
        TOP.lines().filter(|line| !line.contains("DS")).map(|line| format!("{line}\n")).collect();
    let top = Plan::Top { cut: "g.cdn.test.".into(), names: name_servers_of("cdn.test."), ttl: 1800 };
    let top = parse(&format!("{file}{ds}"), Path::new("cdn.test.zone"), "cdn.test.", &top).unwrap();
    let low = parse(LOW, Path::new("g.cdn.test.zone"), "g.cdn.test.", &Plan::Low).unwrap();
    let plain = parse(PLAIN, Path::new("plain.test.zone"), "plain.test.", &Plan::Static).unwrap();
    let (ksk, zsk) = (key("cdn.test.", 257, ""), key("cdn.test.", 256, ""));
    let csk = key("plain.test.", 257, "");
    let anchors =
        vec![("cdn.test.".to_owned(), ksk.dnskey.to_vec()), ("plain.test.".to_owned(), csk.dnskey.to_vec())];
    (
        Zones::new(vec![signed(top, vec![ksk, zsk]), signed(low, vec![low_key]), signed(plain, vec![csk])]),
        anchors,
    )
}

/// By owner and type: lifetime, and the data in canonical form.
type Sets = BTreeMap<(String, u16), (u32, Vec<Vec<u8>>)>;

/// What is answered, as types by section; `!` marks a set that has a signature, and each signature must verify.
fn verified(response: &[u8], keys: &BTreeMap<String, Vec<Vec<u8>>>, now: u64) -> String {
    let message = Message::from_octets(response).unwrap();
    let header = message.header();
    let mut text = format!("{}{}", header.rcode(), if header.aa() { " aa" } else { "" });
    let (_, answer, authority, additional) = message.sections().unwrap();
    for (section, mark) in [(answer, '='), (authority, '^'), (additional, '+')] {
        let mut sets: Sets = BTreeMap::new();
        let mut signatures: Vec<(String, Vec<u8>)> = Vec::new();
        let mut order = Vec::new();
        for record in section.map(Result::unwrap) {
            let data = record.to_any_record::<AllRecordData<_, _>>().unwrap();
            let mut rdata = Vec::new();
            data.data().compose_canonical_rdata(&mut rdata).unwrap();
            let owner = format!("{}.", record.owner()).to_lowercase();
            match record.rtype() {
                Rtype::OPT => {}
                Rtype::RRSIG => signatures.push((owner, rdata)),
                rtype => {
                    let key = (owner, rtype.to_int());
                    if !order.contains(&key) {
                        order.push(key.clone());
                    }
                    let set = sets.entry(key).or_insert((record.ttl().as_secs(), Vec::new()));
                    set.1.push(rdata);
                }
            }
        }
        let mut covered = Vec::new();
        for (owner, rdata) in signatures {
            let rtype = u16::from_be_bytes([rdata[0], rdata[1]]);
            let time = |at: usize| u64::from(u32::from_be_bytes(rdata[at..at + 4].try_into().unwrap()));
            assert!(time(12) <= now && now + 86_400 < time(8), "times of {owner} {rtype}");
            let signer_end = 18 + mapper::dns::writer::first_name(&rdata[18..]);
            let signer = name::show(&rdata[18..signer_end]);
            let (ttl, records) = sets.get(&(owner.clone(), rtype)).expect("a signature of nothing");
            assert_eq!(u32::from_be_bytes(rdata[4..8].try_into().unwrap()), *ttl);
            let owner_wire = name::from_text(&owner).unwrap();
            let mut records = records.clone();
            records.sort();
            let mut signed = rdata[..signer_end].to_vec();
            for record in records {
                signed.extend_from_slice(&owner_wire);
                signed.extend_from_slice(&[rdata[0], rdata[1], 0, 1]);
                signed.extend_from_slice(&ttl.to_be_bytes());
                signed.extend_from_slice(&(record.len() as u16).to_be_bytes());
                signed.extend_from_slice(&record);
            }
            let verifies = keys.get(&signer).is_some_and(|keys| {
                keys.iter().any(|key| {
                    let point = [&[4], &key[4..]].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
                        .verify(&signed, &rdata[signer_end..])
                        .is_ok()
                })
            });
            assert!(verifies, "the signature of {owner} {rtype} by {signer} does not verify");
            covered.push((owner, rtype));
        }
        for (owner, rtype) in order {
            let count = sets[&(owner.clone(), rtype)].1.len();
            let signatures = covered.iter().filter(|it| **it == (owner.clone(), rtype)).count();
            text += &format!("; {mark} {owner} {}x{count}{}", Rtype::from_int(rtype), "!".repeat(signatures));
        }
    }
    text
}

fn keys_of(zones: &Zones) -> BTreeMap<String, Vec<Vec<u8>>> {
    zones
        .all()
        .iter()
        .filter_map(|zone| {
            let keys = zone.signer.as_ref()?.keys().iter().map(|key| key.dnskey.to_vec()).collect();
            Some((name::show(&zone.apex), keys))
        })
        .collect()
}

#[test]
fn each_signature_verifies() {
    let (zones, _) = world();
    let keys = keys_of(&zones);
    let mut authority = authority(settings(zones));
    let mut text = String::new();
    for line in "a1.g.cdn.test A
        A1.G.cdn.test AAAA +subnet=203.0.113.0/24
        a1.g.cdn.test HTTPS
        a1.g.cdn.test TXT
        a1.g.cdn.test MX
        four.g.cdn.test AAAA
        many.g.cdn.test A
        many.g.cdn.test A
        down.g.cdn.test A
        back.g.cdn.test A
        twice.g.cdn.test AAAA
        x.wild.g.cdn.test A
        er.g.cdn.test A
        x.a1.g.cdn.test A
        x.a1.g.cdn.test A +co
        nothing.g.cdn.test TXT
        nothing.g.cdn.test A
        g.cdn.test SOA
        g.cdn.test NS
        g.cdn.test DNSKEY
        g.cdn.test A
        g.cdn.test NSEC
        a1.g.cdn.test NSEC
        down.g.cdn.test NSEC
        nope.g.cdn.test NSEC
        nope.g.cdn.test NSEC +co
        nowhere.plain.test NSEC
        g.cdn.test DS
        cdn.test DNSKEY
        cdn.test CDS
        cdn.test NS
        n0g.cdn.test A
        n0g.cdn.test MX
        n2g.cdn.test A
        www.cdn.test A
        n9g.cdn.test A +co
        plain.test ANY
        plain.test TYPE65280
        plain.test MX
        plain.test RRSIG
        plain.test TYPE128
        x.wild.plain.test A
        *.wild.plain.test A
        x.wild.plain.test MX
        chain.plain.test A
        nowhere.plain.test A
        sub.plain.test A
        unsigned.plain.test A
        unsigned.plain.test DS
        into.plain.test A"
        .lines()
    {
        let line = line.trim();
        let response = respond(&mut authority, &asking(&format!("{line} +do")), NOW).unwrap();
        assert!(response.len() <= 1232);
        text += &format!("{line}\n  {} octets {}\n", response.len(), verified(&response, &keys, NOW.unix));
        // Nothing of it for those who do not ask.
        let plain = show(respond(&mut authority, &asking(line), NOW).as_deref());
        let asked_for = line.contains("NSEC") || line.contains("RRSIG");
        assert!(asked_for || !(plain.contains(" RRSIG ") || plain.contains(" NSEC ")), "{plain}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(text));
}

/// A referral of the top level alone, which has DS records or the proof that there are none.
#[test]
fn referrals_prove_what_is_below() {
    let (zones, _) = world();
    let keys = keys_of(&zones);
    let only_top = Zones::new(vec![Arc::clone(&zones.all()[0])]);
    let mut top = authority(settings(only_top));
    let response = respond(&mut top, &asking("a1.g.cdn.test A +do"), NOW).unwrap();
    let text = verified(&response, &keys, NOW.unix);
    assert!(text.starts_with("NOERROR; ^ g.cdn.test. NSx8; ^ g.cdn.test. DSx1!; + "), "{text}");
    let file: String =
        TOP.lines().filter(|line| !line.contains("DS")).map(|line| format!("{line}\n")).collect();
    let plan = Plan::Top { cut: "g.cdn.test.".into(), names: name_servers_of("cdn.test."), ttl: 1800 };
    let unsigned = parse(&file, Path::new("z"), "cdn.test.", &plan).unwrap();
    let key = key("cdn.test.", 257, "");
    let keys = BTreeMap::from([("cdn.test.".to_owned(), vec![key.dnskey.to_vec()])]);
    let mut top = authority(settings(Zones::new(vec![signed(unsigned, vec![key])])));
    for line in ["a1.g.cdn.test A +do", "www.cdn.test A +do"] {
        let response = respond(&mut top, &asking(line), NOW).unwrap();
        let text = verified(&response, &keys, NOW.unix);
        assert!(text.contains("; ^ g.cdn.test. NSx8; ^ g.cdn.test. NSECx1!; + "), "{text}");
        assert!(
            show(Some(&response)).contains("NSEC \\000.g.cdn.test. NS RRSIG NSEC"),
            "{}",
            show(Some(&response))
        );
    }
}

#[test]
fn signatures_are_kept_and_made_again_before_they_end() {
    let (zones, _) = world();
    let keys = keys_of(&zones);
    let mut authority = authority(settings(zones));
    let made = authority.counters();
    let query = asking("a1.g.cdn.test A +do");
    for (day, expected) in [(0, 1), (0, 1), (1, 1), (3, 1), (4, 2), (5, 2), (8, 3), (30, 4)] {
        let now = Now { unix: NOW.unix + day * 86_400, ..NOW };
        let response = respond(&mut authority, &query, now).unwrap();
        verified(&response, &keys, now.unix);
        assert_eq!(made.signatures_made.get(), expected, "day {day}");
    }
    // A clock that goes back does not give out what is not good yet.
    verified(&respond(&mut authority, &query, NOW).unwrap(), &keys, NOW.unix);
    assert_eq!((made.signatures_made.get(), made.signatures_ready.get()), (5, 4));
    // The order of the addresses makes no difference.
    for _ in 0..4 {
        respond(&mut authority, &asking("many.g.cdn.test A +do"), NOW).unwrap();
    }
    assert_eq!(made.signatures_made.get(), 6);
}

#[test]
fn signatures_that_are_ready_allocate_nothing() {
    let (zones, _) = world();
    let mut authority = authority(settings(zones));
    let mut response = vec![0; 65_535];
    for line in [
        "down.g.cdn.test A +subnet=203.0.113.0/24 +do",
        "er.g.cdn.test AAAA +do",
        "x.a1.g.cdn.test A +do +co",
        "x.wild.plain.test A +do",
        "unsigned.plain.test A +do",
    ] {
        let asking = asking(line);
        let asked = Asked {
            now: NOW,
            peer: SocketAddr::new(asking.from, 4053),
            local: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: asking.transport,
            query: &asking.query,
        };
        // Made, and then ready.
        authority.respond(&asked, &mut response).unwrap();
        let counted = allocation_counter::measure(|| {
            authority.respond(&asked, &mut response).unwrap();
        });
        assert_eq!(counted.count_total, 0, "{line}");
    }
}

/// RFC 6781 section 4.1: keys of data are published first, keys of keys sign twice.
#[test]
fn keys_roll_over() {
    // NOW is 2027-01-15 08:00:00.
    let usual = "Publish: 20260101000000\nActivate: 20260101000000\n";
    let plain = || parse(PLAIN, Path::new("z"), "plain.test.", &Plan::Static).unwrap();
    let old_zsk =
        key("plain.test.", 256, &format!("{usual}Inactive: 20270120000000\nDelete: 20270201000000\n"));
    let new_zsk = key("plain.test.", 256, "Publish: 20270110000000\nActivate: 20270120000000\n");
    let old_ksk =
        key("plain.test.", 257, &format!("{usual}Inactive: 20270125000000\nDelete: 20270125000000\n"));
    let new_ksk = key(
        "plain.test.",
        257,
        "Publish: 20270116000000\nActivate: 20270116000000\nSyncPublish: 20270117000000\nSyncDelete: 20270126000000\n",
    );
    let tags = [&old_zsk, &new_zsk, &old_ksk, &new_ksk].map(|key| key.tag);
    let letter = |tag: u16| ["z", "Z", "k", "K"][tags.iter().position(|it| *it == tag).unwrap()];
    let zone = signed(plain(), vec![old_zsk, new_zsk, old_ksk, new_ksk]);
    let keys = keys_of(&Zones::new(vec![Arc::clone(&zone)]));
    let mut authority = authority(settings(Zones::new(vec![zone])));
    let mut signers = |line: &str, now: u64| {
        let now = Now { unix: now, ..NOW };
        let response = respond(&mut authority, &asking(&format!("{line} +do")), now).unwrap();
        let text = verified(&response, &keys, now.unix);
        let message = Message::from_octets(&response).unwrap();
        let mut by: Vec<_> = message
            .answer()
            .unwrap()
            .limit_to::<domain::rdata::Rrsig<_, _>>()
            .map(|record| letter(record.unwrap().data().key_tag()))
            .collect();
        by.sort_unstable();
        let records = text
            .split("; = ")
            .nth(1)
            .map_or("0", |set| set.rsplit('x').next().unwrap().trim_end_matches('!'));
        format!("{records} by {}", by.concat())
    };
    let day = |day: u64| NOW.unix + (day - 15) * 86_400;
    for (date, keys, data, sync) in [
        (15, "3 by k", "1 by z", "0 by "),
        (16, "4 by Kk", "1 by z", "0 by "),
        (18, "4 by Kk", "1 by z", "1 by Kk"),
        (21, "4 by Kk", "1 by Z", "1 by Kk"),
        (26, "3 by K", "1 by Z", "0 by "),
        (32, "2 by K", "1 by Z", "0 by "),
    ] {
        assert_eq!(signers("plain.test DNSKEY", day(date)), keys, "January {date}");
        assert_eq!(signers("plain.test TXT", day(date)), data, "January {date}");
        assert_eq!(signers("plain.test CDS", day(date)), sync, "January {date}");
    }
}

#[test]
fn keys_are_read_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let apex = name::from_text("plain.test.").unwrap();
    let error = |found: Result<Vec<Key>, keys::KeyError>| found.map(|_| ()).unwrap_err().to_string();
    assert!(error(keys::load(folder.path(), &apex)).contains("dnssec-keygen"));
    for (tag, flags) in [("00001", 257), ("00002", 256)] {
        let (private, public) = key_text("plain.test.", flags, "");
        let base = folder.path().join(format!("Kplain.test.+013+{tag}"));
        std::fs::write(
            base.with_extension("test.+013+x").with_file_name(format!("Kplain.test.+013+{tag}.private")),
            private,
        )
        .unwrap();
        std::fs::write(base.with_file_name(format!("Kplain.test.+013+{tag}.key")), public).unwrap();
    }
    std::fs::write(folder.path().join("Kother.test.+013+00003.private"), "").unwrap();
    let found = keys::load(folder.path(), &apex).unwrap();
    assert_eq!(found.iter().map(|key| key.flags).collect::<Vec<_>>(), [257, 256]);
    assert_eq!(Signer::new(&apex, found, WEEK, 3600).check(NOW.unix), Ok(()));
    let later = vec![key("plain.test.", 257, "Publish: 20260101000000\n")];
    assert!(Signer::new(&apex, later, WEEK, 3600).check(NOW.unix).unwrap_err().contains("dnssec-settime"));
    std::fs::remove_file(folder.path().join("Kplain.test.+013+00002.key")).unwrap();
    assert!(error(keys::load(folder.path(), &apex)).contains("00002.key: cannot be read"));
}

/// What `dnssec-keygen` writes is what we read, and what `dnssec-dsfromkey` makes of it is what we make.
#[test]
fn keys_of_dnssec_keygen() {
    if !installed("dnssec-keygen") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "plain.test"]);
    run("dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "plain.test"]);
    let apex = name::from_text("plain.test.").unwrap();
    let found = keys::load(folder.path(), &apex).unwrap();
    let ksk = found.iter().find(|key| key.is_entry_point()).unwrap();
    let ds = run("dnssec-dsfromkey", &["-2", &format!("Kplain.test.+013+{:05}", ksk.tag)]);
    assert!(ds.trim_end().ends_with(&format!("DS {} 13 2 {}", ksk.tag, hex(&ksk.ds(&apex)[4..]))), "{ds}");
}

fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).is_file())
    });
    if !found {
        assert!(std::env::var_os("REQUIRE_PEERS").is_none_or(|it| it != "1"), "{program} must be installed");
        println!("not run: {program} is not installed");
    }
    found
}

#[expect(
    clippy::disallowed_methods,
    reason = "validators read the clock of the machine, and so must what they validate"
)]
fn real_now() -> Now {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Now { unix, monotonic: 1 }
}

/// Answers on a free port of the loopback, over UDP and TCP, as long as the test runs.
fn serve(authority: Authority<World>) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let authority = Arc::new(Mutex::new(authority));
    let answer = |authority: &Mutex<Authority<World>>, query: &[u8], peer, transport| {
        let mut response = vec![0; 65_535];
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let asked = Asked { now: real_now(), peer, local, transport, query };
        let length = authority.lock().unwrap().respond(&asked, &mut response)?;
        response.truncate(length);
        Some(response)
    };
    let shared = Arc::clone(&authority);
    std::thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, peer)) = udp.recv_from(&mut query) {
            if let Some(response) = answer(&shared, &query[..length], peer, Transport::Udp) {
                udp.send_to(&response, peer).unwrap();
            }
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let (mut stream, authority) = (stream.unwrap(), Arc::clone(&authority));
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut query).unwrap();
                    let peer = stream.peer_addr().unwrap();
                    let response = answer(&authority, &query, peer, Transport::Tcp).unwrap();
                    let framed = [&(response.len() as u16).to_be_bytes(), &response[..]].concat();
                    stream.write_all(&framed).unwrap();
                }
            });
        }
    });
    address
}

/// Names and types with what a validator says of them.
const VALIDATED: &[(&str, &str, &str)] = &[
    ("a1.g.cdn.test", "A", "192.0.2."),
    ("a1.g.cdn.test", "HTTPS", "ipv4hint"),
    ("a1.g.cdn.test", "TXT", "beside"),
    ("a1.g.cdn.test", "MX", ""),
    ("twice.g.cdn.test", "AAAA", "2001:db8:"),
    ("back.g.cdn.test", "A", "192.0.2."),
    ("x.wild.g.cdn.test", "A", "192.0.2."),
    ("many.g.cdn.test", "AAAA", "2001:db8:"),
    ("er.g.cdn.test", "A", ""),
    ("x.a1.g.cdn.test", "A", ""),
    ("nothing.g.cdn.test", "TXT", "any other"),
    ("g.cdn.test", "DS", ""),
    ("cdn.test", "SOA", "ns1.cdn.test"),
    ("www.cdn.test", "A", "192.0.2."),
    ("n0g.cdn.test", "A", "198.51.100."),
    ("n9g.cdn.test", "A", ""),
    // What a name has is a record that can be asked for, and a name that is not there has one too.
    ("nothing.g.cdn.test", "NSEC", "\\000.nothing.g.cdn.test"),
];

const VALIDATED_PLAIN: &[(&str, &str, &str)] = &[
    ("plain.test", "CAA", "ca.example"),
    ("plain.test", "TYPE65280", ""),
    ("x.wild.plain.test", "A", "192.0.2.6"),
    ("x.wild.plain.test", "MX", ""),
    ("chain.plain.test", "A", "192.0.2.5"),
    ("unsigned.plain.test", "DS", ""),
    ("missing.plain.test", "A", ""),
    ("big.plain.test", "TXT", "0123456789"),
    ("_https._tcp.plain.test", "SRV", "443"),
    ("missing.plain.test", "NSEC", "\\000.missing.plain.test"),
];

/// The anchor in the form of delv and of unbound.
fn dnskey_text(rdata: &[u8]) -> String {
    format!("{} 3 13 {}", u16::from_be_bytes([rdata[0], rdata[1]]), base64::encode_string(&rdata[4..]))
}

#[test]
fn delv_validates() {
    if !installed("delv") {
        return;
    }
    let (zones, anchors) = world();
    let address = serve(authority(settings(zones)));
    let folder = tempfile::tempdir().unwrap();
    for ((apex, anchor), cases) in anchors.iter().zip([VALIDATED, VALIDATED_PLAIN]) {
        let file = folder.path().join("anchors");
        let text = dnskey_text(anchor);
        let (numbers, key) = text.rsplit_once(' ').unwrap();
        std::fs::write(&file, format!("trust-anchors {{ {apex} static-key {numbers} \"{key}\"; }};\n"))
            .unwrap();
        for (name, rtype, expected) in cases {
            let output = Command::new("delv")
                .arg(format!("@{}", address.ip()))
                .args(["-p", &address.port().to_string(), "-a"])
                .arg(&file)
                .args([&format!("+root={apex}"), "+nodlv", "+vtrace", name, rtype])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let more = String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("fully validated"), "{name} {rtype}:\n{text}\n{more}");
            assert!(text.contains(expected), "{name} {rtype}:\n{text}");
        }
    }
}

/// The test above can fail: with another key as anchor nothing is validated.
#[test]
fn delv_refuses_other_keys() {
    if !installed("delv") {
        return;
    }
    let (zones, _) = world();
    let address = serve(authority(settings(zones)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchors");
    let other = dnskey_text(&key("cdn.test.", 257, "").dnskey);
    let (numbers, key) = other.rsplit_once(' ').unwrap();
    std::fs::write(&file, format!("trust-anchors {{ cdn.test. static-key {numbers} \"{key}\"; }};\n"))
        .unwrap();
    let output = Command::new("delv")
        .args(["@127.0.0.1", "-p", &address.port().to_string(), "-a"])
        .arg(&file)
        .args(["+root=cdn.test.", "a1.g.cdn.test", "A"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("fully validated") && !text.contains("192.0."), "{text}");
}

/// For a server that cannot choose one itself. Below the ports that the system gives to whoever asks for any: another test
/// would take one of those before the server does.
fn free_port() -> u16 {
    let here = Ipv4Addr::LOCALHOST;
    let first = 10_000 + std::process::id() as u16 % 10_000;
    let free =
        |port: &u16| TcpListener::bind((here, *port)).is_ok() && UdpSocket::bind((here, *port)).is_ok();
    (first..30_000).find(free).expect("a free port")
}

/// unbound walks from anchor to answer, asking one server of each level.
#[test]
fn unbound_validates() {
    if !installed("unbound") {
        return;
    }
    let (zones, anchors) = world();
    let at =
        |position: usize| serve(authority(settings(Zones::new(vec![Arc::clone(&zones.all()[position])]))));
    let (top, low, plain) = (at(0), at(1), at(2));
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut config = format!(
        "server:\n interface: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{}\"\n \
         do-daemonize: no\n use-syslog: no\n logfile: \"\"\n do-not-query-localhost: no\n module-config: \"validator iterator\"\n \
         qname-minimisation: yes\n local-zone: \"test.\" nodefault\n do-ip6: no\n val-log-level: 2\n num-threads: 1\n",
        folder.path().display()
    );
    for (apex, anchor) in &anchors {
        config += &format!(" trust-anchor: \"{apex} IN DNSKEY {}\"\n", dnskey_text(anchor));
    }
    for (apex, server) in [("cdn.test", top), ("g.cdn.test", low), ("plain.test", plain)] {
        config += &format!("stub-zone:\n name: \"{apex}\"\n stub-addr: 127.0.0.1@{}\n", server.port());
    }
    config += "remote-control:\n control-enable: no\n";
    let file = folder.path().join("unbound.conf");
    std::fs::write(&file, &config).unwrap();
    let mut unbound = Command::new("unbound")
        .env("PATH", "/usr/sbin:/usr/bin:/bin")
        .args(["-d", "-d", "-c"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = unbound.stderr.take().unwrap();
    // It says when it is ready; what it says later tells why a test failed.
    let (ready, started) = std::sync::mpsc::channel();
    let log = std::thread::spawn(move || {
        let mut all = String::new();
        for line in std::io::BufRead::lines(std::io::BufReader::new(stderr)).map_while(Result::ok) {
            if line.contains("start of service") {
                // The test may be over.
                _ = ready.send(());
            }
            all += &line;
            all.push('\n');
        }
        all
    });
    let outcome = started
        .recv_timeout(std::time::Duration::from_secs(20))
        .map_err(|_| "unbound did not start".to_owned())
        .and_then(|()| ask_unbound(port));
    unbound.kill().unwrap();
    unbound.wait().unwrap();
    let log = log.join().unwrap();
    outcome.unwrap_or_else(|error| panic!("{error}\n{log}"));
}

fn ask_unbound(port: u16) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).map_err(|error| error.to_string())?;
    for (name, rtype, expected) in VALIDATED.iter().chain(VALIDATED_PLAIN) {
        let query = asking(&format!("{name} {rtype} +do +rd +ad"));
        socket.send_to(&query.query, (Ipv4Addr::LOCALHOST, port)).map_err(|error| error.to_string())?;
        let mut response = [0; 4096];
        let length = socket.recv(&mut response).map_err(|error| format!("{name} {rtype}: {error}"))?;
        let message = Message::from_octets(&response[..length]).unwrap();
        let header = message.header();
        let text = message.display_dig_style().to_string();
        if !header.ad() || header.rcode().to_int() == 2 {
            return Err(format!("{name} {rtype} is not validated:\n{text}"));
        }
        if !text.contains(expected) {
            return Err(format!("{name} {rtype}:\n{text}"));
        }
    }
    Ok(())
}
