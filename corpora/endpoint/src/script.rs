//! What to send, and when.

use bytes::Bytes;
use exchange::{Request, Response};
use std::time::Duration;
use wire::Message;

/// One step of a [`Script`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Send(Bytes),
    /// Send these bytes, so many at a time, with a pause before each piece (tokio time).
    Trickle { bytes: Bytes, piece: usize, pause: Duration },
    /// Send the first `length` bytes of [`crate::Filler`] with this seed, without holding them.
    Fill { seed: u64, length: u64 },
    /// Send a zero byte, which begins no message, and then bytes as `Fill` does, `length` in all.
    Garbage { seed: u64, length: u64 },
    /// As `Fill`, each block as a chunk; the last chunk is not included.
    FillChunked { seed: u64, length: u64 },
    /// Signal this event.
    Signal(String),
    /// Wait until this event was signalled.
    Wait(String),
    /// Origin only: wait until the request has ended, its body included.
    RequestEnd,
    /// Do nothing until the peer ends the connection.
    Stall,
    /// Let time pass (tokio time). To pace, not to wait for something.
    Pause(Duration),
    /// Close the sending direction (TCP FIN), go on reading.
    HalfClose,
    /// Close the connection.
    Close,
    /// Reset the connection (TCP RST).
    Reset,
}

/// Steps in order. An origin's connection stays open after the last one, unless a step or the request ends it.
///
/// ```
/// use endpoint::Script;
/// use wire::Message;
/// let slow = Script::from(Message::response(200).field("Content-Length", "10").content("first"))
///     .signal("half sent")
///     .wait("go on")
///     .send("later");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub steps: Vec<Step>,
}

impl Script {
    pub fn new() -> Self {
        Script::default()
    }

    /// The answer to this request: interim responses, head, body in the framing that the fields say, none to HEAD
    /// or where the status allows none; then a close where the framing or `Connection: close` needs one.
    /// Nothing is added to the fields.
    pub fn answer(request: &Request, response: &Response) -> Self {
        let keeps_open = wire::write::ends_by_itself(response, &request.method);
        let bytes = wire::write::response_to(&request.method, response);
        let script = Script::new().send(bytes);
        if keeps_open { script } else { script.close() }
    }

    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    #[must_use]
    pub fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    #[must_use]
    pub fn message(self, message: Message) -> Self {
        self.step(Step::Send(message.bytes()))
    }

    /// One byte each time.
    #[must_use]
    pub fn trickle(self, bytes: impl Into<Bytes>, pause: Duration) -> Self {
        self.step(Step::Trickle { bytes: bytes.into(), piece: 1, pause })
    }

    #[must_use]
    pub fn fill(self, seed: u64, length: u64) -> Self {
        self.step(Step::Fill { seed, length })
    }

    #[must_use]
    pub fn fill_chunked(self, seed: u64, length: u64) -> Self {
        self.step(Step::FillChunked { seed, length })
    }

    #[must_use]
    pub fn garbage(self, seed: u64, length: u64) -> Self {
        self.step(Step::Garbage { seed, length })
    }

    #[must_use]
    pub fn signal(self, name: impl Into<String>) -> Self {
        self.step(Step::Signal(name.into()))
    }

    #[must_use]
    pub fn wait(self, name: impl Into<String>) -> Self {
        self.step(Step::Wait(name.into()))
    }

    #[must_use]
    pub fn request_end(self) -> Self {
        self.step(Step::RequestEnd)
    }

    #[must_use]
    pub fn stall(self) -> Self {
        self.step(Step::Stall)
    }

    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        self.step(Step::Pause(pause))
    }

    #[must_use]
    pub fn half_close(self) -> Self {
        self.step(Step::HalfClose)
    }

    #[must_use]
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }
}

impl From<Message> for Script {
    fn from(message: Message) -> Self {
        Script::new().message(message)
    }
}

impl From<Bytes> for Script {
    fn from(bytes: Bytes) -> Self {
        Script::new().send(bytes)
    }
}
