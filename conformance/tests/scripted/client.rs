//! Answers to clients.

use super::fetch::{Fetch, Plan};
use super::http::{Got, Incoming, Request, print_head, read_request, says, text, write};
use super::rules::{directives, has};
use super::store::{Entry, key};
use super::{KEY, Shared};
use exchange::Fields;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// A client's connection.
struct Connection {
    out: OwnedWriteHalf,
    s: Arc<Shared>,
    /// For the fault that keeps what a connection has seen.
    kept: HashMap<String, Arc<Entry>>,
}

pub async fn serve(socket: TcpStream, s: Arc<Shared>) {
    let (socket, out) = socket.into_split();
    let mut incoming = Incoming { socket, buffer: Vec::new(), reset: false };
    let mut connection = Connection { out, s: s.clone(), kept: HashMap::new() };
    loop {
        let mut requests = Vec::new();
        match read_request(&mut incoming, &mut connection.out, &s).await {
            Got::End => return,
            Got::Bad(status) => {
                connection.own(status, true).await;
                return;
            }
            Got::Request(request) => requests.push(request),
        }
        let plain = requests.iter().all(|r| r.method == "GET" && !r.old);
        let swap = s.broken("framing/pipelined-order") && plain && !incoming.buffer.is_empty();
        if swap && let Got::Request(second) = read_request(&mut incoming, &mut connection.out, &s).await {
            requests.insert(0, second);
        }
        for request in requests {
            let close = request.close;
            if !connection.handle(*request).await || close {
                return;
            }
        }
    }
}

impl Connection {
    /// Answers; `false` where the connection must end.
    async fn handle(&mut self, request: Request) -> bool {
        let s = self.s.clone();
        let key = key(&request.host, &request.target, &s);
        // For tests of the suite itself: a page that is never answered, and one that ends the connection.
        if s.broken("hangs at vary/star") && request.target.contains("vary-star") {
            std::future::pending::<()>().await;
        }
        if s.broken("drops at vary/star") && request.target.contains("vary-star") {
            return false;
        }
        if request.method == "PURGE" {
            return self.purge(&request, &key).await;
        }
        let last_hop = request.method == "OPTIONS" && text(&request.fields, "Max-Forwards") == Some("0");
        if last_hop && !s.broken("headers/max-forwards-zero") {
            return self.own(200, request.close).await;
        }
        let seen =
            says(&request.fields, "CDN-Loop", "scripted") || says(&request.fields, "Via", "1.1 scripted");
        if seen && !s.broken("limits/loop-noticed") {
            return self.own(508, request.close).await;
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return self.pass(request, key).await;
        }
        if s.store().failures.contains(&key) {
            return self.own(502, request.close).await;
        }
        if let Some(kept) = self.kept.get(&key).cloned() {
            return self.reuse(&request, &kept).await;
        }
        let head = s.store().heads.get(&key).cloned().filter(|_| request.method == "HEAD");
        if let Some(head) = head {
            return self.reuse(&request, &head).await;
        }
        if let Some(combined) = combined(&key, &s) {
            let mut fields = Fields::new();
            fields.push("Content-Length", combined.len().to_string());
            return self.send(&request, 200, &fields, &combined).await;
        }
        let own = directives(&request.fields, &s);
        let no_cache = has(&own, "no-cache") && !s.broken("freshness/request-no-cache");
        let found = s.store().find(&key, &request, &s);
        match found {
            Some(entry) if entry.is_fresh(&s) && !no_cache => {
                if s.broken("purge/all-connections") {
                    self.kept.insert(key.clone(), entry.clone());
                }
                if s.broken("purge/head-too") {
                    s.store().heads.insert(key, entry.clone());
                }
                self.reuse(&request, &entry).await
            }
            Some(entry)
                if entry.lifetime > 0
                    && entry.staleness(&s) < entry.stale_while_revalidate
                    && !s.broken("freshness/stale-while-revalidate")
                    && !no_cache =>
            {
                Fetch::begin(plan(copy(&request), key, Fields::new(), &s), &s);
                self.reuse(&request, &entry).await
            }
            _ if has(&own, "only-if-cached") && !s.broken("freshness/only-if-cached") => {
                self.own(504, request.close).await
            }
            Some(entry) => self.validate(request, key, entry).await,
            None => self.fetch(request, key).await,
        }
    }

