//! The rules that judge: stable names, and where each is written.

use crate::Rule;
use std::borrow::Cow;

const fn rule(id: &'static str, cites: &'static str) -> Rule {
    Rule { id: Cow::Borrowed(id), cites: Cow::Borrowed(cites) }
}

pub(crate) static STATUS: Rule = rule("status", "RFC 9110 section 15");
pub(crate) static METHOD: Rule = rule("method", "RFC 9110 section 9.1");
pub(crate) static TARGET: Rule = rule("target", "RFC 9110 section 7.1");
pub(crate) static INTERIM: Rule = rule("interim", "RFC 9110 section 15.2");
pub(crate) static HOP_BY_HOP: Rule = rule("hop-by-hop", "RFC 9110 section 7.6.1");
pub(crate) static RELAYED: Rule = rule("hop-by-hop.relayed", "RFC 9110 section 7.6.1");

pub(crate) static EXACT: Rule = rule("field.exact", "RFC 9110 section 5.3");
pub(crate) static SET: Rule = rule("field.set", "RFC 9110 section 5.6.1");
pub(crate) static LIST: Rule = rule("field.list", "RFC 9110 section 5.6.1");
pub(crate) static WEIGHTED: Rule = rule("field.weighted", "RFC 9110 section 12.4.2");
pub(crate) static DATE: Rule = rule("field.date", "RFC 9110 section 5.6.7");
pub(crate) static MEDIA_TYPE: Rule = rule("field.media-type", "RFC 9110 section 8.3.1");
pub(crate) static PARAMETERS: Rule = rule("field.parameters", "RFC 9110 section 5.6.6");
pub(crate) static ENTITY_TAG: Rule = rule("field.entity-tag", "RFC 9110 section 8.8.3");
pub(crate) static LINK: Rule = rule("field.link", "RFC 8288 section 3");
pub(crate) static CREDENTIALS: Rule = rule("field.credentials", "RFC 9110 section 11.4");
pub(crate) static NUMBER: Rule = rule("field.number", "RFC 9110 section 7.6.2");
pub(crate) static RANGE: Rule = rule("field.range", "RFC 9110 section 14.2");
pub(crate) static CASELESS: Rule = rule("field.caseless", "RFC 9110 section 4.2.3");
pub(crate) static STRUCTURED: Rule = rule("field.structured", "RFC 9651 section 4");
pub(crate) static DIRECTIVES: Rule = rule("field.directives", "RFC 9111 section 5.2");
pub(crate) static SET_COOKIE: Rule = rule("field.set-cookie", "RFC 6265 section 4.1");
pub(crate) static COOKIE: Rule = rule("field.cookie", "RFC 6265 section 4.2");
pub(crate) static SERVER: Rule = rule("field.server", "RFC 9110 section 10.2.4");
pub(crate) static VIA: Rule = rule("field.via", "RFC 9110 section 7.6.3");
pub(crate) static CACHE_STATUS: Rule = rule("field.cache-status", "RFC 9211 section 2");
pub(crate) static X_CACHE: Rule = rule("field.x-cache", "RFC 9211 section 1");

pub(crate) static DATE_RECEIVED: Rule = rule("freshness.date", "RFC 9110 section 6.6.1");
pub(crate) static AGE: Rule = rule("freshness.age", "RFC 9111 section 4.2.3");
pub(crate) static AGE_VALID: Rule = rule("freshness.age-syntax", "RFC 9111 section 5.1");
pub(crate) static AGE_MISSING: Rule = rule("freshness.age-missing", "RFC 9111 section 4");
pub(crate) static EXPIRES: Rule = rule("freshness.expires", "RFC 9111 section 5.3");
pub(crate) static TTL: Rule = rule("freshness.ttl", "RFC 9211 section 2.4");
pub(crate) static STALE: Rule = rule("freshness.stale", "RFC 9111 section 4.2.4");

pub(crate) static CONTENT_LENGTH: Rule = rule("framing.content-length", "RFC 9110 section 8.6");
pub(crate) static ENDING: Rule = rule("framing.ending", "RFC 9112 section 8");
pub(crate) static CODING: Rule = rule("body.coding", "RFC 9110 section 8.4");
pub(crate) static BYTES: Rule = rule("body.bytes", "RFC 9110 section 6.4");
pub(crate) static TEXT: Rule = rule("body.text", "RFC 9110 section 6.4");
pub(crate) static JSON: Rule = rule("body.json", "RFC 8259 section 2");
pub(crate) static PARTS: Rule = rule("body.parts", "RFC 9110 section 14.6");

/// All of them, for the test that keeps the README true.
#[cfg(test)]
pub(crate) static ALL: [&Rule; 41] = [
    &STATUS,
    &METHOD,
    &TARGET,
    &INTERIM,
    &HOP_BY_HOP,
    &RELAYED,
    &EXACT,
    &SET,
    &LIST,
    &WEIGHTED,
    &DATE,
    &MEDIA_TYPE,
    &PARAMETERS,
    &ENTITY_TAG,
    &LINK,
    &CREDENTIALS,
    &NUMBER,
    &RANGE,
    &CASELESS,
    &STRUCTURED,
    &DIRECTIVES,
    &SET_COOKIE,
    &COOKIE,
    &SERVER,
    &VIA,
    &CACHE_STATUS,
    &X_CACHE,
    &DATE_RECEIVED,
    &AGE,
    &AGE_VALID,
    &AGE_MISSING,
    &EXPIRES,
    &TTL,
    &STALE,
    &CONTENT_LENGTH,
    &ENDING,
    &CODING,
    &BYTES,
    &TEXT,
    &JSON,
    &PARTS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_every_rule_and_no_other() {
        let readme = include_str!("../README.md");
        let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        let named = |rule: &Rule| {
            rows.iter().any(|row| row.starts_with(&format!("{}` |", rule.id)) && row.contains(&*rule.cites))
        };
        for rule in ALL {
            assert!(named(rule), "the README lacks {rule}");
        }
        assert_eq!(rows.len(), ALL.len(), "the README names a rule that is none");
    }
}
