//! Purges over the admin listener: order, list, show, cancel.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use http_cache::Key;
use serde_json::json;

use super::{Admin, Page};
use crate::client::{Downstream, Request};
use crate::purge::{Answer, Asker, AtOnce, Mode, Order, Refusal, Rest, Walk, Walked};
use crate::state::Edge;
use crate::store::HashedKey;

/// Octets of an order.
const MOST_CONTENT: usize = 64 * 1024;
/// Purges in one list, and how many there are if nobody says.
const MOST_LISTED: usize = 1000;
const LISTED: usize = 100;
/// When to come back where there is no room: by then a walk is likely to have made some.
const SECONDS_FOR_ROOM: u64 = 10;

impl Admin {
    pub(super) async fn purge<D: Downstream>(
        &self,
        asker: &Asker,
        request: &mut Request,
        down: &mut D,
    ) -> Page {
        let target = request.head.target.clone();
        let purges = self.edge.store().purges();
        let result = match (target.path().strip_prefix("/purge/"), request.head.method == Method::DELETE) {
            (None, _) if request.head.method == Method::POST => {
                return self.order(asker, request, down).await;
            }
            (None, _) => list(&target).map(|(before, limit)| purges.list(asker, before, limit)),
            (Some(id), false) => owner(&target).and_then(|owner| purges.show(asker, owner, id)),
            (Some(id), true) => self.cancel(asker, id.to_owned(), &target).await,
        };
        match result {
            Ok(value) => Page::json(StatusCode::OK, &value),
            Err(refusal) => refused(&refusal),
        }
    }

    async fn order<D: Downstream>(&self, asker: &Asker, request: &mut Request, down: &mut D) -> Page {
        let Some(content) = &mut request.content else {
            return Page::error(
                StatusCode::BAD_REQUEST,
                "no content; send JSON such as {\"url\": \"http://host/path\"}",
            );
        };
        if request.head.expects_continue
            && down.interim(StatusCode::CONTINUE, &HeaderMap::new()).await.is_err()
        {
            return Page::error(StatusCode::BAD_REQUEST, "the client left");
        }
        let content = match content.collect(MOST_CONTENT).await {
            Ok(content) => content,
            Err(error) => {
                return Page::error(
                    error.status(),
                    format!("{error}; an order has up to {MOST_CONTENT} octets"),
                );
            }
        };
        let now = self.edge.clock.now();
        let ordered = Order::parse(&content, now, |uri| self.edge.keys_of(uri));
        let result = match ordered {
            Ok(order) => self.carry_out(asker, order).await,
            Err(refusal) => Err(refusal),
        };
        match result {
            Ok(answer) => {
                tracing::info!(by = %asker.name, again = answer.known, purge = %answer.value, "purge");
                let status = if answer.scheduled { StatusCode::ACCEPTED } else { StatusCode::OK };
                let page = Page::json(status, &answer.value);
                let place = answer.value["id"].as_str().map(|id| format!("/purge/{id}"));
                match place.and_then(|place| HeaderValue::try_from(place).ok()) {
                    Some(place) => page.with(LOCATION, place),
                    None => page,
                }
            }
            Err(refusal) => {
                // Escaped: an order may be quoted in it.
                tracing::warn!(by = %asker.name, refusal = ?refusal.to_string(), "purge refused");
                refused(&refusal)
            }
        }
    }

    async fn carry_out(&self, asker: &Asker, order: Order) -> Result<Answer, Refusal> {
        let now = self.edge.clock.now();
        self.rates.take(&asker.name, order.names(), now).map_err(Refusal::TooOften)?;
        if let Some(named) = &order.scope().customer
            && !self.edge.customers.all().iter().any(|customer| *customer.name == **named)
        {
            return Err(Refusal::Order(format!("customer: there is none of the name \"{named}\" here")));
        }
        if order.is_void() {
            let mut members = serde_json::Map::new();
            order.scope().tell(&mut members);
            members.insert("purged".to_owned(), json!(0));
            return Ok(Answer { value: members.into(), scheduled: false, known: false });
        }
        // It waits for the disk.
        let (edge, asker) = (Arc::clone(&self.edge), asker.clone());
        let done =
            tokio::task::spawn_blocking(move || edge.store().purges().order(order, &asker, now, &*edge))
                .await;
        done.unwrap_or_else(|error| Err(Refusal::Log(std::io::Error::other(error))))
    }

    async fn cancel(&self, asker: &Asker, id: String, target: &Uri) -> Result<serde_json::Value, Refusal> {
        let owner = owner(target)?.map(str::to_owned);
        let (edge, asker, now) = (Arc::clone(&self.edge), asker.clone(), self.edge.clock.now());
        let done = tokio::task::spawn_blocking(move || {
            let result = edge.store().purges().cancel(&asker, owner.as_deref(), &id, now, &*edge);
            tracing::info!(by = %asker.name, ?id, done = result.is_ok(), "a purge is to be cancelled");
            result
        });
        done.await.unwrap_or_else(|error| Err(Refusal::Log(std::io::Error::other(error))))
    }
}

