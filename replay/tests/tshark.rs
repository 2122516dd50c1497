//! What we extract is what tshark extracts: from every recording, and from recordings whose segments were cut,
//! repeated, put out of order and made to overlap. Each disagreement stands in `tshark-disagreements.txt` with its reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;

use bytes::Bytes;
use capture::{Input, LinkType, Packet, PacketFormat, PacketWriter};
use etherparse::PacketBuilder;
use exchange::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wire::tcp::Segment;

/// Mutated connections, by the seed that made them.
const SEEDS: u64 = 200;

/// The committed disagreements: `[capture]`, then `# reason` and the lines that it explains.
fn explained() -> BTreeMap<String, BTreeSet<String>> {
    let path = peer::root().join("replay/tests/tshark-disagreements.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut capture, mut reason) = (None, false);
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            (capture, reason) = (Some(name.to_owned()), false);
        } else if line.starts_with("# ") {
            reason = true;
        } else if !line.is_empty() {
            let capture = capture.clone().unwrap_or_default();
            assert!(
                reason && !capture.is_empty(),
                "line {}: a disagreement without capture or reason",
                number + 1
            );
            let new = all.entry(capture).or_default().insert(line.to_owned());
            assert!(new, "line {}: twice the same", number + 1);
        }
    }
    all
}

/// Compares one capture and gives what the list does not explain, and what it explains that is not so.
fn surprises(name: &str, capture: &Path, explained: &BTreeSet<String>) -> Vec<String> {
    let found: BTreeSet<String> =
        peer::disagreements(&peer::ours(capture), &peer::tshark(capture, &ports(capture)))
            .into_iter()
            .collect();
    let new = found.difference(explained).map(|line| format!("{name}: not explained: {line}"));
    let gone = explained.difference(&found).map(|line| format!("{name}: no longer so: {line}"));
    new.chain(gone).collect()
}

/// Server ports of a capture that carry HTTP by our judgement: tshark has to be told of unusual ones.
fn ports(capture: &Path) -> Vec<u16> {
    let options = replay::extract::Options { keep_body: 0 };
    let (recorded, _) = replay::extract::load(capture, &options).unwrap();
    let ports: BTreeSet<u16> = recorded
        .iter()
        .filter_map(|r| Some(r.request()?.seen.to?.port()))
        .filter(|port| *port != 80)
        .collect();
    ports.into_iter().collect()
}

fn recordings() -> Vec<PathBuf> {
    let directory = peer::root().join("corpora/recordings");
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng");
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(is_capture).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_recording_gives_what_tshark_gives() {
    if !peer::available("every_recording_gives_what_tshark_gives") {
        return;
    }
    let mut explained = explained();
    explained.remove("mutations");
    let mut surprised = Vec::new();
    let mut compared = 0;
    for path in recordings() {
        let lines = explained.remove(&name(&path)).unwrap_or_default();
        surprised.extend(surprises(&name(&path), &path, &lines));
        compared += peer::ours(&path).values().map(Vec::len).sum::<usize>();
    }
    surprised.extend(
        explained.into_keys().map(|capture| format!("{capture}: explained, but there is no such recording")),
    );
    assert!(surprised.is_empty(), "{}", surprised.join("\n"));
    println!("{compared} messages compared");
}

#[test]
fn mutated_segments_give_what_tshark_gives() {
    if !peer::available("mutated_segments_give_what_tshark_gives") {
        return;
    }
    let connections = whole_connections();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mutations.pcapng");
    let mut writer = PacketWriter::new(std::fs::File::create(&path).unwrap(), PacketFormat::PcapNg).unwrap();
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let segments = &connections[random.below(connections.len())];
        for segment in mutate(segments, seed, &mut random) {
            writer.write(&packet(&segment)).unwrap();
        }
    }
    writer.finish().unwrap();
    let explained = explained().remove("mutations").unwrap_or_default();
    let surprised = surprises("mutations", &path, &explained);
    assert!(surprised.is_empty(), "{}", surprised.join("\n"));
    let ours = peer::ours(&path);
    let streams: BTreeSet<u64> = ours.keys().map(|(stream, _)| *stream).collect();
    assert_eq!(streams.len() as u64, SEEDS, "each mutated connection must hold messages");
}

/// Connections of the recordings from handshake to end, none of whose bytes are missing, that are not too long.
fn whole_connections() -> Vec<Vec<Segment>> {
    let explained = explained();
    let mut all = Vec::new();
    for path in recordings() {
        // What tshark does not understand unmutated says nothing when it is mutated.
        if explained.contains_key(&name(&path)) || name(&path).starts_with("derived-") {
            continue;
        }
        let Input::Packets(packets) = capture::open(&path).unwrap() else { continue };
        let mut by_ends: BTreeMap<[SocketAddr; 2], Vec<Segment>> = BTreeMap::new();
        for packet in packets {
            let packet = packet.unwrap();
            let now = packet.time.unwrap_or_default();
            let Ok(segment) = replay::extract::segment(&packet, now) else { continue };
            let mut ends = [segment.from, segment.to];
            ends.sort();
            by_ends.entry(ends).or_default().push(segment);
        }
        all.extend(by_ends.into_values().filter(|segments| is_whole(segments)));
    }
    assert!(all.len() > 50, "{} whole connections", all.len());
    all
}

