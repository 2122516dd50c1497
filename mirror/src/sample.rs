//! Which requests are looked at: a share of them, chosen by hash, so that the same seed chooses the same ones.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What a choice holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SampleBy {
    /// All requests for a URL, or none: the candidate's cache sees the whole history of the URLs it is asked for.
    #[default]
    Url,
    /// All requests from a client address, or none: sessions stay whole.
    Client,
    /// All requests of a connection, or none.
    Connection,
    /// Each request by itself.
    Request,
}

/// A share from 0 to 1, written as `0.25`, `25%` or `1/4`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    pub const ALL: Share = Share(1.0);
    /// 95 %: below it, too little was compared to judge.
    pub const MOST: Share = Share(0.95);

    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let share = if let Some(percent) = text.strip_suffix('%') {
            number(percent).map(|n| n / 100.0)
        } else if let Some((part, whole)) = text.split_once('/') {
            number(part).zip(number(whole)).map(|(part, whole)| part / whole)
        } else {
            number(text)
        };
        share.filter(|share| (0.0..=1.0).contains(share)).map(Share).ok_or_else(|| {
            format!("`{text}` is no share: write a number from 0 to 1, a percentage or a fraction, such as 0.25, 25% or 1/4")
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

/// Chooses requests.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    pub share: Share,
    pub by: SampleBy,
    pub seed: u64,
}

/// What is known of a request when it is chosen or not.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub client: IpAddr,
    pub connection: u64,
    /// Of the request on its connection.
    pub number: u64,
    pub host: &'a [u8],
    pub target: &'a [u8],
}

impl Sampler {
    /// Whether this request is in the sample. Depends on the seed and on what [`SampleBy`] names, on nothing else.
    pub fn takes(&self, request: &Candidate<'_>) -> bool {
        if self.share.0 >= 1.0 {
            return true;
        }
        let hash = Hash::new(self.seed);
        let hash = match self.by {
            SampleBy::Url => hash.with(request.host).with(b"\n").with(request.target),
            SampleBy::Client => match request.client {
                IpAddr::V4(ip) => hash.with(&ip.octets()),
                IpAddr::V6(ip) => hash.with(&ip.octets()),
            },
            SampleBy::Connection => hash.with(&request.connection.to_le_bytes()),
            SampleBy::Request => {
                hash.with(&request.connection.to_le_bytes()).with(&request.number.to_le_bytes())
            }
        };
        // 53 bits: what a float holds exactly.
        ((hash.finish() >> 11) as f64) < self.share.0 * (1_u64 << 53) as f64
    }
}

/// FNV-1a with a final mix, so that near inputs land far apart. Written out here because the choice must not change
/// between versions of a standard library.
struct Hash(u64);

impl Hash {
    fn new(seed: u64) -> Self {
        Hash(0xcbf2_9ce4_8422_2325).with(&seed.to_le_bytes())
    }

    fn with(self, bytes: &[u8]) -> Self {
        Hash(bytes.iter().fold(self.0, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)))
    }

    fn finish(self) -> u64 {
        let mut h = self.0;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u64, target: &str) -> Candidate<'_> {
        Candidate {
            client: [127, 0, 0, 1].into(),
            connection: 3,
            number,
            host: b"h",
            target: target.as_bytes(),
        }
    }

    #[test]
    fn takes_about_its_share() {
        for (text, expected) in [("0", 0..1), ("10%", 900..1100), ("1/2", 4800..5200), ("1", 10_000..10_001)]
        {
            let sampler = Sampler { share: text.parse().unwrap(), by: SampleBy::Url, seed: 7 };
            let taken = (0..10_000).filter(|n| sampler.takes(&request(0, &format!("/{n}")))).count();
            assert!(expected.contains(&taken), "{text}: {taken}");
        }
    }

    #[test]
    fn chooses_by_what_it_was_told() {
        for (by, same) in [
            (SampleBy::Url, true),
            (SampleBy::Client, true),
            (SampleBy::Connection, true),
            (SampleBy::Request, false),
        ] {
            let sampler = Sampler { share: "50%".parse().unwrap(), by, seed: 1 };
            let first = sampler.takes(&request(0, "/"));
            assert_eq!((0..100).all(|n| sampler.takes(&request(n, "/")) == first), same, "{by:?}");
        }
    }

    #[test]
    fn shares_that_are_none() {
        for text in ["", "2", "-1", "150%", "1/0", "x", "NaN", "inf", "0/0"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }
}
