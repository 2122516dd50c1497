//! `replay inspect`: what a capture holds.

use crate::counted::{counted, times};
use crate::extract::{self, Flow, Found, Recorded, Summary};
use capture::OpenError;
use exchange::{Secrets, Time};
use report::Ledger;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use wire::tcp::StreamCounts;

/// Which lists to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub transactions: bool,
    pub connections: bool,
}

/// What was found in a capture, as `--json` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    pub capture: String,
    /// `packets` or `native`.
    pub format: &'static str,
    pub packets: u64,
    pub packet_bytes: u64,
    /// Packets of which the capture kept only a part.
    pub cut_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    pub connections_total: u64,
    /// Connections whose start was not captured.
    pub mid_stream: u64,
    /// Places in streams where bytes are missing, and how many are.
    pub gaps: u64,
    pub missing_bytes: u64,
    pub out_of_order: u64,
    /// Retransmitted bytes that differ from those seen first.
    pub conflicting_bytes: u64,
    pub interim_responses: u64,
    pub body_bytes: u64,
    pub dns_exchanges: u64,
    pub unknown_records: u64,
    pub ledgers: Vec<Ledger>,
    pub parse_errors: Vec<ParseError>,
    pub anomalies: BTreeMap<String, u64>,
    /// Why the file could not be read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Vec<Line>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<Connection>>,
}

/// Why streams could not be parsed further.
#[derive(Clone, Debug, Serialize)]
pub struct ParseError {
    pub what: String,
    pub times: u64,
    /// Where it happened first.
    pub first: String,
}

/// One transaction.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its number in the capture, as all reports use it.
    pub number: usize,
    pub connection: u64,
    pub stream: u64,
    pub time: String,
    pub name: String,
    pub status: Option<u16>,
    pub request_body: u64,
    pub response_body: u64,
    /// `whole`, or what is wrong with it.
    pub state: &'static str,
}

/// One TCP connection.
#[derive(Clone, Debug, Serialize)]
pub struct Connection {
    pub number: u64,
    pub client: String,
    pub server: String,
    pub carries: &'static str,
    pub mid_stream: bool,
    pub transactions: u64,
    pub gaps: u64,
    pub to_server: Direction,
    pub to_client: Direction,
}

/// What became of one direction's payload bytes; `payload` is the sum of those up to `held`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Direction {
    pub segments: u64,
    pub payload: u64,
    pub delivered: u64,
    pub duplicate: u64,
    pub outside: u64,
    pub after_end: u64,
    pub held: u64,
    pub missing: u64,
    pub out_of_order: u64,
}

impl From<StreamCounts> for Direction {
    fn from(c: StreamCounts) -> Self {
        Direction {
            segments: c.segments,
            payload: c.payload,
            delivered: c.delivered,
            duplicate: c.duplicate,
            outside: c.outside,
            after_end: c.after_end,
            held: c.held,
            missing: c.missing,
            out_of_order: c.out_of_order,
        }
    }
}

/// Reads a capture and accounts for everything in it. `secrets`: how those in URLs are shown.
///
/// # Errors
/// Where it cannot be opened or is no capture.
pub fn inspect(path: &Path, lists: Lists, secrets: &Secrets) -> Result<Inspection, OpenError> {
    let mut lines: Vec<(_, Line)> = Vec::new();
    let mut flows: Vec<Flow> = Vec::new();
    // Bodies are hashed and not kept: memory does not grow with the capture.
    let options = extract::Options { keep_body: 0 };
    let summary = extract::read(path, &options, |found| match found {
        Found::Transaction(recorded) if lists.transactions => {
            lines.push((recorded.order(), line(&recorded, secrets)))
        }
        Found::Flow(flow) if lists.connections => flows.push(*flow),
        Found::Transaction(_) | Found::Flow(_) => {}
    })?;
    lines.sort_by_key(|(order, _)| *order);
    flows.sort_by_key(|flow| flow.number);
    let numbered = lines.into_iter().enumerate().map(|(number, (_, line))| Line { number, ..line });
    Ok(Inspection {
        transactions: lists.transactions.then(|| numbered.collect()),
        connections: lists.connections.then(|| flows.into_iter().map(connection).collect()),
        ..inspection(path, summary)
    })
}

fn inspection(path: &Path, summary: Summary) -> Inspection {
    let time = |time: Option<Time>| time.map(|t| t.to_string());
    Inspection {
        capture: path.display().to_string(),
        format: if summary.is_native { "native" } else { "packets" },
        packets: summary.packets,
        packet_bytes: summary.packet_bytes,
        cut_packets: summary.cut_packets,
        first: time(summary.first),
        last: time(summary.last),
        connections_total: summary.connections,
        mid_stream: summary.mid_stream,
        gaps: summary.gaps,
        missing_bytes: summary.payload.missing,
        out_of_order: summary.payload.out_of_order,
        conflicting_bytes: summary.payload.conflicting,
        interim_responses: summary.interim,
        body_bytes: summary.body_bytes,
        dns_exchanges: summary.dns,
        unknown_records: summary.unknown_records,
        ledgers: summary.ledgers(),
        parse_errors: summary
            .parse_errors
            .into_iter()
            .map(|(what, (times, first))| ParseError { what, times, first })
            .collect(),
        anomalies: summary.anomalies,
        file_error: summary.file_error,
        transactions: None,
        connections: None,
    }
}

