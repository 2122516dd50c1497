//! Response rate limiting: what makes the server useless for flooding somebody whose address was forged.
//!
//! A token bucket for each client network and kind of response, in a table of fixed size. A bucket that is full is the same
//! as none, so the fullest gives way when its row has no room. Never used on TCP or with a valid cookie: those addresses
//! are not forged.

use std::net::IpAddr;

use crate::dns::name::NameHasher;

/// Ways of a row.
const WAYS: usize = 4;
/// Tokens are counted in thousandths.
const ONE: u32 = 1000;

/// Limits. A rate of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Equal positive responses for a client network and second.
    pub positive: u32,
    /// NODATA and NXDOMAIN of one zone.
    pub negative: u32,
    /// Referrals at one cut.
    pub referral: u32,
    /// Everything else: REFUSED, FORMERR and so on.
    pub error: u32,
    /// For how many seconds' worth of responses a quiet client has credit.
    pub burst: u32,
    /// Every how many-th limited response goes out empty with TC, so that a real client comes back over TCP; 0 for none, 1 for all.
    pub slip: u32,
    /// What counts as one client: bits of its address.
    pub prefix_v4: u8,
    pub prefix_v6: u8,
    /// Buckets of each thread, 16 octets each; rounded up to a power of two.
    pub buckets: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            positive: 200,
            negative: 50,
            referral: 100,
            error: 20,
            burst: 5,
            slip: 2,
            prefix_v4: 24,
            prefix_v6: 56,
            buckets: 1 << 16,
        }
    }
}

/// What kind of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the hash of its name.
    Positive(u64),
    /// With the hash of the zone.
    Negative(u64),
    Referral(u64),
    Error,
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// Send it empty with TC.
    Slip,
    Drop,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// 0 is free.
    tag: u32,
    tokens: u32,
    /// Milliseconds, cut to 32 bits.
    last: u32,
    limited: u32,
}

/// The buckets of one thread.
pub struct Limiter {
    rates: Rates,
    seed: u64,
    rows: Vec<[Bucket; WAYS]>,
}

impl Limiter {
    /// `seed` is random, so that nobody can choose what shares a row.
    pub fn new(rates: Rates, seed: u64) -> Self {
        let rows = rates.buckets.div_ceil(WAYS).clamp(1, 1 << 24).next_power_of_two();
        Self { rates, seed, rows: vec![[Bucket::default(); WAYS]; rows] }
    }

    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    fn key(&self, client: IpAddr, kind: Kind) -> u64 {
        use std::hash::Hasher as _;
        let (number, what) = match kind {
            Kind::Positive(hash) => (1, hash),
            Kind::Negative(hash) => (2, hash),
            Kind::Referral(hash) => (3, hash),
            Kind::Error => (4, 0),
        };
        let network = match client {
            IpAddr::V4(v4) => u64::from(
                u32::from(v4)
                    & u32::MAX.checked_shl(32 - u32::from(self.rates.prefix_v4.min(32))).unwrap_or(0),
            ),
            IpAddr::V6(v6) => {
                let upper = (u128::from(v6) >> 64) as u64;
                upper & u64::MAX.checked_shl(64 - u32::from(self.rates.prefix_v6.min(64))).unwrap_or(0)
            }
        };
        let mut words = [0; 25];
        words[0] = number | u8::from(client.is_ipv6()) << 3;
        words[1..9].copy_from_slice(&network.to_le_bytes());
        words[9..17].copy_from_slice(&what.to_le_bytes());
        words[17..].copy_from_slice(&self.seed.to_le_bytes());
        let mut hasher = NameHasher::default();
        hasher.write(&words);
        hasher.finish()
    }

