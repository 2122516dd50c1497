//! Compact denial of existence (RFC 9824): an NSEC record at the very name that was asked for, which says what is there.

use crate::dns::codes::rtype;
use crate::dns::name::{LONGEST_LABEL, LONGEST_NAME};

/// Data of the NSEC record of a name: the next name is the one right behind it, so that nothing else is denied. `types` are
/// those that the name has, in any order.
pub fn nsec(owner: &[u8], types: &mut Vec<u16>, to: &mut Vec<u8>) {
    to.clear();
    next(owner, to);
    bitmap(types, to);
}

/// The name that comes right behind a name in canonical order (RFC 4034 section 6.1, RFC 4470 section 3.1.2).
fn next(owner: &[u8], to: &mut Vec<u8>) {
    let label = owner.first().map_or(0, |length| usize::from(*length));
    if owner.len() + 2 <= LONGEST_NAME {
        to.extend_from_slice(b"\x01\0");
        to.extend_from_slice(owner);
    } else if owner.len() < LONGEST_NAME && label < LONGEST_LABEL {
        to.push(label as u8 + 1);
        to.extend_from_slice(&owner[1..=label]);
        to.push(0);
        to.extend_from_slice(&owner[label + 1..]);
    } else {
        // No name can be below one that is this long.
        let start = to.len();
        to.extend_from_slice(owner);
        for octet in to[start + 1..=start + label].iter_mut().rev() {
            *octet = match *octet {
                255 => 0,
                // Upper case sorts as lower case.
                b'@' => b'[',
                other => other + 1,
            };
            if *octet != 0 {
                break;
            }
        }
    }
}

/// RFC 4034 section 4.1.2. NSEC and RRSIG are always there.
fn bitmap(types: &mut Vec<u16>, to: &mut Vec<u8>) {
    types.extend([rtype::RRSIG, rtype::NSEC]);
    types.sort_unstable();
    types.dedup();
    let mut rest = &types[..];
    while let Some(first) = rest.first() {
        let window = first >> 8;
        let (here, later) = rest.split_at(rest.partition_point(|rtype| rtype >> 8 == window));
        let last = here.last().map_or(0, |rtype| rtype & 0xff);
        let octets = usize::from(last / 8) + 1;
        to.extend_from_slice(&[window as u8, octets as u8]);
        let start = to.len();
        to.resize(start + octets, 0);
        for rtype in here {
            let bit = usize::from(rtype & 0xff);
            to[start + bit / 8] |= 0x80 >> (bit % 8);
        }
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut rdata = Vec::new();
        nsec(b"\x01a\x01b\0", &mut vec![rtype::A, rtype::NXNAME, 65_280], &mut rdata);
        let mut expected = b"\x01\0\x01a\x01b\0".to_vec();
        expected.extend([0, 17, 0x40, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 255, 1, 0x80]);
        assert_eq!(rdata, expected);
    }

    #[test]
    fn the_next_name_of_long_ones() {
        let next_of = |owner: &[u8]| {
            let mut to = Vec::new();
            next(owner, &mut to);
            assert!(to.len() <= LONGEST_NAME);
            to
        };
        let rest = [&[63][..], &[b'x'; 63], &[63], &[b'y'; 63], &[63], &[b'z'; 63]].concat();
        let of = |label: &[u8]| [&[label.len() as u8], label, &rest[..], &[0]].concat();
        assert_eq!(of(&[b'a'; 61]).len(), 255);
        assert_eq!(next_of(&of(&[b'a'; 60])), of(&[&[b'a'; 60][..], &[0]].concat()));
        assert_eq!(next_of(&of(&[b'a'; 61])), of(&[&[b'a'; 60][..], b"b"].concat()));
        assert_eq!(next_of(&of(&[&[b'a'; 60][..], b"@"].concat())), of(&[&[b'a'; 60][..], b"["].concat()));
        assert_eq!(next_of(&of(&[b'a'; 59]))[..3], *b"\x01\0\x3b");
    }
}
