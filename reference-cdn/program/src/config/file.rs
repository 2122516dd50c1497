//! Reads a configuration file, and says everything that is wrong with it at once.

use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, Report, SourceSpan};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::customer::{CustomerDraft, OriginDraft};
use super::fields::{CUSTOMER_FIELDS, CUSTOMER_ORIGIN_FIELDS, FIELDS, Field, set};
use super::value::{Given, Wrong, nearest};
use super::{Checked, Draft};

/// Largest configuration file.
const MOST_OCTETS: usize = 1 << 20;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
struct Fault {
    message: String,
    #[label("here")]
    span: Option<SourceSpan>,
    hint: Option<String>,
}

/// All that is wrong with a file, and flags on top of it.
#[derive(Debug)]
pub struct Faults {
    /// Empty where there is no file.
    name: String,
    text: String,
    faults: Vec<Fault>,
}

impl Faults {
    /// For people. `colored` for terminals.
    pub fn render(self, colored: bool) -> String {
        let mut theme = if colored { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        theme.characters.error = "error:".to_owned();
        let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
        let count = self.faults.len();
        let file = Arc::new(NamedSource::new(&self.name, self.text));
        let mut text = String::new();
        for fault in self.faults {
            let hint = fault.hint.clone();
            let report = Report::new(fault).with_source_code(Arc::clone(&file));
            let mut shown = String::new();
            // Writing to a String cannot fail.
            let _ = handler.render_report(&mut shown, report.as_ref());
            text.push_str(shown.trim());
            text.push('\n');
            if let Some(hint) = hint {
                text.push_str(&format!("  hint: {hint}\n"));
            }
            if count > 1 {
                text.push('\n');
            }
        }
        match (self.name.as_str(), count) {
            ("", _) => text.truncate(text.trim_end().len() + 1),
            (name, 1) => text.push_str(&format!("{name} has an error\n")),
            (name, count) => text.push_str(&format!("{name} has {count} errors\n")),
        }
        text
    }

    pub fn count(&self) -> usize {
        self.faults.len()
    }
}

/// What a file and flags set, on top of the defaults, and what was wrong so far.
#[derive(Debug, Default)]
pub struct Settings {
    draft: Draft,
    /// Each field that is set, each section that is there, and where; flags have no place.
    places: Vec<(String, Option<SourceSpan>)>,
    /// Fields and sections that somebody tried to set: what depends on their values cannot be told.
    broken: Vec<String>,
    /// The file's structure is unclear, so that nothing can be said of what is missing.
    unclear: bool,
    faults: Vec<Fault>,
    name: String,
    text: String,
}

impl Settings {
    /// Reads `text`, the content of a file called `name`. What is wrong with it is told by [`Settings::finish`].
    pub fn parse(name: &str, text: &str) -> Self {
        let mut settings = Self { name: name.to_owned(), text: text.to_owned(), ..Self::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        settings.unclear = !errors.is_empty();
        // With anything else amiss, values may be other than they were meant.
        let readable = errors.iter().all(|error| error.message() == DUPLICATE);
        settings.faults.extend(errors.into_iter().map(|error| Fault {
            message: error.message().to_owned(),
            span: error.span().map(span),
            hint: Some(syntax_hint(error.message()).to_owned()),
        }));
        if readable {
            settings.table("", table.get_ref());
        }
        settings
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else than text.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let failed = |message: String, hint: &str| Faults {
            name: String::new(),
            text: String::new(),
            faults: vec![Fault {
                message: format!("cannot use {name}: {message}"),
                span: None,
                hint: Some(hint.to_owned()),
            }],
        };
        let octets = std::fs::read(path)
            .map_err(|error| failed(error.to_string(), "give the path of a configuration file"))?;
        if octets.len() > MOST_OCTETS {
            return Err(failed("it is larger than 1 MiB".into(), "is this a configuration file?"));
        }
        let text = String::from_utf8(octets)
            .map_err(|error| failed(error.to_string(), "configuration files are UTF-8 text"))?;
        Ok(Self::parse(&name, &text))
    }

    /// Sets the field `path` by the flag `flag`, whatever the file says.
    pub fn flag(&mut self, flag: &str, path: &str, given: Given<'_>) {
        match self.draft.set(path, given) {
            Ok(()) => {
                self.places.retain(|(set, _)| set != path);
                self.places.push((path.to_owned(), None));
            }
            Err(wrong) => {
                self.broken.push(path.to_owned());
                self.faults.push(fault(flag, wrong, None));
            }
        }
    }

    pub fn draft_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn finish(self) -> Result<Checked, Faults> {
        let Self { draft, places, broken, unclear, mut faults, name, text } = self;
        let is_broken = |path: &String| {
            broken.iter().any(|broken| {
                path.strip_prefix(broken.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        };
        let place = |path: &str| places.iter().find(|(set, _)| set == path).map(|(_, span)| *span);
        // What is missing is missing in its section, or else at the end of the file.
        let end = (!text.trim().is_empty()).then(|| span(text.trim_end().len()..text.trim_end().len()));
        let missing =
            |path: &str| path.rsplit_once('.').and_then(|(section, _)| place(section)).unwrap_or(end);
        let checked = draft.finish();
        if let Err(wrongs) = &checked
            && !unclear
        {
            faults.extend(wrongs.iter().filter(|(paths, _)| !paths.iter().any(is_broken)).map(
                |(paths, wrong)| {
                    let place = paths.iter().find_map(|path| place(path));
                    fault(&paths[0], wrong.clone(), place.unwrap_or_else(|| missing(&paths[0])))
                },
            ));
        }
        match checked {
            Ok(checked) if faults.is_empty() => Ok(checked),
            _ => {
                // As they stand in the file; what has no place comes last.
                faults.sort_by_key(|fault| fault.span.map_or(usize::MAX, |span| span.offset()));
                // Those of flags are not the file's.
                let of_flags = faults.iter().all(|fault| fault.message.starts_with("--"));
                let name = if of_flags { String::new() } else { name };
                Err(Faults { name, text, faults })
            }
        }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
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
                    self.places.push((path.clone(), Some(span(key.span()))));
                    self.table(&path, inner);
                }
                _ if path == "customer" => self.tables(&path, "[[customer]]", value, Self::customer),
                _ if !FIELDS.iter().any(|field| field.path == path) => {
                    self.unknown(&path, is_section, span(key.span()));
                }
                _ => {
                    let set = given(value.get_ref(), |given| self.draft.set(&path, given));
                    self.note(path, set, span(value.span()));
                }
            }
        }
    }

    /// Each table of an array of tables, with its path: `customer[0]`.
    fn tables(
        &mut self,
        path: &str,
        form: &str,
        value: &Spanned<DeValue<'_>>,
        mut each: impl FnMut(&mut Self, &str, &DeTable<'_>),
    ) {
        let items = match value.get_ref() {
            DeValue::Array(items) => &items[..],
            _ => &[],
        };
        if items.is_empty() {
            let wrong =
                Wrong::new(format!("expected tables {form}")).hint(format!("write {form} above each"));
            return self.note(path.to_owned(), Err(wrong), span(value.span()));
        }
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let place = span(item.span());
            match item.get_ref() {
                DeValue::Table(table) => {
                    self.places.push((path.clone(), Some(place)));
                    each(self, &path, table);
                }
                _ => {
                    let wrong = Wrong::new(format!("expected a table {form}"));
                    self.note(path, Err(wrong.hint(format!("write {form} above it"))), place);
                }
            }
        }
    }

    fn customer(&mut self, path: &str, table: &DeTable<'_>) {
        let mut customer = CustomerDraft::default();
        for (key, value) in table {
            if key.get_ref() == "origin" {
                self.tables(&format!("{path}.origin"), "[[customer.origin]]", value, |file, path, table| {
                    let mut origin = OriginDraft::default();
                    for (key, value) in table {
                        file.field(CUSTOMER_ORIGIN_FIELDS, &mut origin, path, (key, value));
                    }
                    customer.origins.push(origin);
                });
            } else {
                self.field(CUSTOMER_FIELDS, &mut customer, path, (key, value));
            }
        }
        self.draft.customers.push(customer);
    }

    /// One key of a table that stands in an array.
    fn field<D>(
        &mut self,
        fields: &[Field<D>],
        draft: &mut D,
        within: &str,
        (key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>),
    ) {
        let name: &str = key.get_ref();
        let path = format!("{within}.{name}");
        if fields.iter().any(|field| field.path == name) {
            let set = given(value.get_ref(), |given| set(fields, draft, name, given));
            return self.note(path, set, span(value.span()));
        }
        let hint = match nearest(name, fields.iter().map(|field| field.path)) {
            Some(meant) => {
                self.broken.push(format!("{within}.{meant}"));
                format!("did you mean `{meant}`?")
            }
            None => "`reference-cdn config --explain` lists all fields".to_owned(),
        };
        let (message, place) = (format!("unknown field `{}`", shown(&path)), Some(span(key.span())));
        self.faults.push(Fault { message, span: place, hint: Some(hint) });
    }

    /// What came of setting the field `path`, which stands at `place`.
    fn note(&mut self, path: String, set: Result<(), Wrong>, place: SourceSpan) {
        match set {
            Ok(()) => self.places.push((path, Some(place))),
            Err(wrong) => {
                self.faults.push(fault(&path, wrong, Some(place)));
                self.broken.push(path);
            }
        }
    }

    fn unknown(&mut self, path: &str, is_section: bool, place: SourceSpan) {
        let hint = if is_section {
            self.broken.push(path.to_owned());
            format!("`{path}` is a section: write [{path}] and its keys below")
        } else {
            let (section, _) = path.split_once('.').unwrap_or(("", path));
            let key = |field: &&'static str| field.split_once('.').map_or("", |(of, _)| of) == section;
            let paths = FIELDS.iter().map(|field| field.path);
            let sections = FIELDS.iter().filter_map(|field| field.path.split_once('.')).map(|(of, _)| of);
            // What is called otherwise in this section is nearer than the same word of another.
            let same = paths.clone().filter(key).find(|field| is_place(path) && is_place(field));
            let near = same.or_else(|| nearest(path, paths.clone().filter(key)));
            match near.or_else(|| nearest(path, paths.chain(sections))) {
                Some(meant) => {
                    self.broken.push(meant.to_owned());
                    format!("did you mean `{meant}`?")
                }
                None => "`reference-cdn config --explain` lists all fields".to_owned(),
            }
        };
        self.faults.push(Fault {
            message: format!("unknown field `{path}`"),
            span: Some(place),
            hint: Some(hint),
        });
    }
}

/// Whether a key is about a place on the disk.
fn is_place(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("path" | "folder" | "dir" | "directory" | "file"))
}

/// What the parser says of a key or section that is there twice.
const DUPLICATE: &str = "duplicate key";

/// What to do about an error of TOML's syntax, by how the parser puts it.
fn syntax_hint(message: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if message == DUPLICATE {
        "each key and each [section] may be there once: remove one of the two"
    } else if has(&["must be quoted"]) {
        "put text, sizes and times in quotes, as in \"30s\""
    } else if has(&["basic string", "literal string"]) {
        "end the text on its line with the quote that it began with"
    } else if has(&["table"]) {
        "a section is a line of its own with its name in brackets, as in [origin]"
    } else if has(&["value", "assignment", "`=`"]) {
        "write it as `key = value`, one on each line"
    } else {
        "the file is TOML: lines of `key = value` under lines of [section]; `reference-cdn config` prints one"
    }
}

/// Hands a value on as what fields take.
fn given<T>(value: &DeValue<'_>, set: impl FnOnce(Given<'_>) -> T) -> T {
    match value {
        DeValue::String(text) => set(Given::Text(text)),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            set(parsed.map_or(Given::Other("integer beyond 64 bits"), Given::Integer))
        }
        DeValue::Array(items) => {
            let text = |item: &'_ Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            let texts: Option<Vec<String>> = items.iter().map(text).collect();
            match texts {
                Some(texts) => set(Given::List(&texts.iter().map(String::as_str).collect::<Vec<_>>())),
                None => set(Given::Other("array")),
            }
        }
        other => set(Given::Other(other.type_str())),
    }
}

fn fault(path: &str, wrong: Wrong, span: Option<SourceSpan>) -> Fault {
    Fault { message: format!("{}: {}", shown(path), wrong.message), span, hint: wrong.hint }
}

/// A path as people write it: the place in the file tells which of several tables is meant.
fn shown(path: &str) -> String {
    path.split('.')
        .map(|part| part.split_once('[').map_or(part, |(name, _)| name))
        .collect::<Vec<_>>()
        .join(".")
}

fn span(range: std::ops::Range<usize>) -> SourceSpan {
    range.into()
}
