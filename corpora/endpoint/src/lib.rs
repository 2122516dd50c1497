//! A scripted HTTP client and origin that wait for named events.
//!
//! Both ends of a test speak through [`wire`]: they send exactly the bytes a [`Script`] says, however wrong, and
//! keep what they get as [`exchange`] messages with its oddities. Tests wait for [`Events`] and for requests to
//! arrive, never for time to pass; each wait has a deadline and an error that names peer and step.
//!
//! - [`Client`]: connects, sends whatever bytes, takes heads, body bytes and whole responses as they come.
//! - [`Origin`]: binds a free port, answers by [`Route`], remembers each request.
//! - [`Events`]: named events that clients, origins and tests share.
//!
//! This is the only crate of `corpora` that opens sockets and reads a clock.
//!
//! ```
//! use endpoint::{Client, Origin, Script, Settings};
//! use exchange::{Ending, Request};
//! use wire::Message;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let origin = Origin::local(Settings::default()).await?;
//! // Half an answer, and the other half when the test says so.
//! let half = Message::response(200).field("Content-Length", "10").content("first");
//! let route = origin.scripts("/slow", [Script::from(half).wait("go on").send("later")]);
//!
//! let mut client = Client::connect(origin.address(), &Settings::default()).await?;
//! client.request(&Request::new("GET", "/slow", [("Host", "a.test")].into_iter().collect())).await?;
//! assert_eq!(client.body_bytes(5).await?, 5);
//! origin.events().signal("go on");
//! let reply = client.response().await?;
//! assert_eq!(reply.response.body.whole().unwrap(), "firstlater");
//! assert_eq!(route.wait_for(1).await?[0].request.target, "/slow");
//! origin.shutdown().await;
//! # Ok::<(), endpoint::Error>(())
//! # }).unwrap();
//! ```

#![forbid(unsafe_code)]

mod client;
mod clock;
mod error;
mod events;
mod filler;
mod origin;
mod play;
mod route;
mod script;
mod serve;
mod settings;
mod socket;

pub use client::{Client, Reply, fetch};
pub use clock::Clock;
pub use error::Error;
pub use events::Events;
pub use filler::Filler;
pub use origin::{Connections, Failure, Fault, Origin};
pub use route::{Received, Route};
pub use script::{Script, Step};
pub use settings::Settings;
