//! A block of stored content that knows what it is and can tell whether it still is that.

use bytes::Bytes;

/// Octets in a full block. Small enough to verify just before sending, large enough to send in few calls.
pub const BLOCK: usize = 64 * 1024;

/// What a block is a part of, and which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Keyed digest of the cache key.
    pub key: u64,
    /// Number of the stored response: no two share one while the process lives, so it stands for the variant and the
    /// version of the content too.
    pub generation: u64,
    /// Which block of the content this is, counted from 0.
    pub position: u64,
}

/// Content under seal. Copies share the content.
#[derive(Clone, Debug)]
pub struct Block {
    id: BlockId,
    sum: u32,
    data: Bytes,
}

impl Block {
    pub fn seal(id: BlockId, data: Bytes) -> Self {
        Self { id, sum: sum(id, &data), data }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The content, if this is the block that was asked for and not a bit of it changed since it was sealed.
    pub fn verified(&self, expected: BlockId) -> Option<&Bytes> {
        (self.id == expected && self.sum == sum(expected, &self.data)).then_some(&self.data)
    }

    /// Only tests spoil blocks.
    #[cfg(test)]
    pub fn spoil(&mut self) {
        let mut data = self.data.to_vec();
        let middle = data.len() / 2;
        if let Some(byte) = data.get_mut(middle) {
            *byte ^= 0x10;
        }
        self.data = data.into();
    }

    /// Only tests exchange blocks.
    #[cfg(test)]
    pub fn pretend(&mut self, id: BlockId) {
        self.id = id;
    }
}

/// Covers the identity as well as the content: a block that was put in another's place does not pass.
fn sum(id: BlockId, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.key.to_le_bytes());
    hasher.update(&id.generation.to_le_bytes());
    hasher.update(&id.position.to_le_bytes());
    hasher.update(data);
    hasher.finalize()
}
