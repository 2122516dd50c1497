//! What operators ask over HTTP, with their token; and load reports as JSON, with a key's MAC.

mod load;
mod open;
mod orders;
mod query;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use self::open::Open;
use self::query::Query;
use super::reports::Named;
use super::{RunError, Shared};
use crate::decide::explain::{Explanation, explain};
use crate::map::Map;
use crate::server::StartError;

/// Of a path, what the log shows.
const LONGEST_PATH: usize = 100;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last.
const TOTAL: Duration = Duration::from_secs(300);

struct Admin {
    bodies: Semaphore,
    shared: Arc<Shared>,
    open: Open,
    /// Who came without the token and is in the log.
    refused: Mutex<Named<IpAddr>>,
}

pub(super) fn listen(
    runtime: &Runtime,
    address: SocketAddr,
    shared: Arc<Shared>,
) -> Result<SocketAddr, RunError> {
    let failed = |source| StartError::Listen { what: "admin.listen", address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let _guard = runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let admin = Admin {
        bodies: Semaphore::new(load::BODIES),
        shared,
        open: Open::default(),
        refused: Mutex::default(),
    };
    runtime.spawn(accept(listener, Arc::new(admin)));
    Ok(bound)
}

async fn accept(listener: TcpListener, admin: Arc<Admin>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                // No file handle is left: whoever was silent for longest gives one back.
                admin.open.close_idlest();
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (key, closed) = admin.open.open(from.ip());
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let answering = Arc::clone(&admin);
            let service = hyper::service::service_fn(move |request| {
                let admin = Arc::clone(&answering);
                async move {
                    admin.open.used(key);
                    Ok::<_, Infallible>(admin.answer(request, from.ip()).await)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = tokio::time::timeout(TOTAL, connection) => {}
                _ = closed => {}
            }
            admin.open.close(key);
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    respond(status, "text/plain; charset=utf-8", body.into() + "\n")
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if path == "/load" {
            return self.load(request, from).await;
        }
        if path == "/healthz" {
            let gone = self.shared.metrics.get().map_or(0, crate::server::Metrics::threads_gone);
            let unwell =
                |what: String| text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: restart this mapper"));
            return if gone > 0 {
                unwell(format!("{gone} threads that answer queries are gone"))
            } else if self.shared.keeper_ended.load(Ordering::Relaxed) {
                unwell("what keeps the map has ended, and answers come from an old one".into())
            } else {
                text(StatusCode::OK, "ok")
            };
        }
        let given = request.headers().get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let expected = format!("Bearer {}", self.shared.token.load());
        let allowed = given.is_some_and(|given| {
            aws_lc_rs::constant_time::verify_slices_are_equal(given, expected.as_bytes()).is_ok()
        });
        if !allowed {
            self.warn_of(from, &path);
            let mut response =
                text(StatusCode::UNAUTHORIZED, "show the admin token: Authorization: Bearer TOKEN");
            let bearer = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            return response;
        }
        let query = Query::of(request.uri().query().unwrap_or_default());
        match (&method, path.as_str()) {
            (&Method::GET, "/status") => json(&**self.shared.status.load()),
            (&Method::GET, "/metrics") => {
                respond(StatusCode::OK, "text/plain; version=0.0.4", super::metrics::text(&self.shared))
            }
            (&Method::GET, "/explain") => self.explain(&query),
            (&Method::POST, "/withdraw" | "/restore") => self.withdraw(&query, path == "/withdraw").await,
            (&Method::POST, "/accept") => self.accept_held().await,
            (&Method::POST, "/reload") => self.reload().await,
            (_, "/status" | "/metrics" | "/explain" | "/withdraw" | "/restore" | "/accept" | "/reload") => {
                text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} is not for {method}"))
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "there is GET /healthz /status /metrics /explain?name=&client= and POST /withdraw?server=&site= /restore?server=&site= /accept /reload /load",
            ),
        }
    }

    /// Names in the log who comes without the token.
    fn warn_of(&self, from: IpAddr, path: &str) {
        let (now, from) = ((self.shared.outside.monotonic)(), from.to_canonical());
        if self.refused.lock().unwrap_or_else(PoisonError::into_inner).name(now, &from) {
            let address = from.to_string();
            let path: String = path.chars().take(LONGEST_PATH).collect();
            tracing::warn!(
                address,
                path,
                "a request to the admin listener without a valid token; further ones from there are not named for an hour"
            );
        }
    }

    fn explain(&self, query: &Query) -> Answer {
        let (Some(name), Some(client)) = (query.get("name"), query.get("client")) else {
            return text(
                StatusCode::BAD_REQUEST,
                "say /explain?name=NAME&client=ADDRESS, and &format=text for tables",
            );
        };
        let Ok(client) = client.parse::<IpAddr>() else {
            return text(StatusCode::BAD_REQUEST, format!("{client} is no address"));
        };
        let map = self.shared.published.current();
        let zones: Vec<&str> = self.shared.config.steered_zones().collect();
        match explain_name(&map, name, &zones, client) {
            Some(explanation) if query.get("format") == Some("text") => {
                respond(StatusCode::OK, "text/plain; charset=utf-8", explanation.to_text())
            }
            Some(explanation) => json(&explanation),
            None => text(StatusCode::NOT_FOUND, format!("{name} is no steered name of this mapper")),
        }
    }

    /// What is read may be large: load reports and others go on meanwhile.
    async fn reload(&self) -> Answer {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || shared.reload()).await {
            Ok(reloaded) if reloaded.is_right() => text(StatusCode::OK, reloaded.to_text()),
            Ok(reloaded) => text(StatusCode::CONFLICT, reloaded.to_text()),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot be read again: {error}")),
        }
    }
}

/// Explains a name of any of these zones; without zones, whatever part of it the map knows as a name.
pub fn explain_name(map: &Map, name: &str, zones: &[&str], client: IpAddr) -> Option<Explanation> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let below = |zone: &str| name.strip_suffix(zone)?.strip_suffix('.').map(str::to_owned);
    let candidates: Vec<(String, String)> = if zones.is_empty() {
        // The longest first.
        let labels: Vec<&str> = name.split('.').collect();
        (1..=labels.len()).rev().map(|count| (labels[..count].join("."), labels[count..].join("."))).collect()
    } else {
        let zones = zones.iter().map(|zone| zone.to_ascii_lowercase());
        zones.filter_map(|zone| Some((below(&zone)?, zone))).collect()
    };
    let found = candidates.into_iter().find_map(|(below, zone)| {
        let steerable = map.names().find(&crate::map::wire_of(&below)?)?;
        Some((steerable, zone))
    });
    let (steerable, zone) = found?;
    Some(Explanation { zone: Some(zone), ..explain(map, &name, steerable, client) })
}
