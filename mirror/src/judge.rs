//! Compares answers, and writes differences and the record: on a thread of its own, which neither the relay nor the
//! candidate's connections wait for.

use crate::budget::Permit;
use crate::candidate::{Answer, Key};
use crate::clock;
use crate::diffs::{CachePair, DiffWriter, Differing, Found, Line};
use crate::findings::{Asked, Findings};
use crate::ledger::{State, Ticket};
use capture::{Record, Recorder};
use compare::{Settings, Waivers};
use exchange::{Request, Response, Secrets, Source, Transaction};
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Most batches that wait for the judge, whatever they weigh.
const QUEUE: usize = 128;

/// A request with the primary's answer, and the candidate's where it was asked.
#[derive(Debug)]
pub(crate) struct Case {
    pub key: Key,
    pub request: Request,
    pub response: Response,
    pub candidate: Option<Result<Answer, State>>,
    /// Missing where the request is in the ledger already.
    pub ticket: Option<Ticket>,
    pub _room: (Permit, Permit),
}

/// Hands cases to the judge, many at a time: nobody waits for its findings, and waking it costs more than a comparison.
#[derive(Debug)]
pub(crate) struct Verdicts {
    waiting: Vec<Case>,
    judge: SyncSender<Vec<Case>>,
}

/// Cases handed over at once, and how long it must be quiet before fewer are.
const BATCH: usize = 64;
const DELAY: Duration = Duration::from_millis(5);

impl Verdicts {
    /// Takes a case without waiting.
    pub(crate) fn submit(&mut self, case: Case) {
        self.waiting.push(case);
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what waits, once it has waited long enough; never ends where nothing waits.
    pub(crate) async fn flush_later(&mut self) {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(DELAY).await;
        self.flush();
    }

    /// Where the judge has no place for more, the requests are dropped.
    fn flush(&mut self) {
        let cases = std::mem::take(&mut self.waiting);
        if let Err(TrySendError::Full(cases) | TrySendError::Disconnected(cases)) = self.judge.try_send(cases)
        {
            for ticket in cases.into_iter().filter_map(|case| case.ticket) {
                ticket.end(State::Judge);
            }
        }
    }

    /// Another one for the same judge.
    pub(crate) fn another(&self) -> Self {
        Verdicts { waiting: Vec::new(), judge: self.judge.clone() }
    }
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            self.flush();
        }
    }
}

/// How to judge, and where to write.
pub(crate) struct Judge {
    pub settings: Settings,
    pub waivers: Waivers,
    pub diffs: Option<DiffWriter>,
    pub recorder: Option<Recorder<File>>,
    pub findings: Arc<Mutex<Findings>>,
    /// What the record says transactions were seen at.
    pub source: Source,
}

/// Starts the judge's thread, which ends when nobody holds [`Verdicts`] any more, and gives back the files.
pub(crate) fn start(judge: Judge, prepare: fn()) -> io::Result<(Verdicts, JoinHandle<Judge>)> {
    let (sender, cases) = sync_channel(QUEUE);
    let thread = std::thread::Builder::new().name("judge".into()).spawn(move || {
        prepare();
        judge.run(&cases)
    })?;
    Ok((Verdicts { waiting: Vec::new(), judge: sender }, thread))
}

