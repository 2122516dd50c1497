//! The field lines of a stored head, in one piece of memory.
//!
//! A `HeaderMap` takes over 100 octets for each line beside its text, and the text is often a slice of the buffer that
//! the message was read into, which lives as long as the slice does. Stored heads are many: they are packed here, and
//! become a `HeaderMap` again when a reply is made from them.
//!
//! ```text
//! line   name   octet n: the n-th of KNOWN, counted from 1; or 0, then the length of the name and the name
//!        value  its length and its octets                       (lengths: see octets.rs)
//! ```
//!
//! Stores on disk hold this form: KNOWN may grow at its end, and nothing in it may move.

use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCEPT_RANGES,
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AGE, ALLOW, ALT_SVC,
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, CONTENT_TYPE, COOKIE, DATE,
    ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION, ORIGIN, PRAGMA, REFERER, REFERRER_POLICY, REFRESH,
    RETRY_AFTER, SERVER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRAILER, USER_AGENT, VARY, VIA, WARNING,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::octets::{Malformed, Octets, put_piece};

/// Lines in one head. More than any edge lets through, and a bound for what is read from disk.
const MOST_LINES: usize = 4096;

const fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

/// Names that take one octet. Append only.
static KNOWN: [HeaderName; 88] = [
    ACCEPT_RANGES,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    AGE,
    ALLOW,
    ALT_SVC,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_SECURITY_POLICY,
    CONTENT_SECURITY_POLICY_REPORT_ONLY,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LINK,
    LOCATION,
    PRAGMA,
    REFERRER_POLICY,
    REFRESH,
    RETRY_AFTER,
    SERVER,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TRAILER,
    VARY,
    VIA,
    WARNING,
    WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
    X_DNS_PREFETCH_CONTROL,
    X_FRAME_OPTIONS,
    X_XSS_PROTECTION,
    name("accept-ch"),
    name("accept-patch"),
    name("accept-post"),
    name("cache-group-invalidation"),
    name("cache-groups"),
    name("cache-status"),
    name("cache-tag"),
    name("cdn-cache-control"),
    name("content-digest"),
    name("critical-ch"),
    name("cross-origin-embedder-policy"),
    name("cross-origin-opener-policy"),
    name("cross-origin-resource-policy"),
    name("digest"),
    name("keep-alive"),
    name("nel"),
    name("no-vary-search"),
    name("origin-agent-cluster"),
    name("permissions-policy"),
    name("priority"),
    name("proxy-status"),
    name("repr-digest"),
    name("report-to"),
    name("reporting-endpoints"),
    name("server-timing"),
    name("signature"),
    name("signature-input"),
    name("sourcemap"),
    name("surrogate-control"),
    name("surrogate-key"),
    name("timing-allow-origin"),
    name("x-amz-request-id"),
    name("x-cache"),
    name("x-cache-hits"),
    name("x-powered-by"),
    name("x-request-id"),
    name("x-robots-tag"),
    name("x-served-by"),
    // Of requests: what Vary names.
    ACCEPT,
    ACCEPT_CHARSET,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    COOKIE,
    ORIGIN,
    REFERER,
    USER_AGENT,
];

/// Numbers of known names, each at the place that its spelling leads to or the next free one behind; 0 is free.
static NUMBERS: LazyLock<[u8; PLACES]> = LazyLock::new(|| {
    let mut numbers = [0; PLACES];
    for (known, number) in KNOWN.iter().zip(1..) {
        let mut place = place(known.as_str().as_bytes());
        while numbers[place] != 0 {
            place = (place + 1) % PLACES;
        }
        numbers[place] = number;
    }
    numbers
});

/// Several times as many as there are names, so that free ones are near.
const PLACES: usize = 1024;

fn place(name: &[u8]) -> usize {
    let octet = |at: usize| name.get(at).copied().map_or(0, usize::from);
    (name.len() * 331 + octet(0) * 37 + octet(name.len() / 2) * 11 + octet(name.len().wrapping_sub(1)))
        % PLACES
}

