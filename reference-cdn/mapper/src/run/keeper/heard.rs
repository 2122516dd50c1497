//! What becomes of load reports, and who is told of it.

use control::load_report::LoadReport;

use super::Keeper;
use crate::conditions::Taken;

/// What became of the reports of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub taken: usize,
    pub others: usize,
    /// Of those that were not taken, why; the first ones.
    pub why: Vec<String>,
}

/// Reports of one document of which it is told why they were not taken.
const MOST_TOLD: usize = 100;

impl Keeper {
    /// Takes reports; whoever asks is told what became of them.
    pub(super) fn take(&mut self, reports: &[LoadReport], mut told: Option<&mut Told>) {
        self.waiting.taken(reports.len());
        let Some(map) = &self.map else { return };
        let zones: Vec<&str> = self.config.steered_zones().collect();
        let (now, unix) = ((self.outside.monotonic)(), (self.outside.unix)());
        let mut labels = Vec::new();
        for (at, report) in reports.iter().enumerate() {
            let key = self.by_name.get(&report.server).copied();
            let taken = self.watch.report(now, unix, key, report, |name| {
                let below = zones.iter().find_map(|zone| name.strip_suffix(zone)?.strip_suffix('.'))?;
                crate::map::wire_into(below, &mut labels)?;
                map.names().find(&labels)
            });
            *self.taken.entry(taken).or_default() += 1;
            let server = report.server.as_str();
            match taken {
                Taken::Unknown if self.strangers.name(now, server) => tracing::warn!(
                    server,
                    "load reports of a server that the network does not have: correct its report.server, or the network; further ones \
                     are counted (of-unknown-servers), and named again in an hour"
                ),
                Taken::Clock if self.late.name(now, server) => tracing::warn!(
                    server,
                    "load reports are not believed, since {}: set one of the clocks right; further ones are counted \
                     (with-a-wrong-clock), and named again in an hour",
                    off(report.sent, unix)
                ),
                _ => {}
            }
            let Some(told) = told.as_deref_mut() else { continue };
            if taken == Taken::Taken {
                told.taken += 1;
                continue;
            }
            told.others += 1;
            if told.why.len() < MOST_TOLD {
                let why = match taken {
                    Taken::Taken => continue,
                    Taken::Unknown => "the network has no server of that name".into(),
                    Taken::Old => "old: its start or number is not later than that of the last".into(),
                    Taken::Clock => off(report.sent, unix),
                };
                told.why.push(format!("report {} ({server}): {why}", at + 1));
            }
        }
    }
}

/// How far a sender's clock is off.
fn off(sent: u64, unix: u64) -> String {
    let seconds = sent.abs_diff(unix) / 1000;
    let which = if sent > unix { "ahead of" } else { "behind" };
    format!("its clock is {seconds} s {which} this mapper's")
}
