//! From when and until when a certificate is valid, and whom it is about (RFC 5280 sections 4.1.2.4 to 4.1.2.6), from its
//! DER encoding. The TLS library does not tell; nothing else of it is read here.

use http_cache::Time;

use crate::timestamp;

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version of a certificate, in a context-specific tag of its own.
const VERSION: u8 = 0xa0;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Characters of a subject that are shown: a common name has no more.
const SHOWN: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Time,
    pub not_after: Time,
    /// The common name of its subject, printable; empty if it has none.
    pub subject: String,
}

/// What the date makes of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    NotYet,
    Valid,
    Expired,
}

impl Validity {
    /// `None`: it is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut rest = certificate;
        let mut certificate = take(&mut rest, SEQUENCE)?;
        let mut body = take(&mut certificate, SEQUENCE)?;
        if body.first() == Some(&VERSION) {
            take(&mut body, VERSION)?;
        }
        take(&mut body, INTEGER)?; // Serial number.
        take(&mut body, SEQUENCE)?; // Signature algorithm.
        take(&mut body, SEQUENCE)?; // Issuer.
        let mut validity = take(&mut body, SEQUENCE)?;
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        let subject = common_name(take(&mut body, SEQUENCE)?).unwrap_or_default();
        Some(Self { not_before, not_after, subject })
    }

    /// Both ends belong to the time in which it is valid.
    pub fn at(&self, now: Time) -> Standing {
        if now < self.not_before {
            Standing::NotYet
        } else if now.as_secs() > self.not_after.as_secs() {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }
}

/// The content of the element that comes first, if that has this tag; what follows is left.
fn take<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&first, after) = rest.split_first()?;
    let (&length, after) = after.split_first()?;
    let (length, after) = match length {
        0..=0x7f => (usize::from(length), after),
        // Up to 16 MiB; the indefinite form is none of DER.
        0x81..=0x83 => {
            let (octets, after) = after.split_at_checked(usize::from(length & 0x7f))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), after)
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    (first == tag).then_some(content)
}

/// UTCTime or GeneralizedTime, in the only forms that section 4.1.2.5 allows. Before 1970 is 1970.
fn time(rest: &mut &[u8]) -> Option<Time> {
    let tag = *rest.first()?;
    let text = std::str::from_utf8(take(rest, tag)?).ok()?;
    let long = match (tag, text.len()) {
        (GENERALIZED_TIME, 15) => text.to_owned(),
        (UTC_TIME, 13) => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        _ => return None,
    };
    let part = |from: usize, to: usize| long.get(from..to);
    let written = format!(
        "{}-{}-{}T{}:{}:{}{}",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?,
        part(14, 15)?
    );
    match part(0, 4)?.parse::<u16>().ok()? {
        1970.. => timestamp::parse(&written),
        _ => Some(Time::default()),
    }
}

/// Of a Name: sets of pairs of an object identifier and a string.
fn common_name(mut name: &[u8]) -> Option<String> {
    while !name.is_empty() {
        let mut set = take(&mut name, SET)?;
        while !set.is_empty() {
            let mut pair = take(&mut set, SEQUENCE)?;
            let kind = take(&mut pair, OBJECT_IDENTIFIER)?;
            let tag = *pair.first()?;
            let value = take(&mut pair, tag)?;
            if kind == COMMON_NAME {
                let text = String::from_utf8_lossy(value);
                return Some(text.chars().filter(|c| !c.is_control()).take(SHOWN).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(["a.test".to_owned()]).expect("names");
        change(&mut params);
        params.self_signed(&key).expect("certificate").der().to_vec()
    }

    #[test]
    fn both_ends_and_the_subject() {
        for (from, to, read) in [
            ((2026, 1, 2), (2027, 3, 4), ("2026-01-02T00:00:00Z", "2027-03-04T00:00:00Z")),
            // From 2050 on in the longer form.
            ((2049, 12, 31), (2050, 1, 1), ("2049-12-31T00:00:00Z", "2050-01-01T00:00:00Z")),
            ((1999, 2, 28), (9999, 12, 31), ("1999-02-28T00:00:00Z", "9999-12-31T00:00:00Z")),
        ] {
            let certificate = made(|params| {
                params.not_before = date_time_ymd(from.0, from.1, from.2);
                params.not_after = date_time_ymd(to.0, to.1, to.2);
                params.distinguished_name.push(DnType::OrganizationName, "Some");
                params.distinguished_name.push(DnType::CommonName, "www.test\u{1b}[2J");
            });
            let found = Validity::of(&certificate).expect("a certificate");
            let expected = |text: &str| timestamp::parse(text).expect("a time");
            assert_eq!((found.not_before, found.not_after), (expected(read.0), expected(read.1)));
            assert_eq!(found.subject, "www.test[2J");
            assert_eq!(found.at(Time::from_secs(found.not_before.as_secs() - 1)), Standing::NotYet);
            assert_eq!(found.at(found.not_before), Standing::Valid);
            assert_eq!(found.at(found.not_after), Standing::Valid);
            assert_eq!(found.at(Time::from_secs(found.not_after.as_secs() + 1)), Standing::Expired);
        }
        let old = made(|params| params.not_before = date_time_ymd(1960, 1, 1));
        assert_eq!(Validity::of(&old).expect("a certificate").not_before, Time::default());
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Validity::of(&octets);
        }

        /// Damage is refused or read; the end is never before what can be read of it.
        #[test]
        fn damaged_certificates_are_too(at in 0..200_usize, octet: u8, cut in 0..400_usize) {
            let mut certificate = made(|_| {});
            if let Some(found) = certificate.get_mut(at) {
                *found = octet;
            }
            let _ = Validity::of(&certificate);
            let _ = Validity::of(certificate.get(..cut).unwrap_or(&certificate));
        }
    }
}
