//! Sites and servers of large networks: CSV with a heading, or JSON Lines, one site or server a line. INPUTS.md has the format.

use std::borrow::Cow;

use serde::Deserialize;

use super::plant::{
    MOST_NAME_SERVERS, Origin, Plant, ServerPlan, SitePlan, check_addresses, check_capacity, check_name,
    check_place,
};
use super::problem::{BadInput, MOST_PROBLEMS, nearest, suggestion};
use crate::network::NameServer;

/// Longest file, and longest line in it.
pub const LONGEST_FILE: usize = 1 << 30;
pub const LONGEST_LINE: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Csv,
    JsonLines,
}

impl Form {
    /// By the name of the file: `.csv`, or `.jsonl`, `.ndjson`, `.json`.
    ///
    /// # Errors
    /// When the name ends otherwise.
    pub fn of(file: &str) -> Result<Self, BadInput> {
        match file.rsplit_once('.').map(|(_, end)| end) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson" | "json") => Ok(Self::JsonLines),
            _ => Err(BadInput::new(file, "is neither CSV nor JSON Lines by its name")
                .hint("name it .csv or .jsonl")),
        }
    }
}

/// What a table may hold of a site, by column.
const SITE_COLUMNS: &[&str] =
    &["name", "domain", "latitude", "longitude", "asn", "bandwidth", "name-servers"];
const SERVER_COLUMNS: &[&str] = &["name", "site", "addresses", "capacity", "rack", "features"];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SiteRow<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    domain: Option<Cow<'a, str>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    #[serde(default)]
    asn: u32,
    #[serde(default)]
    bandwidth: u32,
    /// Of one name server each.
    #[serde(default)]
    name_servers: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerRow<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(default)]
    addresses: Vec<String>,
    capacity: Option<u64>,
    #[serde(borrow)]
    rack: Option<Cow<'a, str>>,
    #[serde(default)]
    features: Vec<String>,
}

type Keyed<T> = Result<T, (&'static str, String)>;

impl SiteRow<'_> {
    fn plan(self, said: Origin) -> Keyed<SitePlan> {
        check_name(&self.name).map_err(|what| ("name", what))?;
        if let Some(domain) = &self.domain {
            check_name(domain).map_err(|what| ("domain", what))?;
        }
        let place = check_place(self.latitude, self.longitude).map_err(|what| ("latitude", what))?;
        if self.name_servers.len() > MOST_NAME_SERVERS {
            return Err((
                "name-servers",
                format!("lists {}, of at most {MOST_NAME_SERVERS}", self.name_servers.len()),
            ));
        }
        let mut name_servers = Vec::new();
        for text in &self.name_servers {
            // Both addresses of one name server are joined by a plus sign.
            let (v4, v6) = check_addresses(text.split('+')).map_err(|what| ("name-servers", what))?;
            name_servers.push(NameServer { v4, v6 });
        }
        Ok(SitePlan {
            name: self.name.into_owned(),
            domain: self.domain.map(Cow::into_owned),
            place,
            asn: self.asn,
            bandwidth: self.bandwidth,
            name_servers,
            said,
        })
    }
}

impl ServerRow<'_> {
    fn plan(self, said: Origin) -> Keyed<ServerPlan> {
        check_name(&self.name).map_err(|what| ("name", what))?;
        for feature in &self.features {
            check_name(feature).map_err(|what| ("features", what))?;
        }
        if let Some(rack) = &self.rack {
            check_name(rack).map_err(|what| ("rack", what))?;
        }
        let (v4, v6) =
            check_addresses(self.addresses.iter().map(String::as_str)).map_err(|what| ("addresses", what))?;
        let capacity = check_capacity(self.capacity).map_err(|what| ("capacity", what))?;
        Ok(ServerPlan {
            name: self.name.into_owned(),
            site: self.site.into_owned(),
            v4,
            v6,
            capacity,
            rack: self.rack.map(Cow::into_owned),
            features: self.features,
            said,
        })
    }
}

/// The fields of a CSV line (RFC 4180, without line breaks inside quotes).
fn fields(line: &str) -> Result<Vec<Cow<'_, str>>, String> {
    if !line.contains('"') {
        return Ok(line.split(',').map(|field| Cow::Borrowed(field.trim())).collect());
    }
    let mut out = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.trim_start();
        if let Some(quoted) = start.strip_prefix('"') {
            let mut value = String::new();
            let mut left = quoted;
            loop {
                let (part, after) = left.split_once('"').ok_or("has a quote that does not end")?;
                value.push_str(part);
                if let Some(doubled) = after.strip_prefix('"') {
                    value.push('"');
                    left = doubled;
                } else {
                    left = after;
                    break;
                }
            }
            out.push(Cow::Owned(value));
            match left.trim_start() {
                "" => return Ok(out),
                more => rest = more.strip_prefix(',').ok_or("has text after a quoted field")?,
            }
        } else {
            match start.split_once(',') {
                Some((field, more)) => {
                    out.push(Cow::Borrowed(field.trim()));
                    rest = more;
                }
                None => {
                    out.push(Cow::Borrowed(start.trim()));
                    return Ok(out);
                }
            }
        }
    }
}

