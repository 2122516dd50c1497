//! A connection to the candidate, for bytes that no proper client would send.

use super::{Answer, Seen, Trial};
use crate::check::Stop;
use bytes::Bytes;
use endpoint::Client;
use exchange::{Request, Side, escape};
use std::time::Duration;

/// Longest silence after which a candidate has nothing more to say on a connection that it leaves open.
const QUIET: Duration = Duration::from_millis(1500);

/// One connection to the candidate.
#[derive(Debug)]
pub struct Line {
    trial: Trial,
    client: Client,
}

impl Line {
    pub(super) async fn open(trial: Trial) -> Result<Self, Stop> {
        match trial.stage().connect().await {
            Ok(client) => Ok(Line { trial, client }),
            Err(error) => Err(trial.stop(error)),
        }
    }

    /// Sends these bytes. That the candidate ended the connection meanwhile shows when its answer is read.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), Stop> {
        let bytes = bytes.into();
        self.trial.note(Side::ClientRequest, Seen::Bytes(escape(&bytes)));
        self.write(bytes).await
    }

    /// Sends a proper request, which its sender has noted already.
    pub(super) async fn request(&mut self, request: &Request) -> Result<(), Stop> {
        self.write(wire::write::request(request)).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Stop> {
        match self.client.send(bytes).await.map_err(|error| self.trial.stop(error)) {
            Err(Stop::Dropped(_)) | Ok(()) => Ok(()),
            Err(stop) => Err(stop),
        }
    }

    /// The next answer. No answer is a failure of the candidate.
    pub async fn answer(&mut self) -> Result<Answer, Stop> {
        match self.client.response().await {
            Ok(reply) => {
                let response = reply.response;
                self.trial.note(Side::ClientResponse, Seen::Response(Box::new(response.clone())));
                Ok(Answer { response, asked: 0 })
            }
            Err(error) => {
                let stop = self.trial.stop(error);
                let sent = self.client.raw();
                if !sent.is_empty() {
                    self.trial.note(Side::ClientResponse, Seen::Bytes(escape(sent)));
                }
                self.trial.note(Side::ClientResponse, Seen::Event(stop.text().to_owned()));
                Err(stop)
            }
        }
    }

    /// The next answer; `None` where the candidate closed the connection instead.
    pub async fn answer_or_close(&mut self) -> Result<Option<Answer>, Stop> {
        match self.answer().await {
            Err(Stop::Dropped(_)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Answers until the candidate closes or says no more. Bytes that are no answer end the list.
    pub async fn drain(&mut self) -> Result<Vec<Answer>, Stop> {
        let mut answers = Vec::new();
        while let Ok(answer) = tokio::time::timeout(QUIET, self.answer()).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(Stop::Harness(why)) => return Err(Stop::Harness(why)),
                Err(_) => break,
            }
        }
        Ok(answers)
    }

    /// The status of the next head, interim ones too; `None` where none comes in time.
    pub async fn head_within(&mut self, time: Duration) -> Result<Option<u16>, Stop> {
        match tokio::time::timeout(time, self.client.head()).await {
            Err(_) => Ok(None),
            Ok(Ok(head)) => {
                let status = head.status();
                self.trial.note(Side::ClientResponse, Seen::Bytes(escape(&head.raw)));
                Ok(status)
            }
            Ok(Err(error)) => Err(self.trial.stop(error)),
        }
    }

    /// Whether so many bytes of the content of the next answer arrive in time.
    pub async fn body_within(&mut self, length: u64, time: Duration) -> Result<bool, Stop> {
        match tokio::time::timeout(time, self.client.body_bytes(length)).await {
            Err(_) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(endpoint::Error::Short { .. })) => Ok(false),
            Ok(Err(error)) => Err(self.trial.stop(error)),
        }
    }

    /// Whether the candidate ends the connection in time.
    pub async fn closes_within(&mut self, time: Duration) -> bool {
        matches!(tokio::time::timeout(time, self.client.closed()).await, Ok(Ok(_)))
    }
}
