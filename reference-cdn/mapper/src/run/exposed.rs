//! Secrets that everybody on the machine can read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::config::Config;

/// Most files of a folder of keys that are looked at.
const MOST_FILES: usize = 1024;

/// A line for each file with a key or token of a configuration that who is not its owner or in its group can read or change.
pub(super) fn exposed(config: &Config) -> Vec<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    files.extend(config.tls.iter().map(|tls| config.at(&tls.key)));
    files.extend(config.admin.iter().map(|admin| config.at(&admin.token_file)));
    files.extend(config.load.iter().flat_map(|load| &load.keys).map(|key| config.at(&key.file)));
    files.extend(config.dns.cookie_secret.iter().map(|file| config.at(file)));
    for folder in config.zones.iter().filter_map(|zone| zone.keys.as_ref()) {
        let Ok(entries) = std::fs::read_dir(config.at(folder)) else { continue };
        let mut keys: Vec<PathBuf> = entries.take(MOST_FILES).flatten().map(|entry| entry.path()).collect();
        keys.retain(|path| path.extension().is_some_and(|end| end == "private"));
        keys.sort_unstable();
        files.extend(keys);
    }
    let mut told: Vec<String> = Vec::new();
    for what in files.iter().filter_map(|file| of_file(file)) {
        if !told.contains(&what) {
            told.push(what);
        }
    }
    told
}

fn of_file(file: &Path) -> Option<String> {
    // What is not there is told by who reads it.
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    let shown = file.display();
    (mode & 0o006 != 0).then(|| {
        let may = if mode & 0o002 == 0 { "read" } else { "change" };
        format!("{shown}: everybody on this machine can {may} this secret; take that from others: chmod o= {shown}")
    })
}

/// Says it in the log.
pub(super) fn warn(config: &Config) {
    exposed(config).iter().for_each(|what| tracing::warn!("{what}"));
}