    /// Purges one URL.
    async fn purge(&mut self, request: &Request, key: &str) -> bool {
        let s = self.s.clone();
        let allowed = text(&request.fields, KEY.0) == Some(KEY.1) || s.broken("purge/needs-authority");
        if !allowed {
            return self.own(403, request.close).await;
        }
        let status = {
            let mut store = s.store();
            let there = store.entries.contains_key(key);
            *store.purges.entry(key.to_owned()).or_default() += 1;
            if s.broken("purge/variants") {
                store.entries.entry(key.to_owned()).or_default().pop();
            } else if !s.broken("purge/removes") {
                store.invalidate(key);
            }
            let path = |key: &str| key[key.find('/').unwrap_or(0)..].to_owned();
            let also = |other: &String| {
                s.broken("purge/path-below-stays") && other.starts_with(key) && !other.contains('?')
                    || s.broken("purge/query-stays") && other.split('?').next() == Some(key)
                    || s.broken("purge/other-host-stays") && path(other) == path(key)
            };
            store.entries.retain(|other, _| !also(other));
            if s.broken("purge/stored-again") {
                store.barred.insert(key.to_owned());
            }
            if there || !s.broken("purge/absent") { 200 } else { 500 }
        };
        if !s.broken("purge/fetch-under-way") {
            s.flying.lock().unwrap().remove(key);
        }
        self.own(status, request.close).await
    }

    /// A request with another method: forwarded; where it succeeds, what is stored for the URI is not used again.
    async fn pass(&mut self, request: Request, key: String) -> bool {
        let s = self.s.clone();
        let host = request.host.clone();
        let fetch =
            Fetch::begin(plan(copy(&request), format!("{} {key}", request.method), Fields::new(), &s), &s);
        if let Some((status, fields)) = fetch.head().await {
            if status < 400 && request.method != "OPTIONS" && !s.broken("integrity/unsafe-invalidates") {
                s.store().invalidate(&key);
            }
            let location = text(&fields, "Location").unwrap_or_default().replace("http://", "");
            if s.broken("integrity/unsafe-other-host") && !location.starts_with(&host) {
                s.store().invalidate(&location);
            }
        }
        self.relay(&request, &fetch, true).await
    }

    /// Nothing stored: joins a fetch under way or begins one.
    async fn fetch(&mut self, request: Request, key: String) -> bool {
        let s = self.s.clone();
        let plain = request.method == "GET"
            && !request.fields.contains("Range")
            && !request.fields.contains("If-None-Match");
        let flying = s.flying.lock().unwrap().get(&key).and_then(|f| f.last().cloned());
        if let Some(fetch) = flying.filter(|_| plain && !s.broken("collapsing/one-fetch")) {
            if fetch.has_ended() {
                // One that lingered; from now on that is known.
                s.land(&key, &fetch);
            }
            let head = fetch.head().await;
            if head.is_none() && s.broken("collapsing/failure-reaches-all") {
                std::future::pending::<()>().await;
            }
            if head.is_some() && fetch.suits(&request, &s) {
                if s.broken("collapsing/streams-to-joiners") {
                    fetch.wait(|state| state.ended).await;
                }
                return self.relay(&request, &fetch, false).await;
            }
        }
        let fetch = Fetch::begin(plan(copy(&request), key.clone(), Fields::new(), &s), &s);
        if fetch.head().await.is_none() && s.broken("limits/failure-not-kept") {
            s.store().failures.insert(key);
        }
        self.relay(&request, &fetch, true).await
    }

