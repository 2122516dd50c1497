//! A scripted HTTP client and origin that wait for named events.
//!
//! Both ends of a test speak through [`wire`]: they send exactly the bytes a [`Script`] says, however wrong, and
//! keep what they get as [`exchange`] messages with its oddities. Tests wait for [`Events`] and for requests to
//! arrive, never for time to pass; each wait has a deadline and an error that names peer and step.

#![forbid(unsafe_code)]

mod client;
mod clock;
mod error;
mod events;
mod filler;
mod origin;
mod script;
mod settings;

pub use client::{Client, Reply, fetch};
pub use clock::Clock;
pub use error::Error;
pub use events::Events;
pub use filler::Filler;
pub use origin::{Connections, Fault, Origin, Received, Route};
pub use script::{Script, Step};
pub use settings::Settings;
