//! Where results go: text for people, JSON on request.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

#[derive(Args, Clone, Debug)]
pub struct Output {
    /// Write the result as JSON to this file; - for standard output, in place of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl Output {
    /// Shows the result.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, value: &impl Serialize, text: &str) -> Result<(), String> {
        let Some(path) = &self.json else {
            crate::print(text);
            return Ok(());
        };
        let mut json =
            serde_json::to_string_pretty(value).map_err(|error| format!("cannot write JSON: {error}"))?;
        json.push('\n');
        if path.as_os_str() == "-" {
            crate::print(&json);
            return Ok(());
        }
        write_text(path, &json)?;
        crate::print(text);
        Ok(())
    }
}

/// Writes a file as a whole: whoever reads it sees the old one or the new one.
///
/// # Errors
/// It cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: cannot be written: {error}", path.display());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = std::fs::File::create(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}