/// Which column of the file is which of `known`.
fn heading(file: &str, line: &str, known: &[&'static str]) -> Result<Vec<&'static str>, BadInput> {
    let mut columns = Vec::new();
    for column in fields(line).map_err(|what| BadInput::new(file, what).line(1))? {
        let Some(column) = known.iter().find(|known| **known == column) else {
            let mut bad = BadInput::new(file, format!("there is no column \"{column}\"")).line(1);
            bad.hint = Some(match nearest(&column, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the first line names the columns: {}", known.join(",")),
            });
            return Err(bad);
        };
        if columns.contains(column) {
            return Err(BadInput::new(file, format!("column \"{column}\" is there twice")).line(1));
        }
        columns.push(*column);
    }
    if columns.contains(&"name") {
        Ok(columns)
    } else {
        Err(BadInput::new(file, "there is no column \"name\"").line(1))
    }
}

fn number<T: std::str::FromStr>(key: &'static str, text: &str) -> Keyed<T> {
    text.parse().map_err(|_| (key, format!("{text:?} is no number that fits")))
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn site_row<'a>(columns: &[&'static str], values: Vec<Cow<'a, str>>) -> Keyed<SiteRow<'a>> {
    let mut row = SiteRow::default();
    for (&column, value) in columns.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        match column {
            "name" => row.name = value,
            "domain" => row.domain = Some(value),
            "latitude" => row.latitude = Some(number(column, &value)?),
            "longitude" => row.longitude = Some(number(column, &value)?),
            "asn" => row.asn = number(column, &value)?,
            "bandwidth" => row.bandwidth = number(column, &value)?,
            _ => row.name_servers = words(&value),
        }
    }
    Ok(row)
}

fn server_row<'a>(columns: &[&'static str], values: Vec<Cow<'a, str>>) -> Keyed<ServerRow<'a>> {
    let mut row = ServerRow::default();
    for (&column, value) in columns.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        match column {
            "name" => row.name = value,
            "site" => row.site = value,
            "addresses" => row.addresses = words(&value),
            "capacity" => row.capacity = Some(number(column, &value)?),
            "rack" => row.rack = Some(value),
            _ => row.features = words(&value),
        }
    }
    Ok(row)
}

/// Goes over the lines of a table and collects what is wrong.
fn each<'a>(
    file: &str,
    text: &'a str,
    form: Form,
    known: &[&'static str],
    mut take: impl FnMut(u32, Line<'a, '_>) -> Keyed<()>,
) -> Result<(), Vec<BadInput>> {
    if text.len() > LONGEST_FILE {
        return Err(vec![BadInput::new(
            file,
            format!("has {} octets, of at most {LONGEST_FILE}", text.len()),
        )]);
    }
    let mut problems = Vec::new();
    let mut columns: Option<Vec<&'static str>> = None;
    for (line, at) in text.lines().zip(1_u32..) {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with('#') {
            continue;
        }
        let result = if plain.len() > LONGEST_LINE {
            Err(("", format!("has {} octets, of at most {LONGEST_LINE}", plain.len())))
        } else if form == Form::JsonLines {
            take(at, Line::Json(plain))
        } else if let Some(columns) = &columns {
            fields(plain).map_err(|what| ("", what)).and_then(|values| {
                if values.len() > columns.len() {
                    return Err((
                        "",
                        format!(
                            "has {} fields, but the heading names {} columns",
                            values.len(),
                            columns.len()
                        ),
                    ));
                }
                take(at, Line::Csv(columns, values))
            })
        } else {
            columns = Some(heading(file, plain, known).map_err(|bad| vec![bad.line(u64::from(at))])?);
            Ok(())
        };
        if let Err((key, what)) = result {
            let mut bad = BadInput::new(file, what).line(u64::from(at));
            bad.hint = suggestion(&bad.what);
            problems.push(if key.is_empty() { bad } else { bad.key(key) });
            if problems.len() >= MOST_PROBLEMS {
                break;
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

enum Line<'a, 'c> {
    Json(&'a str),
    Csv(&'c [&'static str], Vec<Cow<'a, str>>),
}

fn json<'a, T: Deserialize<'a>>(line: &'a str) -> Keyed<T> {
    serde_json::from_str(line).map_err(|error| {
        // A line of its own each: only the column tells something.
        let text = error.to_string();
        (
            "",
            text.split(" at line ").next().unwrap_or_default().to_owned()
                + &format!(" (column {})", error.column()),
        )
    })
}

fn enter(plant: &mut Plant, file: &str) -> u16 {
    plant.files.push(file.to_owned());
    u16::try_from(plant.files.len() - 1).unwrap_or(u16::MAX)
}

/// Adds the sites of a table.
///
/// # Errors
/// All that is wrong with it, up to [`MOST_PROBLEMS`].
pub fn read_sites(file: &str, text: &str, form: Form, plant: &mut Plant) -> Result<(), Vec<BadInput>> {
    let number = enter(plant, file);
    each(file, text, form, SITE_COLUMNS, |line, content| {
        let row = match content {
            Line::Json(line) => json(line)?,
            Line::Csv(columns, values) => site_row(columns, values)?,
        };
        plant.sites.push(row.plan(Origin { file: number, line })?);
        Ok(())
    })
}

/// Adds the servers of a table.
///
/// # Errors
/// All that is wrong with it, up to [`MOST_PROBLEMS`].
pub fn read_servers(file: &str, text: &str, form: Form, plant: &mut Plant) -> Result<(), Vec<BadInput>> {
    let number = enter(plant, file);
    each(file, text, form, SERVER_COLUMNS, |line, content| {
        let row = match content {
            Line::Json(line) => json(line)?,
            Line::Csv(columns, values) => server_row(columns, values)?,
        };
        plant.servers.push(row.plan(Origin { file: number, line })?);
        Ok(())
    })
}
