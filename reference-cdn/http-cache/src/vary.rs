//! Selecting a stored response by the request fields that Vary names (RFC 9111 section 4.1).
//!
//! Values are compared in a normal form, so that requests which mean the same share a response. For the
//! Accept fields order, case and spelling of weights do not matter; for others, lines are combined and white
//! space around commas is dropped. Fields that are known to be no lists keep theirs.

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING,
    CONTENT_LANGUAGE, COOKIE, FROM, HOST, ORIGIN, REFERER, USER_AGENT, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::{Nominated, members};
use crate::lines::{FieldLines, Lines, Name, put_name, take_name, take_valid_name};
use crate::octets::{Malformed, Octets, put_piece};

/// The request fields that selected a stored response, in one piece of memory.
///
/// ```text
/// field  name  as lines.rs packs it
///        kind  octet: ABSENT, NORMAL, BOTH or SAME
///        normal form, unless ABSENT: a piece
///        as it was sent, when that was one line and differs (BOTH): a piece. Most requests repeat it, and need no
///        normal form then
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selecting(Box<[u8]>);

const ABSENT: u8 = 0;
/// Sent in several lines.
const NORMAL: u8 = 1;
const BOTH: u8 = 2;
/// Sent in one line, in normal form.
const SAME: u8 = 3;

/// One of the fields, unpacked.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    name: Name<'a>,
    /// In normal form. `None`: the field was absent.
    normal: Option<&'a [u8]>,
    sent: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    fn take(octets: &mut Octets<'a>) -> Result<Self, Malformed> {
        let name = take_name(octets)?;
        let (normal, sent) = match octets.octet()? {
            ABSENT => (None, None),
            NORMAL => (Some(octets.piece()?), None),
            BOTH => (Some(octets.piece()?), Some(octets.piece()?)),
            SAME => {
                let same = Some(octets.piece()?);
                (same, same)
            }
            _ => return Err(Malformed),
        };
        Ok(Self { name, normal, sent })
    }
}

/// What Vary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// `*` is among its members: no other request will match.
    Star,
    Fields(Vec<HeaderName>),
}

impl Vary {
    /// Members that are no field names match nothing that a request could carry, so they make no difference.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for line in headers.get_all(VARY) {
            for member in line.as_bytes().split(|&octet| octet == b',') {
                match member.trim_ascii() {
                    b"" => {}
                    b"*" => return Self::Star,
                    name => {
                        if let Ok(name) = HeaderName::from_bytes(name)
                            && !names.contains(&name)
                        {
                            names.push(name);
                        }
                    }
                }
            }
        }
        Self::Fields(names)
    }
}

impl Selecting {
    pub fn of(names: Vec<HeaderName>, request: &HeaderMap) -> Self {
        let nominated = Nominated::of(request);
        let mut out = Vec::new();
        for name in names {
            put_name(&mut out, &name);
            let Some(normal) = value(request, &name, &nominated) else {
                out.push(ABSENT);
                continue;
            };
            match only_line(request, &name) {
                None => out.push(NORMAL),
                Some(sent) if *sent == *normal => out.push(SAME),
                Some(_) => out.push(BOTH),
            }
            put_piece(&mut out, &normal);
            if let Some(sent) = only_line(request, &name).filter(|sent| **sent != *normal) {
                put_piece(&mut out, sent.as_bytes());
            }
        }
        Self(out.into())
    }

    /// The response has a Vary that names fields.
    pub fn vary(&self) -> bool {
        !self.0.is_empty()
    }

    /// Reads what somebody else may have written.
    pub fn checked(octets: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Octets(octets);
        while !rest.is_empty() {
            take_valid_name(&mut rest.clone())?;
            let field = Field::take(&mut rest)?;
            for value in [field.normal, field.sent].into_iter().flatten() {
                HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
            }
        }
        Ok(Self(octets.into()))
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Does `request` select a response with these selecting fields? `response` are that response's fields.
    pub fn matches(&self, request: &HeaderMap, response: &Lines) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let nominated = Nominated::of(request);
        let mut rest = Octets(&self.0);
        while !rest.is_empty() {
            // What was packed or checked unpacks.
            let Ok(field) = Field::take(&mut rest) else { return false };
            let Some(name) = field.name.to_name() else { return false };
            let repeated =
                field.sent.is_some() && only_line(request, &name).map(HeaderValue::as_bytes) == field.sent;
            let same = (repeated && !nominated.contains(&name))
                || value(request, &name, &nominated).as_deref() == field.normal
                || (name == ACCEPT_LANGUAGE && prefers_language_of(request, response, &nominated));
            if !same {
                return false;
            }
        }
        true
    }
}

