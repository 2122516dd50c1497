//! Reads a configuration file, and says everything that is wrong with it at once.

use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, SourceSpan};
use toml::de::{DeTable, DeValue};

use super::fields::FIELDS;
use super::value::{Given, Wrong, nearest};
use super::{Checked, Draft};

/// Largest configuration file.
const MOST_OCTETS: usize = 1 << 20;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Fault {
    message: String,
    #[label("here")]
    span: Option<SourceSpan>,
    #[help]
    hint: Option<String>,
}

/// All that is wrong with a file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{summary}")]
pub struct Faults {
    summary: String,
    #[source_code]
    file: NamedSource<String>,
    #[related]
    faults: Vec<Fault>,
}

impl Faults {
    /// For people. `colored` for terminals.
    pub fn render(&self, colored: bool) -> String {
        let theme = if colored { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = GraphicalReportHandler::new_themed(theme).with_width(100).render_report(&mut text, self);
        text
    }

    pub fn count(&self) -> usize {
        self.faults.len()
    }
}

/// What a file sets, on top of `draft`, with the place of each setting.
#[derive(Debug)]
pub struct Settings {
    draft: Draft,
    places: Vec<(String, SourceSpan)>,
    name: String,
    text: String,
}

impl Settings {
    /// Reads `text`, the content of a file called `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Faults> {
        let mut settings = Self {
            draft: Draft::default(),
            places: Vec::new(),
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut faults: Vec<Fault> = errors
            .into_iter()
            .map(|error| Fault {
                message: error.message().to_owned(),
                span: error.span().map(span),
                hint: None,
            })
            .collect();
        if faults.is_empty() {
            settings.table("", table.get_ref(), &mut faults);
        }
        if faults.is_empty() { Ok(settings) } else { Err(settings.faults(faults)) }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let failed = |message: String, hint: &str| Faults {
            summary: format!("cannot use {name}"),
            file: NamedSource::new(&name, String::new()),
            faults: vec![Fault { message, span: None, hint: Some(hint.to_owned()) }],
        };
        let octets = std::fs::read(path)
            .map_err(|error| failed(error.to_string(), "give the path of a configuration file"))?;
        if octets.len() > MOST_OCTETS {
            return Err(failed("it is larger than 1 MiB".into(), "is this a configuration file?"));
        }
        let text = String::from_utf8(octets)
            .map_err(|error| failed(error.to_string(), "configuration files are UTF-8 text"))?;
        Self::parse(&name, &text)
    }

    pub fn draft_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn finish(self) -> Result<Checked, Faults> {
        let Self { draft, places, name, text } = self;
        draft.finish().map_err(|wrongs| {
            let place = |path: &str| places.iter().find(|(set, _)| set == path).map(|(_, span)| *span);
            let faults = wrongs.into_iter().map(|(path, wrong)| fault(path, wrong, place(path))).collect();
            summarize(&name, text, faults)
        })
    }

    fn faults(self, faults: Vec<Fault>) -> Faults {
        summarize(&self.name, self.text, faults)
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>, faults: &mut Vec<Fault>) {
        for (key, value) in table {
            let path = if section.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{section}.{}", key.get_ref())
            };
            let is_section =
                FIELDS.iter().any(|field| field.path.split_once('.').is_some_and(|(of, _)| of == path));
            match value.get_ref() {
                DeValue::Table(inner) if section.is_empty() && is_section => {
                    self.table(&path, inner, faults);
                }
                _ if !FIELDS.iter().any(|field| field.path == path) => {
                    faults.push(unknown(&path, is_section, span(key.span())));
                }
                other => {
                    let place = span(value.span());
                    match self.draft.set(&path, given(other)) {
                        Ok(()) => self.places.push((path, place)),
                        Err(wrong) => faults.push(fault(&path, wrong, Some(place))),
                    }
                }
            }
        }
    }
}

fn given<'a>(value: &'a DeValue<'_>) -> Given<'a> {
    match value {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or(Given::Other("integer beyond 64 bits"), Given::Integer)
        }
        other => Given::Other(other.type_str()),
    }
}

fn unknown(path: &str, is_section: bool, place: SourceSpan) -> Fault {
    let hint = if is_section {
        format!("`{path}` is a section: write [{path}] and its keys below")
    } else {
        let (section, _) = path.split_once('.').unwrap_or(("", path));
        let key = |field: &&'static str| field.split_once('.').map_or("", |(of, _)| of) == section;
        let paths = FIELDS.iter().map(|field| field.path);
        let sections = FIELDS.iter().filter_map(|field| field.path.split_once('.')).map(|(of, _)| of);
        match nearest(path, paths.clone().filter(key)).or_else(|| nearest(path, paths.chain(sections))) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`reference-cdn config --explain` lists all fields".to_owned(),
        }
    };
    Fault { message: format!("unknown field `{path}`"), span: Some(place), hint: Some(hint) }
}

fn fault(path: &str, wrong: Wrong, span: Option<SourceSpan>) -> Fault {
    Fault { message: format!("{path}: {}", wrong.message), span, hint: wrong.hint }
}

fn summarize(name: &str, text: String, mut faults: Vec<Fault>) -> Faults {
    // As they stand in the file; what has no place comes last.
    faults.sort_by_key(|fault| fault.span.map_or(usize::MAX, |span| span.offset()));
    let summary = match faults.len() {
        1 => format!("{name} has an error"),
        count => format!("{name} has {count} errors"),
    };
    Faults { summary, file: NamedSource::new(name, text), faults }
}

fn span(range: std::ops::Range<usize>) -> SourceSpan {
    range.into()
}
