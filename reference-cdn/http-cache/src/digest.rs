//! Content-Digest and Repr-Digest (RFC 9530): what they are about, and who wants one. The hashing is the edge's.
//!
//! Content-Digest is about the content of one message as it came (after its transfer coding, with its content coding), so
//! that of a 206 is about the part. Repr-Digest is about the whole selected representation: the same octets where the
//! content is the whole, others where it is a part, and about no octets of the message where there is no content.

use std::ops::Range;

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::fields;
use crate::lines::FieldLines;
use crate::{Reply, Request, Response, Selection, Stored, storing};

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const WANT_CONTENT_DIGEST: HeaderName = HeaderName::from_static("want-content-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// The algorithms that are checked and produced: those whose status is Active (section 7.2). Others are ignored, as
/// section 2 allows: what is weak proves nothing, and what is unknown cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    Sha256,
    Sha512,
}

impl DigestAlgorithm {
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its key in the fields.
    pub fn key(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }

    fn octets(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A digest that somebody told or computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub algorithm: DigestAlgorithm,
    pub value: Vec<u8>,
}

/// Which octets a digest is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestField {
    /// Content-Digest: the content of the message.
    Content,
    /// Repr-Digest: the whole representation.
    Representation,
}

impl DigestField {
    pub fn name(self) -> HeaderName {
        match self {
            Self::Content => CONTENT_DIGEST,
            Self::Representation => REPR_DIGEST,
        }
    }
}

/// A digest that the content does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestMismatch {
    pub field: DigestField,
    pub algorithm: DigestAlgorithm,
}

impl std::fmt::Display for DigestMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the content does not have the {} that its {} tells",
            self.algorithm.key(),
            self.field.name()
        )
    }
}

impl std::error::Error for DigestMismatch {}

/// What the octets of a message's content must come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedDigests {
    told: Vec<(DigestField, Digest)>,
    /// The fields that may come as trailers, after the content.
    late: Vec<DigestField>,
}

impl ExpectedDigests {
    /// From a response of the origin.
    ///
    /// Repr-Digest is held against content that is a whole representation of the target: that of a response to GET other
    /// than 206. In answers to other methods it may be about another resource's representation (section 3.1).
    pub fn of(request: &Request<'_>, response: &Response<'_>) -> Self {
        let mut expected = Self::default();
        if *request.method == Method::HEAD || !storing::has_content(response.status) {
            return expected;
        }
        let whole = *request.method == Method::GET && response.status != StatusCode::PARTIAL_CONTENT;
        expected.take(DigestField::Content, response.headers);
        if whole {
            expected.take(DigestField::Representation, response.headers);
        }
        for field in [DigestField::Content, DigestField::Representation] {
            let possible = whole || field == DigestField::Content;
            if possible && announces(response.headers, &field.name()) {
                expected.late.push(field);
            }
        }
        expected
    }

    /// From the fields of a whole that is put together from parts.
    pub fn of_whole(stored: &Stored) -> Self {
        let mut expected = Self::default();
        if !stored.extent.partial {
            expected.take(DigestField::Representation, &stored.headers.to_map(0));
        }
        expected
    }

    fn take(&mut self, field: DigestField, headers: &HeaderMap) {
        self.told.extend(digests(headers, &field.name()).into_iter().map(|digest| (field, digest)));
    }

    /// There is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty() && self.late.is_empty()
    }

    /// Something to check is known before the content.
    pub fn is_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// What to compute of the content.
    pub fn algorithms(&self) -> Vec<DigestAlgorithm> {
        let needed = |algorithm: &DigestAlgorithm| {
            !self.late.is_empty() || self.told.iter().any(|(_, digest)| digest.algorithm == *algorithm)
        };
        DigestAlgorithm::ALL.into_iter().filter(needed).collect()
    }

    /// The trailer fields have come. Those that were not announced are not checked: nothing was computed for them.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        for field in std::mem::take(&mut self.late) {
            self.take(field, trailers);
        }
    }

    /// Holds what was told against what was computed.
    ///
    /// # Errors
    /// The first digest that the content does not have. All that are known must match.
    pub fn check(&self, computed: &[Digest]) -> Result<(), DigestMismatch> {
        for (field, told) in &self.told {
            let has = computed.iter().any(|digest| digest == told);
            if !has {
                return Err(DigestMismatch { field: *field, algorithm: told.algorithm });
            }
        }
        Ok(())
    }
}

