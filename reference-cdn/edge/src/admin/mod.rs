//! The admin listener: purge, health, metrics, status. Its own port, off unless configured, never reached through the
//! port that clients use.

mod purge;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Downstream, HeadError, Request, Service, Stop};
use crate::config::Config;
use crate::metrics::prometheus;
use crate::purge::{Asker, Keyring, Rates};
use crate::reload::{Reload, Reloaded};
use crate::state::Edge;

/// Answers operators, and customers who purge.
#[derive(Debug)]
pub struct Admin {
    edge: Arc<Edge>,
    keyring: Arc<Keyring>,
    rates: Rates,
    listen: Option<SocketAddr>,
    started: http_cache::Time,
    reload: Arc<Reload>,
}

/// A response's status, media type and text, and one field more for some.
struct Page {
    status: StatusCode,
    media_type: &'static str,
    text: String,
    extra: Option<(HeaderName, HeaderValue)>,
}

impl Page {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self { status, media_type: "application/json", text: format!("{value}\n"), extra: None }
    }

    fn error(status: StatusCode, error: impl Into<String>) -> Self {
        Self::json(status, &json!({ "error": error.into() }))
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { extra: Some((name, value)), ..self }
    }
}

impl Admin {
    /// `listen` is where clients of the edge connect in the clear, for the status page; `reload` what operators can have read again.
    pub fn new(
        edge: Arc<Edge>,
        config: &Config,
        keyring: Arc<Keyring>,
        reload: Arc<Reload>,
        listen: Option<SocketAddr>,
    ) -> Self {
        let started = edge.clock.now();
        let rates = Rates::new(config.purge.limits.rate);
        Self { edge, keyring, rates, listen, started, reload }
    }

    async fn page<D: Downstream>(&self, request: &mut Request, down: &mut D) -> Page {
        let path = request.head.target.path().to_owned();
        let allowed: &'static str = match path.as_str() {
            "/health" | "/metrics" | "/status" => "GET, HEAD",
            "/purge" => "GET, HEAD, POST",
            _ if path.starts_with("/purge/") => "GET, HEAD, DELETE",
            "/reload" | "/certificates/reload" => "POST",
            _ => {
                let error = "no such page; there are GET /health, GET /metrics, GET /status, GET and POST /purge, GET and DELETE /purge/ID, and POST /reload and /certificates/reload";
                return Page::error(StatusCode::NOT_FOUND, error);
            }
        };
        let method = &request.head.method;
        if !allowed.split(", ").any(|one| one == method.as_str()) {
            let error = format!("{path} answers {allowed} only");
            let page = Page::error(StatusCode::METHOD_NOT_ALLOWED, error);
            return page.with(ALLOW, HeaderValue::from_static(allowed));
        }
        match path.as_str() {
            // Health and metrics say nothing about content or names.
            "/health" => return Page::json(StatusCode::OK, &json!({ "status": "ok" })),
            "/metrics" => {
                return Page {
                    status: StatusCode::OK,
                    media_type: "text/plain; version=0.0.4; charset=utf-8",
                    text: prometheus(&self.edge.samples()),
                    extra: None,
                };
            }
            _ => {}
        }
        let Some(asker) = self.asker(&request.head.headers) else {
            tracing::warn!(peer = %request.peer, %path, "a request to the admin listener without a valid token");
            let page = Page::error(StatusCode::UNAUTHORIZED, "send a token: Authorization: Bearer TOKEN");
            return page
                .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"reference-cdn admin\""));
        };
        match path.as_str() {
            "/status" | "/reload" | "/certificates/reload" if asker.customer.is_some() => {
                Page::error(StatusCode::FORBIDDEN, "this token is for purges only")
            }
            "/status" => Page::json(StatusCode::OK, &self.status()),
            "/reload" => self.reload_all().await,
            "/certificates/reload" => self.reload_certificates().await,
            _ => self.purge(&asker, request, down).await,
        }
    }

    fn asker(&self, fields: &HeaderMap) -> Option<Asker> {
        let value = fields.get(AUTHORIZATION)?;
        let (scheme, token) = value.as_bytes().split_at(value.len().min(7));
        self.keyring.asker(token.trim_ascii()).filter(|_| scheme.eq_ignore_ascii_case(b"Bearer "))
    }

    async fn reload_certificates(&self) -> Page {
        let reload = Arc::clone(&self.reload);
        // Files are read, and a disk may hang.
        match tokio::task::spawn_blocking(move || reload.certificates()).await {
            Ok(None) => Page::error(StatusCode::CONFLICT, "this edge has no TLS listener: set tls.listen"),
            Ok(Some(Ok(count))) => Page::json(StatusCode::OK, &json!({ "certificates": count })),
            Ok(Some(Err(error))) => {
                let error = format!("{error}; the old certificates stay in use");
                Page::error(StatusCode::UNPROCESSABLE_ENTITY, error)
            }
            Err(error) => Page::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    async fn reload_all(&self) -> Page {
        let reload = Arc::clone(&self.reload);
        match tokio::task::spawn_blocking(move || reload.all()).await {
            Ok(Reloaded { certificates, purge_tokens, origins_changed, origins_unchanged, errors }) => {
                let status = match errors.is_empty() {
                    true => StatusCode::OK,
                    false => StatusCode::UNPROCESSABLE_ENTITY,
                };
                let value = json!({
                    "certificates": certificates,
                    "purge_tokens": purge_tokens,
                    "origins": { "changed": origins_changed, "unchanged": origins_unchanged },
                    "errors": errors,
                });
                Page::json(status, &value)
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
            "listen": self.listen.map(|address| address.to_string()),
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

impl Service for Admin {
    async fn call<D: Downstream>(&self, mut request: Request, down: &mut D) -> Result<(), Stop> {
        let page = self.page(&mut request, down).await;
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(page.media_type));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = page.extra {
            fields.insert(name, value);
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
