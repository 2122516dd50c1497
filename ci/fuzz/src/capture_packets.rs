//! From the bytes of a packet file to transactions: `capture::Packets`, `replay::extract::segment`, `wire::tcp::Flows`,
//! `wire::Connection`. Reading in small pieces gives the same packets; each segment is counted.

use crate::input::Input;
use crate::wire_flows::Follow;
use capture::{Packet, Packets};
use exchange::Time;
use std::io::Read;
use wire::tcp::{FlowLimits, Flows};

/// Gives at most so many bytes a read.
pub(crate) struct Slow<'a>(pub &'a [u8], pub usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.min(buffer.len());
        self.0.read(&mut buffer[..most])
    }
}

fn packets(source: impl Read) -> (Vec<Packet>, Option<String>) {
    let mut packets = match Packets::new(source) {
        Ok(packets) => packets,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let (mut read, mut failed) = (Vec::new(), None);
    for packet in packets.by_ref() {
        match packet {
            Ok(packet) => read.push(packet),
            Err(error) => {
                assert!(failed.is_none(), "a reader that failed goes on");
                failed = Some(error.to_string());
            }
        }
    }
    assert_eq!(Packets::count(&packets), read.len() as u64);
    (read, failed)
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let step = 1 + usize::from(input.byte());
    let (read, failed) = packets(input.0);
    assert_eq!(packets(Slow(input.0, step)), (read.clone(), failed), "read in pieces of {step}");

    let mut flows = Flows::new(FlowLimits::default());
    let mut follow = Follow::default();
    let mut segments = 0;
    for packet in &read {
        assert!(packet.data.len() <= input.0.len() && packet.length as usize >= packet.data.len());
        let Ok(segment) = replay::extract::segment(packet, Time(0)) else { continue };
        assert!(segment.payload.len() <= packet.data.len());
        segments += 1;
        flows.push(&segment);
        follow.events(&mut flows);
    }
    flows.finish();
    follow.events(&mut flows);
    let counts = flows.counts();
    assert!(counts.balance() && counts.segments == segments && counts.held == 0, "{counts:?}");
    follow.finish();
}
