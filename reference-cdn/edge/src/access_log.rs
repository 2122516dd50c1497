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
            time: timestamp(record.start),
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

/// RFC 3339 in UTC, with milliseconds.
fn timestamp(time: Time) -> String {
    let (days, rest) = (time.as_millis() / 86_400_000, time.as_millis() % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01, by counting from 0000-03-01 in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_follow_the_calendar() {
        let check = |seconds, expected: &str| assert_eq!(timestamp(Time::from_secs(seconds)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(1_709_251_199, "2024-02-29T23:59:59.000Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000Z");
    }
}
