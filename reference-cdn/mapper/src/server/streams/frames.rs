//! Messages in a stream: two octets of length, and as many of message (RFC 1035 section 4.2.2), cut in any way.

use std::ops::ControlFlow;

/// A query that nobody can have meant: shorter than a header, or longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What has come and was not taken yet: the beginning of a message, or more where taking stopped. Holds no memory while empty.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a whole message is held, because taking stopped before it.
    pub fn has_message(&self) -> bool {
        matches!(split(&self.0), Some((_, rest)) if rest.len() < self.0.len())
    }

    /// Gives all whole messages in what is held and what has come now to `take`, in order, until it says stop. Keeps the rest: less
    /// than one message if it never says stop.
    ///
    /// # Errors
    /// When a message is longer than `longest` or shorter than a header; those before it were taken.
    pub fn feed(
        &mut self,
        come: &[u8],
        longest: usize,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Malformed> {
        if self.0.is_empty() {
            let rest = each(come, longest, take)?;
            if !rest.is_empty() {
                self.0 = rest.to_vec();
            }
            return Ok(());
        }
        self.0.extend_from_slice(come);
        let rest = each(&self.0, longest, take)?.len();
        if rest == 0 {
            self.0 = Vec::new();
        } else {
            self.0.drain(..self.0.len() - rest);
        }
        Ok(())
    }
}

/// The first message, if it is whole, and what follows.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn each(
    mut octets: &[u8],
    longest: usize,
    mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<&[u8], Malformed> {
    /// Octets of a header (RFC 1035 section 4.1.1).
    const HEADER: usize = 12;
    loop {
        // Known from the length alone: nothing is kept for a message that will be refused.
        if let Some((length, _)) = octets.split_first_chunk::<2>()
            && !(HEADER..=longest).contains(&usize::from(u16::from_be_bytes(*length)))
        {
            return Err(Malformed);
        }
        let Some((message, rest)) = split(octets) else { return Ok(octets) };
        octets = rest;
        if take(message).is_break() {
            return Ok(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let frame = |message: &Vec<u8>| {
            let length = u16::try_from(message.len()).expect("short").to_be_bytes();
            [&length[..], &message[..]].concat()
        };
        messages.iter().flat_map(frame).collect()
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 12..80), 0..12),
            mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
            stops in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let stream = framed(&messages);
            let mut places: Vec<usize> = cuts.drain(..).map(|it| it.index(stream.len() + 1)).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            let (mut frames, mut taken, mut stop) = (Frames::default(), Vec::new(), stops.into_iter().cycle());
            for piece in places.windows(2).map(|two| &stream[two[0]..two[1]]) {
                let mut come = piece;
                loop {
                    let fed = frames.feed(come, 100, |message| {
                        taken.push(message.to_vec());
                        if stop.next() == Some(true) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                    prop_assert_eq!(fed, Ok(()));
                    come = &[];
                    if !frames.has_message() {
                        break;
                    }
                }
            }
            prop_assert_eq!(&taken, &messages);
            prop_assert!(frames.is_empty());
            prop_assert_eq!(frames.0.capacity(), 0);
        }

        #[test]
        fn what_strangers_send_is_kept_within_bounds(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let mut frames = Frames::default();
            for piece in pieces {
                let fed = frames.feed(&piece, 200, |message| {
                    assert!((12..=200).contains(&message.len()));
                    ControlFlow::Continue(())
                });
                if fed.is_err() {
                    break;
                }
                prop_assert!(frames.0.len() < 202);
            }
        }
    }

    #[test]
    fn a_length_that_is_none_is_refused_at_once() {
        let feed = |octets: &[u8]| Frames::default().feed(octets, 100, |_| ControlFlow::Continue(()));
        assert_eq!(feed(&[0, 100]), Ok(()));
        assert_eq!(feed(&[0]), Ok(()));
        assert_eq!(feed(&[0, 101]), Err(Malformed));
        assert_eq!(feed(&[0, 11]), Err(Malformed));
        assert_eq!(feed(&[0, 0]), Err(Malformed));
    }
}
