//! The client side of a connection, step by step.

use crate::{Error, Events, Script, Settings};
use bytes::Bytes;
use exchange::{Request, Response};
use std::net::SocketAddr;
use wire::{Close, Head, Notes};

/// A final response with its interim ones, and what [`exchange`] has no place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub response: Response,
    pub notes: Notes,
}

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    peer: SocketAddr,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Deadline`].
    pub async fn connect(peer: SocketAddr, _settings: &Settings) -> Result<Self, Error> {
        Ok(Client { peer })
    }

    /// Shares events with origins and tests; without this, the client has its own.
    #[must_use]
    pub fn with_events(self, _events: Events) -> Self {
        self
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub fn local(&self) -> SocketAddr {
        self.peer
    }

    /// Sends these bytes. Methods of the requests in them are noted, as far as they can be parsed, to know which
    /// responses have bodies.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], [`Error::Deadline`] when the peer takes none for that long.
    pub async fn send(&mut self, _bytes: impl Into<Bytes>) -> Result<(), Error> {
        Ok(())
    }

    /// Sends a request exactly as it is: see [`wire::write::request`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn request(&mut self, request: &Request) -> Result<(), Error> {
        self.send(wire::write::request(request)).await
    }

    /// Goes through a script.
    ///
    /// # Errors
    /// As [`Client::send`]; [`Error::Deadline`] for events.
    pub async fn play(&mut self, _script: &Script) -> Result<(), Error> {
        Ok(())
    }

    /// The next head, of an interim or final response, that [`Client::response`] has not taken.
    ///
    /// # Errors
    /// [`Error::Deadline`], [`Error::Closed`], [`Error::Meaningless`].
    pub async fn head(&mut self) -> Result<Head, Error> {
        Err(Error::Closed { peer: self.peer, step: "head".to_owned(), how: Close::Lost })
    }

    /// Waits until the body of the current response has at least `length` bytes.
    ///
    /// # Errors
    /// As [`Client::head`]; [`Error::Closed`] also where the body ended before.
    pub async fn body_bytes(&mut self, _length: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The next final response with its interim ones, to its end. One that the connection's end cut short is
    /// returned with its [`exchange::Ending`]; an error means that there was no final head.
    ///
    /// # Errors
    /// As [`Client::head`].
    pub async fn response(&mut self) -> Result<Reply, Error> {
        Err(Error::Closed { peer: self.peer, step: "response".to_owned(), how: Close::Lost })
    }

    /// Closes the sending direction.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn half_close(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Waits until the peer ends the connection. Bytes it sends meanwhile are read and not kept, except in
    /// [`Client::raw`].
    ///
    /// # Errors
    /// [`Error::Deadline`].
    pub async fn closed(&mut self) -> Result<Close, Error> {
        Ok(Close::Fin)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {}

    /// The first bytes that came, up to [`Settings::keep_raw`].
    pub fn raw(&self) -> &[u8] {
        b""
    }

    /// How many bytes came.
    pub fn received(&self) -> u64 {
        0
    }
}

/// Sends one request on a connection of its own and returns the response.
///
/// # Errors
/// As [`Client::connect`] and [`Client::response`].
pub async fn fetch(peer: SocketAddr, request: &Request, settings: &Settings) -> Result<Reply, Error> {
    let mut client = Client::connect(peer, settings).await?;
    client.request(request).await?;
    client.response().await
}
