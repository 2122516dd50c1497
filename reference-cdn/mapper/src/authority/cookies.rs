//! DNS cookies (RFC 7873), server cookies of version 1 (RFC 9018): any server with the same secret takes them.

use std::hash::Hasher as _;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Octets of a client cookie.
pub const CLIENT: usize = 8;
/// Octets of client and server cookie together.
pub const WHOLE: usize = 24;
/// How old a server cookie may be, in seconds, and how far ahead (RFC 9018 section 4.3).
const PAST: u32 = 3600;
const AHEAD: u32 = 300;

/// Secrets of all servers behind the same address. Not shown.
#[derive(Clone)]
pub struct Secrets {
    /// Makes and checks cookies.
    pub current: [u8; 16],
    /// Checks cookies that were made before the last change, or on servers that changed already (RFC 9018 section 5).
    pub others: Vec<[u8; 16]>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// What a query's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A client cookie alone.
    New,
    /// The client had an answer from us at this address not long ago.
    Valid,
    /// A server cookie that is not ours, or too old.
    Invalid,
}

fn hash(secret: &[u8; 16], client: &[u8], head: [u8; 8], address: IpAddr) -> [u8; 8] {
    let mut hasher = SipHasher24::new_with_key(secret);
    hasher.write(client);
    hasher.write(&head);
    match address {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hasher.finish().to_le_bytes()
}

impl Secrets {
    /// Client and server cookie for a response. `client` has [`CLIENT`] octets.
    pub fn make(&self, client: &[u8], address: IpAddr, now: u64) -> [u8; WHOLE] {
        let mut cookie = [0; WHOLE];
        let [t0, t1, t2, t3] = (now as u32).to_be_bytes();
        let head = [1, 0, 0, 0, t0, t1, t2, t3];
        cookie[..CLIENT].copy_from_slice(&client[..CLIENT]);
        cookie[8..16].copy_from_slice(&head);
        cookie[16..].copy_from_slice(&hash(&self.current, &client[..CLIENT], head, address));
        cookie
    }

    /// What the cookie option of a query is worth; it has 8, or 16 to 40 octets.
    pub fn check(&self, cookie: &[u8], address: IpAddr, now: u64) -> Standing {
        if cookie.len() == CLIENT {
            return Standing::New;
        }
        let &[c0, c1, c2, c3, c4, c5, c6, c7, 1, r0, r1, r2, t0, t1, t2, t3, ref theirs @ ..] = cookie else {
            return Standing::Invalid;
        };
        // Serial number arithmetic (RFC 1982): time goes round in 2106.
        let age = (now as u32).wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])) as i32;
        if theirs.len() != 8 || age > PAST as i32 || age < -(AHEAD as i32) {
            return Standing::Invalid;
        }
        let (client, head) = ([c0, c1, c2, c3, c4, c5, c6, c7], [1, r0, r1, r2, t0, t1, t2, t3]);
        let ours = std::iter::once(&self.current).chain(&self.others);
        let valid = ours.fold(false, |valid, secret| {
            let same = hash(secret, &client, head, address);
            valid | (same.iter().zip(theirs).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0)
        });
        if valid { Standing::Valid } else { Standing::Invalid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn secrets(current: &str, others: &[&str]) -> Secrets {
        let key = |text: &str| hex(text).try_into().unwrap();
        Secrets { current: key(current), others: others.iter().map(|it| key(it)).collect() }
    }

    /// The examples of RFC 9018 appendix A.
    #[test]
    fn examples_of_the_rfc() {
        let one = secrets("e5e973e5a6b2a43f48e7dc849e37bfcf", &[]);
        let address: IpAddr = "198.51.100.100".parse().unwrap();
        let cookie = one.make(&hex("2464c4abcf10c957"), address, 0x5cf7_9f11);
        assert_eq!(cookie[..], hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")[..]);
        assert_eq!(one.check(&cookie, address, 0x5cf7_9f11 + 3600), Standing::Valid);
        assert_eq!(one.check(&cookie, address, 0x5cf7_9f11 + 3601), Standing::Invalid);
        assert_eq!(one.check(&cookie, "198.51.100.101".parse().unwrap(), 0x5cf7_9f11), Standing::Invalid);

        let two = secrets("445536bcd2513298075a5d379663c962", &["dd3bdf9344b678b185a6f5cb60fca715"]);
        let six: IpAddr = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let old = hex("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        assert_eq!(two.check(&old, six, 0x5cf7_c609), Standing::Valid);
        let renewed = two.make(&old, six, 0x5cf7_c609);
        assert_eq!(renewed[..], hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a")[..]);
        // Reserved octets that are not 0 are part of what is hashed.
        let odd = hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        assert_eq!(one.check(&odd, "203.0.113.203".parse().unwrap(), 0x5cf7_8f71), Standing::Valid);
    }

    #[test]
    fn others_are_not_ours() {
        let secrets = secrets("e5e973e5a6b2a43f48e7dc849e37bfcf", &[]);
        let address: IpAddr = "198.51.100.100".parse().unwrap();
        let cookie = secrets.make(b"abcdefgh", address, 1000);
        assert_eq!(secrets.check(&cookie[..8], address, 1000), Standing::New);
        for at in 0..cookie.len() {
            let mut other = cookie;
            other[at] ^= 1;
            assert_eq!(secrets.check(&other, address, 1000), Standing::Invalid, "octet {at}");
        }
        assert_eq!(secrets.check(&cookie[..23], address, 1000), Standing::Invalid);
        assert_eq!(secrets.check(&cookie, address, 1000 - 301), Standing::Invalid);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", secrets("e5e973e5a6b2a43f48e7dc849e37bfcf", &[])), "Secrets { .. }");
    }
}
