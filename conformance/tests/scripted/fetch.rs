//! Requests to the origin. Each fills a buffer that any number of clients read from as it grows.

use super::Shared;
use super::http::{Incoming, Request, print_head, response_head, write};
use super::rules::{lifetime, matches, may_store, now, selecting, without_hop_by_hop};
use super::store::Entry;
use exchange::Fields;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// For tests of the suite itself: nothing is stored, and the first fetch for each key is known to have ended only once a
/// request has joined it after its end, as on a machine that is slow to tidy up.
pub const LINGERS: &str = "lingers";

/// A fetch under way or finished.
pub struct Fetch {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
pub struct State {
    pub interim: Vec<(u16, Fields)>,
    /// Status and fields as relayed; `None` where the origin gave no response.
    pub head: Option<Option<(u16, Fields)>>,
    /// Content-Length of the response.
    pub length: Option<usize>,
    pub body: Vec<u8>,
    /// How it ended: whole or not.
    pub ended: Option<bool>,
    /// What those who join must match; `None` where nobody may.
    pub shared: Option<Vec<(String, Option<Vec<u8>>)>>,
    /// How far the first client has read.
    pub first_at: usize,
}

/// What a fetch is for.
pub struct Plan {
    pub key: String,
    pub request: Request,
    /// Fields that make it conditional.
    pub conditions: Fields,
    /// Purges of the key before it began.
    pub purges: u64,
}

impl Fetch {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    pub fn first_is_at(&self, at: usize) {
        self.change(|state| state.first_at = at);
    }

    /// Waits until something is so.
    pub async fn wait<T>(&self, mut is_so: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(found) = is_so(&self.state()) {
                return found;
            }
            changes.changed().await.unwrap();
        }
    }

    pub fn has_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    pub async fn head(&self) -> Option<(u16, Fields)> {
        self.wait(|state| state.head.clone()).await
    }

    /// Begins a fetch; it goes on whoever waits for it.
    pub fn begin(plan: Plan, s: &Arc<Shared>) -> Arc<Fetch> {
        let fetch = Arc::new(Fetch { state: Mutex::default(), changed: watch::Sender::new(()) });
        s.flying.lock().unwrap().entry(plan.key.clone()).or_default().push(fetch.clone());
        let (running, shared) = (fetch.clone(), s.clone());
        tokio::spawn(async move {
            let whole = running.run(&plan, &shared).await.unwrap_or(false);
            // Nobody may join any more before clients see the end: whoever asks after that is answered from the store
            // or by a fetch of its own.
            let lingers = shared.broken(LINGERS) && shared.store().lingered.insert(plan.key.clone());
            if !lingers {
                shared.land(&plan.key, &running);
            }
            running.change(|state| {
                state.head.get_or_insert(None);
                state.ended = Some(whole);
            });
        });
        fetch
    }

