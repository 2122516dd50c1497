//! Inputs on disk: reads what has changed, keeps what it had where a file cannot be read.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::Deserialize;

use super::bgp::{self, Collector, Routes};
use super::builder::Inputs;
use super::demand::{self, Demand};
use super::geo::{self, Places};
use super::listed::listed;
use super::plant::Plant;
use super::prefix::Prefix;
use super::probes::{self, Probes};
use super::problem::BadInput;
use super::{network_file, tables, traces};

/// Most files of a folder of measurements.
pub const MOST_FILES: usize = 20_000;

/// Where inputs are. A folder stands for all files in it. Only the network must be there; INPUTS.md has their formats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// `network.toml`: sites, servers and services.
    #[serde(deserialize_with = "listed")]
    pub network: Vec<PathBuf>,
    /// Tables of sites and servers: `.csv` or `.jsonl`.
    #[serde(deserialize_with = "listed")]
    pub sites: Vec<PathBuf>,
    #[serde(deserialize_with = "listed")]
    pub servers: Vec<PathBuf>,
    /// MRT dumps.
    #[serde(deserialize_with = "listed")]
    pub bgp: Vec<PathBuf>,
    /// MMDB databases; the first that knows something is believed.
    #[serde(deserialize_with = "listed")]
    pub places: Vec<PathBuf>,
    /// Measurements: `.jsonl` or `.ndjson`, or what ping, traceroute and mtr print.
    #[serde(deserialize_with = "listed")]
    pub probes: Vec<PathBuf>,
    #[serde(deserialize_with = "listed")]
    pub demand: Vec<PathBuf>,
    /// Prefixes to be told apart in any case.
    #[serde(deserialize_with = "listed")]
    pub prefixes: Vec<PathBuf>,
}

impl Files {
    /// All paths, to be changed.
    pub fn lists_mut(&mut self) -> [&mut Vec<PathBuf>; 8] {
        let Self { network, sites, servers, bgp, places, probes, demand, prefixes } = self;
        [network, sites, servers, bgp, places, probes, demand, prefixes]
    }
}

/// A file as it was when it was read: when it was written (nanoseconds since 1970), and its length.
type Seen = (PathBuf, u128, u64);

/// What was read of some files, and what they were like then.
#[derive(Debug)]
struct Kept<T> {
    seen: Vec<Seen>,
    value: Arc<T>,
    /// It was read without a problem, or with one that does not spoil it.
    good: bool,
    problems: Vec<BadInput>,
}

impl<T> Default for Kept<T>
where
    T: Default,
{
    fn default() -> Self {
        Self { seen: Vec::new(), value: Arc::default(), good: false, problems: Vec::new() }
    }
}

impl<T> Kept<T> {
    /// Reads anew if a file has changed. Where something fails and there is something from before, that stays; but what `read` calls
    /// good enough is taken.
    fn refresh(&mut self, paths: &[&PathBuf], read: impl FnOnce(&[Seen], &mut Vec<BadInput>) -> (T, bool)) {
        let mut problems = Vec::new();
        let seen = look(paths, &mut problems);
        if seen == self.seen
            && problems.is_empty()
            && !self.problems.iter().any(|problem| problem.what.starts_with(UNREAD))
        {
            return;
        }
        let (value, good) = read(&seen, &mut problems);
        self.seen = seen;
        let good = good || problems.is_empty();
        if good || !self.good {
            self.value = Arc::new(value);
            self.good = good;
        } else {
            let hint = "what was read before stays in use, and ages";
            problems
                .iter_mut()
                .filter(|problem| problem.hint.is_none())
                .for_each(|problem| problem.hint = Some(hint.into()));
        }
        self.problems = problems;
    }
}

/// Begins what is said of a file that the system would not let us read: it is tried again though it looks the same.
const UNREAD: &str = "cannot be read";