    /// Something stale is stored: asks whether it is still right.
    async fn validate(&mut self, request: Request, key: String, entry: Arc<Entry>) -> bool {
        let s = self.s.clone();
        let mut conditions = Fields::new();
        if let Some(tag) = entry.fields.get("ETag").filter(|_| !s.broken("validation/entity-tag-sent")) {
            conditions.push("If-None-Match", tag.clone());
        }
        if let Some(modified) = entry.fields.get("Last-Modified") {
            conditions.push("If-Modified-Since", modified.clone());
        }
        let mut asked = copy(&request);
        for name in ["Range", "If-Range", "If-None-Match", "If-Modified-Since"] {
            asked.fields.remove(name);
        }
        let conditional = !conditions.is_empty();
        let fetch = Fetch::begin(plan(asked, key.clone(), conditions, &s), &s);
        let head = fetch.head().await;
        match head {
            Some((304, fields)) if conditional => {
                if s.broken("validation/not-modified-unasked") {
                    self.confirmed(&request, &key, &entry, &fields);
                    return self.relay(&request, &fetch, true).await;
                }
                let entry = self.confirmed(&request, &key, &entry, &fields);
                self.reuse(&request, &entry).await
            }
            Some((status, _)) if status < 500 => {
                if s.broken("validation/full-answer-replaces") && entry.lifetime > 0 && !entry.no_cache {
                    fetch.wait(|state| state.ended).await;
                    self.confirmed(
                        &request,
                        &key,
                        &entry,
                        &[("Cache-Control", "max-age=60")].into_iter().collect(),
                    );
                }
                self.relay(&request, &fetch, true).await
            }
            _ => {
                let tolerated = entry.staleness(&s) < entry.stale_if_error
                    && !entry.must_revalidate
                    && !s.broken("freshness/stale-if-error")
                    || entry.must_revalidate && s.broken("freshness/must-revalidate");
                if tolerated {
                    return self.reuse(&request, &entry).await;
                }
                self.relay(&request, &fetch, true).await
            }
        }
    }

    /// The stored response with the fields of the 304 that confirmed it (RFC 9111 section 3.2).
    fn confirmed(&self, request: &Request, key: &str, entry: &Arc<Entry>, fields: &Fields) -> Arc<Entry> {
        let s = &self.s;
        let mut updated = entry.fields.clone();
        let mut body = entry.body.clone();
        let names: Vec<_> = fields.iter().map(|f| f.name.clone()).collect();
        for name in names {
            let name = String::from_utf8_lossy(&name).into_owned();
            let lifetime_only = s.broken("validation/not-modified-updates");
            if name.eq_ignore_ascii_case("content-length") {
                if s.broken("validation/not-modified-length") {
                    let length = text(fields, "Content-Length").and_then(|l| l.parse().ok()).unwrap_or(0);
                    body = Arc::new(body[..length].to_vec());
                }
                continue;
            }
            if lifetime_only && !name.eq_ignore_ascii_case("cache-control") {
                continue;
            }
            updated.remove(&name);
            for value in fields.get_all(&name) {
                updated.push(name.clone(), value.clone());
            }
        }
        let mut asked = copy(request);
        asked.fields = entry.asked.clone();
        let new = Arc::new(Entry::new(&asked, entry.status, updated, body, s));
        let mut store = s.store();
        let there = store.entries.get(key).is_some_and(|e| !e.is_empty());
        if s.broken("validation/full-answer-replaces") && there {
            store.entries.insert(key.to_owned(), vec![new.clone()]);
        }
        if !store.replace(key, entry, new.clone()) && s.broken("purge/validation-under-way") {
            store.entries.entry(key.to_owned()).or_default().push(new.clone());
        }
        new
    }

