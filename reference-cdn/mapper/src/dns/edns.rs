//! EDNS of a query (RFC 6891): the OPT record and the options that mean something to us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codes::option;

/// What the OPT record of a query says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP response that the requestor takes, as it says.
    pub payload: u16,
    pub version: u8,
    /// DO: wants signatures (RFC 3225).
    pub dnssec_ok: bool,
    /// CO: takes compact denial with its true response code (RFC 9824 section 5.1).
    pub compact_ok: bool,
    pub subnet: Option<Subnet<'a>>,
    /// Client cookie, and server cookie if there is one: 8, or 16 to 40 octets (RFC 7873 section 4).
    pub cookie: Option<&'a [u8]>,
    pub nsid: bool,
    pub epoch: bool,
    pub keepalive: bool,
    pub padding: bool,
}

/// EDNS Client Subnet (RFC 7871 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet<'a> {
    /// The option's data, to be repeated in the response but for the scope.
    pub data: &'a [u8],
    /// Bits that are known.
    pub source: u8,
    /// Bits beyond `source` are 0.
    pub address: IpAddr,
}

impl<'a> Subnet<'a> {
    /// Reads the option's data as a query has it; `None` is FORMERR (RFC 7871 sections 6 and 7.1.2).
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let [family_high, family_low, source, scope, known @ ..] = data else { return None };
        let (source, bits) = (*source, u32::from(*source));
        let address = match u16::from_be_bytes([*family_high, *family_low]) {
            1 if source <= 32 => {
                let mut octets = [0; 4];
                octets.get_mut(..known.len())?.copy_from_slice(known);
                let address = u32::from_be_bytes(octets);
                if address.checked_shl(bits).unwrap_or(0) != 0 {
                    return None;
                }
                IpAddr::V4(Ipv4Addr::from(address))
            }
            2 if source <= 128 => {
                let mut octets = [0; 16];
                octets.get_mut(..known.len())?.copy_from_slice(known);
                let address = u128::from_be_bytes(octets);
                if address.checked_shl(bits).unwrap_or(0) != 0 {
                    return None;
                }
                IpAddr::V6(Ipv6Addr::from(address))
            }
            // Common clients say "nothing of me" without naming a family.
            0 if source == 0 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => return None,
        };
        let whole = known.len() == usize::from(source).div_ceil(8);
        (whole && *scope == 0).then_some(Self { data, source, address })
    }
}

impl<'a> Edns<'a> {
    /// The OPT record's fixed part, without its options.
    pub fn of_record(class: u16, ttl: u32) -> Self {
        Self {
            payload: class,
            version: (ttl >> 16) as u8,
            dnssec_ok: ttl & 0x8000 != 0,
            compact_ok: ttl & 0x4000 != 0,
            ..Self::default()
        }
    }

    /// Reads options; `None` if one ends beyond the record or is not as its definition says. Unknown ones are passed over
    /// (RFC 6891 section 6.1.2).
    pub fn read_options(&mut self, mut rdata: &'a [u8]) -> Option<()> {
        while !rdata.is_empty() {
            let [code_high, code_low, length_high, length_low, rest @ ..] = rdata else { return None };
            let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
            let (data, rest) = rest.split_at_checked(length)?;
            match u16::from_be_bytes([*code_high, *code_low]) {
                // Two of them would leave open for whom to answer.
                option::SUBNET if self.subnet.is_some() => return None,
                option::SUBNET => self.subnet = Some(Subnet::read(data)?),
                option::COOKIE => {
                    if !matches!(length, 8 | 16..=40) {
                        return None;
                    }
                    self.cookie.get_or_insert(data);
                }
                option::NSID => self.nsid = true,
                option::EPOCH => self.epoch = true,
                option::KEEPALIVE => self.keepalive = true,
                option::PADDING => self.padding = true,
                _ => {}
            }
            rdata = rest;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets() {
        let address = |data: &[u8]| Subnet::read(data).map(|it| (it.address.to_string(), it.source));
        assert_eq!(address(&[0, 1, 24, 0, 192, 0, 2]), Some(("192.0.2.0".into(), 24)));
        assert_eq!(address(&[0, 1, 32, 0, 192, 0, 2, 1]), Some(("192.0.2.1".into(), 32)));
        assert_eq!(address(&[0, 1, 0, 0]), Some(("0.0.0.0".into(), 0)));
        assert_eq!(address(&[0, 0, 0, 0]), Some(("0.0.0.0".into(), 0)));
        assert_eq!(address(&[0, 2, 33, 0, 0x20, 1, 0xd, 0xb8, 0x80]), Some(("2001:db8:8000::".into(), 33)));
        for wrong in [
            &[0, 1, 24, 0, 192, 0][..],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 23, 0, 192, 0, 3],
            &[0, 1, 33, 0, 1, 2, 3, 4, 5],
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 2, 129, 0],
            &[0, 3, 0, 0],
            &[0, 0, 8, 0, 1],
            &[0, 1, 24],
            &[],
        ] {
            assert_eq!(address(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn options_stay_within_their_record() {
        let read = |rdata: &[u8]| Edns::default().read_options(rdata).is_some();
        assert!(read(&[]));
        assert!(read(&[0xff, 0xfe, 0, 2, 1, 2, 0, 3, 0, 0]));
        assert!(!read(&[0, 3, 0, 1]));
        assert!(!read(&[0, 3, 0]));
        assert!(!read(&[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7]));
    }
}
