//! Before anything is judged: does a request get through to the origin and back, and what does the way do to it?

mod stores;

pub use stores::Stores;

use crate::bench::{Answer, Page, Reply, Stage, Trial};
use crate::check::Stop;
use crate::run::CannotJudge;
use exchange::Fields;
use serde::Serialize;
use std::sync::Arc;
use stores::Answers;

/// What the way to the origin and back is like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preflight {
    /// Seconds that the candidate's clock is ahead of ours, where it told the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
    /// Request fields that the client sent and the origin did not get, or got changed.
    pub request_removed: Vec<String>,
    /// Request fields that the origin got and the client did not send.
    pub request_added: Vec<String>,
    /// Response fields that the origin sent and the client did not get, or got changed.
    pub response_removed: Vec<String>,
    /// Response fields that the client got and the origin did not send.
    pub response_added: Vec<String>,
    /// One letter for each request for one fresh page, eight or more: `m` reached the origin, `h` came from a store.
    pub pattern: String,
    /// Whether more than one store, or none, seems to answer.
    pub stores: Stores,
    /// How the candidate names itself in Via, Server and the like.
    pub names: Vec<String>,
    /// What stands before the suite's paths at the origin and at the candidate, where the two differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

/// Makes sure that the candidate is there and asks our origin; learns the rest on the way.
///
/// # Errors
/// The hop that fails, and what to do.
pub async fn fly(stage: Stage, advertise: &str) -> Result<(Stage, Preflight), CannotJudge> {
    let stage = contact(stage, advertise).await?;
    let stage = Arc::new(stage);
    let trial = Trial::new(stage.clone(), "preflight/measure");
    let preflight = measure(&trial).await.map_err(|stop| fault(&stop, advertise, &stage))?;
    drop(trial);
    // The trial and its pages are gone, so that nobody else holds the stage.
    match Arc::try_unwrap(stage) {
        Ok(stage) => Ok((stage, preflight)),
        Err(stage) => Ok((copy(&stage), preflight)),
    }
}

fn copy(stage: &Stage) -> Stage {
    let mut copy =
        Stage::new(stage.candidate.clone(), stage.origin.clone(), stage.nonce.clone(), stage.purger.clone());
    copy.origin_base.clone_from(&stage.origin_base);
    copy
}

/// The first request. Where the candidate maps paths, it tells how.
async fn contact(stage: Stage, advertise: &str) -> Result<Stage, CannotJudge> {
    let stage = Arc::new(stage);
    let trial = Trial::new(stage.clone(), "preflight/contact");
    let page = trial.page("page", Reply::ok().field("Cache-Control", "no-store"));
    let answer = page.get().answer().await.map_err(|stop| fault(&stop, advertise, &stage))?;
    let mut found = copy(&stage);
    if page.count() > 0 {
        return arrived(&page, &answer, &stage, advertise).map(|()| found);
    }
    let marker = format!("/{}/", stage.nonce);
    let elsewhere = stage.origin.unrouted().into_iter().rev().find_map(|received| {
        let path = String::from_utf8_lossy(received.request.path_and_query()).into_owned();
        path.split_once(&marker).map(|(before, _)| before.to_owned())
    });
    if let Some(base) = elsewhere {
        found.origin_base = base;
        return Ok(found);
    }
    let status = answer.status;
    let url = &stage.candidate.url;
    let (what, next) = if status >= 500 {
        (
            format!("the candidate at {url} answered {status}, so it cannot reach its origin"),
            format!(
                "Point the candidate at http://{advertise} and make sure that it can connect there from where it runs."
            ),
        )
    } else {
        (
            format!("the candidate at {url} answered {status}, but the origin did not see the request"),
            format!(
                "Point the candidate at http://{advertise}: now something else answers, the candidate itself or another origin."
            ),
        )
    };
    Err(CannotJudge { hop: "candidate to origin".into(), what, next })
}

/// The origin saw the request: did the client see the origin's answer?
fn arrived(page: &Page, answer: &Answer, stage: &Stage, advertise: &str) -> Result<(), CannotJudge> {
    let sent = page.reply(1).ok().and_then(|reply| reply.body.bytes);
    if answer.status == 200 && answer.body.bytes == sent {
        return Ok(());
    }
    Err(CannotJudge {
        hop: "origin to client".into(),
        what: format!(
            "the origin at {advertise} answered 200, the client of {} got status {} with {} bytes of other content",
            stage.candidate.url, answer.status, answer.body.length
        ),
        next: "Let the candidate relay plain text responses unchanged, or look into its error log.".into(),
    })
}

