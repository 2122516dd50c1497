//! Cache-Control directives (RFC 9111 section 5.2) and the fields targeted at some caches (RFC 9213).

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use crate::fields;

/// Largest number of seconds that is told apart from "for ever" (RFC 9111 section 1.2.2).
pub(crate) const MAX_DELTA: u32 = 1 << 31;

pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// `no-cache` and `private` may be limited to the fields they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Qualified {
    /// Given without field names: applies to the whole response.
    pub whole: bool,
    pub fields: Vec<HeaderName>,
}

/// What a response says about its reuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    /// From a targeted field: Cache-Control and Expires do not count (RFC 9213 section 2.2).
    pub targeted: bool,
    pub no_store: bool,
    pub no_cache: Qualified,
    pub private: Qualified,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub immutable: bool,
    pub max_age: Option<u32>,
    pub s_maxage: Option<u32>,
    pub stale_while_revalidate: Option<u32>,
    pub stale_if_error: Option<u32>,
}

/// What a request says about the response it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    pub no_store: bool,
    pub no_cache: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u32>,
    pub min_fresh: Option<u32>,
    /// `max-stale` without a value is [`MAX_DELTA`].
    pub max_stale: Option<u32>,
    pub stale_if_error: Option<u32>,
}

impl ResponseDirectives {
    /// From the first of `targets` that is valid and not empty, else from Cache-Control.
    pub fn of(headers: &HeaderMap, targets: &[HeaderName]) -> Self {
        targets.iter().find_map(|name| Self::targeted(headers, name)).unwrap_or_else(|| {
            let mut directives = Self::default();
            for line in headers.get_all(CACHE_CONTROL) {
                for directive in Directives::new(line.as_bytes()) {
                    directives.take(&directive);
                }
            }
            directives
        })
    }

    fn targeted(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let value = fields::combined(headers, name)?;
        let dictionary: sfv::Dictionary = sfv::Parser::new(&value).parse().ok()?;
        if dictionary.is_empty() {
            return None;
        }
        let mut directives = Self { targeted: true, ..Self::default() };
        for (name, member) in &dictionary {
            directives.take(&Directive {
                name: name.as_str().as_bytes(),
                argument: argument(member),
                trusted: true,
                structured: true,
            });
        }
        Some(directives)
    }

    /// The first of several values counts (RFC 9111 section 4.2.1); of directives that conflict, the most
    /// restrictive does, because each restriction is a flag of its own.
    fn take(&mut self, directive: &Directive<'_>) {
        // `no-store=?0` says that it is not so.
        if matches!(directive.argument, Argument::False) {
            return;
        }
        // Restrictions hold whatever argument comes with them: to ignore them is the greater risk. A permission of
        // the wrong type is none (RFC 9213 section 2.1); in Cache-Control, where nobody checks types, it is one.
        match directive.lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.take(directive),
            b"private" => self.private.take(directive),
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            _ if !directive.trusted => {}
            b"public" => self.public |= directive.is_flag(),
            b"must-understand" => self.must_understand |= directive.is_flag(),
            // RFC 8246 section 2: arguments have no meaning.
            b"immutable" => self.immutable = true,
            b"max-age" => first(&mut self.max_age, directive.seconds().unwrap_or(0)),
            b"s-maxage" => first(&mut self.s_maxage, directive.seconds().unwrap_or(0)),
            b"stale-while-revalidate" => {
                first(&mut self.stale_while_revalidate, directive.seconds().unwrap_or(0))
            }
            b"stale-if-error" => first(&mut self.stale_if_error, directive.seconds().unwrap_or(0)),
            _ => {}
        }
    }
}

impl RequestDirectives {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            for directive in Directives::new(line.as_bytes()) {
                directives.take(&directive);
            }
        }
        // RFC 9111 section 5.4: Pragma counts only for clients that know no Cache-Control.
        if !headers.contains_key(CACHE_CONTROL) {
            let mut lines = headers.get_all(PRAGMA).iter();
            directives.no_cache |= lines.any(|line| {
                Directives::new(line.as_bytes()).any(|pragma| pragma.lowercase().as_slice() == b"no-cache")
            });
        }
        directives
    }

    /// Invalid numbers are read as the client's most demanding wish, except for `max-stale` and `stale-if-error`,
    /// permissions, which then are none.
    fn take(&mut self, directive: &Directive<'_>) {
        match directive.lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"only-if-cached" => self.only_if_cached = true,
            _ if !directive.trusted => {}
            b"max-age" => first(&mut self.max_age, directive.seconds().unwrap_or(0)),
            b"min-fresh" => first(&mut self.min_fresh, directive.seconds().unwrap_or(MAX_DELTA)),
            b"max-stale" => {
                let allowed = match directive.argument {
                    Argument::None => MAX_DELTA,
                    _ => directive.seconds().unwrap_or(0),
                };
                first(&mut self.max_stale, allowed);
            }
            b"stale-if-error" => first(&mut self.stale_if_error, directive.seconds().unwrap_or(0)),
            _ => {}
        }
    }
}

fn first(slot: &mut Option<u32>, value: u32) {
    slot.get_or_insert(value);
}