fn number_of(name: &HeaderName) -> Option<u8> {
    let mut place = place(name.as_str().as_bytes());
    loop {
        let number = NUMBERS[place];
        match KNOWN.get(usize::from(number).checked_sub(1)?) {
            Some(known) if known == name => return Some(number),
            _ => place = (place + 1) % PLACES,
        }
    }
}

pub(crate) fn put_name(out: &mut Vec<u8>, name: &HeaderName) {
    match number_of(name) {
        Some(number) => out.push(number),
        None => {
            out.push(0);
            put_piece(out, name.as_str().as_bytes());
        }
    }
}

/// A name as it is packed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    Known(&'static HeaderName),
    Spelled(&'a [u8]),
}

impl Name<'_> {
    pub fn is(self, other: &HeaderName) -> bool {
        match self {
            Self::Known(name) => name == other,
            Self::Spelled(name) => name == other.as_str().as_bytes(),
        }
    }

    /// `None`: what was spelled is no name, which packing and checking rule out.
    pub fn to_name(self) -> Option<HeaderName> {
        match self {
            Self::Known(name) => Some(name.clone()),
            Self::Spelled(name) => HeaderName::from_bytes(name).ok(),
        }
    }
}

#[inline]
pub(crate) fn take_name<'a>(octets: &mut Octets<'a>) -> Result<Name<'a>, Malformed> {
    match octets.octet()? {
        0 => Ok(Name::Spelled(octets.piece()?)),
        known => KNOWN.get(usize::from(known) - 1).map(Name::Known).ok_or(Malformed),
    }
}

/// A name that could stand in a message, in the spelling that `put_name` gives it.
pub(crate) fn take_valid_name<'a>(octets: &mut Octets<'a>) -> Result<Name<'a>, Malformed> {
    let name = take_name(octets)?;
    if let Name::Spelled(spelled) = name {
        let valid = HeaderName::from_lowercase(spelled).map_err(|_| Malformed)?;
        if number_of(&valid).is_some() {
            return Err(Malformed);
        }
    }
    Ok(name)
}

/// Packed field lines. Lines of one name keep their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(Box<[u8]>);

impl Lines {
    pub fn of(map: &HeaderMap) -> Self {
        if map.is_empty() {
            return Self::default();
        }
        let mut out = Vec::with_capacity(512);
        encode_fields(map, &mut out);
        Self(out.into())
    }

    /// Those of a map that rarely has any.
    pub fn some(map: &HeaderMap) -> Option<Box<Self>> {
        (!map.is_empty()).then(|| Box::new(Self::of(map)))
    }

    /// Reads lines that somebody else may have written.
    pub fn checked(octets: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Octets(octets);
        let mut count = 0;
        while !rest.is_empty() {
            take_valid_name(&mut rest)?;
            HeaderValue::from_bytes(rest.piece()?).map_err(|_| Malformed)?;
            count += 1;
            if count > MOST_LINES {
                return Err(Malformed);
            }
        }
        Ok(Self(octets.into()))
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> Iter<'_> {
        Iter(Octets(&self.0))
    }

    /// The first line of a name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.iter().find(|(found, _)| found.is(name)).map(|(_, value)| value)
    }

    pub fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.get(name)?).ok()
    }

    pub fn contains_key(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Changes the lines, which takes unpacking and packing them.
    pub fn change(&mut self, change: impl FnOnce(&mut HeaderMap)) {
        let mut map = self.to_map(1);
        change(&mut map);
        *self = Self::of(&map);
    }

    pub fn remove(&mut self, name: &HeaderName) {
        if self.contains_key(name) {
            self.change(|map| drop(map.remove(name)));
        }
    }

    /// Unpacked, with room for `more` lines.
    pub fn to_map(&self, more: usize) -> HeaderMap {
        // A line takes some thirty octets: near enough, and counting costs a walk.
        let mut map = HeaderMap::try_with_capacity(self.0.len() / 32 + more).unwrap_or_default();
        self.append_to(&mut map);
        map
    }

    pub fn append_to(&self, map: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        // One copy, of which each value is a slice.
        let text = Bytes::copy_from_slice(&self.0);
        for (name, value) in self.iter() {
            let start = value.as_ptr().addr() - self.0.as_ptr().addr();
            let value = HeaderValue::from_maybe_shared(text.slice(start..start + value.len()));
            if let (Some(name), Ok(value)) = (name.to_name(), value) {
                // A map that is full takes no more: MOST_LINES is far below that.
                let _ = map.try_append(name, value);
            }
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map(0).fmt(f)
    }
}

/// Lines in their order.
pub(crate) struct Iter<'a>(Octets<'a>);

