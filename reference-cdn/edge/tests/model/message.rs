//! Messages as both ends of the model see them.

use std::time::UNIX_EPOCH;

/// Field lines in their order; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let pairs = lines.filter_map(|line| line.split_once(':'));
        Self(pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect())
    }

    pub fn of(pairs: &[(String, String)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect())
    }

    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_ascii_lowercase(), value.to_owned()));
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Each field of `newer` takes the place of those of its name, but for `except`.
    pub fn update(&mut self, newer: &Self, except: &[&str]) {
        let kept = |name: &str| except.contains(&name);
        self.0.retain(|(name, _)| kept(name) || newer.get(name).is_none());
        self.0.extend(newer.0.iter().filter(|(name, _)| !kept(name)).cloned());
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(given, _)| given != name);
    }
}

/// An HTTP-date as seconds since 1970.
pub fn seconds(date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(date).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: usize,
    pub method: &'static str,
    pub resource: usize,
    pub fields: Fields,
}

/// What it got.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Fields,
    pub content: Vec<u8>,
    /// It ended as its framing said it would.
    pub complete: bool,
}
