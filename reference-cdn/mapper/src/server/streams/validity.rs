//! From when and until when a certificate is valid (RFC 5280 section 4.1.2.5). The TLS library does not tell.

use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

/// Both ends belong to the time in which it is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: u64,
    pub not_after: u64,
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
        // Before 1970 is 1970.
        let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        Some(Self { not_before: seconds(validity.not_before), not_after: seconds(validity.not_after) })
    }

    pub fn at(&self, now: u64) -> Standing {
        match now {
            now if now < self.not_before => Standing::NotYet,
            now if now > self.not_after => Standing::Expired,
            _ => Standing::Valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::authority::dnssec::keys;

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_ends() {
        let of = |text: &str| keys::seconds(text).unwrap();
        for (from, to, begins, ends) in [
            ((2026, 1, 2), (2027, 3, 4), of("20260102000000"), of("20270304000000")),
            // From 2050 on in the longer form.
            ((2049, 12, 31), (2050, 1, 1), of("20491231000000"), of("20500101000000")),
            ((1999, 2, 28), (9999, 12, 1), of("19990228000000"), of("99991201000000")),
            ((1960, 1, 1), (2027, 1, 1), 0, of("20270101000000")),
        ] {
            let found = Validity::of(&made(from, to)).unwrap();
            assert_eq!((found.not_before, found.not_after), (begins, ends));
            let standings = [begins.saturating_sub(1), begins, ends, ends + 1].map(|now| found.at(now));
            let before = if begins == 0 { Standing::Valid } else { Standing::NotYet };
            assert_eq!(standings, [before, Standing::Valid, Standing::Valid, Standing::Expired]);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Validity::of(&octets);
        }

        #[test]
        fn damaged_certificates_are_too(at in 0..200_usize, octet: u8, cut in 0..400_usize) {
            let mut certificate = made((2026, 1, 1), (2027, 1, 1));
            if let Some(found) = certificate.get_mut(at) {
                *found = octet;
            }
            let _ = Validity::of(&certificate);
            let _ = Validity::of(certificate.get(..cut).unwrap_or(&certificate));
        }
    }
}
