//! Address prefixes: who is one client, and who is known.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits that an IPv4 address has in front of it when it is written as an IPv6 address (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// An address as one number; IPv4 addresses, also those mapped into IPv6, as mapped ones.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn is_mapped(number: u128) -> bool {
    number >> 32 == 0xffff
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Addresses that have their first bits in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    first: u128,
    /// Of 128, also for IPv4.
    bits: u8,
}

impl Prefix {
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        // `::/0` is all of IPv6, and nothing of IPv4.
        number & mask(self.bits) == self.first && is_mapped(number) == self.is_ipv4()
    }

    fn is_ipv4(&self) -> bool {
        self.bits >= MAPPED && is_mapped(self.first)
    }
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("not an address, nor an address and a number of bits such as 10.0.0.0/8")]
    Form,
    #[error("more bits than the address has")]
    TooLong,
    #[error("it has bits beyond its prefix, which is {0}")]
    Beyond(Prefix),
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Form)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| PrefixError::Form)?
            }
            Some(_) => return Err(PrefixError::Form),
        };
        if bits > most {
            return Err(PrefixError::TooLong);
        }
        let bits = bits + (128 - most);
        let number = number(address);
        let prefix = Self { first: number & mask(bits), bits };
        if prefix.first == number { Ok(prefix) } else { Err(PrefixError::Beyond(prefix)) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        if self.is_ipv4() {
            let ipv4 = Ipv4Addr::from_bits(self.first as u32);
            write!(f, "{ipv4}/{}", self.bits - MAPPED)
        } else {
            write!(f, "{address}/{}", self.bits)
        }
    }
}

/// How many bits of an address tell one client from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    pub ipv4: u8,
    pub ipv6: u8,
}

impl Lengths {
    /// What all addresses of one client have in common.
    pub fn network(self, address: IpAddr) -> u128 {
        let number = number(address);
        let bits = if is_mapped(number) { MAPPED + self.ipv4.min(32) } else { self.ipv6.min(128) };
        number & mask(bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_prefixes_contain() {
        for (prefix, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "::a00:1"][..],
            ),
            ("192.0.2.1", &["192.0.2.1"], &["192.0.2.0", "192.0.2.2"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "2001:db8::1"]),
            ("::/0", &["::", "2001:db8::1"], &["0.0.0.0", "::ffff:10.0.0.1"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::"]),
            ("2001:db8::1", &["2001:db8::1"], &["2001:db8::2"]),
            ("::1/128", &["::1"], &["::", "127.0.0.1"]),
        ] {
            let parsed: Prefix = prefix.parse().unwrap_or_else(|error| panic!("{prefix}: {error}"));
            let contains = |address: &&str| parsed.contains(address.parse().expect("address"));
            assert!(inside.iter().all(contains), "{prefix}");
            assert!(!outside.iter().any(contains), "{prefix}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{prefix}");
        }
    }

    #[test]
    fn what_is_no_prefix() {
        for text in [
            "",
            "/",
            "10",
            "10.0.0.0/",
            "10.0.0.0/x",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "a.test",
            "[::1]",
            "::1%lo",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Form), "{text}");
        }
        for text in ["10.0.0.0/33", "::/129"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::TooLong), "{text}");
        }
        let beyond = "10.1.2.3/8".parse::<Prefix>().expect_err("has more bits");
        assert_eq!(beyond.to_string(), "it has bits beyond its prefix, which is 10.0.0.0/8");
    }

    #[test]
    fn one_client_has_one_network() {
        let lengths = Lengths { ipv4: 32, ipv6: 64 };
        let network = |address: &str| lengths.network(address.parse().expect("address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        let wide = Lengths { ipv4: 24, ipv6: 0 };
        assert_eq!(wide.network("192.0.2.1".parse().expect("address")), network("192.0.2.0"));
        assert_eq!(wide.network("2001:db8::1".parse().expect("address")), 0);
    }

    proptest! {
        #[test]
        fn a_prefix_contains_the_addresses_of_its_network(address: u32, bits in 0_u8..=32, other: u32) {
            let of = |address: u32| IpAddr::V4(Ipv4Addr::from_bits(address));
            let first = u32::try_from(u64::from(address) >> (32 - bits) << (32 - bits)).expect("32 bits");
            let prefix: Prefix = format!("{}/{bits}", of(first)).parse().expect("a prefix");
            prop_assert!(prefix.contains(of(address)));
            let lengths = Lengths { ipv4: bits, ipv6: 64 };
            prop_assert_eq!(prefix.contains(of(other)), lengths.network(of(other)) == lengths.network(of(address)));
        }
    }
}
