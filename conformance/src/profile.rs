//! What the suite must be told about a candidate: how to purge it.
//!
//! A profile is a TOML file; those in `conformance/profiles` can be named without a path. Any text in it may hold
//! `{env:NAME}`, which is replaced by that environment variable when the profile is read.

use crate::bench::{Purger, Secret};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use toml::Spanned;

/// A profile, ready for use.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub purger: Option<Purger>,
}

/// A profile that cannot be used: which, where in it, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    pub file: String,
    /// From 1; `None` where the file could not be read at all.
    pub line: Option<usize>,
    pub why: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "profile {}, line {line}: {}", self.file, self.why),
            None => write!(f, "profile {}: {}", self.file, self.why),
        }
    }
}

impl std::error::Error for ProfileError {}

/// Profiles that come with the suite.
pub const SHIPPED: [(&str, &str); 4] = [
    ("reference-cdn", include_str!("../profiles/reference-cdn.toml")),
    ("nginx", include_str!("../profiles/nginx.toml")),
    ("varnish", include_str!("../profiles/varnish.toml")),
    ("squid", include_str!("../profiles/squid.toml")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[expect(dead_code, reason = "for people")]
    description: Option<String>,
    purge: Option<RawPurge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPurge {
    method: Option<String>,
    url: Option<Spanned<String>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    body: Option<Spanned<String>>,
    #[serde(default)]
    accepted: Vec<u16>,
    credentials: Option<RawCredentials>,
    command: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredentials {
    field: String,
    value: Spanned<String>,
    secret_env: Option<Spanned<String>>,
    secret_file: Option<Spanned<String>>,
}

/// Looks up environment variables.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

impl Profile {
    /// The profile in this file, or the shipped one of this name.
    ///
    /// # Errors
    /// The file cannot be read, is no valid profile, or names a variable or file that is not there.
    pub fn load(name: &str, variables: Variables<'_>) -> Result<Self, ProfileError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Profile::parse(text, name, variables);
        }
        let text = std::fs::read_to_string(Path::new(name)).map_err(|error| ProfileError {
            file: name.to_owned(),
            line: None,
            why: format!(
                "cannot be read: {error}; give a file, or one of {}",
                SHIPPED.map(|(name, _)| name).join(", ")
            ),
        })?;
        Profile::parse(&text, name, variables)
    }

    /// Reads a profile from its text. `file` is used in errors.
    ///
    /// # Errors
    /// As [`Profile::load`].
    pub fn parse(text: &str, file: &str, variables: Variables<'_>) -> Result<Self, ProfileError> {
        let source = Source { text, file, variables };
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, error.message().to_owned())
        })?;
        let purger = raw.purge.map(|purge| source.purger(purge)).transpose()?;
        Ok(Profile { name: raw.name, purger })
    }
}

/// A profile's text while it is read.
struct Source<'s> {
    text: &'s str,
    file: &'s str,
    variables: Variables<'s>,
}