fn fault(stop: &Stop, advertise: &str, stage: &Stage) -> CannotJudge {
    let url = &stage.candidate.url;
    let hop = "client to candidate".to_owned();
    match stop {
        Stop::Dropped(why) if why.contains(Stop::NO_CONNECTION) => CannotJudge {
            hop,
            what: format!("cannot connect to the candidate {url}: {}", after(why, Stop::NO_CONNECTION)),
            next: format!("Start the candidate, with http://{advertise} as its origin, and check the URL."),
        },
        Stop::Hung(why) => CannotJudge {
            hop,
            what: format!("the candidate {url} took a request and did not answer: {why}"),
            next: format!("If it waits for its origin: that is http://{advertise}."),
        },
        Stop::Harness(why) => CannotJudge {
            hop: "this program".into(),
            what: why.clone(),
            next: "This is no verdict on the candidate; try again.".into(),
        },
        Stop::Dropped(why) | Stop::Broken(why) | Stop::Nothing(why) => CannotJudge {
            hop,
            what: format!("the candidate {url} does not answer with HTTP: {why}"),
            next: "Give the address of its clear-text HTTP/1.1 listener.".into(),
        },
    }
}

fn after<'t>(text: &'t str, mark: &str) -> &'t str {
    text.split_once(mark).map_or(text, |(_, rest)| rest)
}

/// What is learned by looking at a few requests from both ends.
async fn measure(trial: &Trial) -> Result<Preflight, Stop> {
    let mut preflight = Preflight::default();
    let page = trial.page(
        "fields",
        Reply::ok().field("Cache-Control", "no-store").field("X-Probe", "1").field("Server", "suite"),
    );
    let ask = page
        .get()
        .field("User-Agent", "conformance")
        .field("Accept", "text/plain")
        .field("Accept-Encoding", "gzip")
        .field("Cookie", "a=1")
        .field("Cache-Control", "max-age=0")
        .field("X-Probe", "1");
    let sent: Fields = [
        ("Host", trial.authority()),
        ("User-Agent", "conformance"),
        ("Accept", "text/plain"),
        ("Accept-Encoding", "gzip"),
        ("Cookie", "a=1"),
        ("Cache-Control", "max-age=0"),
        ("X-Probe", "1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let answer = ask.answer().await?;
    if let (Ok(request), Ok(reply)) = (page.request(1), page.reply(1)) {
        preflight.request_removed = missing(&sent, &request.fields);
        preflight.request_added = added(&sent, &request.fields);
        preflight.response_removed = missing(&reply.fields, &answer.fields);
        preflight.response_added = added(&reply.fields, &answer.fields);
    }
    names(&mut preflight.names, &answer);

    let undated = trial.page("clock", Reply::ok().undated().field("Cache-Control", "no-store"));
    let before = trial.now();
    let answer = undated.get().answer().await?;
    if let Some(date) = answer.fields.get_str("Date").and_then(|d| httpdate::parse_http_date(d).ok()) {
        let theirs = date.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let ahead = i64::try_from(theirs).unwrap_or(i64::MAX) - before.seconds();
        // Date has whole seconds and the request took a while: a second either way is no skew.
        preflight.clock_ahead = Some(if ahead.abs() <= 1 { 0 } else { ahead });
    }

    let fresh = trial.page("stores", Reply::fresh(3600));
    let mut answers = Answers::default();
    preflight.stores = loop {
        let answer = fresh.get().answer().await?;
        answers.push(answer.number(), answer.from_store());
        names(&mut preflight.names, &answer);
        if let Some(stores) = answers.verdict() {
            break stores;
        }
    };
    preflight.pattern = answers.pattern();
    let (ours, theirs) = (&trial.candidate().base, trial.origin_base());
    if ours != theirs {
        preflight.base = Some(format!("`{ours}` at the candidate is `{theirs}` at the origin"));
    }
    Ok(preflight)
}

fn names(names: &mut Vec<String>, answer: &Answer) {
    for field in ["Via", "Server", "X-Served-By", "X-Cache-Hits"] {
        for value in answer.fields.get_all(field) {
            let name = format!("{field}: {}", exchange::escape(value));
            if !names.contains(&name) && names.len() < 20 {
                names.push(name);
            }
        }
    }
}

/// Names of fields of `sent` that `got` lacks or has with another value.
fn missing(sent: &Fields, got: &Fields) -> Vec<String> {
    let differs = |name: &str| sent.combined(name) != got.combined(name);
    let mut names: Vec<String> =
        sent.iter().map(|f| exchange::escape(&f.name)).filter(|name| differs(name)).collect();
    names.dedup();
    names
}

/// Names of fields of `got` that `sent` lacks.
fn added(sent: &Fields, got: &Fields) -> Vec<String> {
    let mut names: Vec<String> =
        got.iter().map(|f| exchange::escape(&f.name)).filter(|name| !sent.contains(name)).collect();
    names.dedup();
    names
}
