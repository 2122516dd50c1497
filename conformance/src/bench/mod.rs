//! The bench that checks work at: an origin and clients around the candidate, each check with pages of its own.

mod ask;
mod gate;
mod line;
mod page;
mod pulse;
mod purger;
mod reply;
mod sighting;
mod stage;
mod trial;

pub use ask::{Answer, Ask, Pending};
pub use gate::{Gate, Switch};
pub use line::Line;
pub use page::{Page, Received};
pub use pulse::Pulse;
pub use purger::{Credentials, Purged, Purger, Secret};
pub use reply::{Reply, http_date};
pub use sighting::{Seen, Sighting};
pub use stage::{Candidate, Stage};
pub use trial::Trial;

/// A host that is not the candidate's own. A name that cannot exist (RFC 6761).
pub const OTHER_HOST: &str = "other-customer.test";
