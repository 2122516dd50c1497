//! Looks at all that a configuration names, and starts nothing.

use super::config::Config;
use super::hidden::hidden;
use super::{Outside, open_map};
use crate::build::{Builder, InputReader};
use crate::network::Network;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What keeps a mapper from starting, or is left out of its maps.
    pub wrong: Vec<String>,
    /// What is as it says and hardly meant.
    pub warnings: Vec<String>,
}

/// Checks zones, keys, tokens and inputs; and where it builds no maps, looks at the map that another published, if there is one.
pub fn check(config: &Config, outside: &Outside) -> Checked {
    let mut checked = Checked::default();
    let mut tell = |error: super::ConfigError| checked.wrong.extend(error.0);
    let settings = config.authority([0; 16]).map_err(&mut tell).ok();
    config.admin_token().map_err(&mut tell).ok();
    config.report_keys().map_err(&mut tell).ok();
    let network = match config.input_files() {
        Some(files) => match InputReader::new(files).read() {
            Ok(inputs) => {
                checked.wrong.extend(inputs.problems.iter().map(ToString::to_string));
                Some(Builder::new(config.build_settings()).build((outside.unix)() / 1000, &inputs).network)
            }
            Err(problems) => {
                checked.wrong.extend(problems.iter().map(ToString::to_string));
                None
            }
        },
        None => config.map_folder().and_then(|folder| published(&folder)),
    };
    if let (Some(settings), Some(network)) = (settings, network) {
        checked.warnings = hidden(&settings.zones, &network);
    }
    checked
}

fn published(folder: &std::path::Path) -> Option<Network> {
    let edition = open_map(folder, None).ok()?;
    Some(std::sync::Arc::unwrap_or_clone(edition.network))
}