fn is_whole(segments: &[Segment]) -> bool {
    let handshake = segments.first().is_some_and(|s| s.syn && s.ack.is_none())
        && segments.get(1).is_some_and(|s| s.syn && s.ack.is_some())
        && segments.iter().filter(|s| s.syn).count() == 2;
    let mut next: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    let in_order = segments.iter().all(|s| {
        let length = s.payload.len() as u32 + u32::from(s.syn) + u32::from(s.fin);
        let expected = next.insert(s.from, s.seq.wrapping_add(length));
        s.cut_off == 0 && !s.rst && expected.is_none_or(|expected| expected == s.seq)
    });
    let ended = segments.iter().filter(|s| s.fin).count() == 2;
    let bytes: usize = segments.iter().map(|s| s.payload.len()).sum();
    handshake && in_order && ended && segments.len() < 400 && (100..200_000).contains(&bytes)
}

/// Cuts, repeats, reorders and overlaps segments; the streams they carry stay the same.
fn mutate(segments: &[Segment], seed: u64, random: &mut Random) -> Vec<Segment> {
    let client = segments[0].from;
    let (new_client, new_server) = (
        SocketAddr::from(([10, 1, (seed >> 8) as u8, seed as u8], 40_000)),
        SocketAddr::from(([10, 2, (seed >> 8) as u8, seed as u8], 80)),
    );
    let mut all: Vec<Segment> = segments.to_vec();
    for s in &mut all {
        (s.from, s.to) = if s.from == client { (new_client, new_server) } else { (new_server, new_client) };
    }
    for _ in 0..1 + random.below(8) {
        let with_data: Vec<usize> = (0..all.len()).filter(|i| all[*i].payload.len() > 1).collect();
        let Some(at) = (!with_data.is_empty()).then(|| with_data[random.below(with_data.len())]) else {
            break;
        };
        match random.below(4) {
            0 => cut(&mut all, at, random),
            1 => repeat(&mut all, at, random),
            2 => reorder(&mut all, at),
            _ => overlap(&mut all, at, random),
        }
    }
    // One after the other, a millisecond apart.
    for (number, s) in all.iter_mut().enumerate() {
        s.time = Time::new(1_795_298_820 + seed as i64, number as u32 * 1_000_000);
    }
    all
}

fn cut(all: &mut Vec<Segment>, at: usize, random: &mut Random) {
    let whole = all[at].clone();
    let length = 1 + random.below(whole.payload.len() - 1);
    let mut second = whole.clone();
    second.payload = whole.payload.slice(length..);
    second.seq = whole.seq.wrapping_add(length as u32);
    all[at].payload = whole.payload.slice(..length);
    all[at].fin = false;
    all.insert(at + 1, second);
}

fn repeat(all: &mut Vec<Segment>, at: usize, random: &mut Random) {
    let again = all[at].clone();
    let later = (at + 1 + random.below(4)).min(all.len());
    all.insert(later, again);
}

/// Swaps a segment with the next one of its direction, if no other comes between.
fn reorder(all: &mut [Segment], at: usize) {
    let fits = all
        .get(at + 1)
        .is_some_and(|next| next.from == all[at].from && !next.fin && !next.payload.is_empty());
    if fits && !all[at].fin {
        all.swap(at, at + 1);
    }
}

/// Lets a segment carry the first bytes of the next one of its direction too.
fn overlap(all: &mut [Segment], at: usize, random: &mut Random) {
    let Some(next) = all[at + 1..].iter().find(|s| s.from == all[at].from && !s.payload.is_empty()) else {
        return;
    };
    if all[at].fin || next.seq != all[at].seq.wrapping_add(all[at].payload.len() as u32) {
        return;
    }
    let more = next.payload.slice(..1 + random.below(next.payload.len()));
    all[at].payload = [all[at].payload.clone(), more].concat().into();
}

fn packet(s: &Segment) -> Packet {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (s.from, s.to) else {
        panic!("mutations have IPv4 addresses")
    };
    let mut builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64).tcp(
        from.port(),
        to.port(),
        s.seq,
        64_000,
    );
    builder = if let Some(ack) = s.ack { builder.ack(ack) } else { builder };
    builder = if s.syn { builder.syn() } else { builder };
    builder = if s.fin { builder.fin() } else { builder };
    let mut data = Vec::new();
    builder.write(&mut data, &s.payload).unwrap();
    let length = data.len() as u32;
    Packet { time: Some(s.time), link: LinkType::RAW, data: Bytes::from(data), length }
}

/// The same numbers for the same seed, on every machine (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
