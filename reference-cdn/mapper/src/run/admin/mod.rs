//! What operators ask over HTTP, with their token; and load reports as JSON, with a key's MAC.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use control::load_report::{self, Refused};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

use super::keeper::{Order, Outcome};
use super::{RunError, Shared};
use crate::decide::explain::{Explanation, explain};
use crate::map::Map;
use crate::server::StartError;

/// Longest document with load reports.
const LONGEST: usize = 8 << 20;
/// Connections at once.
const CONNECTIONS: usize = 256;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);
/// Documents with load reports that come in at once, and how long one may take.
const BODIES: usize = 8;
const BODY: Duration = Duration::from_secs(10);
/// How long a connection may last.
const TOTAL: Duration = Duration::from_secs(300);

/// How a document with load reports is signed.
const MAC: &str = "Load-MAC is the first 16 octets, as 32 hexadecimal digits, of HMAC-SHA-256 with that key over the letters json and \
                   then the document, octet for octet as it is sent (LOAD-REPORTS.md has an example)";

struct Admin {
    bodies: Semaphore,
    shared: Arc<Shared>,
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
    runtime.spawn(accept(listener, Arc::new(Admin { bodies: Semaphore::new(BODIES), shared })));
    Ok(bound)
}

async fn accept(listener: TcpListener, admin: Arc<Admin>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, from)) = listener.accept().await else {
            // No file handle is left: some will be given back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(request, from.ip()).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(TOTAL, connection).await;
            drop(permit);
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

/// What an operator ordered holds here and now, and is not on the disk.
fn not_kept(done: &str, why: &str) -> Answer {
    let told = format!(
        "{done}, and answered so from now on, but not kept: {why}. A restart of this mapper would forget it, and mappers that read maps \
         from its folder may not know it. Make room on the disk or mend the folder: it is tried again by itself until trouble in GET \
         /status is null"
    );
    text(StatusCode::INSUFFICIENT_STORAGE, told)
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
                "there is GET /status /metrics /explain?name=&client= and POST /withdraw?server= /restore?server= /accept /reload /load",
            ),
        }
    }

    async fn load(&self, request: Request<Incoming>, from: IpAddr) -> Answer {
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "load reports are sent with POST");
        }
        let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let id = field("load-key").and_then(|id| id.parse().ok());
        let mac = field("load-mac").map(str::to_owned);
        let (Some(id), Some(mac)) = (id, mac) else {
            return text(StatusCode::BAD_REQUEST, format!("say Load-Key: NUMBER and Load-MAC: HEX; {MAC}"));
        };
        // Whose they are is only known when they are there: few at once, and not for long.
        let Ok(_room) = self.bodies.try_acquire() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many documents come in at once");
        };
        let body = Limited::new(request.into_body(), LONGEST).collect();
        let body = match tokio::time::timeout(BODY, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the document took too long"),
        };
        let counts = &self.shared.reports;
        counts.received.add();
        match load_report::read_json(&body, &self.shared.keys.load(), id, &mac) {
            Ok(reports) => match counts.hand_over(&self.shared.orders, reports) {
                true => text(StatusCode::ACCEPTED, "taken"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "too many reports wait"),
            },
            Err(why) => {
                counts.refuse((self.shared.outside.monotonic)(), from, &why);
                let how = if matches!(why, Refused::Mac(_)) { format!("; {MAC}") } else { String::new() };
                text(StatusCode::BAD_REQUEST, format!("{why}{how}"))
            }
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

    async fn withdraw(&self, query: &Query, withdrawn: bool) -> Answer {
        let Some(server) = query.get("server") else {
            return text(StatusCode::BAD_REQUEST, "say which: ?server=NAME");
        };
        let (done, outcome) = oneshot::channel();
        let order = Order::Withdraw { server: server.to_owned(), withdrawn, done };
        match self.order(order, outcome).await {
            Some(Outcome::Done) => text(StatusCode::OK, if withdrawn { "withdrawn" } else { "restored" }),
            Some(Outcome::NotKept(why)) => not_kept(if withdrawn { "withdrawn" } else { "restored" }, &why),
            Some(Outcome::Nothing) => text(StatusCode::NOT_FOUND, format!("the map has no server {server}")),
            None => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "this mapper keeps no map of its own, or has too much to do",
            ),
        }
    }

    async fn accept_held(&self) -> Answer {
        let (done, outcome) = oneshot::channel();
        match self.order(Order::Accept(done), outcome).await {
            Some(Outcome::Done) => text(StatusCode::OK, "accepted"),
            Some(Outcome::NotKept(why)) => not_kept("accepted", &why),
            Some(Outcome::Nothing) => text(StatusCode::NOT_FOUND, "no map is held back"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "too much to do"),
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

    async fn order(&self, order: Order, outcome: oneshot::Receiver<Outcome>) -> Option<Outcome> {
        self.shared.orders.send(order).await.ok()?;
        outcome.await.ok()
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

/// Parameters of a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (decode(key), decode(value))).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match value {
            Some(value) => {
                octets.push(value);
                rest = &after[2..];
            }
            None => {
                octets.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
