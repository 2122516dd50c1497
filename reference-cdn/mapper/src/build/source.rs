//! Where measurements and tables came from, how old they are, and what of them could not be used.

use serde::Serialize;

/// One file of an input that may be missing or old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    pub file: String,
    /// When what it says was true, in seconds since 1970: from its content where that says so, else when it was written.
    pub time: u64,
    /// Lines, records or networks in it.
    pub lines: u64,
    pub used: u64,
    pub skipped: Vec<Skipped>,
}

/// What was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub reason: &'static str,
    pub count: u64,
    /// Line or record of the first one, from 1.
    pub first: u64,
}

impl Skipped {
    /// Where the first one is, why it was passed over, and how many more there are.
    pub fn tell(&self, file: &str) -> String {
        format!("{file}:{}: not used: {}{}", self.first, self.reason, self.more())
    }

    /// How many there are beyond the first.
    pub fn more(&self) -> String {
        match self.count.saturating_sub(1) {
            0 => String::new(),
            1 => "; and one more like it".to_owned(),
            more => format!("; and {more} more like it"),
        }
    }
}

impl Source {
    pub fn new(file: &str, time: u64) -> Self {
        Self { file: file.to_owned(), time, ..Self::default() }
    }

    pub fn skip(&mut self, line: u64, reason: &'static str) {
        match self.skipped.iter_mut().find(|skipped| skipped.reason == reason) {
            Some(skipped) => skipped.count += 1,
            None => self.skipped.push(Skipped { reason, count: 1, first: line }),
        }
    }
}
