//! The command line.

use crate::config::{Config, TagHeader, Target};
use crate::sample::{SampleBy, Share};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(
    name = "mirror",
    version,
    about = "Tees live traffic to a candidate without touching the service, and compares the answers",
    arg_required_else_help = true,
    after_help = "Examples:
  mirror http --listen 0.0.0.0:80 --primary http://10.0.0.1 --candidate http://10.0.0.2
  mirror completions bash > /etc/bash_completion.d/mirror

Exit status: 0 the answers agree, 1 they differ, 2 could not judge."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand in front of a service that speaks HTTP/1.1
    #[command(long_about = "Stand in front of a service that speaks HTTP/1.1.

Clients connect to the mirror. Their bytes go to the primary and its bytes go back, untouched; nothing of that waits \
for the candidate. Copies of the requests go to the candidate, its answers are compared with the primary's, and \
then thrown away. Ends on SIGTERM or SIGINT with a verdict and a ledger in which each request is in exactly one state.

When ready it prints one line of JSON with the addresses it listens on: on standard output, or on standard error where a \
report goes to standard output (--json -).")]
    Http(Box<Http>),
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mirror http --listen 0.0.0.0:80 --primary http://10.0.0.1 --candidate http://10.0.0.2
  mirror http --listen 127.0.0.1:0 --primary http://127.0.0.1:81 --candidate http://127.0.0.1:82 \\
      --diffs diffs.jsonl --record today.capture --admin 127.0.0.1:9090 --sample 10%
  mirror http --listen 127.0.0.1:8000 --primary http://old.test --candidate http://new.test \\
      --unsafe-methods --tag-header 'X-Mirrored: yes' --waivers waivers.toml --html report.html

Exit status: 0 the answers agree, 1 they differ, 2 could not judge.")]
pub(crate) struct Http {
    /// Address for clients; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The build that answers clients, as http://host:port
    #[arg(long, value_name = "URL")]
    primary: Target,
    /// The build under test, as http://host:port
    #[arg(long, value_name = "URL")]
    candidate: Target,
    /// Write differences as JSON lines
    #[arg(long, value_name = "FILE")]
    diffs: Option<PathBuf>,
    /// Record requests and the primary's answers whole, in the native capture format. The file holds secrets as they
    /// are: protect it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Serve /ledger, /metrics and /health here
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Accepted differences, as TOML
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,

    /// Share of the traffic to compare: 0.1, 10% or 1/10
    #[arg(long, value_name = "SHARE", default_value = "100%", help_heading = "What is compared")]
    sample: Share,
    /// What the sample is drawn by
    #[arg(long, value_name = "WHAT", default_value = "url", help_heading = "What is compared")]
    sample_by: SampleBy,
    /// Seed of the sample [default: from the clock, and shown]
    #[arg(long, value_name = "NUMBER", help_heading = "What is compared")]
    seed: Option<u64>,
    /// Send methods to the candidate that are not safe (POST, PUT, DELETE, ...)
    #[arg(long, help_heading = "What is compared")]
    unsafe_methods: bool,
    /// Add this field line to requests to the candidate
    #[arg(long, value_name = "LINE", help_heading = "What is compared")]
    tag_header: Option<TagHeader>,
    /// Least share of the requests to compare that must have been compared for a verdict
    #[arg(long, value_name = "SHARE", default_value = "95%", help_heading = "What is compared")]
    min_compared: Share,

    /// Most memory for copies of traffic, in bytes or with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size, help_heading = "Bounds")]
    memory: usize,
    /// How much of each body to keep for showing differences; all of it is hashed
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size, help_heading = "Bounds")]
    keep_body: usize,
    /// How much later than the primary's answer the candidate's may be, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Bounds")]
    candidate_timeout: Duration,
    /// Most connections to the candidate
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_535), help_heading = "Bounds")]
    candidate_connections: usize,
    /// Most client connections at once; further ones wait in the kernel's queue
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000), help_heading = "Bounds")]
    connections: usize,
    /// How long open exchanges may take to finish at the end
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Bounds")]
    drain: Duration,
    /// Threads that relay [default: one for each processor]
    #[arg(long, value_name = "NUMBER", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256), help_heading = "Bounds")]
    threads: Option<usize>,

    #[command(flatten)]
    pub outputs: report::Outputs,
    #[command(flatten)]
    secrets: report::ShowSecrets,
}

impl Http {
    /// Whether a report goes to standard output, which then holds nothing else.
    pub(crate) fn reports_to_stdout(&self) -> bool {
        let report::Outputs { json, junit, html } = &self.outputs;
        [json, junit, html].into_iter().flatten().any(|path| path.as_os_str() == "-")
    }

    /// The settings; `seed` is taken where none is given.
    pub(crate) fn config(&self, seed: u64) -> Config {
        Config {
            diffs: self.diffs.clone(),
            record: self.record.clone(),
            admin: self.admin,
            sample: self.sample,
            sample_by: self.sample_by,
            seed: self.seed.unwrap_or(seed),
            memory: self.memory,
            keep_body: self.keep_body,
            candidate_timeout: self.candidate_timeout,
            candidate_connections: self.candidate_connections,
            connections: self.connections,
            unsafe_methods: self.unsafe_methods,
            tag_header: self.tag_header.clone(),
            secrets: self.secrets.secrets(),
            waivers: self.waivers.clone(),
            drain: self.drain,
            min_compared: self.min_compared,
            threads: self.threads,
            ..Config::new(self.listen, self.primary.clone(), self.candidate.clone())
        }
    }
}

/// Bytes, with K, M or G for powers of 1024.
fn size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift));
    number.ok_or_else(|| "write a number of bytes, such as 65536, 64K, 64M or 1G".to_owned())
}

/// A time with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = |number: &str, unit: f64| {
        let number = number.parse::<f64>().ok()?;
        Duration::try_from_secs_f64(number * unit).ok()
    };
    let duration = if let Some(number) = text.strip_suffix("ms") {
        seconds(number, 1e-3)
    } else if let Some(number) = text.strip_suffix('s') {
        seconds(number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        seconds(number, 60.0)
    } else {
        None
    };
    // Timers end at some point, and a day is beyond what anybody waits for an answer.
    duration
        .filter(|d| *d <= Duration::from_secs(86_400))
        .ok_or_else(|| "write a time of up to a day with its unit, such as 500ms, 10s or 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("64K"), Ok(65_536));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "K", "é", "-1", "99999999999999999999G", "17179869184G"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["", "10", "s", "-1s", "infs", "NaNs", "2000m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