fn announces(headers: &HeaderMap, field: &HeaderName) -> bool {
    let mut names =
        headers.get_all(TRAILER).iter().flat_map(|line| line.as_bytes().split(|&octet| octet == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(field.as_str().as_bytes()))
}

/// The dictionary that a field holds; `None` if it is absent or no dictionary, and then says nothing.
fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<sfv::Dictionary> {
    sfv::Parser::new(&fields::combined(headers, name)?).parse().ok()
}

fn item(member: &sfv::ListEntry) -> Option<&sfv::BareItem> {
    match member {
        sfv::ListEntry::Item(item) => Some(&item.bare_item),
        sfv::ListEntry::InnerList(_) => None,
    }
}

/// The digests in a field by the algorithms known here. A value that is no byte sequence, or not as long as the
/// algorithm's, is no digest and is ignored, like an unknown algorithm.
fn digests(headers: &HeaderMap, name: &HeaderName) -> Vec<Digest> {
    let Some(dictionary) = dictionary(headers, name) else { return Vec::new() };
    let digest = |algorithm: DigestAlgorithm| match item(dictionary.get(algorithm.key())?)? {
        sfv::BareItem::ByteSequence(value) if value.len() == algorithm.octets() => {
            Some(Digest { algorithm, value: value.clone() })
        }
        _ => None,
    };
    DigestAlgorithm::ALL.into_iter().filter_map(digest).collect()
}

/// The digests of the representation that are told, whichever form the fields are in.
fn unpacked(lines: &impl FieldLines) -> HeaderMap {
    let mut map = HeaderMap::new();
    for value in lines.all(REPR_DIGEST) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            let _ = map.try_append(REPR_DIGEST, value);
        }
    }
    map
}

/// Do two messages tell different digests of one representation?
pub(crate) fn contradict(a: &impl FieldLines, b: &impl FieldLines) -> bool {
    let (a, b) = (unpacked(a), unpacked(b));
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let others = digests(&b, &REPR_DIGEST);
    digests(&a, &REPR_DIGEST)
        .iter()
        .any(|digest| others.iter().any(|other| other.algorithm == digest.algorithm && other != digest))
}

/// A digest that a client wants and the edge may add to a reply from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDigest {
    pub field: DigestField,
    pub algorithm: DigestAlgorithm,
    /// The octets it is about, counted from the start of the representation; `None`: all of them.
    pub range: Option<Range<u64>>,
}

/// The digests that the client wants (section 4) and that `reply` may have but has not: at most one for each field, by
/// the algorithm that the client prefers. Only where all of the representation is stored in one piece, and never a Content-Digest of
/// several parts or of no content. A preference is a hint: to leave one out is allowed.
pub fn wanted(request: &Request<'_>, stored: &Stored, reply: &Reply) -> Vec<WantedDigest> {
    if ![WANT_CONTENT_DIGEST, WANT_REPR_DIGEST].iter().any(|name| request.headers.contains_key(name)) {
        return Vec::new();
    }
    let answered = reply.status.is_success()
        || reply.status == StatusCode::NOT_MODIFIED
        || reply.status == stored.status;
    if stored.extent.partial || stored.extent.complete.is_none() || stored.slices.is_some() || !answered {
        return Vec::new();
    }
    let content = match &reply.content {
        Selection::Whole => Some(None),
        Selection::Range(range) => Some(Some(range.clone())),
        Selection::None | Selection::Multipart { .. } => None,
    };
    let fields = [
        (DigestField::Content, WANT_CONTENT_DIGEST, content),
        (DigestField::Representation, WANT_REPR_DIGEST, Some(None)),
    ];
    fields
        .into_iter()
        .filter_map(|(field, want, range)| {
            let preferences = preferences(request.headers, &want);
            let told = digests(&reply.headers, &field.name());
            let satisfied = told.iter().any(|digest| preferences.contains(&digest.algorithm));
            let algorithm = preferences.first().copied().filter(|_| !satisfied)?;
            Some(WantedDigest { field, algorithm, range: range? })
        })
        .collect()
}

