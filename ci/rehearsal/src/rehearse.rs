//! The loop, step by step: world, builds, mirror, gate, verdict.

use crate::cli::Cli;
use crate::stage::{self, Build, Place, StageError, Tee};
use endpoint::{Clock, Origin, Settings};
use gate::run::{Options, Progress};
use replay::http::{Capture, Speed};
use replay::world::{Service, World};
use report::Report;
use std::io::{BufRead as _, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use thiserror::Error;

/// Where the origin listens for a candidate that somebody else runs, unless told otherwise: an address that can be
/// written into its configuration beforehand.
const KNOWN_ORIGIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// Why there is no verdict.
#[derive(Debug, Error)]
pub enum RehearsalError {
    #[error("{0}")]
    Stage(#[from] StageError),
    #[error("cannot read the capture {path}: {why}")]
    Capture { path: String, why: String },
    #[error("{0}; give another address with --origin-listen and point the candidate at it")]
    Origin(endpoint::Error),
    #[error("--candidate {0:?} is none of deviating, reference, nginx, varnish, and no http:// URL")]
    Candidate(String),
    #[error("could not judge: {0}")]
    Contact(String),
    #[error("{0}")]
    Deviation(String),
    #[error("driving traffic through the mirror: {0}")]
    Traffic(replay::http::Error),
    #[error("the {role} ended during the rehearsal; the end of its log:\n{log}")]
    Ended { role: &'static str, log: String },
}

/// Runs the whole loop. `say` prints a line for the person who watches.
pub async fn rehearse(
    cli: &Cli,
    place: &Place,
    clock: &Clock,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Report, RehearsalError> {
    let started = clock.now();
    wanted(cli, place).await?;
    let nonce = conformance::cli::nonce();

    let path = cli.capture();
    let unreadable = |why: String| RehearsalError::Capture { path: path.display().to_string(), why };
    let file = path.clone();
    let loaded = tokio::task::spawn_blocking(move || Capture::load(&file)).await;
    let capture = loaded.map_err(|e| unreadable(e.to_string()))?.map_err(|e| unreadable(e.to_string()))?;

    let by_url = cli.candidate.contains("://");
    let listen =
        cli.origin_listen.unwrap_or(if by_url { KNOWN_ORIGIN } else { (Ipv4Addr::LOCALHOST, 0).into() });
    let origin = Origin::bind(listen, Settings::default()).await.map_err(RehearsalError::Origin)?;
    say(&format!(
        "[1/6] The recorded world is the origin, on {}: {} transactions from {}.",
        origin.address(),
        capture.recorded.len(),
        capture.name
    ));
    let prefix = format!("/{nonce}m");
    let world = Arc::new(World::of(&*capture.recorded));
    let route = Service::new(world, prefix.clone(), clock.clone()).mount(&origin);

    let mut reference =
        Build::edge(place, "reference", "reference-cdn", &["edge"], reachable(origin.address())).await?;
    let advertise = cli.origin_advertise.as_deref().map_or_else(|| origin.address().to_string(), authority);
    let mut candidate = start_candidate(cli, place, &origin, &advertise, say).await?;
    say(&format!(
        "[2/6] The reference is the reference CDN's edge, {}; the candidate is {}, {}.",
        reference.url,
        describe(cli),
        candidate.url
    ));

    for (role, build) in [("reference", &reference), ("candidate", &candidate)] {
        let build = gate::run::Build { url: build.url.clone(), profile: None };
        gate::run::contact(role, &build, &advertise, &format!("{nonce}f"), &origin)
            .await
            .map_err(|fault| RehearsalError::Contact(format!("{}: {}", fault.phase, fault.what)))?;
    }
    let tee = Tee::start(place, &reference.url, &candidate.url).await?;
    say(&format!(
        "[3/6] Traffic goes to the reference through the mirror, {}, which copies it to the candidate.",
        tee.url
    ));
    let traffic = replay::http::Options {
        speed: Speed::Max,
        prefix,
        mark: true,
        ..replay::http::Options::new(&tee.url, "")
    };
    let driven =
        replay::http::drive(&capture, &traffic, clock, &|_, _| ()).await.map_err(RehearsalError::Traffic)?;
    let diffs = tee.stop().await;
    drop(route);
    say(&format!(
        "      {} requests sent, {} answered; each was compared beside the service.",
        driven.sent, driven.answered
    ));

    let options = Options {
        reference: gate::run::Build { url: reference.url.clone(), profile: reference.profile.clone() },
        candidate: gate::run::Build { url: candidate.url.clone(), profile: candidate.profile.clone() },
        advertise,
        captures: vec![path],
        mirror_diffs: Some(diffs),
        known: Default::default(),
        waivers: Default::default(),
        speed: Speed::Factor(1.0),
        nonce,
    };
    let tell = |progress: Progress<'_>| {
        if let Progress::Phase(phase) = progress {
            let step = match phase {
                p if p.starts_with("looking") => return,
                p if p.ends_with("on the reference") => "[4/6] The gate runs",
                p if p.starts_with("replay") => "[5/6] The gate does the",
                p if p.starts_with("the mirror") => "[6/6] The gate reads",
                _ => "      and",
            };
            say(&format!("{step} {phase} …"));
        }
    };
    let (evidence, found) = gate::run::run(&options, &origin, clock, &tell).await;
    if let Some(log) = reference.ended() {
        return Err(RehearsalError::Ended { role: "reference", log });
    }
    let died = candidate.ended();
    let mut report = gate::summary::report(&options, &evidence, &found, started, clock.now());
    if let Some(log) = died {
        report
            .notes
            .push(format!("The candidate's process ended during the rehearsal. The end of its log: {log}"));
    }
    candidate.stop().await;
    reference.stop().await;
    origin.shutdown().await;
    say("");
    Ok(report)
}

/// Looks at what was asked for, before anything is started.
async fn wanted(cli: &Cli, place: &Place) -> Result<(), RehearsalError> {
    let by_url = cli.candidate.starts_with("http://");
    if !by_url && !["deviating", "reference", "nginx", "varnish"].contains(&cli.candidate.as_str()) {
        return Err(RehearsalError::Candidate(cli.candidate.clone()));
    }
    if cli.deviation.is_some() && cli.candidate != "deviating" {
        return Err(RehearsalError::Deviation("--deviation is for the candidate `deviating`".into()));
    }
    if cli.profile.is_some() && !by_url {
        return Err(RehearsalError::Deviation("--profile is for a candidate given by URL".into()));
    }
    if cli.candidate == "deviating" {
        let list = stage::deviations(place).await?;
        let name = cli.deviation();
        if !list.lines().any(|line| line.split_whitespace().next() == Some(name)) {
            return Err(RehearsalError::Deviation(format!(
                "there is no deviation {name:?}; these are:\n{list}"
            )));
        }
    }
    Ok(())
}

async fn start_candidate(
    cli: &Cli,
    place: &Place,
    origin: &Origin,
    advertise: &str,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Build, RehearsalError> {
    let address = reachable(origin.address());
    Ok(match cli.candidate.as_str() {
        "deviating" => {
            Build::edge(place, "candidate", "faulty-edge", &["--deviation", cli.deviation()], address).await?
        }
        "reference" => Build::edge(place, "candidate", "reference-cdn", &["edge"], address).await?,
        "nginx" => Build::nginx(place, address).await?,
        "varnish" => Build::varnish(place, address).await?,
        url if url.starts_with("http://") => {
            say(&format!("      Your candidate must have http://{advertise} as its origin server."));
            if std::io::stdin().is_terminal() {
                say("      Press Enter when it has.");
                // A closed input is as good as Enter.
                let _ = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()))
                    .await;
            }
            Build::elsewhere(url, cli.profile.as_deref())?
        }
        other => return Err(RehearsalError::Candidate(other.to_owned())),
    })
}

fn describe(cli: &Cli) -> String {
    match cli.candidate.as_str() {
        "deviating" => format!("an edge with the deviation {}", cli.deviation()),
        "reference" => "the reference CDN's edge too".into(),
        "nginx" => "nginx with proxy_cache".into(),
        "varnish" => "Varnish".into(),
        _ => "your own build".into(),
    }
}

/// Where this machine reaches a listener on any address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        std::net::IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

/// `host:port` of a URL that somebody gave.
fn authority(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}
