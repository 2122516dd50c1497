//! The disk store on folders that nobody wrote as they are: any octets as segments, and whole folders cut, flipped,
//! spliced, swapped, doubled, and with checksums made good for what was changed.

use crate::disk_folder::{Content, Folder, open};
use crate::input::Input;
use std::collections::BTreeSet;
use std::sync::OnceLock;

const PATHS: [&str; 14] = [
    "/0",
    "/1",
    "/2",
    "/3",
    "/4",
    "/5",
    "/6",
    "/7",
    "/8",
    "/removed",
    "/replaced",
    "/freshened",
    "/new",
    "/never",
];

fn content(n: usize, octets: usize) -> Vec<u8> {
    (0..octets).map(|at| (at * 31 / 7 + n * 13) as u8).collect()
}

/// What was ever stored: path, mark of the head, content.
type Known = BTreeSet<(&'static str, &'static str, Vec<u8>)>;

/// Folders as an edge left them.
struct Base {
    /// Killed, and stopped in good order.
    folders: Vec<Content>,
    known: Known,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn wait(until: impl Fn() -> bool) {
    let deadline = 100_000_000;
    assert!(
        (0..deadline).any(|_| until() || {
            std::thread::yield_now();
            false
        }),
        "the writer writes"
    );
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut known = Known::new();
        let folder = Folder::of(&Content::new());
        let opened = open(&folder);
        let mut folders = Vec::new();
        let sizes = [0, 1, 100, 3000, 9000, 65_536, 70_000, 9000, 66_000];
        let mut written = 0;
        let mut put = |path: &'static str, mark: &'static str, octets: &[u8]| {
            opened.put(path, mark, octets);
            known.insert((path, mark, octets.to_vec()));
            written += 1;
            wait(|| opened.counter(|it| &it.written) == written);
        };
        put("/removed", "removed", b"removed");
        put("/replaced", "old", b"old");
        put("/freshened", "before", &content(20, 5000));
        for (n, size) in sizes.into_iter().enumerate() {
            put(PATHS[n], PATHS[n], &content(n, size));
            if n == 3 {
                // One segment, small enough to be an input itself.
                folders.push(folder.content());
            }
        }
        put("/replaced", "new", &content(21, 4000));
        opened.freshen("/freshened", "after");
        known.insert(("/freshened", "after", content(20, 5000)));
        let purged = opened.store.purge(&opened.key("/removed"), None);
        assert!(runtime().block_on(purged.removal.written()));
        folders.push(folder.content());
        opened.store.close();
        folders.push(folder.content());
        assert!(folders[1].len() > 1, "several segments");
        Base { folders, known }
    })
}

/// Opens a folder, asks for everything, stores more, opens it again. What is found, if `honest`, was stored once; and
/// what is found the second time is what was found the first time.
fn check(content: &Content, honest: bool) {
    let known = &base().known;
    let folder = Folder::of(content);
    let runtime = runtime();
    let judge = |path: &'static str, found: &[(String, Option<Vec<u8>>)]| {
        for (mark, octets) in found {
            let Some(octets) = octets else { continue };
            let was_stored = known.iter().any(|(p, m, o)| *p == path && m == mark && o == octets);
            assert!(was_stored || !honest, "{path} gives \"{mark}\" with {} octets", octets.len());
        }
    };
    let opened = open(&folder);
    let mut first = Vec::new();
    for path in PATHS.into_iter().filter(|path| *path != "/new") {
        let found = runtime.block_on(opened.get(path));
        judge(path, &found);
        first.push((path, found));
    }
    for (path, found) in &mut first {
        // What could not be read is gone for good.
        let again = runtime.block_on(opened.get(path));
        found.retain(|(_, octets)| octets.is_some());
        assert!(!honest || again == *found, "{path}: {again:?} the second time");
    }
    opened.put("/new", "new", b"new");
    opened.store.close();
    folder.check_effort();
    drop(opened);
    let opened = open(&folder);
    for (path, before) in first {
        let found = runtime.block_on(opened.get(path));
        judge(path, &found);
        assert!(
            !honest || found == before,
            "{path}: {} responses after another start, {} before",
            found.len(),
            before.len()
        );
    }
    let new = runtime.block_on(opened.get("/new"));
    assert!(!honest || new == [("new".to_owned(), Some(b"new".to_vec()))], "{new:?}");
    opened.store.close();
    folder.check_effort();
}