impl Qualified {
    fn take(&mut self, directive: &Directive<'_>) {
        let names = match directive.argument {
            Argument::Text(ref text) if directive.trusted => field_names(text),
            Argument::Words(words) => field_names(words.as_bytes()),
            _ => None,
        };
        // A list that cannot be read may have named anything.
        match names {
            Some(names) => self.fields.extend(names),
            None => self.whole = true,
        }
    }
}

/// A comma-separated list of field names, not empty; `None` if any is no field name.
fn field_names(text: &[u8]) -> Option<Vec<HeaderName>> {
    let names: Option<Vec<_>> = text
        .split(|&octet| octet == b',')
        .map(|name| name.trim_ascii())
        .filter(|name| !name.is_empty())
        .map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    names.filter(|names| !names.is_empty())
}

enum Argument<'a> {
    None,
    /// The value of a token, or of a quoted-string without quotes and escapes.
    Text(std::borrow::Cow<'a, [u8]>),
    /// A number (structured fields only).
    Number(i64),
    /// A token or string of a structured field: never a number (RFC 9213 section 2.1).
    Words(&'a str),
    /// A false Boolean (structured fields only): the directive is not meant.
    False,
    /// A type that no directive has.
    Other,
}

fn argument(member: &sfv::ListEntry) -> Argument<'_> {
    use sfv::BareItem;
    let sfv::ListEntry::Item(item) = member else { return Argument::Other };
    match &item.bare_item {
        BareItem::Boolean(true) => Argument::None,
        BareItem::Boolean(false) => Argument::False,
        BareItem::Integer(number) => Argument::Number(i64::from(*number)),
        BareItem::Token(token) => Argument::Words(token.as_str()),
        BareItem::String(text) => Argument::Words(text.as_str()),
        _ => Argument::Other,
    }
}

struct Directive<'a> {
    name: &'a [u8],
    argument: Argument<'a>,
    /// What came before it could be read.
    trusted: bool,
    /// It is a member of a structured field, whose type counts.
    structured: bool,
}

impl Directive<'_> {
    /// It has the form of a directive without argument.
    fn is_flag(&self) -> bool {
        !self.structured || matches!(self.argument, Argument::None)
    }

    /// The name in lower case; names longer than any known directive become empty.
    fn lowercase(&self) -> Lowercase {
        let mut lower = Lowercase { octets: [0; 24], length: 0 };
        if let Some(octets) = lower.octets.get_mut(..self.name.len()) {
            octets.copy_from_slice(self.name);
            octets.make_ascii_lowercase();
            lower.length = self.name.len();
        }
        lower
    }

    /// delta-seconds, at most [`MAX_DELTA`]. A quoted number counts as the number (RFC 9111 section 5.2).
    fn seconds(&self) -> Option<u32> {
        match &self.argument {
            Argument::Text(text) => seconds(text),
            Argument::Number(number) => {
                Some(u32::try_from(*number).map_or(MAX_DELTA, |number| number.min(MAX_DELTA)))
                    .filter(|_| *number >= 0)
            }
            Argument::None | Argument::Words(_) | Argument::False | Argument::Other => None,
        }
    }
}

struct Lowercase {
    octets: [u8; 24],
    length: usize,
}

impl Lowercase {
    fn as_slice(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// `1*DIGIT`, at most [`MAX_DELTA`].
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u32, |number, octet| {
        octet
            .is_ascii_digit()
            .then(|| number.saturating_mul(10).saturating_add(u32::from(octet - b'0')).min(MAX_DELTA))
    })
}

/// The directives of one field line.
///
/// A member that is not `token [ "=" ( token / quoted-string ) ]` is skipped, so `max-age =1` says nothing.
/// After a quoted string that never ends, restrictions are still heard and permissions no longer.
struct Directives<'a> {
    rest: &'a [u8],
    trusted: bool,
}

impl<'a> Directives<'a> {
    fn new(line: &'a [u8]) -> Self {
        Self { rest: line, trusted: true }
    }

    /// Cuts the next member off `rest`.
    fn member(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let mut escaped = false;
        let mut end = self.rest.len();
        for (index, &octet) in self.rest.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    end = index;
                    break;
                }
                _ => {}
            }
        }
        if quoted {
            self.trusted = false;
            let comma = self.rest.iter().position(|&octet| octet == b',');
            end = comma.unwrap_or(self.rest.len());
        }
        let (member, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Some(member.trim_ascii())
    }
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            let member = self.member()?;
            let (name, argument) = match member.iter().position(|&octet| octet == b'=') {
                None => (member, Argument::None),
                Some(equals) => (&member[..equals], text(&member[equals + 1..])),
            };
            if name.is_empty() || !name.iter().all(|&octet| is_token(octet)) {
                continue;
            }
            return Some(Directive { name, argument, trusted: self.trusted, structured: false });
        }
    }
}

fn text(argument: &[u8]) -> Argument<'_> {
    match argument {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Argument::Text(inner.into()),
        [b'"', inner @ .., b'"'] => {
            let mut plain = Vec::with_capacity(inner.len());
            let mut octets = inner.iter();
            while let Some(&octet) = octets.next() {
                plain.push(if octet == b'\\' { *octets.next().unwrap_or(&octet) } else { octet });
            }
            Argument::Text(plain.into())
        }
        token if !token.is_empty() && token.iter().all(|&octet| is_token(octet)) => {
            Argument::Text(token.into())
        }
        _ => Argument::Other,
    }
}

pub(crate) fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}
