//! Where a report goes: files, written whole or not at all, and standard output.

use crate::Report;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The report flags that all tools share; flatten it into a clap parser.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Reports")]
pub struct Outputs {
    /// Write the report as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as JUnit XML; - is standard output
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the report as one HTML page; - is standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// How text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to print ANSI colours.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Style { colour: false, width: 100 }
    }
}

impl Report {
    /// For a terminal: failures with what was seen, totals, and the verdict last.
    pub fn to_text(&self, style: Style) -> String {
        crate::text::write(self, style)
    }

    /// As `report.schema.json` describes.
    pub fn to_json(&self) -> String {
        crate::json::write(self)
    }

    /// The JUnit XML dialect that CI systems read; each area is a test suite.
    pub fn to_junit(&self) -> String {
        crate::junit::write(self)
    }

    /// One self-contained page.
    pub fn to_html(&self) -> String {
        crate::html::write(self)
    }

    /// Reads what [`Report::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn from_json(text: &str) -> Result<Self, String> {
        crate::json::read(text)
    }
}

/// A report file could not be written.
#[derive(Debug)]
pub struct WriteError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write the report {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Outputs {
    /// Looks whether the outputs can be written, before the work that they are to report.
    ///
    /// # Errors
    /// The first one whose folder is not there, or that wants a standard output another has.
    pub fn check(&self) -> Result<(), WriteError> {
        let mut standard_output = false;
        for path in [&self.json, &self.junit, &self.html].into_iter().flatten() {
            let error = |source| WriteError { path: path.clone(), source };
            if path.as_os_str() == "-" {
                if standard_output {
                    return Err(error(one_standard_output()));
                }
                standard_output = true;
                continue;
            }
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !fs::metadata(folder).map_err(error)?.is_dir() {
                return Err(error(io::ErrorKind::NotADirectory.into()));
            }
        }
        Ok(())
    }

    /// Writes the forms that were asked for, and the text form to standard output, or to standard error where another
    /// form goes to standard output. Colour and width come from the terminal. Files appear whole or not at all: a
    /// reader never sees half a report.
    ///
    /// # Errors
    /// The first output that could not be written; the others are still tried.
    pub fn write(&self, report: &Report) -> Result<(), WriteError> {
        let mut result = Ok(());
        let mut standard_output = false;
        type Form = fn(&Report) -> String;
        let forms: [(&Option<PathBuf>, Form); 3] =
            [(&self.json, Report::to_json), (&self.junit, Report::to_junit), (&self.html, Report::to_html)];
        for (path, form) in forms {
            let Some(path) = path else { continue };
            let written = if path.as_os_str() != "-" {
                atomically(path, form(report).as_bytes())
            } else if standard_output {
                Err(one_standard_output())
            } else {
                standard_output = true;
                all(&mut io::stdout().lock(), &form(report))
            };
            result = result.and(written.map_err(|source| WriteError { path: path.clone(), source }));
        }
        let text = if standard_output {
            let style = Style::of_terminal(&io::stderr());
            all(&mut io::stderr().lock(), &report.to_text(style))
        } else {
            let style = Style::of_terminal(&io::stdout());
            all(&mut io::stdout().lock(), &report.to_text(style))
        };
        result.and(text.map_err(|source| WriteError { path: PathBuf::from("-"), source }))
    }
}

fn one_standard_output() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "standard output can take one report only")
}

impl Style {
    /// Colour where the stream is a terminal that wants it, and that terminal's width.
    fn of_terminal(stream: &(impl anstream::stream::RawStream + std::os::fd::AsFd)) -> Self {
        let colour = anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never;
        let width = terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0));
        Style { colour, width: width.map_or(Style::default().width, |w| w.min(140)) }
    }
}

/// Writes all of it. A reader that has seen enough and went away is no error.
fn all(stream: &mut impl Write, text: &str) -> io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a file beside its place and moves it there. What is no regular file, such as a pipe, is written to directly.
fn atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let place = match fs::metadata(path) {
        Ok(there) if there.is_file() => fs::canonicalize(path)?,
        Ok(_) => return fs::OpenOptions::new().write(true).open(path)?.write_all(bytes),
        Err(_) => path.to_owned(),
    };
    let name = place
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let beside = place.with_file_name(hidden);
    let written = fs::File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, &place));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, Reason};

    fn report() -> Report {
        let time = exchange::Time::new(1_795_298_820, 0);
        Report::new("replay", "0.1.0", "test", time, time)
    }

    #[test]
    fn files_are_replaced_whole_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        for title in ["a", "b"] {
            let report = Report { title: title.to_owned(), ..report() };
            let outputs = Outputs { json: Some(path.clone()), ..Outputs::default() };
            outputs.write(&report).unwrap();
            assert_eq!(Report::from_json(&fs::read_to_string(&path).unwrap()), Ok(report));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        atomically(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("missing/report.json");
        let error = Outputs { json: Some(json.clone()), ..Outputs::default() }.write(&report()).unwrap_err();
        assert_eq!(error.path, json);
        let here = Outputs { html: Some(folder.path().to_owned()), ..Outputs::default() }
            .write(&report())
            .unwrap_err();
        assert!(here.to_string().contains("directory"), "{here}");
    }

    #[test]
    fn a_new_report_passes_nothing() {
        let mut report = report();
        assert_eq!(report.outcome.exit_status(), 2);
        report.reasons.push(Reason::warning(crate::Fault::Nobody, "x"));
        assert_eq!(Outcome::Pass.exit_status(), 0);
    }
}