/// What is done to a folder; the smallest number of octets says it.
pub(crate) fn damage_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2]];
    for (base, action) in
        [(0, 0), (1, 1), (2, 2), (1, 3), (2, 4), (1, 5), (2, 6), (1, 7), (2, 8), (1, 9), (2, 10), (2, 11)]
    {
        seeds.push(vec![base, action, 0, 100, 1, 1, 0, 200, 3, action, 1, 50, 200, 0, 0, 30, 7]);
        seeds.push(vec![base, 8, 0, 0, 40, 255, 255, 255, 255, 255, action, 2, 0, 10, 1, 0, 255, 8]);
    }
    seeds.extend(forgeries());
    seeds
}

/// Every number of every structure, as large as it can be and small, with checksums made good.
fn forgeries() -> impl Iterator<Item = Vec<u8>> {
    let header = (12..124_u16).step_by(4).map(|at| vec![9, at]);
    let record = (0..72_u16).step_by(4).flat_map(|at| [0, 2, 5].map(|which| vec![10, which, at]));
    let entries = (0..40_u16).step_by(4).filter(|at| !at.is_multiple_of(5)).map(|at| vec![11, 1, at]);
    let trailer = (0..52_u16).step_by(4).map(|at| vec![11, 0, at * 5]);
    let all = header.chain(record).chain(entries).chain(trailer);
    all.flat_map(|words| {
        [[0xff; 8], [0x7f, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0x80]].map(|new: [u8; 8]| {
            let mut input = vec![2, words[0] as u8, 0, 0, 0, 0];
            words[1..].iter().for_each(|word| input.extend_from_slice(&word.to_le_bytes()));
            input.extend_from_slice(&new);
            input
        })
    })
}

/// Damages a whole folder. Octets that no checksum vouches for give what was stored, or nothing; and where checksums were
/// made good, the store stays whole at least.
pub(crate) fn damaged(input: &[u8]) {
    let mut input = Input(input);
    let folders = &base().folders;
    let mut content = folders[usize::from(input.byte()) % folders.len()].clone();
    let mut honest = true;
    for _ in 0..8 {
        if input.0.is_empty() || content.is_empty() {
            break;
        }
        let action = input.byte();
        let names: Vec<String> = content.keys().cloned().collect();
        let name = names[usize::from(input.byte()) % names.len()].clone();
        let other = names[usize::from(input.byte()) % names.len()].clone();
        let other_octets = content[&other].clone();
        let octets = content.get_mut(&name).unwrap();
        // Often near the beginning, or the end.
        let share = usize::from(input.word());
        let place = |length: usize| match share % 3 {
            0 => (share / 3) % 512,
            1 => length.saturating_sub((share / 3) % 512),
            _ => length * share / 65_536,
        };
        let at = place(octets.len()).min(octets.len());
        match action % 12 {
            0 => octets.truncate(at),
            1 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet ^= 1 << (input.byte() % 8);
                }
            }
            2 => {
                let from = place(other_octets.len()).min(other_octets.len());
                octets.truncate(at);
                octets.extend_from_slice(&other_octets[from..]);
            }
            3 => {
                let mine = std::mem::replace(octets, other_octets);
                content.insert(other, mine);
            }
            4 => {
                let copy = octets.clone();
                let number = u32::from(input.byte());
                content.insert(format!("{number:08x}.segment"), copy);
            }
            5 => drop(content.remove(&name)),
            6 => octets.extend_from_slice(input.take(200)),
            7 => {
                let end = (at + usize::from(input.byte()) * 16).min(octets.len());
                octets[at..end].fill(0);
            }
            8 => {
                let new = input.take(8);
                let end = (at + new.len()).min(octets.len());
                octets[at..end].copy_from_slice(&new[..end - at]);
            }
            // From here on somebody lies.
            9 => honest &= !forge_header(octets, input.word(), input.take(8)),
            10 => honest &= !forge_record(octets, input.word(), input.word(), input.take(8)),
            _ => honest &= !forge_index(octets, input.word(), input.word(), input.take(8)),
        }
        content.retain(|_, octets| octets.len() < 1 << 20);
    }
    check(&content, honest);
}

