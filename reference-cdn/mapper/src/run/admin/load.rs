//! Load reports as JSON.

use std::net::IpAddr;
use std::time::Duration;

use control::load_report::{self, Refused};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};

use super::{Admin, Answer, text};
use crate::run::ToldOfReports;

/// Longest document.
const LONGEST: usize = 8 << 20;
/// Longest document that many may send at once: those of one server. Whoever sends long ones slowly keeps none of them out.
const SHORT: u64 = 64 << 10;
/// Longer ones that come in at once, and how long one may take.
pub(super) const BODIES: usize = 8;
const BODY: Duration = Duration::from_secs(10);
/// How long it is waited for what becomes of reports: the keeper hears of none while it builds a map.
const DECIDED: Duration = Duration::from_secs(5);

/// How a document is signed.
const MAC: &str = "Load-MAC is the first 16 octets, as 32 hexadecimal digits, of HMAC-SHA-256 with that key over the letters json and \
                   then the document, octet for octet as it is sent (LOAD-REPORTS.md has an example)";

impl Admin {
    pub(super) async fn load(&self, request: Request<Incoming>, from: IpAddr) -> Answer {
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "load reports are sent with POST");
        }
        if self.shared.config.load.is_none() {
            return text(
                StatusCode::NOT_FOUND,
                "this mapper takes no load reports, since it has no [load]: send them to the mapper that builds the maps",
            );
        }
        let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let id = field("load-key").and_then(|id| id.parse().ok());
        let mac = field("load-mac").map(str::to_owned);
        let (Some(id), Some(mac)) = (id, mac) else {
            return text(StatusCode::BAD_REQUEST, format!("say Load-Key: NUMBER and Load-MAC: HEX; {MAC}"));
        };
        // Whose they are is only known when they are there: few at once, and not for long.
        let short = request.body().size_hint().upper().is_some_and(|most| most <= SHORT);
        let room = if short { None } else { self.bodies.try_acquire().ok() };
        if !short && room.is_none() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many documents come in at once");
        }
        let body = Limited::new(request.into_body(), LONGEST).collect();
        let body = match tokio::time::timeout(BODY, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the document took too long"),
        };
        let counts = &self.shared.reports;
        counts.received.add();
        let reports = match load_report::read_json(&body, &self.shared.keys.load(), id, &mac) {
            Ok(reports) => reports,
            Err(why) => {
                counts.refuse((self.shared.outside.monotonic)(), from, &why);
                let how = if matches!(why, Refused::Mac(_)) { format!("; {MAC}") } else { String::new() };
                return text(StatusCode::BAD_REQUEST, format!("{why}{how}"));
            }
        };
        drop((body, room));
        if reports.is_empty() {
            return text(StatusCode::BAD_REQUEST, "there is no report in the list");
        }
        let Some(told) = counts.ask(&self.shared.orders, reports) else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many reports wait");
        };
        match tokio::time::timeout(DECIDED, told).await {
            Ok(Ok(told)) => became(&told),
            Ok(Err(_)) => text(StatusCode::SERVICE_UNAVAILABLE, "this mapper ends"),
            Err(_) => text(
                StatusCode::ACCEPTED,
                "they wait: a map is being built; what becomes of them is counted in reports of GET /status",
            ),
        }
    }
}

/// What became of the reports of one document.
fn became(told: &ToldOfReports) -> Answer {
    let all = told.taken + told.others;
    let mut said = match (told.taken, told.others) {
        (1, 0) => "taken".into(),
        (taken, 0) => format!("all {taken} are taken"),
        (0, 1) => "not taken:".into(),
        (0, others) => format!("none of {others} is taken:"),
        (taken, _) => format!("{taken} of {all} are taken, and not:"),
    };
    told.why.iter().for_each(|why| said += &format!("\n{why}"));
    if told.others > told.why.len() {
        said += &format!("\nand {} more", told.others - told.why.len());
    }
    text(if told.taken > 0 { StatusCode::ACCEPTED } else { StatusCode::CONFLICT }, said)
}
