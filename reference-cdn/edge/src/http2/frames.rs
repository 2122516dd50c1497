//! Finds the heads of frames in octets that pass by in pieces (RFC 9113 section 4.1). No I/O.
//!
//! ```text
//! +-----------------------------------------------+
//! |                 Length (24)                   |
//! +---------------+---------------+---------------+
//! |   Type (8)    |   Flags (8)   |
//! +-+-------------+---------------+-------------------------------+
//! |R|                 Stream Identifier (31)                      |
//! +=+=============================================================+
//! |                   Payload (Length octets)                   ...
//! ```

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// Octets of a frame's head.
const HEAD: usize = 9;
/// Octets of one setting: its identifier and its value (section 6.5.1).
const SETTING: usize = 6;
/// Octets of payload that are kept: as much as the error code of RST_STREAM and the increment of WINDOW_UPDATE take.
const KEPT: usize = 4;

/// A frame's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHead {
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHead {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn read(octets: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, s @ ..] = *octets;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes(s) & 0x7fff_ffff,
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A head is whole. `at`: where the frame begins in this piece; 0 if it began in an earlier one.
    Head { head: FrameHead, at: usize },
    /// A setting of a SETTINGS frame is whole. `at`: where its last octet stands in this piece.
    Setting { id: u16, value: u32, at: usize },
    /// A frame is whole. `word`: the first four octets of its payload, zeros for those it does not have.
    End { head: FrameHead, word: u32 },
}

/// The scanner's state between two pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameScan {
    octets: [u8; HEAD],
    have: usize,
    head: FrameHead,
    /// Octets of the payload still to come, while a payload is passing.
    left: Option<u32>,
    word: [u8; KEPT],
    setting: [u8; SETTING],
    begun_at: usize,
}

impl FrameScan {
    /// Begins with a new piece of the stream.
    pub fn piece(&mut self) {
        self.begun_at = 0;
    }

    /// What is found next in `piece` from `at` on; `at` moves past it. `None`: nothing more in this piece.
    pub fn next(&mut self, piece: &[u8], at: &mut usize) -> Option<Found> {
        let rest = piece.get(*at..)?;
        let Some(left) = self.left else {
            if self.have == 0 {
                self.begun_at = *at;
            }
            let take = rest.len().min(HEAD - self.have);
            self.octets[self.have..self.have + take].copy_from_slice(&rest[..take]);
            self.have += take;
            *at += take;
            if self.have < HEAD {
                return None;
            }
            self.head = FrameHead::read(&self.octets);
            self.left = Some(self.head.length);
            self.word = [0; KEPT];
            return Some(Found::Head { head: self.head, at: self.begun_at });
        };
        let passed = (self.head.length - left) as usize;
        let mut take = rest.len().min(left as usize);
        let within = passed % SETTING;
        if self.head.kind == SETTINGS && take > 0 {
            // One after the other.
            take = take.min(SETTING - within);
            self.setting[within..within + take].copy_from_slice(&rest[..take]);
        }
        if passed < KEPT {
            let kept = take.min(KEPT - passed);
            self.word[passed..passed + kept].copy_from_slice(&rest[..kept]);
        }
        *at += take;
        // `take` is at most `left`, which is 24 bits long.
        let left = left - take as u32;
        if self.head.kind == SETTINGS && take > 0 {
            self.left = Some(left);
            if within + take < SETTING {
                // Cut here, or of a length that no SETTINGS frame has.
                return if left == 0 { self.next(piece, at) } else { None };
            }
            let [a, b, value @ ..] = self.setting;
            let value = u32::from_be_bytes(value);
            return Some(Found::Setting { id: u16::from_be_bytes([a, b]), value, at: *at - 1 });
        }
        if left > 0 {
            self.left = Some(left);
            return None;
        }
        self.left = None;
        self.have = 0;
        Some(Found::End { head: self.head, word: u32::from_be_bytes(self.word) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<(FrameHead, Option<u32>)> {
        let (mut scan, mut found) = (FrameScan::default(), Vec::new());
        for piece in pieces {
            let mut at = 0;
            scan.piece();
            while let Some(next) = scan.next(piece, &mut at) {
                found.push(match next {
                    Found::Head { head, .. } => (head, None),
                    Found::Setting { .. } => continue,
                    Found::End { head, word } => (head, Some(word)),
                });
            }
            assert_eq!(at, piece.len());
        }
        found
    }

    proptest! {
        /// Frames are found as they were written, however they are cut.
        #[test]
        fn frames_are_found_however_they_are_cut(
            frames in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            cut in 1_usize..30,
        ) {
            let (mut octets, mut expected) = (Vec::new(), Vec::new());
            for (kind, flags, stream, payload) in &frames {
                octets.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
                octets.extend_from_slice(&[*kind, *flags]);
                octets.extend_from_slice(&stream.to_be_bytes());
                octets.extend_from_slice(payload);
                let head = FrameHead { length: payload.len() as u32, kind: *kind, flags: *flags, stream: stream & 0x7fff_ffff };
                let mut word = [0; 4];
                let kept = payload.len().min(4);
                word[..kept].copy_from_slice(&payload[..kept]);
                expected.extend([(head, None), (head, Some(u32::from_be_bytes(word)))]);
            }
            let pieces: Vec<&[u8]> = octets.chunks(cut).collect();
            prop_assert_eq!(all(&pieces), expected.clone());
            // Where a frame begins in its piece is where cutting the piece leaves whole frames only.
            let (mut scan, mut at) = (FrameScan::default(), 0);
            scan.piece();
            while let Some(found) = scan.next(&octets, &mut at) {
                if let Found::Head { at, .. } = found {
                    prop_assert!(all(&[&octets[..at]]).len().is_multiple_of(2));
                }
            }
        }

        /// So are settings, each at its last octet.
        #[test]
        fn settings_are_found_however_they_are_cut(
            settings in prop::collection::vec(any::<(u16, u32)>(), 0..6),
            more in 0..6_usize,
            cut in 1_usize..20,
        ) {
            let mut payload = Vec::new();
            for (id, value) in &settings {
                payload.extend_from_slice(&id.to_be_bytes());
                payload.extend_from_slice(&value.to_be_bytes());
            }
            payload.resize(payload.len() + more, 7);
            let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
            octets.extend_from_slice(&[SETTINGS, 0, 0, 0, 0, 0]);
            octets.extend_from_slice(&payload);
            octets.extend_from_slice(&[0, 0, 0, PING, 0, 0, 0, 0, 0]);
            let (mut scan, mut found, mut ends) = (FrameScan::default(), Vec::new(), 0);
            for (number, piece) in octets.chunks(cut).enumerate() {
                let mut place = 0;
                scan.piece();
                while let Some(next) = scan.next(piece, &mut place) {
                    match next {
                        Found::Setting { id, value, at } => {
                            prop_assert_eq!(number * cut + at + 1, HEAD + SETTING * (found.len() + 1));
                            found.push((id, value));
                        }
                        Found::End { .. } => ends += 1,
                        Found::Head { .. } => {}
                    }
                }
                prop_assert_eq!(place, piece.len());
            }
            prop_assert_eq!((found, ends), (settings, 2));
        }

        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..300), cut in 1_usize..300) {
            all(&octets.chunks(cut).collect::<Vec<_>>());
        }
    }
}
