//! What a native capture holds, and how a record becomes bytes.

use bytes::Bytes;
use exchange::{Body, DnsExchange, Side, Source, Time, Transaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One record of a native capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Who recorded what; the first record of a file.
    About(About),
    Transaction(Box<Transaction>),
    Dns(DnsExchange),
    /// How many things of a kind were seen, and what became of them.
    Ledger(Ledger),
    Note(Note),
}

/// Which tool recorded a capture, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    pub tool: String,
    pub version: String,
    /// What was recorded: a file's name, a listener's address.
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Anything else worth knowing, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, String>,
}

/// A count of things, each in exactly one state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    pub source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// What is counted: `transactions`, `packets`, `payload bytes`.
    pub unit: String,
    pub total: u64,
    pub states: BTreeMap<String, u64>,
}

impl Ledger {
    /// Whether every thing counted is in one of the states.
    pub fn balances(&self) -> bool {
        self.states.values().try_fold(0_u64, |sum, count| sum.checked_add(*count)) == Some(self.total)
    }
}

/// Something a person should know about the records around it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    pub text: String,
}

const ABOUT: u8 = 1;
const TRANSACTION: u8 = 2;
const DNS: u8 = 3;
const LEDGER: u8 = 4;
const NOTE: u8 = 5;

/// Whether [`decode`] knows records of this kind.
pub(crate) fn is_known(kind: u8) -> bool {
    (ABOUT..=NOTE).contains(&kind)
}

impl Record {
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Record::About(_) => ABOUT,
            Record::Transaction(_) => TRANSACTION,
            Record::Dns(_) => DNS,
            Record::Ledger(_) => LEDGER,
            Record::Note(_) => NOTE,
        }
    }

    /// About how many bytes this record keeps in memory.
    pub fn weight(&self) -> usize {
        let small = 256;
        match self {
            Record::Transaction(t) => {
                let requests = [&t.client_request, &t.origin_request].into_iter().flatten();
                let responses = [&t.origin_response, &t.client_response].into_iter().flatten();
                small
                    + requests.map(|m| weigh(&m.fields, &m.body) + weigh_fields(&m.trailers)).sum::<usize>()
                    + responses
                        .flat_map(|m| std::iter::once(m).chain(&m.interim))
                        .map(|m| weigh(&m.fields, &m.body) + weigh_fields(&m.trailers))
                        .sum::<usize>()
            }
            Record::Dns(d) => {
                small + [&d.query, &d.response].into_iter().flatten().map(|m| m.wire.len()).sum::<usize>()
            }
            Record::Note(note) => small + note.text.len(),
            Record::About(_) | Record::Ledger(_) => 4 * small,
        }
    }
}

fn weigh(fields: &exchange::Fields, body: &Body) -> usize {
    256 + weigh_fields(fields) + body.bytes.as_ref().map_or(0, Bytes::len)
}

fn weigh_fields(fields: &exchange::Fields) -> usize {
    fields.iter().map(|f| 64 + f.name.len() + f.value.len()).sum()
}

/// The head of a transaction record: the messages without their bodies' bytes, which follow the head in the order
/// of [`Side`], so that a large body is never copied into an encoder.
#[derive(Serialize, Deserialize)]
struct Detached {
    transaction: Box<Transaction>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bodies: BTreeMap<Side, u64>,
}

/// The four bodies of a transaction, in the order in which their bytes are stored.
fn bodies(transaction: &mut Transaction) -> [(Side, Option<&mut Body>); 4] {
    let Transaction { client_request, origin_request, origin_response, client_response, .. } = transaction;
    [
        (Side::ClientRequest, client_request.as_mut().map(|m| &mut m.body)),
        (Side::OriginRequest, origin_request.as_mut().map(|m| &mut m.body)),
        (Side::OriginResponse, origin_response.as_mut().map(|m| &mut m.body)),
        (Side::ClientResponse, client_response.as_mut().map(|m| &mut m.body)),
    ]
}

/// The CBOR head of a record, and the byte strings that follow it.
pub(crate) fn encode(record: &Record) -> Result<(Vec<u8>, Vec<Bytes>), String> {
    match record {
        Record::About(about) => Ok((cbor(about)?, Vec::new())),
        Record::Dns(dns) => Ok((cbor(dns)?, Vec::new())),
        Record::Ledger(ledger) => Ok((cbor(ledger)?, Vec::new())),
        Record::Note(note) => Ok((cbor(note)?, Vec::new())),
        Record::Transaction(transaction) => {
            // A clone shares the bytes of its names, values and bodies.
            let mut head = Detached { transaction: transaction.clone(), bodies: BTreeMap::new() };
            let mut attached = Vec::new();
            for (side, body) in bodies(&mut head.transaction) {
                let Some(body) = body else { continue };
                if body.bytes.as_ref().is_some_and(|b| !b.is_empty()) {
                    attached.extend(body.bytes.take());
                    head.bodies.insert(side, attached.last().map_or(0, |b| b.len() as u64));
                }
            }
            Ok((cbor(&head)?, attached))
        }
    }
}

fn cbor(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(1024);
    ciborium::into_writer(value, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The record that [`encode`] made these from; `attached` holds the byte strings one after the other.
pub(crate) fn decode(kind: u8, head: &[u8], attached: Bytes) -> Result<Record, String> {
    if kind != TRANSACTION && !attached.is_empty() {
        return Err(format!("{} bytes follow a head that names none", attached.len()));
    }
    match kind {
        ABOUT => from_cbor(head).map(Record::About),
        DNS => from_cbor(head).map(Record::Dns),
        LEDGER => from_cbor(head).map(Record::Ledger),
        NOTE => from_cbor(head).map(Record::Note),
        TRANSACTION => {
            let mut head: Detached = from_cbor(head)?;
            let mut rest = attached;
            for (side, body) in bodies(&mut head.transaction) {
                let Some(length) = head.bodies.remove(&side) else { continue };
                let body = body.ok_or_else(|| format!("a body of {side} without its message"))?;
                let length = usize::try_from(length).ok().filter(|l| *l <= rest.len());
                let length = length.ok_or_else(|| format!("the body of {side} is longer than the record"))?;
                body.bytes = Some(rest.split_to(length));
            }
            if !rest.is_empty() {
                return Err(format!("{} bytes follow the last body", rest.len()));
            }
            Ok(Record::Transaction(head.transaction))
        }
        kind => Err(format!("kind {kind} is not known")),
    }
}

fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(|error| error.to_string())?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow the head's CBOR", rest.len())) }
}
