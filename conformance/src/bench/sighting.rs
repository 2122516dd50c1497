//! Everything that was seen while a check ran, in order.

use bytes::Bytes;
use exchange::{Body, Fields, Request, Response, Side, Time};

/// One message or event, where and when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub time: Time,
    /// Which way it went; `None` for what happened outside the exchange (a purge, a wait).
    pub side: Option<Side>,
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Request(Box<Request>),
    Response(Box<Response>),
    /// Bytes of a client that are no proper request, escaped.
    Bytes(String),
    /// Something that happened, in words.
    Event(String),
}

/// Longest content, field value and text kept as evidence, in bytes.
const KEPT: usize = 2048;
const KEPT_VALUE: usize = 300;

impl Seen {
    /// Without what is too long to be read: many checks run at once, and reports are read by people.
    pub(super) fn shortened(self) -> Self {
        match self {
            Seen::Request(mut request) => {
                shorten(&mut request.body, &mut request.fields);
                Seen::Request(request)
            }
            Seen::Response(mut response) => {
                shorten(&mut response.body, &mut response.fields);
                Seen::Response(response)
            }
            Seen::Bytes(text) if text.len() > KEPT => {
                let end = (0..=KEPT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                Seen::Bytes(format!("{}[… {} bytes]", &text[..end], text.len()))
            }
            seen => seen,
        }
    }
}

fn shorten(body: &mut Body, fields: &mut Fields) {
    if let Some(bytes) = body.bytes.take_if(|bytes| bytes.len() > KEPT) {
        body.bytes = Some(Bytes::copy_from_slice(&bytes[..KEPT]));
    }
    for field in &mut fields.0 {
        if field.value.len() > KEPT_VALUE {
            let mut value = field.value[..KEPT_VALUE].to_vec();
            value.extend_from_slice(format!("[… {} bytes]", field.value.len()).as_bytes());
            field.value = value.into();
        }
    }
}

impl Sighting {
    /// Who sent it to whom.
    pub fn way(&self) -> &'static str {
        match self.side {
            Some(Side::ClientRequest) => "client to candidate",
            Some(Side::OriginRequest) => "candidate to origin",
            Some(Side::OriginResponse) => "origin to candidate",
            Some(Side::ClientResponse) => "candidate to client",
            None => "meanwhile",
        }
    }
}
