//! The smallest edge that does what `Decisions` says, one request at a time, on a clock that the test sets.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, Uri};
use http_cache::{
    Decisions, Ended, Failure, Fetch, ForwardReason, Handling, Keep, Key, Lookup, Outcome, Plan, Received,
    Refusal, Reply, Request, Response, Selection, Stored, Time,
};

/// What the origin does with a request.
#[derive(Clone, Debug)]
pub enum OriginAction {
    Answer { status: StatusCode, headers: HeaderMap, body: Vec<u8>, ended: Ended },
    Fail(Failure),
}

/// How the client got its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the store, fresh.
    Hit,
    /// From the store, stale.
    Stale,
    /// From the origin, and stored.
    Fetched,
    /// From the origin, not stored.
    Relayed,
    /// From the store, after the origin confirmed it.
    Validated,
    /// From the store and the origin.
    Combined,
    /// Begun, and broken off: the origin has another version by now.
    Broken,
    /// From the edge itself.
    Refused,
    /// There was no answer from the origin, and none to stand in.
    Failed,
}

pub struct Answer {
    pub source: Source,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// One stored response with its content.
type Entry = (Arc<Stored>, Vec<u8>);

pub struct Edge<D> {
    pub decisions: D,
    pub now: Time,
    pub store: HashMap<Key, Vec<Entry>>,
    /// Content that is kept in slices, by the id and the first octet of the slice.
    pub slices: HashMap<(u64, u64), Vec<u8>>,
    /// Fields of the requests that the origin got, newest last.
    pub sent: Vec<(Method, HeaderMap)>,
}

pub struct ClientRequest {
    pub method: Method,
    pub target: Uri,
    pub headers: HeaderMap,
}

impl<D: Decisions> Edge<D> {
    pub fn new(decisions: D, now: Time) -> Self {
        Self { decisions, now, store: HashMap::new(), slices: HashMap::new(), sent: Vec::new() }
    }

    pub fn purge(&mut self, target: &Uri) {
        for key in self.decisions.purged(target) {
            self.store.remove(&key);
        }
    }

    /// Ends the lifetime of what is stored for a URL.
    pub fn expire(&mut self, target: &Uri) {
        for key in self.decisions.purged(target) {
            for (stored, _) in self.store.get_mut(&key).into_iter().flatten() {
                if let Some(stale) = stored.expired_at(self.now) {
                    *stored = Arc::new(stale);
                }
            }
        }
    }

    /// Forgets what belongs to one of these groups of an origin (RFC 9875 section 2.1).
    fn forget_groups(&mut self, origin: &str, groups: &[String]) {
        for (key, entries) in &mut self.store {
            if key.origin() == origin {
                entries
                    .retain(|(stored, _)| !stored.tags().groups.iter().any(|group| groups.contains(group)));
            }
        }
    }

    pub fn exchange(
        &mut self,
        client: &ClientRequest,
        origin: &mut dyn FnMut(&HeaderMap) -> OriginAction,
    ) -> Answer {
        let ClientRequest { method, target, headers } = client;
        let request = Request { method, target, headers, version: http::Version::HTTP_11 };
        if let Err(refusal) = self.decisions.admit(&request) {
            return self.refuse(refusal);
        }
        let key = self.decisions.key(&request);
        let fetch = match self.decisions.lookup(&request) {
            Lookup::Forward(reason) => Fetch::forward(reason),
            Lookup::Store => match self.decisions.plan(&request, &self.heads(&key), self.now) {
                Plan::Refuse(refusal) => return self.refuse(refusal),
                Plan::Fetch(fetch) => fetch,
                Plan::Serve { index, stale, refresh } => {
                    let (stored, body) = self.store[&key][index].clone();
                    let source = if stale { Source::Stale } else { Source::Hit };
                    let body = self.content(&request, &key, &stored, body, origin);
                    let answer = self.answer(&request, &stored, &body, Outcome::Hit, false, source);
                    if let Some(fetch) = refresh {
                        self.fetch(&request, &key, fetch, origin);
                    }
                    return answer;
                }
            },
        };
        self.fetch(&request, &key, fetch, origin)
    }

    fn heads(&self, key: &Key) -> Vec<Arc<Stored>> {
        self.store.get(key).into_iter().flatten().map(|(stored, _)| stored.clone()).collect()
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        let handling = Handling::of(Outcome::Generated);
        let headers = self.decisions.generated(
            &Request {
                method: &Method::GET,
                target: &Uri::from_static("http://x/"),
                headers: &HeaderMap::new(),
                version: http::Version::HTTP_11,
            },
            self.now,
            &handling,
        );
        Answer { source: Source::Refused, status: refusal.status, headers, body: refusal.reason.into() }
    }

