//! Messages of a capture as tshark and as we see them, in the same form.

use exchange::Sha256;
use replay::extract::{Options, Recorded, load};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use wire::Notes;

/// One message. Each character stands for one byte (ISO 8859-1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Seen {
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body_length: u64,
    pub body_sha256: String,
}

/// Messages by TCP connection (numbered by first packet) and direction, in order.
pub type Messages = BTreeMap<(u64, String), Vec<Seen>>;

#[derive(Deserialize)]
struct Line {
    stream: u64,
    direction: String,
    #[serde(flatten)]
    seen: Seen,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Whether tshark and Python are here; says so where they are not, and fails where they must be.
pub fn available(test: &str) -> bool {
    let runs = |program: &str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let missing: Vec<&str> = ["tshark", "python3"].into_iter().filter(|program| !runs(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|v| v == "1");
    assert!(!required, "{test}: {} must be installed", missing.join(" and "));
    println!("not run: {test}: {} is not installed", missing.join(" and "));
    false
}

/// What tshark finds. `ports` carry HTTP beside the ones that it knows.
pub fn tshark(capture: &Path, ports: &[u16]) -> Messages {
    let mut command = Command::new("python3");
    command.arg(root().join("ci/record/tshark-transactions")).arg(capture);
    for port in ports {
        command.arg("--port").arg(port.to_string());
    }
    let output = command.output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut messages = Messages::new();
    for line in String::from_utf8(output.stdout).expect("the script prints ASCII").lines() {
        let line: Line = serde_json::from_str(line).expect("the script prints JSON");
        messages.entry((line.stream, line.direction)).or_default().push(line.seen);
    }
    messages
}

/// What we find.
pub fn ours(capture: &Path) -> Messages {
    let (recorded, _) = load(capture, &Options { keep_body: 0 }).expect("the capture can be read");
    let mut by_place = recorded;
    by_place.sort_by_key(Recorded::place);
    let mut messages = Messages::new();
    for recorded in &by_place {
        let connection = recorded.place().0;
        let mut add = |direction: &str, seen: Seen| {
            messages.entry((connection, direction.to_owned())).or_default().push(seen);
        };
        if let Some(request) = recorded.request() {
            let start = start_line(&recorded.request_notes);
            add("request", seen(start, &request.fields, &request.trailers, &request.body));
        }
        if let Some(response) = recorded.response() {
            let raw = recorded.response_notes.raw_interim.iter();
            for (interim, raw) in response.interim.iter().zip(raw) {
                add("response", seen(first_line(raw), &interim.fields, &interim.trailers, &interim.body));
            }
            let start = start_line(&recorded.response_notes);
            add("response", seen(start, &response.fields, &response.trailers, &response.body));
        }
    }
    messages
}

fn seen(
    start: String,
    fields: &exchange::Fields,
    trailers: &exchange::Fields,
    body: &exchange::Body,
) -> Seen {
    let lines = |fields: &exchange::Fields| {
        fields.iter().map(|f| (latin1(&f.name), latin1(&f.value))).collect::<Vec<_>>()
    };
    let Sha256(digest) = body.sha256;
    Seen {
        start,
        fields: lines(fields),
        trailers: lines(trailers),
        body_length: body.length,
        body_sha256: Sha256(digest).to_string(),
    }
}

fn start_line(notes: &Notes) -> String {
    first_line(&notes.raw_head)
}

/// The first line that is not empty, without its end.
fn first_line(raw: &[u8]) -> String {
    let mut lines = raw.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    latin1(lines.find(|line| !line.is_empty()).unwrap_or_default())
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// Where two views of a capture disagree, one line each. Messages are paired in order, after those that only one
/// side has were taken out.
pub fn disagreements(ours: &Messages, theirs: &Messages) -> Vec<String> {
    let mut all = Vec::new();
    let mut keys: Vec<_> = ours.keys().chain(theirs.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    let nothing = Vec::new();
    for key in keys {
        let (left, right) = (ours.get(&key).unwrap_or(&nothing), theirs.get(&key).unwrap_or(&nothing));
        let starts = |list: &[Seen]| list.iter().map(|seen| seen.start.clone()).collect::<Vec<_>>();
        let (stream, direction) = key;
        let mut say = |what: String| all.push(format!("stream {stream} {direction} {what}"));
        for (l, r) in align(&starts(left), &starts(right)) {
            match (l.map(|i| (i, &left[i])), r.map(|i| (i, &right[i]))) {
                (Some((i, seen)), None) => say(format!("{i}: ours only: {}", seen.start)),
                (None, Some((i, seen))) => say(format!("{i}: tshark only: {}", seen.start)),
                (Some((i, a)), Some((_, b))) if a != b => {
                    let mut what = Vec::new();
                    if a.fields != b.fields {
                        let differ = |x: &[(String, String)], y: &[(String, String)]| {
                            x.iter()
                                .filter(|line| !y.contains(line))
                                .map(|l| format!("{l:?}"))
                                .collect::<Vec<_>>()
                        };
                        what.push(format!(
                            "fields, ours {} tshark {}",
                            differ(&a.fields, &b.fields).join(" "),
                            differ(&b.fields, &a.fields).join(" ")
                        ));
                    }
                    if a.trailers != b.trailers {
                        what.push(format!("trailers, ours {:?} tshark {:?}", a.trailers, b.trailers));
                    }
                    if a.body_sha256 != b.body_sha256 {
                        what.push(format!("body, ours {} bytes tshark {}", a.body_length, b.body_length));
                    }
                    say(format!("{i}: {}: {}", a.start, what.join("; ")));
                }
                _ => {}
            }
        }
    }
    all
}

/// Pairs of indices of a longest common subsequence, and the others alone, in order.
fn align(a: &[String], b: &[String]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}
