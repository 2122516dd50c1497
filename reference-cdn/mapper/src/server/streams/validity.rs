//! From when and until when a certificate is valid (RFC 5280 section 4.1.2.5), from its DER encoding. The TLS library does not tell;
//! nothing else of it is read here.

use crate::authority::dnssec::keys;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate, in a context-specific tag of its own.
const VERSION: u8 = 0xa0;

/// The time that stands for no end (RFC 5280 section 4.1.2.5), which is the last that can be written.
const END: u64 = 253_402_300_799;

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
        let mut whole = certificate;
        let mut parts = element(&mut whole, SEQUENCE)?;
        let mut fields = element(&mut parts, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            element(&mut fields, VERSION)?;
        }
        // Serial number, algorithm of the signature, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            element(&mut fields, tag)?;
        }
        let mut validity = element(&mut fields, SEQUENCE)?;
        Some(Self { not_before: time(&mut validity)?, not_after: time(&mut validity)? })
    }

    pub fn at(&self, now: u64) -> Standing {
        match now {
            now if now < self.not_before => Standing::NotYet,
            now if now > self.not_after => Standing::Expired,
            _ => Standing::Valid,
        }
    }
}

/// Takes the element that comes first, which must have this tag, and gives its content.
fn element<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let [found, length, after @ ..] = *rest else { return None };
    let (length, after) = if *length < 0x80 {
        (usize::from(*length), after)
    } else {
        // Up to three octets of length: a file is no longer. The indefinite form is none of DER.
        let (octets, after) = after.split_at_checked(usize::from(length & 0x7f))?;
        if !(1..=3).contains(&octets.len()) {
            return None;
        }
        (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), after)
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    (*found == tag).then_some(content)
}

/// UTCTime or GeneralizedTime, in the only forms that are allowed. Before 1970 is 1970.
fn time(rest: &mut &[u8]) -> Option<u64> {
    let tag = *rest.first()?;
    let text = std::str::from_utf8(element(rest, tag)?).ok()?.strip_suffix('Z')?;
    let century = match (tag, text.len()) {
        (GENERALIZED_TIME, 14) => "",
        // Years of two digits are those from 1950 to 2049.
        (UTC_TIME, 12) if text < "50" => "20",
        (UTC_TIME, 12) => "19",
        _ => return None,
    };
    let long = format!("{century}{text}");
    match &*long {
        _ if !long.bytes().all(|octet| octet.is_ascii_digit()) => None,
        "99991231235959" => Some(END),
        before if before < "1970" => Some(0),
        long => keys::seconds(long),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

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

    #[test]
    fn times_as_they_are_written() {
        let of = |tag: u8, text: &str| {
            let mut octets = vec![tag, text.len() as u8];
            octets.extend_from_slice(text.as_bytes());
            time(&mut &octets[..])
        };
        assert_eq!(of(GENERALIZED_TIME, "99991231235959Z"), Some(END));
        assert_eq!(of(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(of(UTC_TIME, "500101000000Z"), Some(0));
        assert_eq!(of(UTC_TIME, "491231235959Z"), of(GENERALIZED_TIME, "20491231235959Z"));
        for wrong in ["", "Z", "700101000001", "7001010000Z", "70x101000001Z", "701301000001Z"] {
            assert_eq!(of(UTC_TIME, wrong), None, "{wrong}");
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