fn line(recorded: &Recorded, secrets: &Secrets) -> Line {
    let (connection, stream) = recorded.place();
    Line {
        number: 0,
        connection,
        stream,
        time: recorded.start().to_string(),
        name: secrets.printable(&recorded.transaction.name()),
        status: recorded.response().map(|r| r.status),
        request_body: recorded.request().map_or(0, |r| r.body.length),
        response_body: recorded.response().map_or(0, |r| r.body.length),
        state: recorded.fault().map_or("whole", crate::extract::Unusable::name),
    }
}

fn connection(flow: Flow) -> Connection {
    Connection {
        number: flow.number,
        client: flow.client.to_string(),
        server: flow.server.to_string(),
        carries: match flow.foreign {
            Some(what) => what.name(),
            None if flow.transactions > 0 => "HTTP/1",
            None => "no request",
        },
        mid_stream: flow.mid_stream,
        transactions: flow.transactions,
        gaps: flow.gaps,
        to_server: flow.to_server.into(),
        to_client: flow.to_client.into(),
    }
}

impl Inspection {
    /// Whether the file was read to its end and every ledger balances.
    pub fn is_complete(&self) -> bool {
        self.file_error.is_none() && self.ledgers.iter().all(Ledger::balances)
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut out);
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}", self.capture)?;
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            writeln!(out, "  from {first} to {last}")?;
        }
        if self.format == "packets" {
            let (packets, bytes) =
                (counted(self.packets, "packet", "packets"), counted(self.packet_bytes, "byte", "bytes"));
            match self.packets {
                0 => writeln!(out, "  holds no packets")?,
                _ => writeln!(out, "  {packets}, {bytes} captured")?,
            }
        }
        for (count, one, many) in [
            (self.cut_packets, "packet cut by a snapshot length", "packets cut by a snapshot length"),
            (
                self.mid_stream,
                "connection whose start was not captured",
                "connections whose start was not captured",
            ),
            (self.gaps, "gap in a stream", "gaps in streams"),
            (self.missing_bytes, "byte sent and not captured", "bytes sent and not captured"),
            (self.out_of_order, "segment out of order", "segments out of order"),
            (
                self.conflicting_bytes,
                "retransmitted byte that differs from the one seen first",
                "retransmitted bytes that differ from those seen first",
            ),
            (self.interim_responses, "interim (1xx) response", "interim (1xx) responses"),
            (self.body_bytes, "byte in bodies", "bytes in bodies"),
            (self.dns_exchanges, "DNS exchange", "DNS exchanges"),
            (self.unknown_records, "record of an unknown kind, skipped", "records of unknown kinds, skipped"),
        ] {
            if count > 0 {
                writeln!(out, "  {}", counted(count, one, many))?;
            }
        }
        for ledger in &self.ledgers {
            let balance = if ledger.balances() { "" } else { "  DOES NOT BALANCE" };
            writeln!(out, "\n{:>12}  {}{balance}", ledger.total, ledger.name)?;
            for part in ledger.parts.iter().filter(|part| part.count > 0) {
                writeln!(out, "{:>12}    {}", part.count, part.name)?;
            }
        }
        if !self.parse_errors.is_empty() {
            writeln!(out, "\nStreams that could not be parsed to their end:")?;
            for error in &self.parse_errors {
                writeln!(out, "  {}: {}\n    first: {}", times(error.times), error.what, error.first)?;
            }
        }
        if !self.anomalies.is_empty() {
            writeln!(out, "\nLiberties that senders took:")?;
            for (what, count) in &self.anomalies {
                writeln!(out, "  {}: {what}", times(*count))?;
            }
        }
        for connection in self.connections.iter().flatten() {
            let c = connection;
            let start = if c.mid_stream { ", start not captured" } else { "" };
            writeln!(
                out,
                "\nconnection {}: {} to {}, {}{start}: {}, {}, {} to the server, {} to the client",
                c.number,
                c.client,
                c.server,
                c.carries,
                counted(c.transactions, "transaction", "transactions"),
                counted(c.gaps, "gap", "gaps"),
                counted(c.to_server.payload, "byte", "bytes"),
                c.to_client.payload
            )?;
        }
        if let Some(lines) = &self.transactions {
            writeln!(out)?;
            for line in lines {
                let status = line.status.map_or("-".to_owned(), |s| s.to_string());
                let state = if line.state == "whole" { String::new() } else { format!("  ({})", line.state) };
                writeln!(
                    out,
                    "{:>6}  {status:>3} {:>10}  {}{state}",
                    line.number, line.response_body, line.name
                )?;
            }
        }
        if let Some(error) = &self.file_error {
            writeln!(out, "\n{error}")?;
        }
        Ok(())
    }
}
