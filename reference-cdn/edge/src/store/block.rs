//! A block of stored content that can tell whether it still is what was stored.

use bytes::Bytes;

use super::accounts::taken;

/// Octets in a full block. Small enough to verify just before sending, large enough to send in few calls.
pub const BLOCK: usize = 64 * 1024;

/// What a block with so many octets takes: them, its place in a list, and what counts its readers.
pub(crate) const fn charge_of(octets: usize) -> u64 {
    taken(octets) + size_of::<Block>() as u64 + taken(3 * size_of::<usize>())
}

/// What a block is a part of, and which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Keyed hash of the cache key.
    pub key: u64,
    /// Number of the stored response. No two share one, so it stands for the variant and the version of the content
    /// too.
    pub response: u64,
    /// Which block of the content this is, counted from 0.
    pub position: u64,
}

/// Content under seal. Copies share the content.
#[derive(Clone, Debug)]
pub struct Block {
    sum: u32,
    data: Bytes,
}

impl Block {
    pub fn seal(id: BlockId, data: Bytes) -> Self {
        Self { sum: sum(id, &data), data }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Nobody else has its content.
    pub fn is_unique(&self) -> bool {
        self.data.is_unique()
    }

    /// The content, if this is the block that was asked for and not a bit of it changed since it was sealed.
    pub fn verified(&self, expected: BlockId) -> Option<&Bytes> {
        (self.sum == sum(expected, &self.data)).then_some(&self.data)
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
}

/// Covers the identity as well as the content: a block that was put in another's place does not pass.
fn sum(id: BlockId, data: &[u8]) -> u32 {
    let mut identity = [0; 24];
    identity[..8].copy_from_slice(&id.key.to_le_bytes());
    identity[8..16].copy_from_slice(&id.response.to_le_bytes());
    identity[16..].copy_from_slice(&id.position.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&identity);
    hasher.update(data);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_passes_only_as_itself() {
        let id = BlockId { key: 1, response: 2, position: 3 };
        let mut block = Block::seal(id, Bytes::from_static(b"content"));
        assert!(block.verified(id).is_some());
        for other in [BlockId { key: 9, ..id }, BlockId { response: 9, ..id }, BlockId { position: 9, ..id }]
        {
            assert!(block.verified(other).is_none(), "{other:?}");
        }
        block.spoil();
        assert!(block.verified(id).is_none());
    }
}