impl Source<'_> {
    fn error(&self, at: usize, why: String) -> ProfileError {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        // It quotes the file, which may hold anything.
        let why = exchange::escape(why.as_bytes());
        ProfileError { file: self.file.to_owned(), line: Some(line), why }
    }

    fn purger(&self, raw: RawPurge) -> Result<Purger, ProfileError> {
        let section = self.text.find("[purge]").unwrap_or(0);
        if let Some(command) = raw.command {
            if raw.url.is_some() || raw.method.is_some() {
                let why = "purge has both `command` and `url`/`method`: give one way to purge".to_owned();
                return Err(self.error(command.span().start, why));
            }
            let at = command.span().start;
            let mut words = command
                .into_inner()
                .iter()
                .map(|word| self.expand(word, at, "purge.command"))
                .collect::<Result<Vec<_>, _>>()?;
            if words.is_empty() {
                return Err(self.error(at, "purge.command is empty: give a program and its arguments".into()));
            }
            let program = words.remove(0);
            return Ok(Purger::Command { program, arguments: words });
        }
        let url = raw.url.ok_or_else(|| {
            self.error(section, "purge has neither `url` nor `command`: say how to purge one URL".into())
        })?;
        let url_at = url.span().start;
        let url = self.spanned(&url, "purge.url")?;
        if !url.starts_with("http://") && !url.starts_with("{candidate}") && !url.starts_with("{url}") {
            let why = format!("purge.url is `{url}`: it must begin with http://, {{candidate}} or {{url}}");
            return Err(self.error(url_at, why));
        }
        let mut fields = Vec::new();
        for (name, value) in &raw.headers {
            fields.push((name.clone(), self.spanned(value, &format!("purge.headers.{name}"))?));
        }
        let body = raw.body.map(|body| self.spanned(&body, "purge.body")).transpose()?;
        let credentials = raw.credentials.map(|raw| self.credentials(&raw)).transpose()?;
        let method = raw.method.unwrap_or_else(|| "PURGE".to_owned());
        Ok(Purger::Http { method, url, fields, body, accepted: raw.accepted, credentials })
    }

    fn credentials(&self, raw: &RawCredentials) -> Result<Secret, ProfileError> {
        let value = self.spanned(&raw.value, "purge.credentials.value")?;
        let at = raw.value.span().start;
        if !value.contains("{secret}") {
            let why =
                "purge.credentials.value does not hold {secret}: secrets stay out of profiles".to_owned();
            return Err(self.error(at, why));
        }
        let secret = match (&raw.secret_env, &raw.secret_file) {
            (Some(name), None) => (self.variables)(name.get_ref()).ok_or_else(|| {
                let why = format!(
                    "the environment variable {} of purge.credentials.secret_env is not set",
                    name.get_ref()
                );
                self.error(name.span().start, why)
            })?,
            (None, Some(path)) => {
                let name = self.spanned(path, "purge.credentials.secret_file")?;
                let text = std::fs::read_to_string(&name).map_err(|error| {
                    let why = format!("purge.credentials.secret_file `{name}` cannot be read: {error}");
                    self.error(path.span().start, why)
                })?;
                text.trim_end().to_owned()
            }
            _ => {
                let why = "purge.credentials needs one of `secret_env` and `secret_file`".to_owned();
                return Err(self.error(at, why));
            }
        };
        Ok(Secret { field: raw.field.clone(), value, secret })
    }

    fn spanned(&self, text: &Spanned<String>, key: &str) -> Result<String, ProfileError> {
        self.expand(text.get_ref(), text.span().start, key)
    }

    /// Replaces `{env:NAME}`.
    fn expand(&self, text: &str, at: usize, key: &str) -> Result<String, ProfileError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{env:") {
            let (name, tail) = after
                .split_once('}')
                .ok_or_else(|| self.error(at, format!("{key} has `{{env:` without a closing brace")))?;
            let value = (self.variables)(name).ok_or_else(|| {
                self.error(at, format!("{key} uses the environment variable {name}, which is not set"))
            })?;
            out += before;
            out += &value;
            rest = tail;
        }
        Ok(out + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        matches!(name, "CDN_ADMIN" | "CDN_ADMIN_TOKEN").then(|| format!("value-of-{name}"))
    }

    #[test]
    fn shipped_profiles_are_valid() {
        for (name, _) in SHIPPED {
            let profile = Profile::load(name, &variables).unwrap();
            assert_eq!(profile.name, name);
        }
    }

    #[test]
    fn errors_name_line_and_key() {
        for (text, expected) in [
            (
                "name = \"x\"\npurge = 1",
                "profile p.toml, line 2: invalid type: integer `1`, expected struct RawPurge",
            ),
            (
                "name = \"x\"\n[purge]\nmethode = \"PURGE\"",
                "profile p.toml, line 3: unknown field `methode`, expected one of",
            ),
            (
                "name = \"x\"\n\"\\u001b[2J\" = 1",
                "profile p.toml, line 2: unknown field `\\x1b[2J`, expected",
            ),
            ("name = \"x\"\n[purge]\n", "profile p.toml, line 2: purge has neither `url` nor `command`"),
            (
                "name = \"x\"\n[purge]\nurl = \"ftp://a\"",
                "profile p.toml, line 3: purge.url is `ftp://a`: it must begin",
            ),
            (
                "name = \"x\"\n[purge]\nurl = \"\\u001b[2J\"",
                "profile p.toml, line 3: purge.url is `\\x1b[2J`: it must begin",
            ),
            (
                "name = \"x\"\n[purge]\nurl = \"http://{env:NO}/\"",
                "profile p.toml, line 3: purge.url uses the environment variable NO",
            ),
            ("name = \"x\"\n[purge]\ncommand = []", "profile p.toml, line 3: purge.command is empty"),
            (
                "name = \"x\"\n[purge]\nurl = \"{url}\"\n[purge.credentials]\nfield = \"A\"\nvalue = \"Bearer 123\"",
                "profile p.toml, line 6: purge.credentials.value does not hold {secret}",
            ),
            ("name = ", "profile p.toml, line 1:"),
        ] {
            let error = Profile::parse(text, "p.toml", &variables).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}\nshould begin with\n{expected}");
        }
        let error = Profile::load("/nowhere/p.toml", &variables).unwrap_err().to_string();
        assert!(error.starts_with("profile /nowhere/p.toml: cannot be read"), "{error}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let profile = Profile::load("reference-cdn", &variables).unwrap();
        assert!(!format!("{profile:?}").contains("value-of-CDN_ADMIN_TOKEN"));
    }
}