/// The files, those of folders among them, in order.
fn look(paths: &[&PathBuf], problems: &mut Vec<BadInput>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for path in paths {
        let unread =
            |error: std::io::Error| BadInput::new(&path.display().to_string(), format!("{UNREAD}: {error}"));
        match fs::metadata(path) {
            Err(error) => problems.push(unread(error)),
            Ok(known) if known.is_dir() => match fs::read_dir(path) {
                Err(error) => problems.push(unread(error)),
                Ok(entries) => {
                    let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
                    inside.sort_unstable();
                    if inside.len() > MOST_FILES {
                        let what = format!(
                            "holds {} files, of at most {MOST_FILES}; the first were taken",
                            inside.len()
                        );
                        problems
                            .push(BadInput::new(&path.display().to_string(), what).hint("remove old ones"));
                        inside.truncate(MOST_FILES);
                    }
                    // One that is gone by now was removed.
                    let files = inside.into_iter().filter_map(|path| Some((fs::metadata(&path).ok()?, path)));
                    seen.extend(
                        files.filter(|(known, _)| known.is_file()).map(|(known, path)| stamp(&known, path)),
                    );
                }
            },
            Ok(known) => seen.push(stamp(&known, (*path).clone())),
        }
    }
    seen
}

fn stamp(known: &fs::Metadata, path: PathBuf) -> Seen {
    let written = known.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    (path, written.map_or(0, |written| written.as_nanos()), known.len())
}

fn seconds(nanoseconds: u128) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX)
}

fn octets(path: &Path, longest: usize) -> Result<Vec<u8>, BadInput> {
    let name = path.display().to_string();
    let unread = |error: std::io::Error| BadInput::new(&name, format!("{UNREAD}: {error}"));
    let mut octets = Vec::new();
    let file = fs::File::open(path).map_err(unread)?;
    file.take(longest as u64 + 1).read_to_end(&mut octets).map_err(unread)?;
    if octets.len() > longest {
        return Err(BadInput::new(&name, format!("has more than {longest} octets")));
    }
    Ok(octets)
}

fn text(path: &Path, longest: usize) -> Result<String, BadInput> {
    let octets = octets(path, longest)?;
    String::from_utf8(octets).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&octet| octet == b'\n').count() as u64 + 1;
        BadInput::new(&path.display().to_string(), "is not UTF-8 text").line(line)
    })
}

/// Reads inputs again and again.
#[derive(Debug, Default)]
pub struct InputReader {
    files: Files,
    plant: Kept<Plant>,
    routes: Kept<Routes>,
    places: Vec<(PathBuf, Kept<Vec<Arc<Places>>>)>,
    probes: Kept<Probes>,
    demand: Kept<Demand>,
    prefixes: Kept<Vec<Prefix>>,
}

impl InputReader {
    pub fn new(files: Files) -> Self {
        let places = files.places.iter().map(|path| (path.clone(), Kept::default())).collect();
        Self { files, places, ..Self::default() }
    }

