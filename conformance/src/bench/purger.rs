//! How to purge one URL at the candidate, as the profile says.

use super::trial::Trialled;
use super::{Candidate, Page, Trial};
use crate::check::Stop;
use exchange::{Body, Fields, Request};
use std::fmt;
use std::net::ToSocketAddrs as _;
use std::time::Duration;

/// A way to purge. Texts may hold `{url}`, `{host}`, `{path}` and `{candidate}`, replaced for each purge.
#[derive(Clone)]
pub enum Purger {
    Http {
        method: String,
        url: String,
        fields: Vec<(String, String)>,
        body: Option<String>,
        /// Statuses that acknowledge a purge; empty: any 2xx.
        accepted: Vec<u16>,
        credentials: Option<Secret>,
    },
    /// A program with its arguments; exit status 0 acknowledges.
    Command { program: String, arguments: Vec<String> },
}

/// A field that authorises a purge. Never printed.
#[derive(Clone)]
pub struct Secret {
    pub field: String,
    /// With `{secret}` in it.
    pub value: String,
    pub secret: String,
}

/// Which credentials to send with a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    Right,
    Wrong,
    None,
}

/// What came of a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    acknowledged: bool,
    status: Option<u16>,
    text: String,
}

impl Purged {
    /// Whether the candidate said that it purged.
    pub fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// How it was answered, in words.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was refused for want of credentials.
    pub fn refused(&self) -> bool {
        matches!(self.status, Some(401 | 403 | 404 | 405))
    }

    /// Whether it was answered without a server error.
    pub fn harmless(&self) -> bool {
        self.acknowledged || self.status.is_some_and(|s| s < 500)
    }
}

impl Purger {
    /// What a check says when there is none.
    pub const MISSING: &'static str = "no profile says how to purge; give --profile FILE with, for instance:\n\
         [purge]\nmethod = \"PURGE\"\nurl = \"{candidate}{path}\"\nheaders = { Host = \"{host}\" }";

    /// Purges what `url` names. `authority` and `path` are those of the URL.
    async fn purge(&self, trial: &Trial, page: &Page, credentials: Credentials) -> Result<Purged, Stop> {
        let candidate = &trial.stage().candidate;
        let fill = |text: &str| filled(text, candidate, page);
        match self {
            Purger::Http { method, url, fields, body, accepted, credentials: secret } => {
                let (url, body) = (fill(url), body.as_deref().map(fill));
                let (peer, authority, target) = split(&url)
                    .map_err(|why| Stop::Nothing(format!("the profile's purge.url gives `{url}`: {why}")))?;
                let mut request = Request::new(method.clone(), target, Fields::new());
                if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
                    request.fields.push("Host", authority);
                }
                for (name, value) in fields {
                    request.fields.push(name.clone(), fill(value));
                }
                if let Some(body) = body {
                    request.fields.push("Content-Length", body.len().to_string());
                    request.body = Body::complete(body);
                }
                let how = match (credentials, secret) {
                    (Credentials::Right, Some(_)) => "with its credentials",
                    (Credentials::Wrong, Some(_)) => "with wrong credentials",
                    _ => "without credentials",
                };
                trial.event(format!("purge {how}: {method} {url}"));
                match (credentials, secret) {
                    (Credentials::Right, Some(s)) => {
                        request.fields.push(s.field.clone(), s.value.replace("{secret}", &s.secret));
                    }
                    (Credentials::Wrong, Some(s)) => {
                        request.fields.push(s.field.clone(), s.value.replace("{secret}", "not-the-secret"));
                    }
                    _ => {}
                }
                let settings = &trial.stage().settings;
                let reply = endpoint::fetch(peer, &request, settings).await.map_err(|error| {
                    Stop::Nothing(format!("the purge did not work, is the profile right? {error}"))
                })?;
                let status = reply.response.status;
                trial.event(format!("the purge was answered {status}"));
                let acknowledged = if accepted.is_empty() {
                    (200..300).contains(&status)
                } else {
                    accepted.contains(&status)
                };
                Ok(Purged { acknowledged, status: Some(status), text: format!("with status {status}") })
            }
            Purger::Command { program, arguments } => {
                let arguments: Vec<String> = arguments.iter().map(|a| fill(a)).collect();
                trial.event(format!("purge: {program} {}", arguments.join(" ")));
                let run = tokio::process::Command::new(program)
                    .args(&arguments)
                    .stdin(std::process::Stdio::null())
                    .kill_on_drop(true)
                    .output();
                let output = tokio::time::timeout(Duration::from_secs(10), run)
                    .await
                    .map_err(|_| Stop::Nothing(format!("the purge command {program} took more than 10 s")))?
                    .map_err(|error| {
                        Stop::Nothing(format!("the purge command {program} cannot run: {error}"))
                    })?;
                let said =
                    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
                let text = format!("by {} {said}", output.status);
                trial.event(format!("the purge was answered {text}"));
                Ok(Purged { acknowledged: output.status.success(), status: None, text })
            }
        }
    }
}

impl Trialled<'_> {
    /// Purges the page; the candidate must acknowledge.
    pub async fn accepted(&self, page: &Page) -> Result<(), Stop> {
        let purged = self.of(page).await?;
        if purged.acknowledged {
            return Ok(());
        }
        let text = format!("the purge of {} was answered {}", page.url(), purged.text);
        Err(if purged.harmless() {
            Stop::Nothing(format!("{text}; is the profile right?"))
        } else {
            Stop::Broken(text)
        })
    }

    /// Purges the page.
    pub async fn of(&self, page: &Page) -> Result<Purged, Stop> {
        self.with(page, Credentials::Right).await
    }

    /// Purges the page with these credentials.
    pub async fn with(&self, page: &Page, credentials: Credentials) -> Result<Purged, Stop> {
        self.purger.purge(self.trial, page, credentials).await
    }

    pub fn has_credentials(&self) -> bool {
        matches!(self.purger, Purger::Http { credentials: Some(_), .. })
    }
}

fn filled(text: &str, candidate: &Candidate, page: &Page) -> String {
    text.replace("{candidate}", &format!("http://{}", candidate.authority))
        .replace("{url}", &page.url())
        .replace("{host}", &candidate.authority)
        .replace("{path}", &page.path())
}

/// Address, authority and target of a URL.
fn split(url: &str) -> Result<(std::net::SocketAddr, String, String), String> {
    let rest = url.strip_prefix("http://").ok_or("it does not begin with http://")?;
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let with_port = if authority.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok()) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let peer = with_port
        .to_socket_addrs()
        .map_err(|error| format!("its host cannot be looked up: {error}"))?
        .next()
        .ok_or("its host has no address")?;
    let target = if target.is_empty() { "/" } else { target };
    Ok((peer, authority.to_owned(), target.to_owned()))
}

impl fmt::Debug for Purger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Purger::Http { method, url, .. } => write!(f, "Purger({method} {url})"),
            Purger::Command { program, .. } => write!(f, "Purger({program})"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.field)
    }
}