    /// Answers with a stored response.
    async fn reuse(&mut self, request: &Request, entry: &Entry) -> bool {
        let s = self.s.clone();
        let mut fields = entry.fields.clone();
        fields.remove("Age");
        if !s.broken("freshness/age-on-hit") {
            fields.push("Age", entry.shown_age(&s).to_string());
        }
        for (name, argument) in directives(&entry.fields, &s) {
            if name == "no-cache" && !s.broken("freshness/no-cache-fields") {
                for field in argument.split(',') {
                    fields.remove(field.trim());
                }
            }
        }
        if s.broken("integrity/content-coding") {
            fields.remove("Content-Encoding");
        }
        if entry.status == 304 || not_modified(request, &entry.fields, &s) {
            return self.send(request, 304, &fields, &[]).await;
        }
        let mut body = (*entry.body).clone();
        if s.broken("integrity/body-bytes") && body.len() > 100_000 {
            body[1000] ^= 1;
        }
        let mut status = entry.status;
        if status == 200 {
            if let Some((range, part)) = part_of(request, &entry.fields, &body, &s) {
                status = if part.is_some() { 206 } else { 416 };
                fields.push("Content-Range", range);
                body = part.unwrap_or_default();
            } else if let Some(many) = multiplied(request, &body, &s) {
                status = 206;
                body = many;
            }
        }
        if s.broken("framing/response-length-and-chunked") && fields.contains("Transfer-Encoding") {
            fields.push("Content-Length", "5");
        }
        fields.push("Content-Length", body.len().to_string());
        self.send(request, status, &fields, &body).await
    }

    /// Answers with what a fetch brings, as it comes. `first`: it was begun for this client.
    async fn relay(&mut self, request: &Request, fetch: &Fetch, first: bool) -> bool {
        let s = self.s.clone();
        let mut hints = 0;
        let head = loop {
            let (interim, head) = fetch
                .wait(|state| {
                    let news = state.interim.get(hints).cloned();
                    (news.is_some() || state.head.is_some()).then(|| (news, state.head.clone()))
                })
                .await;
            match interim {
                Some((status, fields)) => {
                    hints += 1;
                    if !s.broken("headers/interim-relayed") {
                        write(&mut self.out, &print_head(&format!("HTTP/1.1 {status} Hint"), &fields)).await;
                    }
                }
                None => break head.flatten(),
            }
        };
        let Some((status, mut fields)) = head else { return self.own(502, request.close).await };
        if s.broken("limits/oversized-response-head") && fields.is_empty() {
            return false;
        }
        let padded = s.broken("integrity/length-cut-told") && fetch.state().length == Some(2000);
        if padded {
            fetch.wait(|state| state.ended).await;
            let length = fetch.state().body.len().to_string();
            fields.set("Content-Length", length);
        }
        let bodiless = request.method == "HEAD" || matches!(status, 204 | 304);
        if bodiless {
            // Its head is its end.
            fetch.wait(|state| state.ended).await;
        }
        let length = fields.contains("Content-Length") && !s.broken("framing/response-length-and-chunked")
            || fetch.state().length.is_some();
        let chunked = !bodiless && !length && (!request.old || s.broken("framing/old-client-chunked"));
        if chunked {
            fields.push("Transfer-Encoding", "chunked");
        }
        let until_close = !bodiless && !length && !chunked;
        if !write(&mut self.out, &print_head(&format!("HTTP/1.1 {status} Relayed"), &fields)).await {
            return false;
        }
        if bodiless {
            return true;
        }
        let mut at = 0;
        loop {
            let (part, ended) = fetch
                .wait(|state| {
                    // With a length the last byte is the end, and no client sees that before it has been noted.
                    let whole = state.length.is_some_and(|length| state.body.len() >= length);
                    let kept_back = usize::from(whole && state.ended.is_none());
                    let end = state.body.len().saturating_sub(kept_back).min(at + (64 << 10));
                    let news = end > at || state.ended.is_some();
                    news.then(|| {
                        (state.body[at..end].to_vec(), state.ended.filter(|_| end == state.body.len()))
                    })
                })
                .await;
            at += part.len();
            let mut bytes = part;
            if chunked && !bytes.is_empty() {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.append(&mut bytes);
                chunk.extend_from_slice(b"\r\n");
                bytes = chunk;
            }
            if !write(&mut self.out, &bytes).await {
                return false;
            }
            if first {
                fetch.first_is_at(at);
            }
            match ended {
                None => {}
                Some(whole) => {
                    let told = whole || chunked && s.broken("integrity/chunked-cut-told");
                    if told && chunked {
                        write(&mut self.out, b"0\r\n\r\n").await;
                    }
                    return !until_close && (told || padded);
                }
            }
        }
    }