    /// The content of a stored response: as it is, or from slices, as far as the request needs them.
    fn content(
        &mut self,
        request: &Request<'_>,
        key: &Key,
        stored: &Arc<Stored>,
        body: Vec<u8>,
        origin: &mut dyn FnMut(&HeaderMap) -> OriginAction,
    ) -> Vec<u8> {
        let (Some(slices), Some(length)) = (stored.slices(), stored.extent().complete) else { return body };
        let handling = Handling::of(Outcome::Hit);
        let wanted = match self.decisions.reply(request, stored, self.now, &handling).content {
            Selection::None => vec![],
            Selection::Whole => std::iter::once(0..length).collect(),
            Selection::Range(range) => vec![range],
            Selection::Multipart { parts, .. } => parts.into_iter().map(|part| part.range).collect(),
        };
        // Octets that nobody asked for are not fetched, and must not be sent either.
        let mut content = vec![b'?'; length as usize];
        let size = slices.size.get();
        for first in (0..length).step_by(size as usize) {
            let range = first..(first + size).min(length);
            if !wanted.iter().any(|wanted| wanted.start < range.end && range.start < wanted.end) {
                continue;
            }
            if !self.slices.contains_key(&(slices.id, first)) {
                let fetch = Fetch::part(range.clone());
                let sent = self.decisions.origin_request(request, &fetch, Some(stored));
                self.sent.push((request.method.clone(), sent.clone()));
                let OriginAction::Answer { status, headers, body, .. } = origin(&sent) else {
                    return content[..first as usize].to_vec();
                };
                let response =
                    Response { status, headers: &headers, request_time: self.now, response_time: self.now };
                // The head as it is by now.
                let entries = self.store.get_mut(key).into_iter().flatten();
                let mut entries = entries.filter(|(head, _)| head.slices() == Some(slices));
                let mut head = entries.next().map(|(head, _)| head);
                let heads = [head.as_ref().map_or_else(|| Arc::clone(stored), |head| Arc::clone(head))];
                match self.decisions.received(request, &fetch, &response, &heads) {
                    Received::Combine { content_at, stored, .. } if content_at == first => {
                        if let Some(head) = &mut head {
                            **head = Arc::new(stored.at_rest());
                        }
                        self.slices.insert((slices.id, first), body);
                    }
                    _ => {
                        self.store.remove(key);
                        return content[..first as usize].to_vec();
                    }
                }
            }
            content[first as usize..range.end as usize].copy_from_slice(&self.slices[&(slices.id, first)]);
        }
        content
    }

    fn answer(
        &self,
        request: &Request<'_>,
        stored: &Stored,
        body: &[u8],
        outcome: Outcome,
        kept: bool,
        source: Source,
    ) -> Answer {
        let handling = Handling { stored: kept, ..Handling::of(outcome) };
        let Reply { status, headers, content } = self.decisions.reply(request, stored, self.now, &handling);
        let first = stored.extent().first;
        let octets = |range: std::ops::Range<u64>| {
            // Less than announced comes when the origin's content was cut off.
            let end = ((range.end - first) as usize).min(body.len());
            body[((range.start - first) as usize).min(end)..end].to_vec()
        };
        let cut = stored.slices().is_some() && (body.len() as u64) < stored.extent().complete.unwrap_or(0);
        let source = if cut { Source::Broken } else { source };
        let body = match content {
            Selection::None => Vec::new(),
            Selection::Whole => body.to_vec(),
            Selection::Range(range) => octets(range),
            Selection::Multipart { parts, close } => {
                let mut sent = Vec::new();
                for part in parts {
                    sent.extend_from_slice(&part.head);
                    sent.extend(octets(part.range));
                }
                sent.extend_from_slice(&close);
                sent
            }
        };
        Answer { source, status, headers, body }
    }

