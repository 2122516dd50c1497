//! Events as lines that a test can compare: bodies joined, times left out.

use wire::{Event, Parser, StartLine};

/// Everything a parser gives for bytes pushed so far, one line for each event.
pub fn drain(parser: &mut Parser, lines: &mut Vec<String>) {
    while let Some(event) = parser.next_event() {
        match event {
            Ok(event) => add(event, lines),
            Err(error) => lines.push(format!("error {error}")),
        }
    }
}

fn add(event: Event, lines: &mut Vec<String>) {
    let list =
        |anomalies: &[wire::Anomaly]| -> String { anomalies.iter().map(|a| format!(" <{a}>")).collect() };
    let line = match event {
        Event::Head(head) => {
            let start = match &head.start_line {
                StartLine::Request { method, target } => {
                    format!("{} {}", exchange::escape(method), exchange::escape(target))
                }
                StartLine::Response { status, reason } => format!("{status:03} {}", exchange::escape(reason)),
            };
            format!("{start} {} {:?} {:?}{}", head.version, head.fields, head.framing, list(&head.anomalies))
        }
        Event::Body { bytes, .. } => {
            let more = exchange::escape(&bytes);
            match lines.last_mut().filter(|l| l.starts_with("body ")) {
                Some(last) => {
                    last.push_str(&more);
                    return;
                }
                None => format!("body {more}"),
            }
        }
        Event::Trailers(trailers) => format!("trailers {:?}", trailers.fields),
        Event::End(end) => {
            let extensions: String =
                end.extensions.iter().map(|e| format!(" {}@{}", exchange::escape(&e.raw), e.at)).collect();
            let error = end.error.map(|e| format!(" error {e}")).unwrap_or_default();
            format!("end {:?} {}{extensions}{}{error}", end.ending, end.wire_length, list(&end.anomalies))
        }
        Event::Tunnel { bytes, .. } => {
            let more = exchange::escape(&bytes);
            match lines.last_mut().filter(|l| l.starts_with("tunnel ")) {
                Some(last) => {
                    last.push_str(&more);
                    return;
                }
                None => format!("tunnel {more}"),
            }
        }
        Event::PartialHead { raw, .. } => format!("partial head {}", exchange::escape(&raw)),
        Event::Resumed { skipped, .. } => format!("resumed after {skipped}"),
    };
    lines.push(line);
}
