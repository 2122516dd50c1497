//! A client's request and what came back.

use super::{Line, Page, Seen, Trial};
use crate::check::Stop;
use bytes::Bytes;
use exchange::{Body, Ending, Fields, Request, Response, Side};
use std::ops::Deref;
use tokio::task::JoinHandle;

/// A request to send, on a connection of its own.
#[derive(Clone, Debug)]
pub struct Ask {
    trial: Trial,
    page: Page,
    method: String,
    target: String,
    host: String,
    fields: Fields,
    body: Option<Bytes>,
}

/// A request under way.
#[derive(Debug)]
pub struct Pending(JoinHandle<Result<Answer, Stop>>);

/// What a client got.
#[derive(Clone, Debug)]
pub struct Answer {
    pub response: Response,
    /// Requests for the page that reached the origin between sending the request and having the answer.
    pub asked: usize,
}

impl Deref for Answer {
    type Target = Response;
    fn deref(&self) -> &Response {
        &self.response
    }
}

impl Ask {
    pub(super) fn new(trial: Trial, page: Page, method: &str, target: String) -> Self {
        let host = trial.authority().to_owned();
        Ask { trial, page, method: method.to_owned(), target, host, fields: Fields::new(), body: None }
    }

    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends and waits for the answer. No answer is a failure of the candidate.
    pub async fn answer(self) -> Result<Answer, Stop> {
        self.exchange().await
    }

    /// As [`Ask::answer`]; `None` where the candidate closed the connection instead of answering.
    pub async fn answer_or_close(self) -> Result<Option<Answer>, Stop> {
        match self.exchange().await {
            Err(Stop::Dropped(_)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Sends now, to be waited for later.
    pub fn start(self) -> Pending {
        Pending(tokio::spawn(self.exchange()))
    }

    async fn exchange(self) -> Result<Answer, Stop> {
        let mut fields: Fields = [("Host", self.host)].into_iter().collect();
        fields.0.extend(self.fields);
        let mut request = Request::new(self.method, self.target, Fields::new());
        if let Some(body) = self.body {
            fields.push("Content-Length", body.len().to_string());
            request.body = Body::complete(body);
        }
        request.fields = fields;
        let before = self.page.count();
        self.trial.note(Side::ClientRequest, Seen::Request(Box::new(request.clone())));
        let mut line = Line::open(self.trial.clone()).await?;
        line.request(&request).await?;
        let response = line.answer().await?.response;
        Ok(Answer { response, asked: self.page.count() - before })
    }
}

impl Pending {
    /// Waits for the answer. No answer is a failure of the candidate.
    pub async fn answer(self) -> Result<Answer, Stop> {
        self.0.await.map_err(|error| Stop::Harness(format!("a client task ended: {error}")))?
    }

    /// As [`Pending::answer`]; `None` where the candidate closed the connection instead of answering.
    pub async fn answer_or_close(self) -> Result<Option<Answer>, Stop> {
        match self.answer().await {
            Err(Stop::Dropped(_)) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

impl Answer {
    /// Which of the origin's answers this is, from 1: by its content, else by its `X-Answer`.
    pub fn number(&self) -> Option<usize> {
        let body = self.response.body.bytes.as_deref().unwrap_or_default();
        let by_body = body.strip_prefix(b"answer ").and_then(|rest| {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
        });
        by_body.or_else(|| self.response.fields.get_str("X-Answer")?.parse().ok())
    }

    /// Whether this is an answer of the origin that the candidate gave without asking the origin now. An error
    /// without the origin's marks is the candidate's own.
    pub fn from_store(&self) -> bool {
        let status = self.response.status;
        self.asked == 0 && (self.number().is_some() || status < 400 || status == 416)
    }

    /// Whether the content ended as its framing promised.
    pub fn complete(&self) -> bool {
        self.response.body.ending == Ending::Complete
    }

    /// The one valid Age.
    pub fn age(&self) -> Option<u64> {
        let mut ages = self.response.fields.get_all("Age");
        let age = std::str::from_utf8(ages.next()?).ok()?.parse().ok();
        if ages.next().is_some() { None } else { age }
    }
}
