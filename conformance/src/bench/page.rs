//! A page of the scripted origin.

use super::{Answer, Ask, Reply, Seen, Trial};
use crate::check::{Outcome, Stop, ensure, need};
use bytes::Bytes;
use endpoint::{Route, Script};
use exchange::{Request, Response, Side};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Chooses the reply to the n-th request, from 1.
pub(super) type PageScript = Arc<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

/// A page at the origin that nobody else uses, with the requests it got. Clones are the same page.
#[derive(Clone)]
pub struct Page {
    trial: Trial,
    /// From the nonce on, with a slash before it.
    name: String,
    log: Arc<Log>,
    /// Held so that the route lasts.
    _route: Route,
}

/// After this time a response with max-age=3 is stale, however a cache rounds.
const STALE_AFTER: Duration = Duration::from_millis(4200);

/// Two requests that take longer than this may fall on both sides of a lifetime of three seconds.
const SOON: Duration = Duration::from_millis(1900);

/// What a page was asked and what it answered.
struct Log {
    asked: Mutex<Vec<(Received, Response)>>,
    count: watch::Sender<usize>,
}

/// A request as the origin got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub request: Request,
    pub raw_head: Bytes,
    pub anomalies: Vec<wire::Anomaly>,
}

impl Deref for Received {
    type Target = Request;
    fn deref(&self) -> &Request {
        &self.request
    }
}

/// A stored response: as it was first relayed, and as it came from the store.
#[derive(Debug)]
pub struct Stored {
    pub first: Answer,
    pub hit: Answer,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({})", self.name)
    }
}

impl Page {
    pub(super) fn new(trial: Trial, name: &str, script: PageScript) -> Self {
        let log = Arc::new(Log { asked: Mutex::default(), count: watch::Sender::new(0) });
        let prefix = format!("{}{name}", trial.stage().origin_base);
        let (for_trial, for_log, short) = (trial.clone(), log.clone(), last_segment(name));
        let route = trial.stage().origin.route(prefix, move |received| -> Script {
            for_trial.note(Side::OriginRequest, Seen::Request(Box::new(received.request.clone())));
            let mut asked = for_log.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let number = asked.len() + 1;
            let reply = script(number, &received.request);
            let (steps, response) = reply.script(&received.request, number, &short, for_trial.now());
            for_trial.note(Side::OriginResponse, Seen::Response(Box::new(response.clone())));
            let received = Received {
                request: received.request.clone(),
                raw_head: received.notes.raw_head.clone(),
                anomalies: received.notes.anomalies.clone(),
            };
            asked.push((received, response));
            for_log.count.send_replace(number);
            steps
        });
        Page { trial, name: name.to_owned(), log, _route: route }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Path as clients ask for it.
    pub fn path(&self) -> String {
        format!("{}{}", self.trial.stage().candidate.base, self.name)
    }

    /// URL as clients know it.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.trial.authority(), self.path())
    }

    /// Request line and Host, for a head that the check writes itself; the head stays open.
    pub fn line(&self, method: &str) -> String {
        format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", self.path(), self.trial.authority())
    }

    pub fn get(&self) -> Ask {
        self.ask("GET")
    }

    pub fn ask(&self, method: &str) -> Ask {
        Ask::new(self.trial.clone(), self.clone(), method, self.path())
    }

    /// A GET for this page's path with something at its end, a query for instance.
    pub fn get_at(&self, suffix: &str) -> Ask {
        Ask::new(self.trial.clone(), self.clone(), "GET", self.path() + suffix)
    }

    /// How many requests have ended at the origin.
    pub fn count(&self) -> usize {
        *self.log.count.borrow()
    }

    /// The n-th request at the origin, from 1.
    pub fn received(&self, number: usize) -> Option<Received> {
        let asked = self.log.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(number - 1).map(|(received, _)| received.clone())
    }

    /// The n-th request at the origin, from 1; without it there is nothing to judge.
    pub fn request(&self, number: usize) -> Result<Request, Stop> {
        self.received(number)
            .map(|received| received.request)
            .ok_or_else(|| Stop::Nothing(format!("request {number} did not reach the origin")))
    }

