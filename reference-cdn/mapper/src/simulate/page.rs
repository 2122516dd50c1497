//! The outcome as a page: load of each server over time.

use super::Outcome;

const WIDTH: usize = 1000;
const HEIGHT: usize = 300;
const LEFT: usize = 50;
const TOP: usize = 20;

/// An HTML page with its pictures in it, without anything fetched from elsewhere.
pub fn page(outcome: &Outcome, title: &str) -> String {
    let seconds = outcome.loads.len().max(1);
    let peak = outcome.loads.iter().flatten().copied().max().unwrap_or(0).max(1000);
    let mut body = String::new();
    let x = |second: usize| LEFT + second * WIDTH / seconds;
    let y = |load: u32| TOP + HEIGHT - (load as usize * HEIGHT / peak as usize);
    let mut svg = frame(seconds, peak, "load in thousandths of what a server can do");
    for (load, class, label) in [
        (outcome.rules.first, "first", "first threshold"),
        (outcome.rules.second, "second", "second threshold"),
    ] {
        let at = y(u32::from(load));
        svg += &format!(
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\"/><text class=\"note\" x=\"{}\" y=\"{}\">{label}</text>",
            LEFT + WIDTH,
            LEFT + WIDTH + 6,
            at + 4
        );
    }
    for server in 0..outcome.servers.len() {
        let points: Vec<String> = outcome
            .loads
            .iter()
            .enumerate()
            .map(|(second, loads)| format!("{},{}", x(second), y(loads[server])))
            .collect();
        let hue = server * 137 % 360;
        svg += &format!(
            "<polyline class=\"server\" style=\"stroke:hsl({hue} 60% 45%)\" points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            escape(&outcome.servers[server])
        );
    }
    for (number, (at, _)) in outcome.events.iter().enumerate() {
        let at = x(usize::try_from(*at).unwrap_or(0).min(seconds));
        svg += &format!(
            "<line class=\"event\" x1=\"{at}\" x2=\"{at}\" y1=\"{TOP}\" y2=\"{}\"/><text class=\"note\" x=\"{}\" y=\"{}\">{}</text>",
            TOP + HEIGHT,
            at + 3,
            TOP + 12,
            number + 1
        );
    }
    body += &format!("<h2>Load of each server</h2>\n{svg}</svg>\n");
    let counts = [
        ("Extra copies", outcome.extra_copies.iter().map(|n| u64::from(*n)).collect::<Vec<_>>()),
        (
            "Servers past the second threshold, not named",
            outcome.overloaded.iter().map(|n| u64::from(*n)).collect(),
        ),
        ("Servers that failed, not named", outcome.failed.iter().map(|n| u64::from(*n)).collect()),
        ("Requests per second that met a server that was down", outcome.lost.clone()),
        ("Requests per second without an address", outcome.unanswered.clone()),
    ];
    for (name, values) in counts {
        let most = values.iter().copied().max().unwrap_or(0);
        if most == 0 {
            body += &format!("<h2>{name}</h2>\n<p>None at any time.</p>\n");
            continue;
        }
        let points: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(second, value)| {
                format!(
                    "{},{}",
                    x(second),
                    TOP + HEIGHT - (*value as u128 * HEIGHT as u128 / u128::from(most)) as usize
                )
            })
            .collect();
        let peak = u32::try_from(most).unwrap_or(u32::MAX);
        body += &format!(
            "<h2>{name}</h2>\n{}<polyline class=\"count\" points=\"{}\"/></svg>\n",
            frame(seconds, peak, ""),
            points.join(" ")
        );
    }
    let events: String =
        outcome.events.iter().map(|(at, what)| format!("<li>second {at}: {}</li>", escape(what))).collect();
    let (longest, server) = &outcome.longest_over;
    let over = if *longest == 0 {
        "No server was above the second threshold at any time.".to_owned()
    } else {
        format!("Longest above the second threshold: {longest} s ({}).", escape(server))
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n\
         <p>{} servers, {seconds} s, answers live {} s. {over}</p>\n<ol>{events}</ol>\n{body}</html>\n",
        outcome.servers.len(),
        outcome.rules.lifetime_seconds,
        title = escape(title),
    )
}

impl Outcome {
    /// A summary for people; `wrong` is what does not hold.
    pub fn to_text(&self, wrong: Option<&String>) -> String {
        let most = |values: &[u32]| values.iter().max().copied().unwrap_or(0);
        let peak = self
            .loads
            .iter()
            .enumerate()
            .flat_map(|(second, loads)| loads.iter().map(move |load| (*load, second)));
        let (peak, at) =
            peak.max_by_key(|(load, second)| (*load, std::cmp::Reverse(*second))).unwrap_or((0, 0));
        let mut text = format!(
            "{} servers, {} s\nhighest load      {:.0} % of what a server can do, in second {at}\n",
            self.servers.len(),
            self.loads.len(),
            f64::from(peak) / 10.0
        );
        text += &match &self.longest_over {
            (0, _) => "past the second threshold: never\n".to_owned(),
            (seconds, server) => format!("past the second threshold: {seconds} s at the longest, {server}\n"),
        };
        text += &format!(
            "at once at most   {} extra copies, {} servers overloaded, {} failed\n",
            most(&self.extra_copies),
            most(&self.overloaded),
            most(&self.failed)
        );
        let requests = |values: &[u64]| values.iter().sum::<u64>();
        text += &format!(
            "requests          {} met a server that was down, {} got no address\n",
            requests(&self.lost),
            requests(&self.unanswered)
        );
        text += &match wrong {
            None => "holds\n".to_owned(),
            Some(wrong) => format!("does not hold: {wrong}\n"),
        };
        text
    }
}

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.5rem 0 0}svg{width:100%;height:auto}\
text{font:11px system-ui,sans-serif;fill:#555}.axis{stroke:#bbb}.server{fill:none;stroke-width:1;opacity:.7}\
.count{fill:none;stroke:#1f6fb2;stroke-width:1.5}.first{stroke:#c90;stroke-dasharray:5 4}\
.second{stroke:#c22;stroke-dasharray:5 4}.event{stroke:#888;stroke-dasharray:2 3}";

/// A picture that is not closed yet, with its axes.
fn frame(seconds: usize, peak: u32, label: &str) -> String {
    let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{label}\">\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{peak}</text><text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
        right + 110,
        bottom + 25,
        LEFT - 5,
        TOP + 10,
        LEFT - 5
    );
    for part in 0..=4 {
        let at = LEFT + WIDTH * part / 4;
        svg += &format!(
            "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{} s</text>",
            bottom + 16,
            seconds * part / 4
        );
    }
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