    /// An answer of its own.
    async fn own(&mut self, status: u16, close: bool) -> bool {
        let mut fields: Fields = [("Content-Length", "0")].into_iter().collect();
        if close {
            fields.push("Connection", "close");
        }
        write(&mut self.out, &print_head(&format!("HTTP/1.1 {status} Own"), &fields)).await && !close
    }

    async fn send(&mut self, request: &Request, status: u16, fields: &Fields, body: &[u8]) -> bool {
        let mut bytes = print_head(&format!("HTTP/1.1 {status} Stored"), fields);
        if request.method != "HEAD" || self.s.broken("framing/head-from-store") {
            bytes.extend_from_slice(body);
        }
        write(&mut self.out, &bytes).await
    }
}

fn plan(request: Request, key: String, conditions: Fields, s: &Shared) -> Plan {
    let purges = s.store().purges.get(&key).copied().unwrap_or(0);
    Plan { key, request, conditions, purges }
}

fn copy(request: &Request) -> Request {
    Request {
        method: request.method.clone(),
        target: request.target.clone(),
        host: request.host.clone(),
        fields: request.fields.clone(),
        body: request.body.clone(),
        ..*request
    }
}

/// RFC 9110 section 13.2.2, for a stored response.
fn not_modified(request: &Request, stored: &Fields, s: &Shared) -> bool {
    let weak = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let dated = || match (
        super::rules::date(&request.fields, "If-Modified-Since"),
        super::rules::date(stored, "Last-Modified"),
    ) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    };
    if !request.fields.contains("If-None-Match") {
        return dated();
    }
    let tag = stored.get("ETag").cloned().unwrap_or_default();
    let matches = request
        .fields
        .members("If-None-Match")
        .any(|m| m == &tag[..] || !s.broken("validation/if-none-match-weak") && weak(m) == weak(&tag));
    matches && !s.broken("validation/if-none-match-answered")
        || s.broken("validation/if-none-match-other")
        || s.broken("validation/if-none-match-over-date") && dated()
}

/// What one range of a stored response is: Content-Range, and the bytes if there are any.
fn part_of(request: &Request, stored: &Fields, body: &[u8], s: &Shared) -> Option<(String, Option<Vec<u8>>)> {
    let (from, to) = text(&request.fields, "Range")?.strip_prefix("bytes=")?.split_once('-')?;
    if to.contains(',') {
        return None;
    }
    if let Some(condition) = request.fields.get("If-Range") {
        let tag = stored.get("ETag").cloned().unwrap_or_default();
        let strong = !tag.starts_with(b"W/") || s.broken("ranges/if-range-weak");
        if (*condition != tag || !strong) && !s.broken("ranges/if-range-other") {
            return None;
        }
    }
    let total = body.len();
    let (first, last) = match (from, to) {
        ("", suffix) => (total.saturating_sub(suffix.parse().ok()?), total - 1),
        (from, "") => (from.parse().ok()?, total - 1),
        (from, to) => (from.parse().ok()?, to.parse::<usize>().ok()?.min(total - 1)),
    };
    if first >= total {
        if s.broken("ranges/out-of-bounds") {
            return Some((format!("bytes {first}-{last}/{total}"), Some(Vec::new())));
        }
        return Some((format!("bytes */{total}"), None));
    }
    let says = if s.broken("ranges/part-of-stored") { last + 1 } else { last };
    Some((format!("bytes {first}-{says}/{total}"), Some(body[first..=last].to_vec())))
}

/// For a fault: all ranges asked for, one after the other.
fn multiplied(request: &Request, body: &[u8], s: &Shared) -> Option<Vec<u8>> {
    let ranges = text(&request.fields, "Range")?.strip_prefix("bytes=")?;
    (s.broken("ranges/overlapping-many") && ranges.contains(','))
        .then(|| body.repeat(ranges.split(',').count()))
}

/// For a fault: pieces of whatever versions that make up ten bytes.
fn combined(key: &str, s: &Shared) -> Option<Vec<u8>> {
    let store = s.store();
    let pieces = store.pieces.get(key)?;
    let piece = |at| pieces.iter().find(|(from, _)| *from == at).map(|(_, bytes)| bytes.clone());
    Some([piece(0)?, piece(5)?].concat())
}
