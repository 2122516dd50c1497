//! Captures that somebody damaged: no panic, and every packet and byte is still accounted for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::sample::Index;
use replay::extract::{Options, load};
use std::path::Path;

const SUBJECTS: [&str; 5] = [
    "pipelined-head.pcap",
    "upgrade.pcap",
    "derived-big-endian.pcapng",
    "derived-snapshot-length.pcap",
    "mid-connection.pcap",
];

fn check(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    // A damaged header may make it no capture at all.
    let Ok((recorded, summary)) = load(file.path(), &Options { keep_body: 1 << 20 }) else { return };
    for ledger in summary.ledgers() {
        assert!(ledger.balances(), "{ledger:?}");
    }
    assert_eq!(summary.transactions, recorded.len() as u64);
}

fn subject(number: usize) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("corpora/recordings");
    std::fs::read(directory.join(SUBJECTS[number])).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn changed_bytes(number in 0..SUBJECTS.len(), changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..40)) {
        let mut bytes = subject(number);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn changed_contents(number in 0..SUBJECTS.len(), from: Index, length in 1_usize..200, byte: u8) {
        let mut bytes = subject(number);
        let from = from.index(bytes.len());
        let end = (from + length).min(bytes.len());
        bytes[from..end].fill(byte);
        check(&bytes);
    }

    #[test]
    fn cut_anywhere(number in 0..SUBJECTS.len(), at: Index) {
        let bytes = subject(number);
        check(&bytes[..at.index(bytes.len())]);
    }
}
