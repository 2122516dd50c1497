//! The decisions as the RFCs have them.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, Uri};

use crate::*;

/// What an operator can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of this cache in Via, CDN-Loop and Cache-Status: a token, the same for all edges of one CDN.
    pub name: String,
    pub client_directives: ClientDirectives,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "reference-cdn".into(), client_directives: ClientDirectives::Ignore }
    }
}

/// Are Cache-Control directives and Pragma in requests obeyed? A cache may ignore them (RFC 9111 section 5.2.1), and a
/// CDN does by default: any client could otherwise send every request to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientDirectives {
    Honor,
    #[default]
    Ignore,
}

/// The decisions of RFC 9110 and RFC 9111.
#[derive(Clone, Debug)]
pub struct Standard {
    settings: Settings,
}

impl Standard {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Decisions for Standard {
    fn admit(&self, _request: &Request<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn key(&self, request: &Request<'_>) -> Key {
        Key::of(request.target)
    }

    fn lookup(&self, _request: &Request<'_>) -> Lookup {
        Lookup::Forward(ForwardReason::Bypass)
    }

    fn select(&self, _request: &Request<'_>, _stored: &[Arc<Stored>]) -> Option<usize> {
        None
    }

    fn plan(&self, _request: &Request<'_>, _stored: &[Arc<Stored>], _now: Time) -> Plan {
        Plan::Fetch(Fetch { reason: ForwardReason::UriMiss, validate: None, complete: None, whole: false })
    }

    fn collapsing(&self, _request: &Request<'_>) -> Collapsing {
        Collapsing { lead: false, join: false }
    }

    fn may_share(&self, _request: &Request<'_>, _stored: &Arc<Stored>, _now: Time) -> bool {
        false
    }

    fn origin_request(&self, request: &Request<'_>, _fetch: &Fetch, _stored: Option<&Stored>) -> HeaderMap {
        request.headers.clone()
    }

    fn received(
        &self,
        _request: &Request<'_>,
        _fetch: &Fetch,
        _response: &Response<'_>,
        _stored: &[Arc<Stored>],
    ) -> Received {
        Received::Relay { why: NotStored::NoLifetime, forget: Vec::new() }
    }

    fn failed(
        &self,
        _request: &Request<'_>,
        _fetch: &Fetch,
        _failure: Failure,
        _stored: &[Arc<Stored>],
        _now: Time,
    ) -> Option<usize> {
        None
    }

    fn reply(&self, _request: &Request<'_>, stored: &Stored, _now: Time, _handling: &Handling) -> Reply {
        Reply { status: stored.status, headers: stored.headers.clone(), content: Selection::Whole }
    }

    fn relay(
        &self,
        _request: &Request<'_>,
        response: &Response<'_>,
        _now: Time,
        _handling: &Handling,
    ) -> Reply {
        Reply { status: response.status, headers: response.headers.clone(), content: Selection::Whole }
    }

    fn interim(&self, _request: &Request<'_>, _status: StatusCode, fields: &HeaderMap) -> Option<HeaderMap> {
        Some(fields.clone())
    }

    fn trailers(&self, _request: &Request<'_>, fields: &HeaderMap) -> HeaderMap {
        fields.clone()
    }

    fn generated(&self, _request: &Request<'_>, _now: Time, _handling: &Handling) -> HeaderMap {
        HeaderMap::new()
    }

    fn keep(&self, _stored: &Stored, _ended: Ended, _purged: bool) -> Keep {
        Keep::Discard
    }

    fn invalidated(&self, _request: &Request<'_>, _response: &Response<'_>) -> Vec<Key> {
        Vec::new()
    }

    fn purged(&self, target: &Uri) -> Vec<Key> {
        vec![Key::of(target)]
    }
}
