//! Digests of content (RFC 9530): computed of what the origin sends and held against what it told, and added to replies
//! for clients that want one. What a digest is about, `http_cache` says.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body::Frame;
use http_cache::{Digest, DigestAlgorithm, DigestMismatch, ExpectedDigests, WantedDigest};
use sha2::{Digest as _, Sha256, Sha512};

use crate::origin::{ContentError, OriginContent};
use crate::store::{Body, Next};

/// Content up to this size is held until its digest is known to be right, so that its client gets an error rather than
/// half a response. Of larger content only the last piece is held.
const HELD: u64 = 64 * 1024;
/// Most octets that are read for a digest which a client wants: some milliseconds of a processor.
const MOST: u64 = 1 << 20;

/// Digests being computed.
#[derive(Debug, Default)]
struct Hashing {
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl Hashing {
    fn new(algorithms: &[DigestAlgorithm]) -> Self {
        Self {
            sha256: algorithms.contains(&DigestAlgorithm::Sha256).then(Sha256::new),
            sha512: algorithms.contains(&DigestAlgorithm::Sha512).then(Sha512::new),
        }
    }

    fn update(&mut self, data: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(data);
        }
    }

    fn finish(self) -> Vec<Digest> {
        let digest = |algorithm, value: &[u8]| Digest { algorithm, value: value.to_vec() };
        let sha256 = self.sha256.map(|it| digest(DigestAlgorithm::Sha256, &it.finalize()));
        let sha512 = self.sha512.map(|it| digest(DigestAlgorithm::Sha512, &it.finalize()));
        sha256.into_iter().chain(sha512).collect()
    }
}

/// Content that must come to certain digests.
#[derive(Debug)]
pub struct Check {
    hashing: Hashing,
    expected: ExpectedDigests,
    /// Octets still to come, where their number was announced.
    left: Option<u64>,
}

impl Check {
    /// `None` if there is nothing to check.
    pub fn new(expected: ExpectedDigests, length: Option<u64>) -> Option<Self> {
        let hashing = Hashing::new(&expected.algorithms());
        (!expected.is_empty()).then_some(Self { hashing, expected, left: length })
    }

    /// Takes the next octets. True if they are the last.
    pub fn update(&mut self, data: &[u8]) -> bool {
        self.hashing.update(data);
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        self.left == Some(0)
    }

    /// # Errors
    /// When the content does not come to the digests that were told.
    pub fn end(self) -> Result<(), DigestMismatch> {
        self.expected.check(&self.hashing.finish())
    }
}

/// Content of the origin as it arrives, held against the digests that come with it. What would make it whole, its last
/// piece or its end, is given out only if they are right.
#[derive(Debug)]
pub struct CheckedContent {
    content: OriginContent,
    check: Option<Check>,
    held: VecDeque<Frame<Bytes>>,
}

/// Why content ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Spoiled {
    #[error(transparent)]
    Origin(#[from] ContentError),
    #[error("the origin's response is damaged: {0}")]
    Digest(#[from] DigestMismatch),
}

impl CheckedContent {
    pub fn new(content: OriginContent) -> Self {
        Self { content, check: None, held: VecDeque::new() }
    }

    /// Begins to check content of this announced length. Small content is taken in and checked before this returns.
    ///
    /// # Errors
    /// When it breaks off, or is not what it should be.
    pub async fn expect(&mut self, expected: ExpectedDigests, length: Option<u64>) -> Result<(), Spoiled> {
        let told = expected.is_told();
        self.check = Check::new(expected, length);
        if !told || length.is_some_and(|length| length > HELD) {
            return Ok(());
        }
        let mut octets = 0;
        while self.check.is_some() && octets <= HELD {
            let Some(frame) = self.next().await else { break };
            let frame = frame?;
            octets += frame.data_ref().map_or(0, |data| data.len() as u64);
            self.held.push_back(frame);
        }
        Ok(())
    }

    /// The next piece of content or the trailer fields; `None` at the end.
    ///
    /// # Errors
    /// When the content breaks off, or is not what it should be; nothing follows.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, Spoiled>> {
        match self.held.pop_front() {
            Some(frame) => Some(Ok(frame)),
            None => self.next().await,
        }
    }

    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Spoiled>> {
        let frame = match self.content.frame().await {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return Some(Err(error.into())),
            None => None,
        };
        let ended = match (&mut self.check, &frame) {
            (Some(check), Some(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => check.update(data),
                (None, trailers) => {
                    trailers.into_iter().for_each(|trailers| check.expected.trailers(trailers));
                    true
                }
            },
            (Some(_), None) => true,
            (None, _) => false,
        };
        if ended
            && let Some(check) = self.check.take()
            && let Err(mismatch) = check.end()
        {
            return Some(Err(mismatch.into()));
        }
        frame.map(Ok)
    }
}

/// The digest that a client wants, of content that is all there. `None` if that would cost too much, or the content is not
/// all there or not good: a digest is never necessary.
pub async fn wanted(body: &std::sync::Arc<Body>, first: u64, wanted: &WantedDigest) -> Option<Digest> {
    let range = wanted.range.clone();
    if range.is_none()
        && let Some(digest) = body.digest().filter(|digest| digest.algorithm == wanted.algorithm)
    {
        return Some(digest.clone());
    }
    let (at, mut left) = match &range {
        Some(range) => (range.start.checked_sub(first)?, range.end - range.start),
        None => (0, body.received()),
    };
    if left > MOST {
        return None;
    }
    let mut hashing = Hashing::new(&[wanted.algorithm]);
    let mut reader = body.read(at);
    while left > 0 {
        let Ok(Next::Data(data)) = reader.next(left) else { return None };
        left -= data.len() as u64;
        hashing.update(&data);
        // Others have waited for a block's time.
        tokio::task::yield_now().await;
    }
    if range.is_none() && !matches!(reader.next(1), Ok(Next::End(_))) {
        return None;
    }
    let digest = hashing.finish().pop()?;
    if range.is_none() {
        body.keep_digest(&digest);
    }
    Some(digest)
}
