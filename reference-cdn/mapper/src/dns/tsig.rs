//! TSIG (RFC 8945): no keys are shared with anybody here, so each one that a query is signed with is unknown, and who sent it is told so.

use super::codes::rtype;
use super::name::Name;
use super::query::HEADER;
use super::writer::Writer;

/// The class of meta records (RFC 8945 section 4.2).
const ANY: u16 = 255;
/// The key is not known here (section 3).
const BADKEY: u16 = 17;

/// The TSIG record of a query, as far as the answer repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsig<'a> {
    /// Name of the key as the client wrote it; none if it ends in a part of the message that the answer does not have.
    owner: Option<&'a [u8]>,
    algorithm: &'a [u8],
    /// Time signed and fudge.
    times: &'a [u8],
    original_id: &'a [u8],
}

impl<'a> Tsig<'a> {
    /// Reads the data of a record whose `owner` is the last thing before it, pointers as they are. The response has the query's
    /// first `kept` octets in the same place. None, it is malformed (RFC 8945 section 4.2).
    pub fn read(owner: &'a [u8], rdata: &'a [u8], kept: usize) -> Option<Self> {
        let mut name = Name::default();
        let (algorithm, rest) = rdata.split_at_checked(name.read(rdata)?)?;
        let (times, rest) = rest.split_at_checked(8)?;
        let rest = skip_counted(rest)?;
        let (original_id, rest) = rest.split_at_checked(2)?;
        if !skip_counted(rest.get(2..)?)?.is_empty() {
            return None;
        }
        let whole = name.read(owner) == Some(owner.len());
        let pointer = owner.last_chunk().map(|[high, low]| usize::from(high & 0x3f) << 8 | usize::from(*low));
        let repeatable = whole || pointer.is_some_and(|to| (HEADER..kept).contains(&to));
        Some(Self { owner: repeatable.then_some(owner), algorithm, times, original_id })
    }

    /// Says that the key is not known, in an answer that is not signed itself (RFC 8945 sections 5.2.1 and 5.3.2). The response code says
    /// it alone where there is no room.
    pub fn refuse(&self, writer: &mut Writer<'_>) {
        let Some(owner) = self.owner else { return };
        // No MAC, and no other data.
        let length = (self.algorithm.len() + self.times.len() + 2 + self.original_id.len() + 4) as u16;
        writer.last(&[
            owner,
            &rtype::TSIG.to_be_bytes(),
            &ANY.to_be_bytes(),
            &[0; 4],
            &length.to_be_bytes(),
            self.algorithm,
            self.times,
            &[0; 2],
            self.original_id,
            &BADKEY.to_be_bytes(),
            &[0; 2],
        ]);
    }
}

/// What comes behind a field that begins with its length in two octets.
fn skip_counted(octets: &[u8]) -> Option<&[u8]> {
    let (count, rest) = octets.split_first_chunk()?;
    rest.get(usize::from(u16::from_be_bytes(*count))..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data() {
        let rdata = [b"\x03alg\0", &[7; 8][..], &[0, 3], b"mac", &[1, 2, 0, 0, 0, 1, 9]].concat();
        fn read<'a>(owner: &'a [u8], rdata: &'a [u8]) -> Option<Tsig<'a>> {
            Tsig::read(owner, rdata, 20)
        }
        let tsig = read(b"\x03key\0", &rdata).unwrap();
        assert_eq!(
            (tsig.algorithm, tsig.times, tsig.original_id),
            (&b"\x03alg\0"[..], &[7; 8][..], &[1, 2][..])
        );
        for length in 0..rdata.len() {
            assert_eq!(read(b"\0", &rdata[..length]), None, "{length}");
        }
        let longer = [&rdata[..], b"x"].concat();
        assert_eq!(read(b"\0", &longer), None);
        // What it may end in is the question.
        for (owner, repeated) in
            [(&b"\0"[..], true), (b"\x03key\0", true), (b"\x03key\xc0\x0c", true), (b"\xc0\x14", false)]
        {
            assert_eq!(read(owner, &rdata).unwrap().owner.is_some(), repeated, "{owner:?}");
        }
    }
}