    /// What the files say now. Files that have not changed are not read again.
    ///
    /// # Errors
    /// When there is no network: its files were never right. Whatever else is wrong is among [`Inputs::problems`].
    pub fn read(&mut self) -> Result<Inputs, Vec<BadInput>> {
        let files = &self.files;
        let all: Vec<&PathBuf> = files.network.iter().chain(&files.sites).chain(&files.servers).collect();
        self.plant.refresh(&all, |seen, problems| (plant(files, seen, problems), false));
        if self.plant.value.sites.is_empty() {
            let mut problems = self.plant.problems.clone();
            // What could not be read is tried again.
            self.plant.seen.clear();
            if problems.is_empty() {
                problems.push(
                    BadInput::new("the configuration", "names no file with sites, servers and services")
                        .hint("name a network.toml"),
                );
            }
            return Err(problems);
        }
        self.routes
            .refresh(&files.bgp.iter().collect::<Vec<_>>(), |seen, problems| (routes(seen, problems), false));
        for (path, kept) in &mut self.places {
            kept.refresh(&[path], |seen, problems| {
                let mut all = Vec::new();
                for (path, written, _) in seen {
                    let name = path.display().to_string();
                    let read = octets(path, geo::LONGEST_FILE)
                        .and_then(|octets| geo::read(&name, seconds(*written), &octets));
                    match read {
                        Ok(read) => all.push(Arc::new(read)),
                        Err(problem) => problems.push(problem),
                    }
                }
                (all, false)
            });
        }
        self.probes.refresh(&files.probes.iter().collect::<Vec<_>>(), |seen, problems| {
            let probes = measurements(seen, problems);
            // One bad file among many does not make the others old.
            let good = !probes.sources.is_empty();
            (probes, good)
        });
        self.demand.refresh(&files.demand.iter().collect::<Vec<_>>(), |seen, problems| {
            let mut demand = Demand::default();
            for (path, written, _) in seen {
                let name = path.display().to_string();
                let read = text(path, demand::LONGEST_FILE);
                problems.extend(
                    read.and_then(|text| demand::read(&name, seconds(*written), &text, &mut demand)).err(),
                );
            }
            (demand, false)
        });
        self.prefixes.refresh(&files.prefixes.iter().collect::<Vec<_>>(), |seen, problems| {
            let mut prefixes = Vec::new();
            for (path, ..) in seen {
                let read = text(path, demand::LONGEST_FILE);
                match read.and_then(|text| demand::read_prefixes(&path.display().to_string(), &text)) {
                    Ok(read) => prefixes.extend(read),
                    Err(problem) => problems.push(problem),
                }
            }
            (prefixes, false)
        });
        let mut problems = self.plant.problems.clone();
        problems.extend_from_slice(&self.routes.problems);
        for (path, kept) in &self.places {
            problems.extend_from_slice(&kept.problems);
            if kept.seen.is_empty() && kept.problems.is_empty() {
                let what = "is a folder without files: no place is known from it";
                let hint = "put MMDB databases into it, or take it out of inputs.places";
                problems.push(BadInput::new(&path.display().to_string(), what).hint(hint));
            }
        }
        problems.extend_from_slice(&self.probes.problems);
        problems.extend_from_slice(&self.demand.problems);
        problems.extend_from_slice(&self.prefixes.problems);
        let places = self
            .places
            .iter()
            .flat_map(|(_, kept)| kept.value.iter().cloned())
            .filter(|places| !places.prefixes.is_empty());
        Ok(Inputs {
            plant: Arc::clone(&self.plant.value),
            routes: Arc::clone(&self.routes.value),
            places: places.collect(),
            probes: Arc::clone(&self.probes.value),
            demand: Arc::clone(&self.demand.value),
            prefixes: Arc::clone(&self.prefixes.value),
            problems,
        })
    }
}

fn plant(files: &Files, seen: &[Seen], problems: &mut Vec<BadInput>) -> Plant {
    let mut plant = Plant::default();
    for (path, ..) in seen {
        let name = path.display().to_string();
        let within = |list: &[PathBuf]| list.iter().any(|listed| path.starts_with(listed));
        let result = if within(&files.network) {
            text(path, network_file::LONGEST_FILE)
                .map_err(|bad| vec![bad])
                .and_then(|text| network_file::read(&name, &text, &mut plant))
        } else {
            let form = tables::Form::of(&name).and_then(|form| Ok((form, text(path, tables::LONGEST_FILE)?)));
            form.map_err(|bad| vec![bad]).and_then(|(form, text)| {
                if within(&files.sites) {
                    tables::read_sites(&name, &text, form, &mut plant)
                } else {
                    tables::read_servers(&name, &text, form, &mut plant)
                }
            })
        };
        problems.extend(result.err().into_iter().flatten());
    }
    if !problems.is_empty() {
        return Plant::default();
    }
    plant.checked().unwrap_or_else(|bad| {
        problems.extend(bad);
        Plant::default()
    })
}

fn routes(seen: &[Seen], problems: &mut Vec<BadInput>) -> Routes {
    let mut collector = Collector::new(bgp::Limits::default());
    for (path, written, _) in seen {
        let name = path.display().to_string();
        let file = fs::File::open(path).map_err(|error| BadInput::new(&name, format!("{UNREAD}: {error}")));
        problems.extend(file.and_then(|file| collector.read(&name, seconds(*written), file)).err());
    }
    collector.finish()
}

fn measurements(seen: &[Seen], problems: &mut Vec<BadInput>) -> Probes {
    let mut all = Probes::default();
    for (path, written, _) in seen {
        let name = path.display().to_string();
        let lines = path.extension().is_some_and(|end| end == "jsonl" || end == "ndjson");
        let longest = if lines { probes::LONGEST_FILE } else { traces::LONGEST_FILE };
        let read = text(path, longest).and_then(|text| {
            let read = if lines { probes::read } else { traces::read };
            read(&name, seconds(*written), &text, &mut all)
        });
        problems.extend(read.err());
    }
    all
}