/// The value of a field that has exactly one line.
fn only_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// The normal form of a request field. A field that Connection nominates does not reach the origin, so it
/// selected nothing.
fn value(request: &HeaderMap, name: &HeaderName, nominated: &Nominated<'_>) -> Option<Vec<u8>> {
    if !request.contains_key(name) || nominated.contains(name) {
        return None;
    }
    if NO_LISTS.contains(name) {
        let lines: Vec<&[u8]> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        // RFC 9113 section 8.2.3: lines of Cookie are pieces of one.
        return Some(lines.join(if *name == COOKIE { &b"; "[..] } else { b", " }));
    }
    let members = members(request, name);
    Some(match WEIGHTED.iter().find(|(weighted, _)| weighted == name) {
        Some((_, kind)) => weighted(members, *kind),
        None => members.join(&b","[..]),
    })
}

/// Fields in which a comma separates nothing and white space may mean something: RFC 9111 section 4.1 lets a cache
/// change it only where the field's syntax allows.
const NO_LISTS: [HeaderName; 7] = [AUTHORIZATION, COOKIE, FROM, HOST, ORIGIN, REFERER, USER_AGENT];

/// What the members of a weighted list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weighted {
    /// Media ranges: the case of parameter values may matter.
    MediaRanges,
    Codings,
    /// Language ranges, charsets.
    Names,
}

const WEIGHTED: [(HeaderName, Weighted); 4] = [
    (ACCEPT, Weighted::MediaRanges),
    (ACCEPT_ENCODING, Weighted::Codings),
    (ACCEPT_LANGUAGE, Weighted::Names),
    (ACCEPT_CHARSET, Weighted::Names),
];

/// The normal form of a list of weighted members (RFC 9110 section 12.4.2): names in lower case, sorted,
/// without repetition, weights as thousandths and left out when they are 1.
fn weighted(members: Vec<&[u8]>, kind: Weighted) -> Vec<u8> {
    let normal_form = |member: &[u8]| {
        let mut plain: Vec<u8> = member.to_vec();
        if !member.contains(&b'"') {
            plain = tidied(member);
            let names = match kind {
                Weighted::MediaRanges => plain.iter().position(|&octet| octet == b';').unwrap_or(plain.len()),
                Weighted::Codings | Weighted::Names => plain.len(),
            };
            plain[..names].make_ascii_lowercase();
        }
        let Some((name, weight)) = weight(&plain) else { return plain };
        let name = match name {
            // RFC 9110 section 8.4.1: the old names mean the same.
            b"x-gzip" if kind == Weighted::Codings => &b"gzip"[..],
            b"x-compress" if kind == Weighted::Codings => b"compress",
            name => name,
        };
        let mut member = name.to_vec();
        if weight != 1000 {
            member.extend_from_slice(format!(";q={weight}").as_bytes());
        }
        member
    };
    let mut normal: Vec<Vec<u8>> =
        members.into_iter().filter(|member| !member.is_empty()).map(normal_form).collect();
    normal.sort_unstable();
    normal.dedup();
    normal.join(&b","[..])
}

/// A member without the white space that may surround semicolons.
fn tidied(member: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = member.split(|&octet| octet == b';').map(<[u8]>::trim_ascii).collect();
    parts.join(&b";"[..])
}

