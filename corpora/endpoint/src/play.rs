//! Going through a script, on either side.

use crate::{Error, Events, Filler, Step};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use wire::Close;

/// One side of a connection that can do the steps of a script.
pub(crate) trait Player {
    fn events(&self) -> &Events;
    /// Sends all of it. `step` is for errors.
    async fn send(&mut self, bytes: Bytes, step: &str) -> Result<(), Error>;
    async fn request_end(&mut self) -> Result<(), Error>;
    /// Waits for the peer's end.
    async fn stall(&mut self) -> Result<(), Error>;
    async fn half_close(&mut self) -> Result<(), Error>;
    async fn close(&mut self);
    async fn reset(&mut self);
}

/// What is left after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    GoOn,
    /// The connection is no more.
    Over,
}

/// Bytes that are made and sent at a time.
const BLOCK: usize = 64 << 10;

pub(crate) async fn step(player: &mut impl Player, step: &Step) -> Result<Outcome, Error> {
    match step {
        Step::Send(bytes) => player.send(bytes.clone(), "send").await?,
        Step::Trickle { bytes, piece, pause } => {
            let mut left = bytes.clone();
            while !left.is_empty() {
                tokio::time::sleep(*pause).await;
                let next = left.split_to(left.len().min((*piece).max(1)));
                player.send(next, "trickle").await?;
            }
        }
        Step::Fill { seed, length } => fill(player, *seed, *length, false).await?,
        Step::Garbage { seed, length } => {
            player.send(Bytes::from_static(b"\0"), "send garbage").await?;
            fill(player, *seed, length.saturating_sub(1), false).await?;
        }
        Step::FillChunked { seed, length } => fill(player, *seed, *length, true).await?,
        Step::Signal(name) => player.events().signal(name),
        Step::Wait(name) => player.events().clone().wait(name).await?,
        Step::RequestEnd => player.request_end().await?,
        Step::Stall => {
            player.stall().await?;
            return Ok(Outcome::Over);
        }
        Step::Pause(pause) => tokio::time::sleep(*pause).await,
        Step::HalfClose => player.half_close().await?,
        Step::Close => {
            player.close().await;
            return Ok(Outcome::Over);
        }
        Step::Reset => {
            player.reset().await;
            return Ok(Outcome::Over);
        }
    }
    Ok(Outcome::GoOn)
}

async fn fill(player: &mut impl Player, seed: u64, length: u64, chunked: bool) -> Result<(), Error> {
    let mut filler = Filler::new(seed);
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        let mut block = vec![0; part];
        filler.fill(&mut block);
        let bytes = if chunked { wire::write::chunk(&block) } else { Bytes::from(block) };
        player.send(bytes, "fill").await?;
        left -= part as u64;
    }
    Ok(())
}

/// What a failed write means.
pub(crate) fn write_error(peer: SocketAddr, step: &str, source: io::Error) -> Error {
    let step = step.to_owned();
    match source.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Error::Closed { peer, step, how: Close::Reset }
        }
        _ => Error::Io { peer, step, source },
    }
}
