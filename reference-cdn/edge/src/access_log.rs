//! The access log: one JSON object a line. It never holds up a request: lines go through a bounded queue to a writer of
//! their own, and are dropped and counted when that cannot keep up.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use http::{Method, StatusCode, Uri};
use http_cache::Time;
use serde::Serialize;

use crate::client::{Request, Stop};
use crate::metrics::{Answered, Metrics};
use crate::timestamp;

/// Lines that may wait for the writer.
const QUEUE: usize = 16 * 1024;

/// What is noted about a request while it is answered.
#[derive(Debug)]
pub struct Record {
    pub(crate) start: Time,
    request: Option<(SocketAddr, Method, Uri)>,
    pub answered: Answered,
    /// Of the final response, if one was begun.
    pub status: Option<StatusCode>,
    /// Octets of content.
    pub octets: u64,
    /// What went wrong, in the words of RFC 9209 where there are any.
    pub error: Option<&'static str>,
}

impl Record {
    /// `request` only when a log will want it.
    pub fn new(request: Option<&Request>, start: Time) -> Self {
        let request = request.map(|it| (it.peer, it.head.method.clone(), it.head.target.clone()));
        Self { start, request, answered: Answered::Unanswered, status: None, octets: 0, error: None }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: SocketAddr,
    method: &'a str,
    target: String,
    status: Option<u16>,
    octets: u64,
    milliseconds: u64,
    answered: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    complete: bool,
}

/// Where lines go.
#[derive(Debug, Default)]
pub struct AccessLog(Option<SyncSender<Message>>);

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    End,
}

impl AccessLog {
    /// No log.
    pub fn off() -> Self {
        Self(None)
    }

    /// To a file, which is appended to, or standard output for `-`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<(Self, LogWriter)> {
        let out: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
        };
        let (sender, receiver) = sync_channel(QUEUE);
        Ok((Self(Some(sender)), LogWriter { out, receiver, path: path.to_owned() }))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Has the writer end once it has written what was sent before. May wait for room in the queue.
    pub fn end(&self) {
        if let Some(sender) = &self.0 {
            // A writer that is gone has ended.
            let _ = sender.send(Message::End);
        }
    }

    pub(crate) fn write(&self, record: &Record, now: Time, result: Result<(), Stop>, metrics: &Metrics) {
        let (Some(sender), Some((client, method, target))) = (&self.0, &record.request) else { return };
        let line = Line {
            time: timestamp::format(record.start),
            client: *client,
            method: method.as_str(),
            target: target.to_string(),
            status: record.status.map(|status| status.as_u16()),
            octets: record.octets,
            milliseconds: now.as_millis().saturating_sub(record.start.as_millis()),
            answered: record.answered.name(),
            error: record.error.or(match result {
                Ok(()) => None,
                Err(Stop::Client) => Some("client_gone"),
                Err(Stop::Content) => Some("content_incomplete"),
            }),
            complete: result.is_ok(),
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if sender.try_send(Message::Line(text)).is_err() {
            metrics.log_lines_dropped.add(1);
        }
    }
}

/// The other end of the queue; runs on a thread of its own.
pub struct LogWriter {
    out: Box<dyn Write + Send>,
    receiver: Receiver<Message>,
    path: PathBuf,
}

impl LogWriter {
    /// Writes until it is told to end, or all senders are gone. A write error is reported once; lines are then dropped.
    pub fn run(mut self) {
        let mut working = true;
        let mut going_on = true;
        while going_on && let Ok(Message::Line(mut batch)) = self.receiver.recv() {
            while batch.len() < 64 * 1024
                && let Ok(message) = self.receiver.try_recv()
            {
                match message {
                    Message::Line(line) => batch.extend_from_slice(&line),
                    Message::End => {
                        going_on = false;
                        break;
                    }
                }
            }
            let written = self.out.write_all(&batch).and_then(|()| self.out.flush());
            if let Err(error) = written
                && std::mem::take(&mut working)
            {
                tracing::error!(path = %self.path.display(), %error, "the access log cannot be written");
            }
        }
    }
}
