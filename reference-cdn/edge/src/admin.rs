//! The admin listener: purge, health, metrics, status. Its own port, off unless configured, never reached through the
//! port that clients use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Downstream, HeadError, Request, Service, Stop};
use crate::config::Token;
use crate::metrics::prometheus;
use crate::state::Edge;
use crate::store::Purged;
use crate::tls::Certificates;

/// How long a purge may take to be written.
const PURGE_TIME: Duration = Duration::from_secs(10);
/// Octets of a purge request's content.
const MOST_CONTENT: usize = 64 * 1024;

/// Answers operators.
#[derive(Debug)]
pub struct Admin {
    edge: Arc<Edge>,
    token: Token,
    listen: SocketAddr,
    started: http_cache::Time,
    certificates: Option<Arc<Certificates>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeOrder {
    url: String,
}

/// A response's status, media type and text, and one field more for some.
struct Page {
    status: StatusCode,
    media_type: &'static str,
    text: String,
    extra: Option<(http::HeaderName, &'static str)>,
}

impl Page {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self { status, media_type: "application/json", text: format!("{value}\n"), extra: None }
    }

    fn error(status: StatusCode, error: impl Into<String>) -> Self {
        Self::json(status, &json!({ "error": error.into() }))
    }
}

impl Admin {
    /// `listen` is where clients of the edge connect, for the status page.
    pub fn new(edge: Arc<Edge>, token: Token, listen: SocketAddr) -> Self {
        let started = edge.clock.now();
        Self { edge, token, listen, started, certificates: None }
    }

    /// Lets operators have these certificates read again.
    pub fn with_certificates(self, certificates: Option<Arc<Certificates>>) -> Self {
        Self { certificates, ..self }
    }

    async fn page<D: Downstream>(&self, request: &mut Request, down: &mut D) -> Page {
        let path = request.head.target.path().to_owned();
        let allowed: &'static str = match path.as_str() {
            "/health" | "/metrics" | "/status" => "GET, HEAD",
            "/purge" | "/certificates/reload" => "POST",
            _ => {
                let error = "no such page; there are GET /health, GET /metrics, GET /status, POST /purge and POST /certificates/reload";
                return Page::error(StatusCode::NOT_FOUND, error);
            }
        };
        let method = &request.head.method;
        if !allowed.split(", ").any(|one| one == method.as_str()) {
            let error = format!("{path} answers {allowed} only");
            let page = Page::error(StatusCode::METHOD_NOT_ALLOWED, error);
            return Page { extra: Some((ALLOW, allowed)), ..page };
        }
        // Health and metrics say nothing about content or names.
        if !matches!(path.as_str(), "/health" | "/metrics") && !self.is_authorized(&request.head.headers) {
            let error = "send the admin token: Authorization: Bearer TOKEN";
            let page = Page::error(StatusCode::UNAUTHORIZED, error);
            return Page { extra: Some((WWW_AUTHENTICATE, "Bearer realm=\"reference-cdn admin\"")), ..page };
        }
        match path.as_str() {
            "/health" => Page::json(StatusCode::OK, &json!({ "status": "ok" })),
            "/metrics" => Page {
                status: StatusCode::OK,
                media_type: "text/plain; version=0.0.4; charset=utf-8",
                text: prometheus(&self.edge.samples()),
                extra: None,
            },
            "/status" => Page::json(StatusCode::OK, &self.status()),
            "/certificates/reload" => self.reload_certificates().await,
            _ => self.purge(request, down).await,
        }
    }

    fn is_authorized(&self, fields: &HeaderMap) -> bool {
        let Some(value) = fields.get(AUTHORIZATION) else { return false };
        let (scheme, token) = value.as_bytes().split_at(value.len().min(7));
        scheme.eq_ignore_ascii_case(b"Bearer ") && self.token.matches(token.trim_ascii())
    }