    /// All requests at the origin.
    pub fn requests(&self) -> Vec<Request> {
        let asked = self.log.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|(received, _)| received.request.clone()).collect()
    }

    /// The origin's answer to the n-th request.
    pub fn reply(&self, number: usize) -> Result<Response, Stop> {
        let asked = self.log.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .get(number - 1)
            .map(|(_, response)| response.clone())
            .ok_or_else(|| Stop::Nothing(format!("request {number} did not reach the origin")))
    }

    /// How many requests had a condition.
    pub fn validations(&self) -> usize {
        let has = |r: &&Request| r.fields.contains("If-None-Match") || r.fields.contains("If-Modified-Since");
        self.requests().iter().filter(has).count()
    }

    /// Waits until the n-th request has arrived at the origin.
    pub async fn arrival(&self, number: usize) -> Result<Request, Stop> {
        if self.arrivals_within(number, super::Stage::PATIENCE).await < number {
            return Err(Stop::Hung(format!("the candidate did not forward request {number}")));
        }
        self.request(number)
    }

    /// Waits until `number` requests have arrived, for so long at most, and says how many did.
    pub async fn arrivals_within(&self, number: usize, time: Duration) -> usize {
        let mut count = self.log.count.subscribe();
        // The sender is ours, so the wait ends by the count or by time.
        let _ = tokio::time::timeout(time, count.wait_for(|count| *count >= number)).await;
        self.count()
    }

    /// A first GET. It must reach the origin and be answered with what the origin sent, else the check has nothing
    /// to judge.
    pub async fn fill(&self) -> Result<Answer, Stop> {
        self.fill_at("").await
    }

    /// [`Page::fill`] for this page's path with something at its end.
    pub async fn fill_at(&self, suffix: &str) -> Result<Answer, Stop> {
        let answer = self.get_at(suffix).answer().await?;
        need!(answer.asked > 0, "a first GET was answered {} and not forwarded", answer.status);
        let sent = self.reply(1)?.status;
        need!(answer.status == sent, "the origin answered {sent} to a GET, the client got {}", answer.status);
        Ok(answer)
    }

    /// Fills the page and asks again until an answer comes from the store; a candidate may need a moment to store.
    pub async fn stored(&self) -> Result<Stored, Stop> {
        let first = self.fill().await?;
        let mut without_age = false;
        for _ in 0..3 {
            let hit = self.get().answer().await?;
            // One without Age may have joined the fetch before just after its end, which hardly happens twice. The origin cannot
            // tell: it was asked before either way.
            if hit.from_store() && (hit.fields.contains("Age") || without_age) {
                return Ok(Stored { first, hit });
            }
            without_age |= hit.from_store();
        }
        Err(Stop::Nothing("nothing was stored: each GET reached the origin".into()))
    }

    /// Stores a response with max-age=3 and lets it go stale. Returns the first answer.
    pub async fn gone_stale(&self) -> Result<Answer, Stop> {
        let start = self.trial.now();
        let stored = self.stored().await?;
        if self.trial.now().since(start) > SOON {
            return Err(Stop::Harness(
                "two requests took so long that a lifetime of 3 s cannot be judged".into(),
            ));
        }
        self.trial.pass(STALE_AFTER).await;
        Ok(stored.first)
    }

    /// Judges that a response is not reused: each of three GETs must get an answer of its own from the origin.
    /// `because` says what forbids reuse.
    pub async fn never_reused(&self, because: &str) -> Outcome {
        let mut last = self.fill().await?.number();
        for _ in 0..2 {
            let again = self.get().answer().await?;
            let name = again.number().map_or_else(|| "a response".to_owned(), |n| format!("answer {n}"));
            ensure!(!again.from_store(), "{name} was reused although {because}");
            need!(again.asked > 0, "a further GET was answered {} and not forwarded", again.status);
            ensure!(
                again.number().is_none() || again.number() != last,
                "{name} was reused although {because}"
            );
            last = again.number();
        }
        Ok(())
    }
}

fn last_segment(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}