impl<'a> Iterator for Iter<'a> {
    type Item = (Name<'a>, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // What was packed or checked reads to its end.
        Some((take_name(&mut self.0).ok()?, self.0.piece().ok()?))
    }
}

/// Field lines in whichever form they are.
pub(crate) trait FieldLines {
    /// The values of a name, in their order.
    fn all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]>;
}

impl FieldLines for HeaderMap {
    fn all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

impl FieldLines for Lines {
    fn all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(found, _)| found.is(&name)).map(|(_, value)| value)
    }
}

/// Puts the field lines of a map (of a trailer section, say) in the form in which they are stored.
pub fn encode_fields(map: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in map {
        put_name(out, name);
        put_piece(out, value.as_bytes());
    }
}

/// The inverse of [`encode_fields`]; `None` for octets that it did not write.
pub fn decode_fields(octets: &[u8]) -> Option<HeaderMap> {
    Lines::checked(octets).ok().map(|lines| lines.to_map(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    #[test]
    fn what_is_packed_unpacks() {
        let cases: &[&[(&str, &[u8])]] = &[
            &[],
            &[("etag", b"\"a\"")],
            &[
                ("x-odd", b""),
                ("content-type", b"text/html"),
                ("x-odd", b"caf\xe9"),
                ("set-cookie", b"a"),
                ("set-cookie", b"b"),
            ],
            &[("x-long", &[b'x'; 70_000])],
        ];
        for lines in cases {
            let map = map(lines);
            let packed = Lines::of(&map);
            assert_eq!(packed.to_map(4), map);
            assert_eq!(Lines::checked(packed.octets()), Ok(packed.clone()));
            for name in map.keys() {
                assert!(packed.contains_key(name));
                assert!(packed.all(name.clone()).eq(map.get_all(name).iter().map(HeaderValue::as_bytes)));
            }
            assert!(!packed.contains_key(&name("absent")));
        }
    }

    #[test]
    fn names_have_one_spelling() {
        for (at, name) in KNOWN.iter().enumerate() {
            let mut out = Vec::new();
            put_name(&mut out, name);
            assert_eq!(out, [at as u8 + 1], "{name} is there twice");
            let mut spelled = vec![0];
            put_piece(&mut spelled, name.as_str().as_bytes());
            put_piece(&mut spelled, b"");
            assert_eq!(Lines::checked(&spelled), Err(Malformed));
        }
        let bad: [&[u8]; 7] =
            [&[0], &[0, 0, 0], &[0, 1, b'A', 0], &[0, 1, b' ', 0], &[255, 0], &[1, 1, b'\n'], &[1, 2, b'a']];
        for octets in bad {
            assert_eq!(Lines::checked(octets), Err(Malformed), "{octets:?}");
        }
    }

    /// What is on disk was written with these numbers.
    #[test]
    fn known_names_do_not_move() {
        let spelled: Vec<&str> = KNOWN.iter().map(HeaderName::as_str).collect();
        let sum = spelled.join(",").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(
            (spelled.len(), sum),
            (88, 0xa66a_c1c7_e509_a6b6),
            "append to KNOWN, and then correct this line"
        );
    }
}