    /// Runs to the end and says whether the response was whole. Returning early means failure.
    async fn run(&self, plan: &Plan, s: &Shared) -> Option<bool> {
        let socket = TcpStream::connect(s.origin).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let (socket, mut out) = socket.into_split();
        let mut incoming = Incoming { socket, buffer: Vec::new(), reset: false };
        write(&mut out, &to_origin(plan, s)).await;
        let mut hints = Fields::new();
        let (status, mut fields) = loop {
            let head = incoming.until(b"\r\n\r\n").await?;
            if s.broken("limits/oversized-response-head") && head.len() > 50_000 {
                self.change(|state| state.head = Some(Some((200, Fields::new()))));
                return None;
            }
            match response_head(&head) {
                None if s.broken("framing/no-http-from-origin") => break (200, Fields::new()),
                None => return None,
                Some((status, fields)) if status < 200 => {
                    if s.broken("headers/interim-not-stored") {
                        hints = fields.clone();
                    }
                    self.change(|state| state.interim.push((status, fields)));
                }
                Some(found) => break found,
            }
        };
        fields.0.extend(hints);
        let lengths: Vec<String> =
            fields.get_all("Content-Length").map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        let differ = lengths.iter().any(|l| *l != lengths[0]);
        if differ && !s.broken("framing/response-length-differs") {
            return None;
        }
        let chunked = fields.contains("Transfer-Encoding");
        let bodiless = plan.request.method == "HEAD" || matches!(status, 204 | 304);
        let length = lengths.first().and_then(|l| l.parse().ok()).filter(|_| !chunked);
        if !fields.contains("Date") && !s.broken("headers/date-added") {
            let now = std::time::SystemTime::UNIX_EPOCH + now();
            fields.push("Date", httpdate::fmt_http_date(now));
        }
        let keep = may_store(&plan.request, status, &fields, s);
        let joint = may_store(&plan.request, status, &fields, s)
            && lifetime(status, &fields, now().as_secs(), s) > 0
            || s.broken("collapsing/private-not-shared");
        let relayed = for_client(&fields, s);
        self.change(|state| {
            state.head = Some(Some((status, relayed)));
            state.length = if bodiless { None } else { length };
            state.shared = joint.then(|| selecting(&plan.request, &fields, s));
        });
        let whole = if bodiless {
            Some(true)
        } else if chunked {
            self.chunks(&mut incoming, &mut fields, s).await
        } else {
            self.bytes(&mut incoming, length, s).await
        };
        // Stored before clients see the end: whoever asks after that finds it.
        let cut = whole != Some(true);
        let tolerated = match length {
            _ if chunked => s.broken("integrity/chunked-cut-stored"),
            Some(_) => s.broken("integrity/length-cut-stored"),
            None => s.broken("integrity/reset-stored"),
        };
        if keep && (!cut || tolerated) && (plan.conditions.is_empty() || status != 304) {
            self.store(plan, status, &fields, s);
        }
        if status == 206 && s.broken("ranges/two-versions") {
            let from = fields
                .get_str("Content-Range")
                .and_then(|r| r.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            let piece = (from.unwrap_or(0), self.state().body.clone());
            s.store().pieces.entry(plan.key.clone()).or_default().push(piece);
        }
        Some(!cut)
    }

    fn store(&self, plan: &Plan, status: u16, fields: &Fields, s: &Shared) {
        let body = Arc::new(self.state().body.clone());
        let kept = for_store(fields, s);
        let status = if status == 206 { 200 } else { status };
        let entry = Entry::new(&plan.request, status, kept, body, s);
        let mut store = s.store();
        let purged = store.purges.get(&plan.key).copied().unwrap_or(0) != plan.purges;
        let barred = store.barred.contains(&plan.key)
            || s.broken("freshness/stored-response-reused")
            || s.broken(LINGERS);
        if !barred && (!purged || s.broken("purge/fetch-under-way")) {
            store.insert(&plan.key, entry);
        }
    }

    async fn bytes(&self, incoming: &mut Incoming, length: Option<usize>, s: &Shared) -> Option<bool> {
        let mut left = length.unwrap_or(usize::MAX);
        loop {
            let part: Vec<u8> = incoming.buffer.drain(..incoming.buffer.len().min(left)).collect();
            left -= part.len();
            self.change(|state| state.body.extend(part));
            if left == 0 {
                return Some(true);
            }
            if s.broken("collapsing/slow-reader") {
                self.wait(|state| (state.body.len() < state.first_at + (64 << 10)).then_some(())).await;
            }
            if !incoming.more().await {
                // Without a length only an orderly end is an end.
                return Some(length.is_none() && !incoming.reset);
            }
        }
    }

    async fn chunks(&self, incoming: &mut Incoming, fields: &mut Fields, s: &Shared) -> Option<bool> {
        loop {
            let line = incoming.until(b"\r\n").await?;
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
            if size == 0 {
                loop {
                    let line = incoming.until(b"\r\n").await?;
                    if line == b"\r\n" {
                        return Some(true);
                    }
                    if let (true, Some(colon)) =
                        (s.broken("framing/trailers-apart"), line.iter().position(|b| *b == b':'))
                    {
                        fields.push(line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec());
                    }
                }
            }
            let part = incoming.exactly(size).await?;
            self.change(|state| state.body.extend(part));
            incoming.exactly(2).await?;
        }
    }

    /// Whether a request may have this fetch's response.
    pub fn suits(&self, request: &Request, s: &Shared) -> bool {
        let state = self.state();
        match &state.shared {
            None => false,
            Some(_) if s.broken("collapsing/variants-not-shared") => true,
            Some(selecting) => matches(request, selecting, s),
        }
    }
}

/// Fields of a response as they go to clients at once.
fn for_client(fields: &Fields, s: &Shared) -> Fields {
    let mut kept = without_hop_by_hop(fields, s.broken("headers/connection-named-response"), false);
    if fields.contains("Transfer-Encoding") && !s.broken("framing/response-length-and-chunked") {
        kept.remove("Content-Length");
    }
    if s.broken("headers/unknown-response-relayed") {
        kept.remove("Zz-Unheard-Of");
    }
    if s.broken("headers/resource-fields-unchanged") {
        kept.remove("Content-Location");
    }
    if s.broken("integrity/content-coding") {
        kept.remove("Content-Encoding");
    }
    if s.broken("headers/set-cookie-lines")
        && let Some(joined) = kept.combined("Set-Cookie")
    {
        kept.set("Set-Cookie", joined);
    }
    kept
}

/// Fields of a response as they are stored.
fn for_store(fields: &Fields, s: &Shared) -> Fields {
    let mut kept = without_hop_by_hop(fields, s.broken("headers/connection-named-stored"), false);
    kept.remove("Content-Length");
    if s.broken("headers/unknown-response-stored") {
        kept.remove("Zz-Unheard-Of");
    }
    kept
}

/// The bytes of the request to the origin.
fn to_origin(plan: &Plan, s: &Shared) -> Vec<u8> {
    let request = &plan.request;
    let keep_named = s.broken("headers/connection-named-request");
    let mut fields = without_hop_by_hop(&request.fields, keep_named, s.broken("headers/hop-by-hop-request"));
    fields.remove("Content-Length");
    fields.remove("Host");
    fields.0.insert(0, exchange::Field::new("Host", request.host.clone()));
    if !s.broken("integrity/forwarded-host") {
        fields.remove("X-Forwarded-Host");
    }
    if s.broken("headers/unknown-request-kept") {
        fields.remove("Zz-Unheard-Of");
    }
    if s.broken("headers/repeated-lines-order") {
        fields.0.reverse();
    }
    append(&mut fields, "Via", "1.1 scripted", s.broken("headers/via-appended"));
    if s.broken("headers/via-request") {
        fields.remove("Via");
    }
    append(&mut fields, "CDN-Loop", "scripted", s.broken("headers/cdn-loop-kept"));
    for condition in &plan.conditions {
        fields.set(condition.name.clone(), condition.value.clone());
    }
    let named = request.fields.members("Connection").any(|m| m.eq_ignore_ascii_case(b"content-length"));
    let forgotten = named && s.broken("framing/connection-names-length");
    if (!request.body.is_empty() || request.method == "POST") && !forgotten {
        fields.push("Content-Length", request.body.len().to_string());
    }
    let target = request.target.strip_prefix(&s.base).unwrap_or(&request.target);
    let mut bytes = print_head(&format!("{} {target} HTTP/1.1", request.method), &fields);
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Adds a member to a list field, or puts it in the others' place.
fn append(fields: &mut Fields, name: &'static str, member: &str, alone: bool) {
    let before = fields.combined(name).filter(|_| !alone);
    let joined = match before {
        Some(mut joined) => {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(member.as_bytes());
            joined
        }
        None => member.as_bytes().to_vec(),
    };
    fields.set(name, joined);
}