    /// Takes a token for a response. `now` in milliseconds of a clock that never goes back.
    pub fn take(&mut self, client: IpAddr, kind: Kind, now: u64) -> Verdict {
        let rate = match kind {
            Kind::Positive(_) => self.rates.positive,
            Kind::Negative(_) => self.rates.negative,
            Kind::Referral(_) => self.rates.referral,
            Kind::Error => self.rates.error,
        };
        if rate == 0 {
            return Verdict::Send;
        }
        let key = self.key(client, kind);
        let full = rate.saturating_mul(self.rates.burst.max(1)).saturating_mul(ONE);
        let (tag, now) = ((key >> 32) as u32 | 1, now as u32);
        let at = key as usize & (self.rows.len() - 1);
        let row = &mut self.rows[at];
        let bucket = match row.iter().position(|bucket| bucket.tag == tag) {
            Some(way) => &mut row[way],
            None => {
                // The one that was quiet for longest has least to forget.
                let mut oldest = 0;
                for way in 0..WAYS {
                    let quiet = |bucket: &Bucket| {
                        if bucket.tag == 0 { u32::MAX } else { now.wrapping_sub(bucket.last) }
                    };
                    if quiet(&row[way]) > quiet(&row[oldest]) {
                        oldest = way;
                    }
                }
                row[oldest] = Bucket { tag, tokens: full, last: now, limited: 0 };
                &mut row[oldest]
            }
        };
        // A token a second for each of `rate`: one thousandth in a millisecond.
        let gained = now.wrapping_sub(bucket.last).saturating_mul(rate);
        bucket.tokens = bucket.tokens.saturating_add(gained).min(full);
        bucket.last = now;
        if bucket.tokens >= ONE {
            bucket.tokens -= ONE;
            return Verdict::Send;
        }
        bucket.limited = bucket.limited.wrapping_add(1);
        match self.rates.slip {
            0 => Verdict::Drop,
            slip if bucket.limited.is_multiple_of(slip) => Verdict::Slip,
            _ => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limiter(rates: Rates) -> Limiter {
        Limiter::new(Rates { buckets: 64, ..rates }, 7)
    }

    #[test]
    fn a_network_gets_its_rate_and_then_slips() {
        let mut limiter = limiter(Rates { positive: 10, burst: 1, slip: 2, ..Rates::default() });
        let kind = Kind::Positive(1);
        let all: Vec<_> = (0..14).map(|at| limiter.take(ip(&format!("192.0.2.{at}")), kind, 5)).collect();
        assert!(all[..10].iter().all(|it| *it == Verdict::Send));
        assert_eq!(all[10..], [Verdict::Drop, Verdict::Slip, Verdict::Drop, Verdict::Slip]);
        // Another network, another name and another kind have their own.
        assert_eq!(limiter.take(ip("192.0.3.1"), kind, 5), Verdict::Send);
        assert_eq!(limiter.take(ip("192.0.2.1"), Kind::Positive(2), 5), Verdict::Send);
        assert_eq!(limiter.take(ip("192.0.2.1"), Kind::Error, 5), Verdict::Send);
        // A tenth of a second later there is one more.
        assert_eq!(limiter.take(ip("192.0.2.1"), kind, 105), Verdict::Send);
        assert_ne!(limiter.take(ip("192.0.2.1"), kind, 105), Verdict::Send);
    }

    #[test]
    fn networks_of_ipv6() {
        let mut limiter = limiter(Rates { negative: 1, burst: 1, slip: 0, ..Rates::default() });
        assert_eq!(limiter.take(ip("2001:db8:0:1::1"), Kind::Negative(1), 0), Verdict::Send);
        assert_eq!(limiter.take(ip("2001:db8:0:2::1"), Kind::Negative(1), 0), Verdict::Drop);
        assert_eq!(limiter.take(ip("2001:db8:0:100::1"), Kind::Negative(1), 0), Verdict::Send);
    }

    #[test]
    fn rate_0_is_no_limit_and_the_table_does_not_grow() {
        let mut limiter = limiter(Rates { error: 0, negative: 1, ..Rates::default() });
        for at in 0..10_000_u32 {
            assert_eq!(limiter.take(ip("192.0.2.1"), Kind::Error, 0), Verdict::Send);
            limiter.take(IpAddr::from(std::net::Ipv4Addr::from(at << 8)), Kind::Negative(1), 0);
        }
        assert_eq!(limiter.rows.len(), 16);
    }
}
