//! Writes a response (RFC 1035 section 4.1) into the caller's buffer, with names compressed, up to a limit.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::codes::{class, flag, rtype};
use super::name::skip;
use super::query::{HEADER, Question};

/// Names that later ones can point to. What does not fit is written in full.
const MOST_POINTED_TO: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// What did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The data of the records of an RRset.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    Many(&'a [Box<[u8]>]),
    One(&'a [u8]),
    V4(&'a [Ipv4Addr]),
    V6(&'a [Ipv6Addr]),
}

impl Data<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Many(all) => all.len(),
            Self::One(_) => 1,
            Self::V4(all) => all.len(),
            Self::V6(all) => all.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with the data of each record, in order, until one fails.
    pub fn each<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Many(all) => all.iter().try_for_each(|data| each(data)),
            Self::One(data) => each(data),
            Self::V4(all) => all.iter().try_for_each(|address| each(&address.octets())),
            Self::V6(all) => all.iter().try_for_each(|address| each(&address.octets())),
        }
    }
}

/// A response that is being written. Sections come in their order.
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
    /// Room kept free for the OPT record.
    reserved: usize,
    counts: [u16; 3],
    has_question: bool,
    truncated: bool,
    /// Where names, or ends of names, stand; filled from the question when first needed.
    places: [u16; MOST_POINTED_TO],
    pointed: usize,
    question_placed: bool,
}

/// How far a response was written, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    length: usize,
    counts: [u16; 3],
    pointed: usize,
}

impl<'b> Writer<'b> {
    /// Begins a response of at most `limit` octets, of which `reserved` are kept for [`Self::opt`]. A buffer that is too
    /// small for header, question and what is reserved gives none.
    pub fn new(
        buffer: &'b mut [u8],
        limit: usize,
        reserved: usize,
        question: Option<&Question<'_>>,
    ) -> Option<Self> {
        let limit = limit.min(buffer.len());
        let buffer = &mut buffer[..limit];
        let question = question.map_or(&[][..], |question| question.wire);
        let length = HEADER + question.len();
        if length + reserved > limit {
            return None;
        }
        buffer[HEADER..length].copy_from_slice(question);
        Some(Self {
            buffer,
            length,
            reserved,
            counts: [0; 3],
            has_question: !question.is_empty(),
            truncated: false,
            places: [0; MOST_POINTED_TO],
            pointed: 0,
            question_placed: false,
        })
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.counts == [0; 3]
    }

    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Octets that are left for records.
    pub fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.length + self.reserved)
    }

    pub fn mark(&self) -> Mark {
        Mark { length: self.length, counts: self.counts, pointed: self.pointed }
    }

    /// Takes back everything since the mark.
    pub fn back_to(&mut self, mark: Mark) {
        (self.length, self.counts, self.pointed) = (mark.length, mark.counts, mark.pointed);
    }

    /// TC: what stands there is not all (RFC 2181 section 9). Nothing more is added.
    pub fn truncate(&mut self) {
        self.truncated = true;
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        if octets.len() > self.room() {
            return Err(Full);
        }
        self.buffer[self.length..self.length + octets.len()].copy_from_slice(octets);
        self.length += octets.len();
        Ok(())
    }

    /// All addresses of a family for the name that was asked for. Nothing is written if they do not fit. The owner is a pointer to the
    /// question, with the client's spelling.
    pub fn addresses(&mut self, data: Data<'_>, ttl: u32) -> Result<(), Full> {
        let (rtype, size) = match data {
            Data::V4(_) => (rtype::A, 4),
            Data::V6(_) => (rtype::AAAA, 16),
            Data::Many(_) | Data::One(_) => return Err(Full),
        };
        if data.len() * (12 + size) > self.room() || self.truncated {
            return Err(Full);
        }
        let [t0, t1, t2, t3] = ttl.to_be_bytes();
        let head = [0xc0, HEADER as u8, 0, rtype as u8, 0, class::IN as u8, t0, t1, t2, t3, 0, size as u8];
        data.each(|octets| {
            self.put(&head)?;
            self.put(octets)
        })?;
        self.counts[Section::Answer as usize] += data.len() as u16;
        Ok(())
    }

    /// One record of class IN.
    pub fn record(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        self.record_of(section, owner, rtype, class::IN, ttl, rdata)
    }

    /// One record, or nothing.
    pub fn record_of(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: u16,
        class: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        let mark = self.mark();
        let done = self.try_record(section, owner, rtype, class, ttl, rdata);
        if done.is_err() {
            self.back_to(mark);
        }
        done
    }

    fn try_record(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: u16,
        class: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        if self.truncated {
            return Err(Full);
        }
        self.name(owner)?;
        self.put(&rtype.to_be_bytes())?;
        self.put(&class.to_be_bytes())?;
        self.put(&ttl.to_be_bytes())?;
        let length_at = self.length;
        self.put(&[0, 0])?;
        self.rdata(rtype, rdata)?;
        let length = (self.length - length_at - 2) as u16;
        self.buffer[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        self.counts[section as usize] += 1;
        Ok(())
    }

    /// Names are compressed in the data of the types of RFC 1035 only (RFC 3597 section 4).
    fn rdata(&mut self, rtype: u16, rdata: &[u8]) -> Result<(), Full> {
        match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => self.name(rdata),
            rtype::MX if rdata.len() > 2 => {
                self.put(&rdata[..2])?;
                self.name(&rdata[2..])
            }
            rtype::SOA => {
                let primary = first_name(rdata);
                let mailbox = first_name(&rdata[primary..]);
                self.name(&rdata[..primary])?;
                self.name(&rdata[primary..primary + mailbox])?;
                self.put(&rdata[primary + mailbox..])
            }
            _ => self.put(rdata),
        }
    }

    /// A name, with its end replaced by a pointer to where that stands already.
    pub fn name(&mut self, wire: &[u8]) -> Result<(), Full> {
        if !self.question_placed {
            self.question_placed = true;
            if self.has_question {
                self.place_labels(HEADER);
            }
        }
        let mut rest = wire;
        while rest.len() > 1 {
            if let Some(place) = self.place_of(rest) {
                let at = self.length;
                self.put(&wire[..wire.len() - rest.len()])?;
                self.put(&(0xc000 | place).to_be_bytes())?;
                self.place_labels(at);
                return Ok(());
            }
            rest = skip(rest, 1);
        }
        let at = self.length;
        self.put(wire)?;
        self.place_labels(at);
        Ok(())
    }

    /// Remembers each label of the name at `at` up to its end or its pointer.
    fn place_labels(&mut self, mut at: usize) {
        while let Some(&length) = self.buffer.get(at).filter(|length| matches!(length, 1..=0x3f)) {
            if at >= 0x4000 || self.pointed == MOST_POINTED_TO || at >= self.length {
                return;
            }
            self.places[self.pointed] = at as u16;
            self.pointed += 1;
            at += 1 + usize::from(length);
        }
    }

    fn place_of(&self, wire: &[u8]) -> Option<u16> {
        self.places[..self.pointed].iter().copied().find(|place| self.is_at(usize::from(*place), wire))
    }

    /// Whether a name stands at a place, upper and lower case being the same.
    fn is_at(&self, mut at: usize, wire: &[u8]) -> bool {
        let mut rest = wire;
        loop {
            let Some(&length) = self.buffer.get(at) else { return false };
            if length >= 0xc0 {
                // Pointers that we wrote lead back.
                at = usize::from(length & 0x3f) << 8 | usize::from(self.buffer[at + 1]);
                continue;
            }
            if rest.first() != Some(&length) {
                return false;
            }
            if length == 0 {
                return true;
            }
            let size = 1 + usize::from(length);
            match (self.buffer.get(at..at + size), rest.get(..size)) {
                (Some(here), Some(there)) if here.eq_ignore_ascii_case(there) => {}
                _ => return false,
            }
            at += size;
            rest = &rest[size..];
        }
    }

    /// The OPT record, from what was reserved: `options` appends to a slice and returns how much it wrote.
    pub fn opt(&mut self, payload: u16, extended: u8, flags: u16, options: impl FnOnce(&mut Options<'_>)) {
        self.reserved = 0;
        let [p0, p1] = payload.to_be_bytes();
        let [f0, f1] = flags.to_be_bytes();
        let start = self.length;
        if self.put(&[0, 0, rtype::OPT as u8, p0, p1, extended, 0, f0, f1, 0, 0]).is_err() {
            return;
        }
        let mut room = Options { buffer: &mut self.buffer[start + 11..], length: 0, before: start + 11 };
        options(&mut room);
        let length = room.length;
        self.length += length;
        self.buffer[start + 9..start + 11].copy_from_slice(&(length as u16).to_be_bytes());
        self.counts[Section::Additional as usize] += 1;
    }

    /// One more record behind the OPT record, in pieces, or nothing if there is no room.
    pub fn last(&mut self, pieces: &[&[u8]]) {
        let mark = self.mark();
        if pieces.iter().try_for_each(|piece| self.put(piece)).is_ok() {
            self.counts[Section::Additional as usize] += 1;
        } else {
            self.back_to(mark);
        }
    }

    /// The header, and the length of the whole.
    pub fn finish(self, id: u16, flags: u16) -> usize {
        let flags = if self.truncated { flags | flag::TC } else { flags };
        let words = [id, flags, u16::from(self.has_question), self.counts[0], self.counts[1], self.counts[2]];
        for (to, word) in self.buffer[..HEADER].chunks_exact_mut(2).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        self.length
    }
}