/// Changes octets, and says whether that made a difference.
fn overwrite(octets: &mut [u8], at: usize, new: &[u8]) -> bool {
    let end = (at + new.len()).min(octets.len());
    let Some(place) = octets.get_mut(at..end) else { return false };
    let changed = place != &new[..place.len()];
    place.copy_from_slice(&new[..place.len()]);
    changed
}

fn number(octets: &[u8], at: usize) -> usize {
    octets.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()) as usize)
}

/// What begins the checksums of a store: see the layout of segments in the edge's `store/disk/layout.rs`.
fn seed(segment: &[u8]) -> u32 {
    crc32fast::hash(segment.get(24..56).unwrap_or_default())
}

fn sum(seed: u32, parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().to_le_bytes()
}

fn forge_header(octets: &mut [u8], at: u16, new: &[u8]) -> bool {
    if octets.len() < 128 {
        return false;
    }
    let changed = overwrite(&mut octets[..124], usize::from(at) % 124, new);
    let sum = crc32fast::hash(&octets[..124]).to_le_bytes();
    octets[124..128].copy_from_slice(&sum);
    changed
}

/// Changes the header of the record number `which`, or its texts.
fn forge_record(octets: &mut [u8], which: u16, at: u16, new: &[u8]) -> bool {
    let records: Vec<usize> = (128..octets.len().saturating_sub(88))
        .step_by(8)
        .filter(|at| octets[*at..].starts_with(b"RCRD"))
        .collect();
    let Some(record) = records.get(usize::from(which) % records.len().max(1)) else { return false };
    let (seed, record) = (seed(octets), &mut octets[*record..]);
    let changed = overwrite(record, 4 + usize::from(at) % 76, new);
    let texts = usize::from(u16::from_le_bytes([record[6], record[7]]))
        + number(record, 8)
        + number(record, 12)
        + number(record, 16);
    let texts = &record[88..(88 + texts).min(record.len())];
    let sum = sum(seed, &[&record[..80], texts]);
    record[80..84].copy_from_slice(&sum);
    changed
}

/// Changes the index of a sealed segment, or its trailer.
fn forge_index(octets: &mut [u8], which: u16, at: u16, new: &[u8]) -> bool {
    let seed = seed(octets);
    let Some(end) = octets.len().checked_sub(64).filter(|end| octets[*end..].starts_with(b"RCDNEND\n"))
    else {
        return false;
    };
    let (from, count) = (number(octets, end + 16), number(octets, end + 12));
    if count == 0 || from + 40 * count != end {
        return false;
    }
    let changed = if at.is_multiple_of(5) {
        overwrite(&mut octets[end + 8..end + 60], usize::from(at / 5) % 52, new)
    } else {
        let entry = from + 40 * (usize::from(which) % count);
        overwrite(&mut octets[entry..entry + 40], usize::from(at) % 40, new)
    };
    let entries = sum(seed, &[&octets[from..end]]);
    if !at.is_multiple_of(5) {
        octets[end + 20..end + 24].copy_from_slice(&entries);
    }
    let trailer = sum(seed, &[&octets[end..end + 60]]);
    octets[end + 60..].copy_from_slice(&trailer);
    changed
}

pub(crate) fn octet_seeds() -> Vec<Vec<u8>> {
    let small = base().folders[0].values().next().unwrap().clone();
    let mut foreign = small.clone();
    foreign[0] = b'X';
    let mut later = small.clone();
    later[8] = 9;
    vec![small, foreign, later, b"RCDNSEG\n".to_vec(), vec![0; 200], Vec::new()]
}

/// Any octets as two segments.
pub(crate) fn octets(input: &[u8]) {
    let (one, other) = input.split_at(input.len() - input.len() / 8);
    let files = [("00000000.segment", one), ("00000001.segment", other)];
    check(&files.map(|(name, octets)| (name.to_owned(), octets.to_vec())).into(), true);
}
