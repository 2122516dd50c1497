//! The files a mirror reads and writes: opened before it starts, so that a mistake is told at once, and closed in
//! order at its end.

use crate::config::{Config, StartError};
use crate::diffs::{Closing, DiffWriter, FORMAT, Header, Line};
use crate::live::Live;
use crate::say;
use crate::summary::Summary;
use capture::{About, Record, Recorder};
use compare::Waivers;
use exchange::{Source, Time};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;

/// The waivers, where there are any.
pub(crate) fn waivers(config: &Config) -> Result<Waivers, StartError> {
    let Some(path) = &config.waivers else { return Ok(Waivers::default()) };
    let text = std::fs::read_to_string(path).map_err(|e| {
        StartError::new(format!("cannot read the waivers in {}: {e}", path.display()), "Check the path.")
    })?;
    Waivers::parse(&text, &path.display().to_string())
        .map_err(|e| StartError::new(e.to_string(), "Correct the waiver file."))
}

/// Opens the file of differences.
pub(crate) fn diffs(config: &Config, started: Time) -> Result<Option<DiffWriter>, StartError> {
    let Some(path) = &config.diffs else { return Ok(None) };
    let header = Header {
        format: FORMAT,
        tool: "mirror".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        primary: config.primary.to_string(),
        candidate: config.candidate.to_string(),
        seed: config.seed,
        sample: config.sample.get(),
        started: started.to_string(),
    };
    DiffWriter::create(path, header).map(Some).map_err(|e| {
        StartError::new(
            format!("cannot write differences to {}: {e}", path.display()),
            "Give --diffs a file in a directory that exists and can be written.",
        )
    })
}

/// Opens the record; `room` bytes may wait for the disk.
pub(crate) fn recorder(
    config: &Config,
    listen: SocketAddr,
    started: Time,
    room: usize,
) -> Result<Option<Recorder<File>>, StartError> {
    let Some(path) = &config.record else { return Ok(None) };
    let about = About {
        tool: "mirror".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        source: listen.to_string(),
        created: Some(started),
        more: [("primary".to_owned(), config.primary.to_string())].into(),
    };
    let open = || -> Result<_, Box<dyn std::error::Error>> {
        // For its owner alone: it holds secrets.
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut writer = capture::Writer::new(file)?;
        writer.write(&Record::About(about))?;
        Ok(Recorder::start(writer, room)?)
    };
    open().map(Some).map_err(|e| {
        StartError::new(
            format!("cannot record to {}: {e}", path.display()),
            "Give --record a file in a directory that exists and can be written.",
        )
    })
}

/// Writes the record's end.
pub(crate) fn close_record(
    recorder: Option<Recorder<File>>,
    live: &Live,
    config: &Config,
    listen: SocketAddr,
    ended: Time,
) {
    let Some(recorder) = recorder else { return };
    let totals = live.ledger.totals();
    let ledger = capture::Ledger {
        source: Source { tool: "mirror".into(), at: listen.to_string() },
        time: Some(ended),
        unit: "requests".into(),
        total: totals.requests,
        states: totals.states.iter().map(|(state, n)| (state.reason().to_owned(), *n)).collect(),
    };
    let offered = recorder.offer(Record::Ledger(ledger)).is_ok();
    if let Err(error) = recorder.finish() {
        let path = config.record.as_deref().unwrap_or(std::path::Path::new(""));
        say(&format!("the record {} is not whole: {error}", path.display()));
        live.findings().record_error = Some(error.to_string());
    } else if !offered {
        live.findings().record_error = Some("the closing ledger found no room".into());
    }
}

/// Writes the end of the file of differences, and what writing came to into the summary.
pub(crate) fn close_diffs(mut diffs: DiffWriter, summary: &mut Summary, live: &Live) {
    let lines: Vec<_> = live.findings().stability().collect();
    lines.into_iter().for_each(|line| diffs.write(&Line::Stability(line)));
    diffs.flush();
    let lost = diffs.lost();
    let failed = diffs.failed().map(str::to_owned);
    {
        let mut findings = live.findings();
        findings.diffs_lost = findings.diffs_lost.max(lost);
        findings.diffs_error = failed.or(findings.diffs_error.take());
    }
    summary.numbers = live.numbers();
    diffs.write(&Line::Ledger(Closing {
        balances: summary.numbers.totals.is_settled(),
        exit_status: summary.outcome().exit_status(),
        totals: summary.numbers.totals.clone(),
        unwritten: lost,
        ended: summary.ended.to_string(),
    }));
    diffs.flush();
    if let Some(error) = diffs.failed() {
        live.findings().diffs_error.get_or_insert_with(|| error.to_owned());
    }
}
