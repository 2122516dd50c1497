//! How many queries come from where: lines of prefix and queries per second.

use super::prefix::Prefix;
use super::probes::{AROUND_V4, AROUND_V6};
use super::problem::BadInput;
use super::source::Source;

pub const LONGEST_FILE: usize = 1 << 30;
pub const MOST_PREFIXES: usize = 16_000_000;
/// The most queries per second of one prefix, so that sums stay within 64 bits.
const MOST_QUERIES: f64 = 1e9;

/// Queries of prefixes. Those of a longer prefix do not count towards one around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// In thousandths of a query per second.
    pub prefixes: Vec<(Prefix, u64)>,
    pub sources: Vec<Source>,
}

/// Adds a file: a prefix or address and a number, parted by a comma or white space. `#` begins a comment.
///
/// # Errors
/// When nothing in it can be used.
pub fn read(file: &str, time: u64, text: &str, demand: &mut Demand) -> Result<(), BadInput> {
    if text.len() > LONGEST_FILE {
        return Err(BadInput::new(file, format!("has {} octets, of at most {LONGEST_FILE}", text.len())));
    }
    let mut source = Source::new(file, time);
    for (line, at) in text.lines().zip(1..) {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        source.lines += 1;
        let mut parts =
            content.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|part| !part.is_empty());
        let (prefix, queries, more) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let result = Prefix::parse(prefix, AROUND_V4, AROUND_V6)
            .map_err(|_| "begins with no address or prefix")
            .and_then(|prefix| {
                let queries: f64 = queries.parse().map_err(|_| "has no number of queries per second")?;
                if more.is_some() || demand.prefixes.len() >= MOST_PREFIXES {
                    return Err(if more.is_some() {
                        "has more than two fields"
                    } else {
                        "beyond the most prefixes"
                    });
                }
                if !(0.0..=MOST_QUERIES).contains(&queries) {
                    return Err("has a number of queries below 0 or above 1000000000");
                }
                Ok((prefix, (queries * 1000.0).round() as u64))
            });
        match result {
            Ok(row) => {
                demand.prefixes.push(row);
                source.used += 1;
            }
            Err(reason) => source.skip(at, reason),
        }
    }
    if let (0, Some(first)) = (source.used, source.skipped.first()) {
        let what = format!("no line can be used: {}", first.reason);
        return Err(BadInput::new(file, what).line(first.first).hint("a line is like 203.0.113.0/24,12.5"));
    }
    demand.sources.push(source);
    Ok(())
}

/// Prefixes that are to be told apart whatever else is known of them: one a line. `#` begins a comment.
///
/// # Errors
/// The first line that is none.
pub fn read_prefixes(file: &str, text: &str) -> Result<Vec<Prefix>, BadInput> {
    let mut prefixes = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        if prefixes.len() >= MOST_PREFIXES {
            return Err(BadInput::new(file, format!("more than {MOST_PREFIXES} prefixes")).line(at));
        }
        prefixes.push(
            Prefix::parse(content, 32, 64)
                .map_err(|what| BadInput::new(file, format!("{content:?} {what}")).line(at))?,
        );
    }
    Ok(prefixes)
}
