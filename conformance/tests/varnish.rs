//! The suite against the distribution's varnish: what fails is what is known to fail.
//!
//! Without varnish, or without a list for its version, nothing is run and the test says so; with REQUIRE_PEERS=1 that is
//! a failure.

#[expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]
mod known_failures;

use conformance::peer::varnish::{self, Varnish};
use endpoint::{Origin, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn varnish_fails_what_it_is_known_to_fail() {
    let version = match varnish::version().await {
        Ok(version) => version,
        Err(error) => return known_failures::not_run(&error.to_string()),
    };
    let Some(list) = known_failures::list("varnish", &version) else { return };
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::local(Settings::default()).await.unwrap();
    let peer = Varnish::start(origin.address(), dir.path()).await.unwrap();
    known_failures::agree(&list, peer.address(), &origin, "varnish").await;
}
