//! From when and until when a certificate is valid, and whom it is about (RFC 5280 sections 4.1.2.4 to 4.1.2.6). The TLS
//! library does not tell.

use http_cache::Time;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

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
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        let name = certificate.subject().iter_common_name().next();
        let name = name.map(|name| String::from_utf8_lossy(name.attr_value().data).into_owned());
        let subject = name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        Some(Self { not_before: time(validity.not_before), not_after: time(validity.not_after), subject })
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

/// Before 1970 is 1970.
fn time(time: ASN1Time) -> Time {
    Time::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;
    use crate::timestamp;

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