    fn fetch(
        &mut self,
        request: &Request<'_>,
        key: &Key,
        mut fetch: Fetch,
        origin: &mut dyn FnMut(&HeaderMap) -> OriginAction,
    ) -> Answer {
        let mut attempts = 0;
        loop {
            attempts += 1;
            assert!(attempts <= 2, "fetched more than twice for one request");
            let heads = self.heads(key);
            let asked = fetch.validate.map(|index| heads[index].clone());
            let sent = self.decisions.origin_request(request, &fetch, asked.as_deref());
            self.sent.push((request.method.clone(), sent.clone()));
            let (status, headers, body, ended) = match origin(&sent) {
                OriginAction::Answer { status, headers, body, ended } => (status, headers, body, ended),
                OriginAction::Fail(failure) => {
                    return match self.decisions.failed(request, &fetch, failure, &heads, self.now) {
                        Some(index) => {
                            let (stored, body) = self.store[key][index].clone();
                            self.answer(
                                request,
                                &stored,
                                &body,
                                Outcome::Stale { status: None },
                                false,
                                Source::Stale,
                            )
                        }
                        None => Answer {
                            source: Source::Failed,
                            status: StatusCode::BAD_GATEWAY,
                            headers: HeaderMap::new(),
                            body: Vec::new(),
                        },
                    };
                }
            };
            let response =
                Response { status, headers: &headers, request_time: self.now, response_time: self.now };
            for key in self.decisions.invalidated(request, &response) {
                self.store.remove(&key);
            }
            let groups = self.decisions.invalidated_groups(request, &response);
            self.forget_groups(Key::of(request.target).origin(), &groups);
            let forwarded = |reason: ForwardReason| Outcome::Forward { reason, status: Some(status) };
            let heads = self.heads(key);
            match self.decisions.received(request, &fetch, &response, &heads) {
                Received::Again(again) => fetch = again,
                Received::ServeStale { index } => {
                    let (stored, body) = self.store[key][index].clone();
                    let outcome = Outcome::Stale { status: Some(status) };
                    return self.answer(request, &stored, &body, outcome, false, Source::Stale);
                }
                Received::Freshen { updated, forget } => {
                    let entries = self.store.get_mut(key).unwrap();
                    let first = (Arc::new(Stored::clone(&updated[0].1)), entries[updated[0].0].1.clone());
                    for (index, stored) in updated {
                        entries[index].0 = Arc::new(stored.at_rest());
                    }
                    self.forget(key, forget);
                    let outcome = forwarded(fetch.reason);
                    let body = self.content(request, key, &first.0, first.1, origin);
                    return self.answer(request, &first.0, &body, outcome, true, Source::Validated);
                }
                Received::Store { stored, replaces } => {
                    let answer =
                        self.answer(request, &stored, &body, forwarded(fetch.reason), true, Source::Fetched);
                    self.finish(key, *stored, body, ended, replaces);
                    return answer;
                }
                Received::Slice { mut stored, replaces, range } => {
                    stored.name_slices(self.sent.len() as u64);
                    let id = stored.slices().unwrap().id;
                    if ended == Ended::Complete {
                        self.slices.insert((id, range.start), body);
                    }
                    self.forget(key, replaces);
                    let stored = Arc::new(*stored);
                    let at_rest = Arc::new(Stored::clone(&stored).at_rest());
                    self.store.entry(key.clone()).or_default().push((at_rest, Vec::new()));
                    let body = self.content(request, key, &stored, Vec::new(), origin);
                    return self.answer(
                        request,
                        &stored,
                        &body,
                        forwarded(fetch.reason),
                        true,
                        Source::Fetched,
                    );
                }
                Received::Pass { stored, forget, .. } => {
                    self.forget(key, forget);
                    let outcome = forwarded(fetch.reason);
                    return self.answer(request, &stored, &body, outcome, false, Source::Relayed);
                }
                Received::Combine { index, stored, content_at } => {
                    let old = &self.store[key][index];
                    let keep = (content_at - old.0.extent().first) as usize;
                    let mut whole = old.1[..keep].to_vec();
                    whole.extend_from_slice(&body);
                    let answer = self.answer(
                        request,
                        &stored,
                        &whole,
                        forwarded(fetch.reason),
                        true,
                        Source::Combined,
                    );
                    self.finish(key, *stored, whole, ended, vec![index]);
                    return answer;
                }
                Received::Copy { index, stored } => {
                    let body = self.store[key][index].1.clone();
                    let source = Source::Validated;
                    let answer = self.answer(request, &stored, &body, forwarded(fetch.reason), true, source);
                    self.finish(key, *stored, body, Ended::Complete, Vec::new());
                    return answer;
                }
                Received::Relay { forget, .. } => {
                    self.forget(key, forget);
                    let handling = Handling::of(forwarded(fetch.reason));
                    let Reply { status, headers, content } =
                        self.decisions.relay(request, &response, self.now, &handling);
                    let body = if content == Selection::None { Vec::new() } else { body };
                    return Answer { source: Source::Relayed, status, headers, body };
                }
            }
        }
    }

    fn finish(&mut self, key: &Key, stored: Stored, body: Vec<u8>, ended: Ended, replaces: Vec<usize>) {
        let stored = stored.with_length(body.len() as u64);
        if self.decisions.keep(&stored, ended, false) == Keep::Store {
            self.forget(key, replaces);
            self.store.entry(key.clone()).or_default().push((Arc::new(stored), body));
        }
    }

    fn forget(&mut self, key: &Key, indices: Vec<usize>) {
        if let Some(entries) = self.store.get_mut(key) {
            let mut index = 0;
            entries.retain(|_| {
                index += 1;
                !indices.contains(&(index - 1))
            });
        }
    }
}
