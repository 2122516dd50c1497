//! Looks at all that a configuration names, and starts nothing.

use std::path::Path;

use rustix::fs::{Access, access};

use super::config::Config;
use super::dates::unfit;
use super::exposed::exposed;
use super::hidden::hidden;
use super::{Outside, RunError, meant};
use crate::authority::dnssec::lasting::Lasting;
use crate::build::{Builder, InputReader, InputReport};
use crate::map::publish::open_current;
use crate::network::Network;
use crate::server::check_certificate;

/// Warnings of lines that are not used; more are counted.
const MOST_TOLD: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What keeps a mapper from starting, or is left out of its maps.
    pub wrong: Vec<String>,
    /// What is as it says and hardly meant, or has to be there before a mapper starts.
    pub warnings: Vec<String>,
}

/// Checks zones, keys, tokens, the certificate, inputs and the folder of maps; and where it builds no maps, looks at the map that another published.
pub fn check(config: &Config, outside: &Outside) -> Checked {
    let mut checked = Checked::default();
    let mut tell = |error: super::ConfigError| checked.wrong.extend(error.0);
    let settings = config.authority([0; 16]).map_err(&mut tell).ok();
    config.admin_token().map_err(&mut tell).ok();
    config.report_keys().map_err(&mut tell).ok();
    checked.warnings.extend(exposed(config));
    let now = (outside.unix)() / 1000;
    if let Some(files) = config.server().tls {
        let file = files.certificate.clone();
        match check_certificate(files) {
            Ok(chain) => {
                checked.warnings.extend(chain.iter().filter_map(|validity| unfit(now, &file, validity)));
            }
            Err(error) => checked.wrong.push(error.to_string()),
        }
    }
    for zone in settings.iter().flat_map(|settings| settings.zones.all()) {
        match zone.signer.as_ref().map(|signer| signer.lasting(now)) {
            Some(Lasting::Ending(what) | Lasting::Ended(what)) => checked.warnings.push(what),
            Some(Lasting::Well) | None => {}
        }
    }
    let network = match config.input_files() {
        Some(files) => {
            let (wrong, warning) = config.map_folder().map(|folder| unwritable(&folder)).unwrap_or_default();
            checked.wrong.extend(wrong);
            checked.warnings.extend(warning);
            checked.build(config, files, outside)
        }
        None => {
            let network = config.map_folder().and_then(|folder| checked.published(&folder));
            checked.warnings.extend(network.iter().flat_map(|network| meant::hosts(config, network)));
            network
        }
    };
    if let (Some(settings), Some(network)) = (settings, network) {
        checked.warnings.extend(hidden(&settings.zones, &network));
    }
    checked
}

impl Checked {
    fn build(&mut self, config: &Config, files: crate::build::Files, outside: &Outside) -> Option<Network> {
        match InputReader::new(files).read() {
            Ok(inputs) => {
                self.wrong.extend(inputs.problems.iter().map(ToString::to_string));
                let built = Builder::new(config.build_settings()).build((outside.unix)() / 1000, &inputs);
                // What the inputs say and a build cannot use.
                let others =
                    built.report.problems.iter().filter(|problem| !inputs.problems.contains(problem));
                self.warnings.extend(others.map(ToString::to_string));
                self.warnings.extend(unused(&built.report.inputs));
                self.wrong.extend(meant::probes(config, &built.network));
                self.warnings.extend(meant::hosts_of_files(config, &inputs.plant));
                Some(built.network)
            }
            Err(problems) => {
                self.wrong.extend(problems.iter().map(ToString::to_string));
                None
            }
        }
    }

    fn published(&mut self, folder: &Path) -> Option<Network> {
        match open_current(folder) {
            Ok(Some(edition)) => Some(std::sync::Arc::unwrap_or_clone(edition.network)),
            Ok(None) => {
                self.warnings.push(RunError::NoMap(folder.display().to_string()).to_string());
                None
            }
            Err(error) => {
                self.wrong.push(error.to_string());
                None
            }
        }
    }
}

/// Lines of files that people and their programs write. Tables of BGP and places are full of what says nothing here.
fn unused(inputs: &[InputReport]) -> Vec<String> {
    let written = inputs.iter().filter(|input| matches!(input.kind, "probes" | "demand"));
    let mut told: Vec<String> =
        written.flat_map(|input| input.skipped.iter().map(|skipped| skipped.tell(&input.file))).collect();
    if let Some(more @ 1..) = told.len().checked_sub(MOST_TOLD) {
        told.truncate(MOST_TOLD);
        told.push(format!("{more} more reasons why lines are not used; map build --json - lists them"));
    }
    told
}

/// Why nobody can publish into a folder, which need not be there yet; or, in the second place, why who runs this cannot: the mapper may
/// run as somebody else.
fn unwritable(folder: &Path) -> (Option<String>, Option<String>) {
    // A path without a folder before it begins in the current one.
    let up = folder.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(there) = up.into_iter().find(|path| path.symlink_metadata().is_ok()) else {
        return (None, None);
    };
    let (shown, there_shown) = (folder.display(), there.display());
    if !there.is_dir() {
        return (
            Some(format!(
                "{shown}: maps cannot be published there: {there_shown} is no folder; name another"
            )),
            None,
        );
    }
    let told = |error| {
        format!(
            "{shown}: maps cannot be published there by who runs this: {there_shown}: {error}; make it writable for who runs the mapper"
        )
    };
    (None, access(there, Access::WRITE_OK | Access::EXEC_OK).err().map(told))
}