/// The acceptable algorithms, the most preferred first; of two that are equally so the shorter.
fn preferences(headers: &HeaderMap, name: &HeaderName) -> Vec<DigestAlgorithm> {
    let Some(dictionary) = dictionary(headers, name) else { return Vec::new() };
    let weight = |algorithm: DigestAlgorithm| match item(dictionary.get(algorithm.key())?)? {
        sfv::BareItem::Integer(weight) => Some((i64::from(*weight), algorithm)),
        _ => None,
    };
    let mut weighted: Vec<_> = DigestAlgorithm::ALL
        .into_iter()
        .filter_map(weight)
        .filter(|(weight, _)| (1..=10).contains(weight))
        .collect();
    weighted.sort_by_key(|(weight, _)| -weight);
    weighted.into_iter().map(|(_, algorithm)| algorithm).collect()
}

/// Adds a computed digest to the fields of a reply, beside what the origin told.
pub fn add_digest(headers: &mut HeaderMap, field: DigestField, digest: &Digest) {
    let value = sfv::BareItem::ByteSequence(digest.value.clone());
    let Ok(key) = sfv::Key::from_string(digest.algorithm.key().to_owned()) else { return };
    let dictionary: sfv::Dictionary =
        [(key, sfv::ListEntry::Item(sfv::Item::new(value)))].into_iter().collect();
    if let Some(text) = sfv::FieldType::serialize(&dictionary) {
        crate::fields::append(headers, field.name(), &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn fields(lines: &[(&str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_a_digest() {
        let found = |value: &str| digests(&fields(&[("repr-digest", value.to_owned())]), &REPR_DIGEST);
        let one = found(&format!("sha-256=:{EMPTY}:"));
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].value.len(), 32);
        assert_eq!(found(&format!("sha-256=:{EMPTY}:;x=1, md5=:AAAA:, unixsum=5")), one);
        assert_eq!(found(&format!("sha-512=:{}:, sha-256=:{EMPTY}:", "A".repeat(86) + "==")).len(), 2);
        // The last of several counts, as in every dictionary.
        assert_eq!(found(&format!("sha-256=1, sha-256=:{EMPTY}:")), one);
        for nothing in [
            "",
            "sha-256",
            "sha-256=1",
            "sha-256=\"x\"",
            "sha-256=:AAAA:",
            "sha-256=(:AAAA:)",
            "SHA-256=:AAAA:",
            "sha-256=:###:",
            "sha-256=:AAAA",
        ] {
            assert_eq!(found(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn preferences_of_a_client() {
        use DigestAlgorithm::{Sha256, Sha512};
        let cases: &[(&str, &[DigestAlgorithm])] = &[
            ("sha-256=1", &[Sha256]),
            ("sha-512=3, sha-256=10, unixsum=0", &[Sha256, Sha512]),
            ("sha-512=10, sha-256=3", &[Sha512, Sha256]),
            ("sha-512=5, sha-256=5", &[Sha256, Sha512]),
            ("sha-256=0, sha-512=1", &[Sha512]),
            ("sha-256=0", &[]),
            ("sha-256=11", &[]),
            ("sha-256=-1", &[]),
            ("sha-256=1.5", &[]),
            ("sha-256", &[]),
            ("md5=10", &[]),
            ("sha-256=1,", &[]),
        ];
        for (value, expected) in cases {
            let headers = fields(&[("want-repr-digest", (*value).to_owned())]);
            assert_eq!(preferences(&headers, &WANT_REPR_DIGEST), *expected, "{value}");
        }
        assert_eq!(preferences(&HeaderMap::new(), &WANT_REPR_DIGEST), []);
    }

    #[test]
    fn a_digest_that_is_added_stands_beside_others() {
        let mut headers = fields(&[("repr-digest", "md5=:AAAA:".to_owned())]);
        let digest = Digest { algorithm: DigestAlgorithm::Sha256, value: vec![7; 32] };
        add_digest(&mut headers, DigestField::Representation, &digest);
        assert_eq!(digests(&headers, &REPR_DIGEST), [digest]);
        assert_eq!(headers.get_all(REPR_DIGEST).iter().count(), 2);
    }
}
