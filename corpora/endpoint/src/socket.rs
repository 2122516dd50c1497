//! A TCP connection whose bytes are read as they come.

use crate::Clock;
use bytes::{Buf as _, Bytes, BytesMut};
use exchange::Time;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::Close;

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Incoming {
    Bytes(Time, Bytes),
    End(Time, Close),
}

/// Pieces that wait to be taken before the peer has to wait.
const PIECES: usize = 16;
/// Most bytes of a piece.
const PIECE: usize = 32 << 10;

#[derive(Debug)]
pub(crate) struct Socket {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub incoming: mpsc::Receiver<Incoming>,
    pub out: Out,
    reader: JoinHandle<()>,
}

/// The sending direction; none after it was given up.
#[derive(Debug)]
pub(crate) struct Out(Option<OwnedWriteHalf>);

impl Out {
    /// Writes some of `bytes` and takes them off.
    pub async fn write_some(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        let Some(write) = &mut self.0 else { return Err(io::ErrorKind::NotConnected.into()) };
        let written = write.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes.advance(written);
        Ok(())
    }

    pub async fn half_close(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Some(write) => write.shutdown().await,
            None => Ok(()),
        }
    }
}

impl Socket {
    pub fn new(stream: TcpStream, peer: SocketAddr, clock: Clock) -> io::Result<Self> {
        // Pieces go out as they are sent, not joined.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let (read, write) = stream.into_split();
        let (sender, incoming) = mpsc::channel(PIECES);
        let reader = tokio::spawn(read_all(read, sender, clock));
        Ok(Socket { peer, local, incoming, out: Out(Some(write)), reader })
    }

    /// Closes both directions.
    pub async fn close(&mut self) {
        self.out.0 = None;
        self.stop_reading().await;
    }

    /// Ends the connection with a reset.
    pub async fn reset(&mut self) {
        self.stop_reading().await;
        if let Some(write) = self.out.0.take() {
            // With a linger time of zero, closing sends RST. Where that fails, the peer gets a FIN.
            let _ = write.as_ref().set_zero_linger();
            write.forget();
        }
    }

    async fn stop_reading(&mut self) {
        self.reader.abort();
        // The half it holds keeps the socket open until the task is gone. Its end is all we want.
        let _ = (&mut self.reader).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_all(mut read: OwnedReadHalf, to: mpsc::Sender<Incoming>, clock: Clock) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        let got = (&mut read).take(PIECE as u64).read_buf(&mut buffer).await;
        let now = clock.now();
        let end = match got {
            Ok(0) => Close::Fin,
            Ok(_) => {
                if to.send(Incoming::Bytes(now, buffer.split().freeze())).await.is_err() {
                    return;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Close::Reset,
            Err(_) => Close::Lost,
        };
        // Nobody left to tell is fine.
        let _ = to.send(Incoming::End(now, end)).await;
        return;
    }
}