impl Edge {
    /// What is stored for a URL, as the decisions of whoever has its host say. Nobody's content is stored nowhere.
    fn keys_of(&self, uri: &Uri) -> Vec<Key> {
        let customer = uri.host().and_then(|host| self.customers.of(host));
        customer.map(|customer| customer.decisions.purged(uri)).unwrap_or_default()
    }
}

impl AtOnce for Edge {
    fn reach(&self, customer: Option<&str>, key: &Key, mode: Mode) -> u64 {
        let all = self.customers.all().iter();
        let reached = all.filter(|it| customer.is_none_or(|customer| *it.name == *customer)).map(|it| {
            let key = self.store.hashed(&it.name, key.clone());
            match mode {
                // The log of purges keeps it from coming back; its removal on disk follows.
                Mode::Hard => self.store.purge(&key, None).count,
                Mode::Soft => self.store.meet(&key),
            }
        });
        reached.sum()
    }
}

impl Walked for Edge {
    type Name = HashedKey;

    fn parts(&self) -> usize {
        self.store.parts()
    }

    fn names(&self, part: usize) -> Vec<HashedKey> {
        self.store.keys(part)
    }

    fn recheck(&self, key: &HashedKey) {
        let _ = self.store.find(key);
    }

    fn met(&self) -> u64 {
        self.store.met_on_disk()
    }

    async fn meet(&self, walk: &Walk) -> bool {
        let mut keys = Vec::new();
        if let Rest::Urls(urls) = walk.rest() {
            for (customer, key) in urls {
                let theirs = self.customers.all().iter();
                let theirs = theirs.filter(|it| customer.as_ref().is_none_or(|name| **name == *it.name));
                keys.extend(theirs.map(|it| self.store.hashed(&it.name, key.clone())));
            }
        }
        self.store.meet_on_disk(walk, keys).await
    }
}

fn refused(refusal: &Refusal) -> Page {
    let (status, wait) = match refusal {
        Refusal::Order(_) => (StatusCode::BAD_REQUEST, None),
        Refusal::Forbidden(_) => (StatusCode::FORBIDDEN, None),
        Refusal::Unknown => (StatusCode::NOT_FOUND, None),
        Refusal::Conflict(_) => (StatusCode::CONFLICT, None),
        Refusal::TooOften(wait) => {
            (StatusCode::TOO_MANY_REQUESTS, Some(wait.as_millis().div_ceil(1000) as u64))
        }
        Refusal::Full(_) | Refusal::Log(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(SECONDS_FOR_ROOM)),
    };
    let page = Page::error(status, refusal.to_string());
    match wait {
        Some(seconds) => page.with(RETRY_AFTER, HeaderValue::from(seconds)),
        None => page,
    }
}

/// The parameters of a query, each once, none but these.
fn parameters<'a, const N: usize>(
    target: &'a Uri,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], Refusal> {
    let mut values = [None; N];
    for parameter in target.query().unwrap_or_default().split('&').filter(|it| !it.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match names.iter().position(|known| *known == name).map(|at| &mut values[at]) {
            Some(place) if place.is_none() => *place = Some(value),
            _ => {
                return Err(Refusal::Order(format!(
                    "\"{name}\" is no parameter here, or there twice; there are: {}",
                    names.join(", ")
                )));
            }
        }
    }
    Ok(values)
}

/// Where a list begins, and how long it is.
fn list(target: &Uri) -> Result<(u64, usize), Refusal> {
    let [before, limit] = parameters(target, ["before", "limit"])?;
    let number = |name: &str, text: &str| {
        text.parse::<u64>().map_err(|_| Refusal::Order(format!("{name}: \"{text}\" is no number")))
    };
    let before = before.map_or(Ok(u64::MAX), |text| number("before", text))?;
    let limit = limit.map_or(Ok(LISTED as u64), |text| number("limit", text))?;
    if limit == 0 || limit > MOST_LISTED as u64 {
        return Err(Refusal::Order(format!("limit: from 1 to {MOST_LISTED}")));
    }
    Ok((before, limit as usize))
}

/// The customer whose token gave the order, where the operator asks about it.
fn owner(target: &Uri) -> Result<Option<&str>, Refusal> {
    parameters(target, ["owner"]).map(|[owner]| owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bounded() {
        let asked = |query: &str| list(&format!("http://a/purge{query}").parse().expect("uri")).ok();
        assert_eq!(asked(""), Some((u64::MAX, LISTED)));
        assert_eq!(asked("?limit=7&before=3"), Some((3, 7)));
        assert_eq!(asked("?limit=1000&"), Some((u64::MAX, 1000)));
        for query in
            ["?limit=0", "?limit=1001", "?limit=x", "?limit=-1", "?before=", "?limit=1&limit=1", "?x"]
        {
            assert_eq!(asked(query), None, "{query}");
        }
    }
}
