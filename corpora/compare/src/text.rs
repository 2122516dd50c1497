//! Unified diffs of text bodies, bounded by size rather than by a clock, so that they are the same each time.

use crate::Settings;
use crate::body::excerpt;
use exchange::Secrets;
use similar::{Algorithm, DiffTag, capture_diff_slices, group_diff_ops};
use std::fmt::Write as _;

/// Most lines of each side that are diffed, counted from the first that differs.
const LINES: usize = 2000;

/// Lines shown around each change.
const CONTEXT: usize = 3;

/// A unified diff without file names, each line escaped and bounded, of at most about `max_diff` bytes; nothing where
/// both are the same.
pub(crate) fn unified(left: &[u8], right: &[u8], settings: &Settings) -> Option<String> {
    let (max, secrets) = (settings.max_diff, &settings.secrets);
    let lines = |text: &'_ [u8]| text.split_inclusive(|&b| b == b'\n').map(<[u8]>::len).collect::<Vec<_>>();
    let (l, r) = (cut(left, &lines(left)), cut(right, &lines(right)));
    let same_start = l.iter().zip(&r).take_while(|(l, r)| l == r).count();
    let start = same_start.saturating_sub(CONTEXT);
    let window = |lines: &[&'_ [u8]]| (lines.len() - start).min(LINES);
    let (wl, wr) = (&l[start..start + window(&l)], &r[start..start + window(&r)]);
    let mut diff = String::new();
    for group in group_diff_ops(capture_diff_slices(Algorithm::Myers, wl, wr), CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old, new) =
            (first.old_range().start..last.old_range().end, first.new_range().start..last.new_range().end);
        // Writing to a String cannot fail.
        let _ = writeln!(
            diff,
            "@@ -{},{} +{},{} @@",
            start + old.start + 1,
            old.len(),
            start + new.start + 1,
            new.len()
        );
        for op in &group {
            match op.tag() {
                DiffTag::Equal => print(&mut diff, secrets, ' ', &wl[op.old_range()]),
                _ => {
                    print(&mut diff, secrets, '-', &wl[op.old_range()]);
                    print(&mut diff, secrets, '+', &wr[op.new_range()]);
                }
            }
            if diff.len() > max {
                return Some(shorten(diff, max));
            }
        }
    }
    if l.len() - start > LINES || r.len() - start > LINES {
        diff.push_str("(only the first lines were compared)\n");
    }
    (!diff.is_empty()).then_some(diff)
}

fn cut<'t>(mut text: &'t [u8], lengths: &[usize]) -> Vec<&'t [u8]> {
    let mut lines = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (line, rest) = text.split_at(length);
        lines.push(line);
        text = rest;
    }
    lines
}

fn print(diff: &mut String, secrets: &Secrets, mark: char, lines: &[&[u8]]) {
    for line in lines {
        diff.push(mark);
        let (line, ended) = line.strip_suffix(b"\n").map_or((*line, false), |line| (line, true));
        diff.push_str(&excerpt(&secrets.text(line)));
        diff.push_str(if ended { "\n" } else { "\n\\ No newline at end of body\n" });
    }
}

fn shorten(mut diff: String, max: usize) -> String {
    let end = diff.char_indices().map(|(at, _)| at).take_while(|&at| at <= max).last().unwrap_or(0);
    let end = diff[..end].rfind('\n').map_or(end, |at| at + 1);
    diff.truncate(end);
    diff.push_str("(the rest is left out)\n");
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unified(left: &[u8], right: &[u8], max_diff: usize) -> Option<String> {
        super::unified(left, right, &Settings { max_diff, ..Settings::default() })
    }

    #[test]
    fn shows_what_changed() {
        let left = "a\nb\nc\nd\ne\nf\ng\n";
        let right = "a\nb\nc\nd\nE\x1b\nf\ng";
        let expected = "@@ -2,6 +2,6 @@\n b\n c\n d\n-e\n+E\\x1b\n f\n-g\n+g\n\\ No newline at end of body\n";
        assert_eq!(unified(left.as_bytes(), right.as_bytes(), 1000).as_deref(), Some(expected));
        assert_eq!(unified(b"a\n", b"a\n", 1000), None);
    }

    #[test]
    fn stays_small_and_quick() {
        let lines = |f: fn(usize) -> usize| (0..200_000).map(|i| format!("{}\n", f(i))).collect::<String>();
        let (left, right) = (lines(|i| i * 2), lines(|i| i * 2 + 1));
        let diff = unified(left.as_bytes(), right.as_bytes(), 5000).unwrap();
        assert!(diff.len() < 5100, "{}", diff.len());
        assert!(diff.ends_with("(the rest is left out)\n"));
        let long = unified("x".repeat(1 << 20).as_bytes(), b"y", 5000).unwrap();
        assert!(long.len() < 1000, "{long}");
    }
}