    async fn purge<D: Downstream>(&self, request: &mut Request, down: &mut D) -> Page {
        let usage = "send JSON: {\"url\": \"http://host/path\"}";
        let Some(content) = &mut request.content else {
            return Page::error(StatusCode::BAD_REQUEST, format!("no content; {usage}"));
        };
        if request.head.expects_continue
            && down.interim(StatusCode::CONTINUE, &HeaderMap::new()).await.is_err()
        {
            return Page::error(StatusCode::BAD_REQUEST, "the client left");
        }
        let content = match content.collect(MOST_CONTENT).await {
            Ok(content) => content,
            Err(error) => return Page::error(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let order: PurgeOrder = match serde_json::from_slice(&content) {
            Ok(order) => order,
            Err(error) => return Page::error(StatusCode::BAD_REQUEST, format!("{error}; {usage}")),
        };
        let target = match order.url.parse::<Uri>() {
            Ok(target) if target.scheme().is_some() && target.authority().is_some() => target,
            Ok(_) => {
                let error = format!("\"{}\" is not an absolute URL; {usage}", order.url);
                return Page::error(StatusCode::BAD_REQUEST, error);
            }
            Err(error) => {
                let error = format!("\"{}\": {error}; {usage}", order.url);
                return Page::error(StatusCode::BAD_REQUEST, error);
            }
        };
        let purged = self.edge.purge(&target);
        // The operator is told when it holds after a restart too.
        let durable = timeout(PURGE_TIME, purged.removal.written()).await.unwrap_or(false);
        tracing::info!(url = %target, purged = purged.count, durable, "purged");
        if !durable {
            let error = "purged in this process, but the disk store could not write that: a restart may bring it back";
            let page = json!({ "url": order.url, "purged": purged.count, "error": error });
            return Page::json(StatusCode::INTERNAL_SERVER_ERROR, &page);
        }
        Page::json(StatusCode::OK, &json!({ "url": order.url, "purged": purged.count }))
    }

    async fn reload_certificates(&self) -> Page {
        let Some(certificates) = self.certificates.clone() else {
            return Page::error(StatusCode::CONFLICT, "this edge has no TLS listener: set tls.listen");
        };
        // Files are read, and a disk may hang.
        match tokio::task::spawn_blocking(move || certificates.reload()).await {
            Ok(Ok(count)) => Page::json(StatusCode::OK, &json!({ "certificates": count })),
            Ok(Err(error)) => {
                let error = format!("{error}; the old certificates stay in use");
                Page::error(StatusCode::UNPROCESSABLE_ENTITY, error)
            }
            Err(error) => Page::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    fn status(&self) -> Value {
        let mut metrics = serde_json::Map::new();
        for sample in self.edge.samples() {
            match sample.label {
                None => {
                    metrics.insert(sample.name.to_owned(), sample.value.into());
                }
                Some((_, label)) => {
                    let group = metrics.entry(sample.name).or_insert_with(|| json!({}));
                    if let Some(group) = group.as_object_mut() {
                        group.insert(label, sample.value.into());
                    }
                }
            }
        }
        let up = self.edge.clock.now().since(self.started);
        json!({
            "program": "reference-cdn",
            "version": env!("CARGO_PKG_VERSION"),
            "listen": self.listen.to_string(),
            "customers": self.edge.customers.all().iter().enumerate().map(|(number, customer)| json!({
                "name": &*customer.name,
                "origin": customer.origin.authority().as_str(),
                "origins": customer.origin.status(number),
            })).collect::<Vec<_>>(),
            "seconds_up": up.as_secs(),
            "metrics": metrics,
        })
    }
}

impl Edge {
    /// Forgets everything stored for an absolute URL, all variants of it, also what a fetch under way will bring.
    pub fn purge(&self, target: &Uri) -> Purged {
        let Some(customer) = target.host().and_then(|host| self.customers.of(host)) else {
            return Purged::default();
        };
        let keys = customer.decisions.purged(target).into_iter();
        let purged = keys.map(|key| self.store.purge(&self.store.hashed(&customer.name, key), None));
        purged.reduce(Purged::and).unwrap_or_default()
    }
}

impl Service for Admin {
    async fn call<D: Downstream>(&self, mut request: Request, down: &mut D) -> Result<(), Stop> {
        let page = self.page(&mut request, down).await;
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(page.media_type));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = page.extra {
            fields.insert(name, HeaderValue::from_static(value));
        }
        let has_content = request.head.method != Method::HEAD;
        down.start(page.status, None, &fields, Some(page.text.len() as u64), has_content);
        if has_content {
            down.push(Bytes::from(page.text))?;
        }
        down.finish(&HeaderMap::new()).await
    }

    fn refused(&self, peer: SocketAddr, error: HeadError) {
        tracing::debug!(%peer, %error, "admin request head refused");
    }
}
