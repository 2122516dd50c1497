//! The section `[report]`: load reports to mappers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use control::load_report::Keys;
use edge::ReportConfig;

use super::fields::{Field, count};
use super::value::{Kind, Wrong, peer};
use super::{About, Draft};

pub const REPORT_FIELDS: &[Field<Draft>] = &[
    Field {
        path: "report.to",
        kind: Kind::List {
            form: "\"ADDRESS:PORT\"",
            set: |draft, texts| {
                draft.report.to = texts.iter().map(|text| peer(text)).collect::<Result<_, _>>()?;
                Ok(())
            },
        },
        default: None,
        meaning: "Mappers that are told each second how loaded this edge is: their load.listen.",
        bounds: "One small datagram a second for each. Lost ones are made up for by the next.",
    },
    Field {
        path: "report.server",
        kind: Kind::Text {
            form: "a name",
            set: |draft, text| {
                draft.report.server = Some(text.to_owned());
                Ok(())
            },
        },
        default: None,
        meaning: "What mappers call this edge in their network.",
        bounds: "Two edges of one name would take turns in being believed.",
    },
    Field {
        path: "report.key-file",
        kind: Kind::Text {
            form: "a path",
            set: |draft, text| {
                draft.report.key_file = Some(PathBuf::from(text));
                Ok(())
            },
        },
        default: None,
        meaning: "File with the key that signs reports, at least 16 characters; mappers have the same.",
        bounds: "Without it anybody could say that an edge is overloaded, and empty it.",
    },
    Field {
        path: "report.key",
        kind: count(0, 255, |draft, n| draft.report.key = u8::try_from(n).unwrap_or(u8::MAX)),
        default: Some("1"),
        meaning: "Number of that key.",
        bounds: "Two keys can be good at once, so that they can be changed without losing a report.",
    },
    Field {
        path: "report.bandwidth",
        kind: count(0, 10_000_000, |draft, n| draft.report.bandwidth = n),
        default: Some("0"),
        meaning: "What this edge can send, in Mbit/s; 0 if its network is not what limits it.",
        bounds: "Without it, an edge whose network is full looks idle.",
    },
    Field {
        path: "report.leave",
        kind: Kind::Time {
            least: Duration::ZERO,
            most: Duration::from_secs(3600),
            set: |draft, time| draft.report.leave = time,
        },
        default: Some("25s"),
        meaning: "How long to go on serving when told to stop: mappers are told at once, and answers that name this edge run out.",
        bounds: "Less than the lifetime of answers sends clients to an edge that is gone.",
    },
    Field {
        path: "report.names",
        kind: Kind::List {
            form: "\"HOST=NAME\"",
            set: |draft, texts| {
                draft.report.names = texts
                    .iter()
                    .map(|text| {
                        let (host, name) = text.split_once('=').ok_or_else(|| {
                            Wrong::new(format!("\"{text}\" has no ="))
                                .hint("write \"www.shop.example=www.g.cdn.example\"")
                        })?;
                        Ok((host.trim().to_ascii_lowercase(), name.trim().to_ascii_lowercase()))
                    })
                    .collect::<Result<_, Wrong>>()?;
                Ok(())
            },
        },
        default: None,
        meaning: "Hosts of requests with the steered name that stands for each: reports say how much of the load each causes.",
        bounds: "Mappers then give a hot name more servers at once, rather than a part of everything.",
    },
];

/// What has been set so far.
#[derive(Clone, Debug)]
pub struct ReportDraft {
    pub to: Vec<SocketAddr>,
    pub server: Option<String>,
    pub key_file: Option<PathBuf>,
    pub key: u8,
    pub bandwidth: u64,
    pub leave: Duration,
    pub names: Vec<(String, String)>,
}

impl Default for ReportDraft {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            server: None,
            key_file: None,
            key: 1,
            bandwidth: 0,
            leave: Duration::from_secs(25),
            names: Vec::new(),
        }
    }
}

impl ReportDraft {
    /// Checks what single fields cannot tell.
    ///
    /// # Errors
    /// What is wrong, with the paths of the fields that it concerns.
    pub fn finish(self) -> Result<Option<ReportConfig>, (About, Wrong)> {
        let about = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<About>();
        let (server, file) = match (self.to.is_empty(), self.server, self.key_file) {
            (true, None, None) => return Ok(None),
            (true, ..) => {
                let wrong = Wrong::new("there is no mapper to report to").hint("set report.to");
                return Err((about(&["report.to", "report.server", "report.key-file"]), wrong));
            }
            (false, None, _) => {
                let wrong = Wrong::new("reports need the name that mappers know this edge by");
                return Err((about(&["report.server", "report.to"]), wrong.hint("set report.server")));
            }
            (false, _, None) => {
                let wrong = Wrong::new("reports need a key").hint("set report.key-file");
                return Err((about(&["report.key-file", "report.to"]), wrong));
            }
            (false, Some(server), Some(file)) => (server, file),
        };
        if server.is_empty() || server.len() > 255 {
            return Err((about(&["report.server"]), Wrong::new("a name has 1 to 255 octets")));
        }
        let unusable = |why: String| (about(&["report.key-file"]), Wrong::new(why));
        let secret = std::fs::read_to_string(&file)
            .map_err(|error| unusable(format!("{}: cannot be read: {error}", file.display())))?;
        let mut keys = Keys::default();
        keys.add(self.key, secret.trim().as_bytes())
            .map_err(|error| unusable(format!("{}: {error}", file.display())))?;
        Ok(Some(ReportConfig {
            to: self.to,
            server,
            keys,
            key: self.key,
            bandwidth: self.bandwidth,
            leave: self.leave,
            names: self.names,
        }))
    }
}
