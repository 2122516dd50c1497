//! The files that a map is built from, read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::config::{Config, InputFiles};
use crate::build::bgp::{Collector, Limits, Routes};
use crate::build::demand::{self, Demand};
use crate::build::geo::{self, Places};
use crate::build::plant::Plant;
use crate::build::prefix::Prefix;
use crate::build::probes::{self, Probes};
use crate::build::tables::{self, Form};
use crate::build::{BadInput, Inputs, network_file, traces};

/// Longest text of any kind; each kind has a smaller bound of its own.
const LONGEST: u64 = 2 << 30;
/// Most files of one kind.
const MOST_FILES: usize = 100_000;

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    modified: Option<SystemTime>,
    length: u64,
}

impl Seen {
    fn time(&self) -> u64 {
        self.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// What files of one kind said, until they change.
#[derive(Debug)]
struct Kept<T> {
    seen: Vec<Seen>,
    said: T,
    problems: Vec<BadInput>,
}

impl<T> Kept<T> {
    /// Takes what the files say now, if it is something else.
    fn renew(
        &mut self,
        seen: Vec<Seen>,
        read: impl FnOnce(&[Seen], &mut Vec<BadInput>) -> Option<T>,
    ) -> bool {
        if self.seen == seen {
            return false;
        }
        self.problems.clear();
        // What was understood last stays in use while the files say nothing that can be.
        if let Some(said) = read(&seen, &mut self.problems) {
            self.said = said;
        }
        self.seen = seen;
        true
    }
}

impl<T: Default> Default for Kept<T> {
    fn default() -> Self {
        Self { seen: Vec::new(), said: T::default(), problems: Vec::new() }
    }
}

/// All inputs of a builder.
#[derive(Debug, Default)]
pub struct Reader {
    files: InputFiles,
    plant: Kept<Arc<Plant>>,
    routes: Kept<Arc<Routes>>,
    places: Kept<Vec<Arc<Places>>>,
    probes: Kept<Arc<Probes>>,
    demand: Kept<Arc<Demand>>,
    prefixes: Kept<Arc<Vec<Prefix>>>,
    read_once: bool,
}

impl Reader {
    pub fn new(config: &Config, files: &InputFiles) -> Self {
        let at = |paths: &[PathBuf]| paths.iter().map(|path| config.at(path)).collect();
        Self {
            files: InputFiles {
                network: at(&files.network),
                sites: at(&files.sites),
                servers: at(&files.servers),
                bgp: at(&files.bgp),
                places: at(&files.places),
                probes: at(&files.probes),
                traces: at(&files.traces),
                demand: at(&files.demand),
                prefixes: at(&files.prefixes),
                every: files.every,
            },
            ..Self::default()
        }
    }

    /// Reads what changed; `None` if nothing did.
    ///
    /// # Errors
    /// At the first time, what is wrong with sites, servers and services: without them there is no map. Later that is only
    /// reported.
    pub fn read(&mut self) -> Result<Option<Inputs>, Vec<BadInput>> {
        let mut missing = Vec::new();
        let files = self.files.clone();
        let kinds = [&files.network, &files.sites, &files.servers].map(|paths| look(paths, &mut missing));
        let counts = kinds.each_ref().map(Vec::len);
        let mut changed = self.plant.renew(kinds.concat(), |seen, problems| plant(seen, counts, problems));
        changed |=
            self.routes.renew(look(&files.bgp, &mut missing), |seen, problems| Some(routes(seen, problems)));
        changed |= self.places.renew(look(&files.places, &mut missing), |seen, problems| {
            let read = |file: &Seen| {
                let octets = octets(file).map_err(|error| problems.push(error)).ok()?;
                geo::read(&file.name(), file.time(), &octets).map_err(|error| problems.push(error)).ok()
            };
            Some(seen.iter().filter_map(read).map(Arc::new).collect())
        });
        let kinds = [&files.probes, &files.traces].map(|paths| look(paths, &mut missing));
        let count = kinds[0].len();
        changed |= self.probes.renew(kinds.concat(), |seen, problems| {
            let mut all = Probes::default();
            for (at, file) in seen.iter().enumerate() {
                let read = if at < count { probes::read } else { traces::read };
                let read = text(file).and_then(|text| read(&file.name(), file.time(), &text, &mut all));
                problems.extend(read.err());
            }
            Some(Arc::new(all))
        });
        changed |= self.demand.renew(look(&files.demand, &mut missing), |seen, problems| {
            let mut all = Demand::default();
            for file in seen {
                let read =
                    text(file).and_then(|text| demand::read(&file.name(), file.time(), &text, &mut all));
                problems.extend(read.err());
            }
            Some(Arc::new(all))
        });
        changed |= self.prefixes.renew(look(&files.prefixes, &mut missing), |seen, problems| {
            let mut all = Vec::new();
            for file in seen {
                match text(file).and_then(|text| demand::read_prefixes(&file.name(), &text)) {
                    Ok(prefixes) => all.extend(prefixes),
                    Err(error) => problems.push(error),
                }
            }
            Some(Arc::new(all))
        });
        let mut problems = missing;
        problems.extend(self.plant.problems.iter().cloned());
        if !self.read_once
            && (self.plant.said.servers.is_empty()
                || !problems.is_empty() && self.plant.said.sites.is_empty())
        {
            if problems.is_empty() {
                problems.push(
                    BadInput::new("inputs", "they have no server").hint("add a [[server]] to the network"),
                );
            }
            return Err(problems);
        }
        self.read_once = true;
        for more in [
            &self.routes.problems,
            &self.places.problems,
            &self.probes.problems,
            &self.demand.problems,
            &self.prefixes.problems,
        ] {
            problems.extend(more.iter().cloned());
        }
        Ok(changed.then(|| Inputs {
            plant: self.plant.said.clone(),
            routes: self.routes.said.clone(),
            places: self.places.said.clone(),
            probes: self.probes.said.clone(),
            demand: self.demand.said.clone(),
            prefixes: self.prefixes.said.clone(),
            problems,
        }))
    }
}

/// The files that are meant, as they are now.
fn look(paths: &[PathBuf], missing: &mut Vec<BadInput>) -> Vec<Seen> {
    let mut all = Vec::new();
    for path in paths {
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            match fs::read_dir(path) {
                Ok(entries) => {
                    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                    files.retain(|file| {
                        !file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
                    });
                    files.sort();
                    all.extend(files.into_iter().filter(|file| file.is_file()).take(MOST_FILES));
                }
                Err(error) => missing.push(unreadable(path, &error)),
            }
        } else {
            all.push(path.clone());
        }
    }
    let seen = |path: PathBuf| match fs::metadata(&path) {
        Ok(data) => Some(Seen { modified: data.modified().ok(), length: data.len(), path }),
        Err(error) => {
            missing.push(unreadable(&path, &error));
            None
        }
    };
    all.into_iter().filter_map(seen).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> BadInput {
    BadInput::new(&path.display().to_string(), format!("cannot be read: {error}"))
        .hint("check the path and its permissions")
}

fn octets(file: &Seen) -> Result<Vec<u8>, BadInput> {
    if file.length > LONGEST {
        return Err(BadInput::new(&file.name(), format!("has {} octets, of at most {LONGEST}", file.length)));
    }
    fs::read(&file.path).map_err(|error| unreadable(&file.path, &error))
}

fn text(file: &Seen) -> Result<String, BadInput> {
    String::from_utf8(octets(file)?).map_err(|error| {
        BadInput::new(&file.name(), format!("is no UTF-8 text: octet {}", error.utf8_error().valid_up_to()))
    })
}

fn plant(
    seen: &[Seen],
    [networks, sites, _]: [usize; 3],
    problems: &mut Vec<BadInput>,
) -> Option<Arc<Plant>> {
    let mut plant = Plant::default();
    for (at, file) in seen.iter().enumerate() {
        let name = file.name();
        let read = |plant: &mut Plant| {
            let text = text(file).map_err(|error| vec![error])?;
            if at < networks {
                return network_file::read(&name, &text, plant);
            }
            let form = Form::of(&name).map_err(|error| vec![error])?;
            if at < networks + sites {
                tables::read_sites(&name, &text, form, plant)
            } else {
                tables::read_servers(&name, &text, form, plant)
            }
        };
        problems.extend(read(&mut plant).err().unwrap_or_default());
    }
    if !problems.is_empty() {
        return None;
    }
    match plant.checked() {
        Ok(plant) => Some(Arc::new(plant)),
        Err(wrong) => {
            problems.extend(wrong);
            None
        }
    }
}

fn routes(seen: &[Seen], problems: &mut Vec<BadInput>) -> Arc<Routes> {
    let mut collector = Collector::new(Limits::default());
    for file in seen {
        let opened = fs::File::open(&file.path).map_err(|error| unreadable(&file.path, &error));
        let read = opened.and_then(|opened| {
            collector.read(&file.name(), file.time(), std::io::BufReader::with_capacity(1 << 20, opened))
        });
        problems.extend(read.err());
    }
    Arc::new(collector.finish())
}