impl Judge {
    /// A judge that writes nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Judge {
            settings: Settings::default(),
            waivers: Waivers::default(),
            diffs: None,
            recorder: None,
            findings: Arc::default(),
            source: Source::default(),
        }
    }

    fn run(mut self, cases: &Receiver<Vec<Case>>) -> Self {
        loop {
            let batch = match cases.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match cases.recv() {
                        Ok(batch) => batch,
                        Err(_) => break,
                    }
                }
            };
            batch.into_iter().for_each(|case| self.judge(case));
        }
        self.flush();
        self
    }

    fn judge(&mut self, case: Case) {
        let Case { key, request, response, candidate, ticket, _room } = case;
        if let (Some(candidate), Some(ticket)) = (candidate, ticket) {
            let url = url(&request);
            let public = self.settings.secrets.printable(&url);
            let (state, differing, caches) =
                self.compare(key, &request, (&url, &public), &response, candidate);
            let asked = Asked {
                method: exchange::escape(&request.method),
                url: public,
                variant: variant(&request, &self.settings.secrets),
            };
            self.with_findings(|findings| findings.judged(asked, caches, differing.as_ref()));
            if let (Some(diffs), Some(differing)) = (&mut self.diffs, differing) {
                diffs.write(&Line::Difference(Box::new(differing)));
            }
            ticket.end(state);
        }
        if let Some(recorder) = &self.recorder {
            let transaction = Transaction {
                source: self.source.clone(),
                client_request: Some(request),
                client_response: Some(response),
                ..Transaction::default()
            };
            let offered = recorder.offer(Record::Transaction(Box::new(transaction))).is_ok();
            self.with_findings(|f| if offered { f.recorded += 1 } else { f.unrecorded += 1 });
        }
    }

    /// The request's state, and what is to be written about it. The URL is given as it is, and as it is shown.
    fn compare(
        &self,
        key: Key,
        request: &Request,
        (url, public): (&str, &str),
        primary: &Response,
        candidate: Result<Answer, State>,
    ) -> (State, Option<Differing>, Option<CachePair>) {
        let now = clock::now();
        let mut state = State::Different;
        let differing = |state, stands, differences: Vec<Found>, omitted, cache| Differing {
            id: format!("{}-{}", key.0, key.1),
            time: request.seen.start.to_string(),
            method: exchange::escape(&request.method),
            variant: variant(request, &self.settings.secrets),
            fingerprint: fingerprint(&request.method, url, &differences, state),
            url: public.to_owned(),
            outcome: state,
            stands,
            status: primary.status,
            cache,
            differences,
            omitted,
        };
        let answer = match candidate {
            Ok(answer) => answer,
            Err(broken) => {
                let told = broken.is_broken_answer().then(|| differing(broken, true, Vec::new(), 0, None));
                return (broken, told, None);
            }
        };
        let mut comparison = compare::responses(&self.settings, request, primary, &answer.response);
        self.waivers.apply(&mut comparison, url, now);
        let cache = CachePair { primary: comparison.left_cache, candidate: comparison.right_cache };
        let agrees = comparison.agrees();
        if agrees {
            state = State::Same;
        }
        // Waived differences are written, so that a reader sees what the waivers cover.
        let written = !agrees || comparison.differences.iter().any(|d| d.counts);
        if !written {
            return (state, None, Some(cache));
        }
        let differences = comparison
            .differences
            .into_iter()
            .map(|difference| Found { fingerprint: difference.fingerprint().to_string(), difference })
            .collect();
        (state, Some(differing(state, !agrees, differences, comparison.omitted, Some(cache))), Some(cache))
    }

    fn flush(&mut self) {
        if let Some(diffs) = &mut self.diffs {
            diffs.flush();
            let (written, lost, failed) = (diffs.written(), diffs.lost(), diffs.failed().map(str::to_owned));
            let first = self.with_findings(|f| {
                (f.diffs_written, f.diffs_lost) = (written, lost);
                let first = f.diffs_error.is_none() && failed.is_some();
                f.diffs_error.clone_from(&failed);
                first
            });
            if let (true, Some(error)) = (first, failed) {
                crate::say(&format!(
                    "the file of differences cannot be written any more: {error}. The service goes on; further differences are counted as lost"
                ));
            }
        }
    }

    fn with_findings<T>(&self, with: impl FnOnce(&mut Findings) -> T) -> T {
        // Counters stay whole whatever a thread that panicked was about to do with them.
        with(&mut self.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The absolute URL, escaped, with its secrets.
fn url(request: &Request) -> String {
    let authority = request.authority().map_or_else(String::new, exchange::escape);
    format!("http://{authority}{}", exchange::escape(request.path_and_query()))
}

/// The same for requests with the same field lines, in one run: those of one URL may well ask for different things.
fn variant(request: &Request, secrets: &Secrets) -> String {
    let mut lines: Vec<Vec<u8>> = request
        .fields
        .iter()
        .map(|field| {
            let mut line = field.name.to_ascii_lowercase();
            line.push(b':');
            line.extend_from_slice(&secrets.field(&field.name, &field.value));
            line
        })
        .collect();
    // Lines of one name keep their order.
    lines.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    exchange::Sha256::of(&lines.join(&b'\n')).to_string()[..16].to_owned()
}

fn name_of(line: &[u8]) -> &[u8] {
    line.split(|&b| b == b':').next().unwrap_or_default()
}

/// The same for the same request and the same kinds of differences. Made without the secrets in the URL: they could be
/// guessed from it.
fn fingerprint(method: &[u8], url: &str, differences: &[Found], state: State) -> String {
    let mut kinds: Vec<&str> =
        differences.iter().filter(|d| d.difference.counts).map(|d| d.fingerprint.as_str()).collect();
    kinds.sort_unstable();
    let url = Secrets::Withheld.printable(url);
    let shape = format!("{}\n{url}\n{}\n{}", exchange::escape(method), state.reason(), kinds.join("\n"));
    exchange::Sha256::of(shape.as_bytes()).to_string()[..16].to_owned()
}