/// Splits a member into what is weighted and its weight in thousandths (1000 if none is given); `None` if the
/// weight is malformed.
fn weight(member: &[u8]) -> Option<(&[u8], u32)> {
    let Some(start) = member.windows(3).rposition(|part| part.eq_ignore_ascii_case(b";q=")) else {
        return Some((member, 1000));
    };
    let (name, digits) = (&member[..start], &member[start + 3..]);
    let (whole, fraction) = match digits {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !matches!(whole, b'0' | b'1') {
        return None;
    }
    let mut thousandths = u32::from(whole - b'0');
    for index in 0..3 {
        let digit = *fraction.get(index).unwrap_or(&b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + u32::from(digit - b'0');
    }
    (thousandths <= 1000).then_some((name, thousandths))
}

/// Does the request accept the content codings of the response `headers` (RFC 9110 section 12.5.3)? A request that says
/// nothing accepts any, but gets one from elsewhere only if it said so.
pub(crate) fn accepts_coding(request: &HeaderMap, headers: &HeaderMap) -> bool {
    let accepted = members(request, &ACCEPT_ENCODING);
    members(headers, &CONTENT_ENCODING).into_iter().filter(|coding| !coding.is_empty()).all(|coding| {
        accepted.iter().any(|member| {
            let plain = tidied(member);
            weight(&plain).is_some_and(|(name, weight)| weight > 0 && name.eq_ignore_ascii_case(coding))
        })
    })
}

/// Is the stored response in the one language that the request wants most?
///
/// The origin chose by Accept-Language, says which language it chose, and could not have chosen a better one
/// for this request: the requests need not be equal to have the same answer (RFC 9111 section 4.1 lets a
/// cache rank by preference). It goes further than the letter of that section, which has fields match first, and is
/// confined to origins that tell their choice.
fn prefers_language_of(request: &HeaderMap, response: &Lines, nominated: &Nominated<'_>) -> bool {
    let mut languages = response.all(CONTENT_LANGUAGE);
    let (Some(language), None) = (languages.next(), languages.next()) else { return false };
    if nominated.contains(&ACCEPT_LANGUAGE) {
        return false;
    }
    let ranges: Option<Vec<_>> = members(request, &ACCEPT_LANGUAGE)
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| weight(&tidied(range)).map(|(name, weight)| (name.to_ascii_lowercase(), weight)))
        .collect();
    let Some(ranges) = ranges else { return false };
    let Some((most, weight)) = ranges.iter().max_by_key(|(_, weight)| *weight) else { return false };
    let alone = ranges.iter().filter(|(_, other)| other == weight).count() == 1;
    alone && *weight > 0 && language.trim_ascii().eq_ignore_ascii_case(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn appended(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn vary_members() {
        let star: &[&[&str]] = &[
            &["*"],
            &["*, *"],
            &["*", "*"],
            &[", *"],
            &["", "*"],
            &["*, Foo"],
            &["Foo, *"],
            &["Foo", "Bar,*"],
        ];
        for lines in star {
            let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
            assert_eq!(Vary::of(&appended(&lines)), Vary::Star, "{lines:?}");
        }
        let fields: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&[""], &[]),
            (&["Foo"], &["foo"]),
            (&["Foo, Bar"], &["foo", "bar"]),
            (&["Foo", "Bar"], &["foo", "bar"]),
            (&["foo, FOO"], &["foo"]),
            (&[",, foo ,"], &["foo"]),
            (&["foo bar"], &[]),
            (&["**"], &["**"]),
        ];
        for (lines, expected) in fields {
            let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
            let expected = expected.iter().map(|name| HeaderName::try_from(*name).unwrap()).collect();
            assert_eq!(Vary::of(&appended(&lines)), Vary::Fields(expected), "{lines:?}");
        }
    }

    #[test]
    fn which_requests_match() {
        type Lines = &'static [(&'static str, &'static str)];
        let cases: &[(&str, Lines, Lines, bool)] = &[
            ("foo", &[("foo", "1")], &[("foo", "1")], true),
            ("foo", &[("foo", "1")], &[("foo", "2")], false),
            ("foo", &[("foo", "a")], &[("foo", "A")], false),
            ("foo", &[], &[("foo", "1")], false),
            ("foo", &[("foo", "1")], &[], false),
            ("foo", &[], &[], true),
            ("foo", &[], &[("foo", "")], false),
            ("foo", &[("foo", "")], &[("foo", "")], true),
            ("foo", &[("foo", "1"), ("other", "2")], &[("foo", "1"), ("other", "3")], true),
            ("foo", &[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")], true),
            ("foo", &[("foo", "1"), ("foo", "2")], &[("foo", "2"), ("foo", "1")], false),
            ("foo", &[("foo", "1,2")], &[("foo", " 1, 2 ")], true),
            ("foo", &[("foo", "1 2")], &[("foo", "12")], false),
            ("foo", &[("foo", "\"1, 2\"")], &[("foo", "\"1,2\"")], false),
            ("foo", &[("foo", "1,,2")], &[("foo", "1,2")], false),
            ("cookie", &[("cookie", "a=1,2")], &[("cookie", "a=1, 2")], false),
            ("cookie", &[("cookie", "a=1; b=2")], &[("cookie", "a=1"), ("cookie", "b=2")], true),
            ("user-agent", &[("user-agent", "a (b,c)")], &[("user-agent", "a (b, c)")], false),
            ("accept-language", &[("accept-language", "en gb")], &[("accept-language", "engb")], false),
            ("foo, bar", &[("foo", "1"), ("bar", "x")], &[("bar", "x"), ("foo", "1")], true),
            ("foo, bar", &[("foo", "1"), ("bar", "x")], &[("foo", "1"), ("bar", "y")], false),
            ("foo, bar", &[("foo", "1")], &[("foo", "1")], true),
            // What Connection nominates does not reach the origin.
            ("foo", &[], &[("foo", "1"), ("connection", "foo")], true),
            ("foo", &[("foo", "1")], &[("foo", "1"), ("connection", "close, Foo")], false),
            ("foo", &[("foo", "1"), ("connection", "foo")], &[("foo", "1")], false),
            ("foo", &[("foo", "1")], &[("foo", "1"), ("connection", "keep-alive")], true),
            ("foo", &[("foo", "1"), ("foo", "2")], &[("foo", "1"), ("foo", "2")], true),
            ("foo", &[("foo", "1"), ("foo", "2")], &[("foo", "1"), ("foo", "3")], false),
            ("foo", &[("foo", "1")], &[("foo", "1"), ("foo", "2")], false),
            ("foo", &[("foo", "1"), ("foo", "2")], &[("foo", "1")], false),
            // Accept-Language: order, case and white space do not matter; weights do.
            ("accept-language", &[("accept-language", "en, de")], &[("accept-language", "de, en")], true),
            ("accept-language", &[("accept-language", "en, de")], &[("accept-language", "eN, De")], true),
            ("accept-language", &[("accept-language", "en, de")], &[("accept-language", " en ,   de")], true),
            (
                "accept-language",
                &[("accept-language", "en;q=0.8")],
                &[("accept-language", "en; q=0.80")],
                true,
            ),
            ("accept-language", &[("accept-language", "en;q=1.0")], &[("accept-language", "en")], true),
            ("accept-language", &[("accept-language", "en;q=0.8")], &[("accept-language", "en")], false),
            ("accept-language", &[("accept-language", "en, de")], &[("accept-language", "en")], false),
            (
                "accept-language",
                &[("accept-language", "en;q=0.8")],
                &[("accept-language", "en;q=0.5")],
                false,
            ),
            (
                "accept-language",
                &[("accept-language", "en;q=0.500")],
                &[("accept-language", "en;q=0.5")],
                true,
            ),
            ("foo", &[("foo", "\"a\\\", b\"")], &[("foo", "\"a\\\",  b\"")], false),
            ("foo", &[("foo", "\"a\\\", b\"")], &[("foo", " \"a\\\", b\" ")], true),
            ("accept-language", &[("accept-language", "en;q=2")], &[("accept-language", "en")], false),
            ("accept-encoding", &[("accept-encoding", "gzip, br")], &[("accept-encoding", "br,gzip")], true),
            ("accept-encoding", &[("accept-encoding", "x-gzip")], &[("accept-encoding", "gzip")], true),
            ("accept-encoding", &[("accept-encoding", "gzip;q=0")], &[("accept-encoding", "gzip")], false),
            ("accept-encoding", &[("accept-encoding", "")], &[], false),
            ("accept", &[("accept", "text/html, */*;q=0.1")], &[("accept", "*/*;q=0.1,text/html")], true),
            ("accept", &[("accept", "text/html;level=1")], &[("accept", "text/html;level=2")], false),
            ("accept", &[("accept", "Text/HTML;v=A;Q=0.5")], &[("accept", "text/html; v=A; q=0.50")], true),
            ("accept", &[("accept", "text/html;v=A")], &[("accept", "text/html;v=a")], false),
        ];
        for (vary, stored, presented, expected) in cases {
            let Vary::Fields(names) = Vary::of(&headers(&[("vary", vary)])) else { panic!() };
            let selecting = Selecting::of(names, &appended(stored));
            let found = selecting.matches(&appended(presented), &crate::lines::Lines::default());
            assert_eq!(found, *expected, "Vary: {vary}, stored for {stored:?}, asked with {presented:?}");
        }
    }

    #[test]
    fn language_by_preference() {
        let cases: &[(&str, &str, bool)] = &[
            ("fr;q=0.5, de;q=1.0", "de", true),
            ("fr;q=0.5, DE", "de", true),
            ("fr, de", "de", false),
            ("fr, de;q=0.9", "de", false),
            ("de-AT, fr;q=0.5", "de", false),
            ("de;q=0", "de", false),
            ("de;q=x, fr;q=0.1", "de", false),
            ("*", "de", false),
            ("", "de", false),
            (",", "", false),
        ];
        for (presented, language, expected) in cases {
            let selecting = Selecting::of(vec![ACCEPT_LANGUAGE], &headers(&[("accept-language", "en, it")]));
            let response = headers(&[("content-language", language)]);
            let found = selecting.matches(&headers(&[("accept-language", presented)]), &Lines::of(&response));
            assert_eq!(found, *expected, "{presented:?} for a response in {language}");
        }
    }
}
