//! Reads a query (RFC 1035 section 4.1), strictly: what could be read in two ways is refused.

use super::codes::{flag, opcode, rtype};
use super::edns::Edns;
use super::name::{Name, pass};
use super::tsig::Tsig;

/// Octets before the question.
pub const HEADER: usize = 12;

/// A query as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub id: u16,
    pub flags: u16,
    /// None if there is none, or if the message is wrong before its end. Its name is where [`read`] was told to put it.
    pub question: Option<Question<'a>>,
    pub edns: Option<Edns<'a>>,
    pub tsig: Option<Tsig<'a>>,
    /// The message is malformed, and why.
    pub fault: Option<Fault>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Name, type and class as the client wrote them.
    pub wire: &'a [u8],
    pub qtype: u16,
    pub qclass: u16,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// RFC 9619: a query has one question.
    Questions,
    /// A name that is too long, has a pointer, an unknown label type, or no end.
    Name,
    /// A query with records in its answer or authority section.
    Sections,
    /// A record that does not end within the message.
    Record,
    /// A second OPT record, one that belongs to another name than the root, or one outside of the additional section.
    SecondOpt,
    /// An EDNS option that is malformed.
    Option,
    /// A TSIG record that is malformed, or not the last one (RFC 8945 section 5.1).
    Tsig,
    /// Octets after the last record.
    Trailing,
}

impl Query<'_> {
    pub fn opcode(&self) -> u8 {
        ((self.flags & flag::OPCODE) >> 11) as u8
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// Reads a message. `None` if it must not be answered: it has no whole header, or it is a response itself.
pub fn read<'a>(message: &'a [u8], name: &mut Name) -> Option<Query<'a>> {
    if message.len() < HEADER {
        return None;
    }
    let (id, flags) = (word(message, 0)?, word(message, 2)?);
    if flags & flag::QR != 0 {
        return None;
    }
    let mut query = Query { id, flags, question: None, edns: None, tsig: None, fault: None };
    query.fault = sections(message, name, &mut query).err();
    Some(query)
}

fn sections<'a>(message: &'a [u8], name: &mut Name, query: &mut Query<'a>) -> Result<(), Fault> {
    let count = |at| word(message, at).unwrap_or(0);
    let (questions, additional) = (count(4), count(10));
    let mut at = HEADER;
    match questions {
        // A query for a cookie alone (RFC 7873 section 5.4); who has none in it is told by the authority.
        0 => {}
        1 => {
            let length = name.read(&message[at..]).ok_or(Fault::Name)?;
            let (Some(qtype), Some(qclass)) = (word(message, at + length), word(message, at + length + 2))
            else {
                return Err(Fault::Record);
            };
            let end = at + length + 4;
            query.question = Some(Question { wire: &message[at..end], qtype, qclass });
            at = end;
        }
        _ => return Err(Fault::Questions),
    }
    // Other operations have records there, and an incremental transfer the zone's SOA (RFC 1995 section 3).
    let records = u32::from(count(6)) + u32::from(count(8));
    let may = query.opcode() != opcode::QUERY || query.question.is_some_and(|it| it.qtype == rtype::IXFR);
    if records > 0 && !may {
        return Err(Fault::Sections);
    }
    for _ in 0..records {
        let (_, rtype, _, _, end) = record(message, at)?;
        if rtype == super::codes::rtype::OPT {
            return Err(Fault::SecondOpt);
        }
        at = end;
    }
    let kept = at;
    for more in (0..additional).rev() {
        let (owner_end, rtype, class, rdata, end) = record(message, at)?;
        if rtype == super::codes::rtype::OPT {
            if query.edns.is_some() || owner_end != at + 1 {
                return Err(Fault::SecondOpt);
            }
            let ttl = u32::from(count(owner_end + 4)) << 16 | u32::from(count(owner_end + 6));
            let edns = query.edns.insert(Edns::of_record(class, ttl));
            // Nothing is known of the options of a later version.
            if edns.version == 0 && edns.read_options(rdata).is_none() {
                return Err(Fault::Option);
            }
        }
        if rtype == super::codes::rtype::TSIG {
            let tsig = Tsig::read(&message[at..owner_end], rdata, kept).filter(|_| more == 0);
            query.tsig = Some(tsig.ok_or(Fault::Tsig)?);
        }
        at = end;
    }
    if at == message.len() { Ok(()) } else { Err(Fault::Trailing) }
}

/// The record at `at`: where its owner ends, type, class, data, and where it ends.
fn record(message: &[u8], at: usize) -> Result<(usize, u16, u16, &[u8], usize), Fault> {
    let owner_end = pass(message, at).ok_or(Fault::Name)?;
    let field = |offset| word(message, owner_end + offset).ok_or(Fault::Record);
    let (rtype, class, length) = (field(0)?, field(2)?, usize::from(field(8)?));
    let start = owner_end + 10;
    let rdata = message.get(start..start + length).ok_or(Fault::Record)?;
    Ok((owner_end, rtype, class, rdata, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    const ONE: &[u8] = &[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const WITH_OPT: &[u8] = &[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    const NAME: &[u8] = b"\x01A\x01b\x00\x00\x01\x00\x01";

    fn fault(message: &[u8]) -> Option<Fault> {
        read(message, &mut Name::default()).unwrap().fault
    }

    #[test]
    fn a_query() {
        let mut name = Name::default();
        let message = query(&[WITH_OPT, NAME, &[0, 0, 41, 4, 208, 0, 0, 0xc0, 0, 0, 4, 0, 3, 0, 0]]);
        let read = read(&message, &mut name).unwrap();
        assert_eq!((read.fault, read.id, read.opcode()), (None, 7, 0));
        assert_eq!(name.wire(), b"\x01a\x01b\x00");
        assert_eq!(read.question.unwrap().wire, NAME);
        let edns = read.edns.unwrap();
        assert!(edns.dnssec_ok && edns.compact_ok && edns.nsid && edns.payload == 1232);
    }

    #[test]
    fn responses_and_scraps_are_not_read() {
        let mut response = query(&[ONE, NAME]);
        response[2] |= 0x80;
        assert!(read(&response, &mut Name::default()).is_none());
        assert!(read(&ONE[..11], &mut Name::default()).is_none());
    }

    #[test]
    fn faults() {
        let opt: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
        let two = &[0, 7, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        let answer = &[0, 7, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let opts = &[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 2];
        for (message, expected) in [
            (query(&[ONE, NAME]), None),
            (query(&[two, NAME, NAME]), Some(Fault::Questions)),
            (query(&[ONE, NAME, &[0]]), Some(Fault::Trailing)),
            (query(&[ONE, &NAME[..8]]), Some(Fault::Record)),
            (query(&[ONE, &[0xc0, 12, 0, 1, 0, 1]]), Some(Fault::Name)),
            (query(&[ONE, &[0x40, 0, 0, 1, 0, 1]]), Some(Fault::Name)),
            (query(&[answer, NAME, b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"]), Some(Fault::Sections)),
            (query(&[opts, NAME, opt, opt]), Some(Fault::SecondOpt)),
            (query(&[WITH_OPT, NAME, b"\x01x", opt]), Some(Fault::SecondOpt)),
            (query(&[WITH_OPT, NAME, &opt[..10]]), Some(Fault::Record)),
            (query(&[WITH_OPT, NAME, &opt[..10], &[4, 0, 3, 0, 9]]), Some(Fault::Option)),
            (query(&[WITH_OPT, NAME]), Some(Fault::Name)),
        ] {
            assert_eq!(fault(&message), expected, "{message:?}");
        }
    }
}
