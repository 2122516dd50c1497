//! Captures taken beside a proxy hold a request twice: as its client sent it, and as it asked on.

use super::Recorded;
use bytes::Bytes;
use std::collections::HashMap;

/// Marks each transaction that a server made to answer another one of the capture: it goes from where the other one
/// arrived to elsewhere, asks for the same with the same method, and lies within its time.
pub(super) fn join(all: &mut [Recorded]) {
    let mut open: HashMap<(Bytes, Bytes), Vec<usize>> = HashMap::new();
    let mut has_asked = vec![false; all.len()];
    for inner in 0..all.len() {
        let Some(request) = all[inner].request() else { continue };
        let key = (request.method.clone(), Bytes::copy_from_slice(request.path_and_query()));
        let (start, end) = (all[inner].start(), all[inner].end());
        let candidates = open.entry(key).or_default();
        candidates.retain(|outer| all[*outer].end() >= start);
        let found = candidates
            .iter()
            .copied()
            .filter(|outer| all[*outer].end() >= end && may_have_asked(&all[*outer], &all[inner]))
            // One request is asked on once, unless the first attempt failed; the innermost is the nearest.
            .max_by_key(|outer| (!has_asked[*outer], all[*outer].start(), *outer));
        candidates.push(inner);
        if let Some(outer) = found {
            has_asked[outer] = true;
            all[inner].asked_by = Some(outer);
        }
    }
}

/// Whether the server of `outer` is the client of `inner`, as far as addresses tell.
fn may_have_asked(outer: &Recorded, inner: &Recorded) -> bool {
    let ends = |recorded: &Recorded| recorded.request().and_then(|r| Some((r.seen.from?, r.seen.to?)));
    match (ends(outer), ends(inner)) {
        (Some((_, at)), Some((from, to))) => {
            at.ip() == from.ip() && at != to && outer.place().0 != inner.place().0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exchange::{Body, Fields, Request, Response, Time, Transaction};
    use wire::Notes;

    fn recorded(target: &str, connection: u64, times: (i64, i64), from: &str, to: &str) -> Recorded {
        let mut request = Request::new("GET", target.to_owned(), Fields::new());
        (request.seen.connection, request.seen.start) = (connection, Time(times.0));
        (request.seen.from, request.seen.to) = (from.parse().ok(), to.parse().ok());
        let mut response = Response::new(200, Fields::new(), Body::empty());
        response.seen.end = Some(Time(times.1));
        let transaction = Transaction {
            client_request: Some(request),
            client_response: Some(response),
            ..Transaction::default()
        };
        Recorded::new(transaction, Notes::default(), Notes::default())
    }

    #[test]
    fn requests_that_were_asked_on_are_found() {
        let (client, proxy, origin) = ("10.0.0.1:1", "10.0.0.2:80", "10.0.0.3:80");
        let mut all = [
            recorded("/a", 0, (10, 90), client, proxy),
            recorded("/a", 1, (20, 80), "10.0.0.2:5000", origin),
            // The origin is itself a proxy.
            recorded("/a", 2, (30, 70), "10.0.0.3:5000", "10.0.0.4:80"),
            // Something else, not within the time, by somebody else, to the proxy itself.
            recorded("/b", 1, (40, 60), "10.0.0.2:5000", origin),
            recorded("/a", 1, (40, 95), "10.0.0.2:5000", origin),
            recorded("/a", 3, (41, 60), "10.0.0.9:5000", origin),
            recorded("/a", 4, (42, 60), "10.0.0.2:5000", proxy),
        ];
        join(&mut all);
        let asked_by: Vec<_> = all.iter().map(|r| r.asked_by).collect();
        assert_eq!(asked_by, [None, Some(0), Some(1), None, None, None, None]);
    }

    #[test]
    fn two_at_once_have_one_each() {
        let (proxy, origin) = ("10.0.0.2:80", "10.0.0.3:80");
        let mut all = [
            recorded("/a", 0, (10, 90), "10.0.0.1:1", proxy),
            recorded("/a", 1, (11, 91), "10.0.0.1:2", proxy),
            recorded("/a", 2, (20, 80), "10.0.0.2:5000", origin),
            recorded("/a", 3, (21, 81), "10.0.0.2:5001", origin),
        ];
        join(&mut all);
        let asked_by: Vec<_> = all.iter().map(|r| r.asked_by).collect();
        assert_eq!(asked_by, [None, None, Some(1), Some(0)]);
    }
}