/// Length of the name at the beginning; all if it has no end.
pub fn first_name(wire: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&length) = wire.get(at) {
        at += 1 + usize::from(length);
        if length == 0 {
            break;
        }
    }
    at.min(wire.len())
}

/// Where the options of an OPT record go.
pub struct Options<'b> {
    buffer: &'b mut [u8],
    length: usize,
    before: usize,
}

impl Options<'_> {
    /// One option of several pieces. Left out if there is no room: it was not reserved.
    pub fn put(&mut self, code: u16, pieces: &[&[u8]]) {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        let Some(to) = self.buffer.get_mut(self.length..self.length + 4 + size) else { return };
        to[..2].copy_from_slice(&code.to_be_bytes());
        to[2..4].copy_from_slice(&(size as u16).to_be_bytes());
        let mut at = 4;
        for piece in pieces {
            to[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        self.length += at;
    }

    /// Zeros, so that the length of the message is a multiple of `block`, or as near as there is room (RFC 8467 section 4.1).
    pub fn pad(&mut self, code: u16, block: usize) {
        let bare = self.before + self.length + 4;
        let Some(room) = self.buffer.len().checked_sub(self.length + 4) else { return };
        let size = (bare.next_multiple_of(block) - bare).min(room);
        let to = &mut self.buffer[self.length..self.length + 4 + size];
        to[..2].copy_from_slice(&code.to_be_bytes());
        to[2..4].copy_from_slice(&(size as u16).to_be_bytes());
        to[4..].fill(0);
        self.length += 4 + size;
    }
}
