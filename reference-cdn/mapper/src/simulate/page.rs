//! The outcome as a page: load of each server over time. And as text.

use std::fmt::Write as _;

use super::{Happened, NotRelieved, Outcome, Over};

/// A picture is so many units wide and high, whatever the size at which it is shown.
const SIDE: u64 = 1000;
/// Servers with a line of their own, and a colour in `STYLE`; those that were loaded most. The others are shown as one band.
const NAMED: usize = 8;
/// Points of a line at most: of the seconds between two of them the highest is shown, so that no peak is lost.
const POINTS: usize = 1000;
/// Marks of an axis at most, beside 0.
const MARKS: u64 = 5;

/// An HTML page with its pictures in it, without anything fetched from elsewhere; `wrong` is what does not hold.
pub fn page(outcome: &Outcome, title: &str, wrong: Option<&String>) -> String {
    let verdict = match wrong {
        None => "<p class=\"verdict good\"><b>Holds</b> No server was above the second threshold for too long, and all that was extra was given back.</p>".to_owned(),
        Some(wrong) => format!("<p class=\"verdict bad\"><b>Does not hold</b> {}.</p>", escape(wrong)),
    };
    let mut body = format!("<h2>Load of each server, in per cent of what it can do</h2>\n{}", loads(outcome));
    let mut never = Vec::new();
    let wide = |values: &[u32]| values.iter().map(|value| u64::from(*value)).collect::<Vec<_>>();
    for (name, values) in [
        ("Extra copies", wide(&outcome.extra_copies)),
        ("Servers past the second threshold, not named", wide(&outcome.overloaded)),
        ("Servers that failed, not named", wide(&outcome.failed)),
        ("Requests per second that met a server that was down", outcome.lost.clone()),
        ("Requests per second without an address", outcome.unanswered.clone()),
    ] {
        match values.iter().max() {
            None | Some(0) => never.push(name),
            Some(most) => {
                let axis = Axis::up_to(*most);
                let line =
                    format!("<polyline class=\"count\" points=\"{}\"/>", points(&values, axis, u64::max));
                let picture = picture(outcome, axis, "low", &line, &|value| value.to_string(), name);
                let _ = write!(body, "<h2>{name}</h2>\n{picture}");
            }
        }
    }
    if !never.is_empty() {
        let _ = writeln!(body, "<h2>None at any time</h2>\n<p>{}.</p>", never.join("; "));
    }
    let event = |Happened { from, to, what }: &Happened| {
        let when =
            to.map_or_else(|| format!("Second {from} to the end"), |to| format!("Second {from} to {to}"));
        format!("<li>{when}: {}</li>", escape(what))
    };
    let events: String = outcome.events.iter().map(event).collect();
    let over = outcome.longest_over.as_ref().map_or_else(
        || "No server was above the second threshold at any time.".to_owned(),
        |Over { seconds, server }| {
            format!("Longest above the second threshold: {seconds} s ({}).", escape(server))
        },
    );
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n{verdict}\n\
         <p>{} servers, {} s, answers live {} s. {over}</p>\n<ol>{events}</ol>\n{body}</html>\n",
        outcome.servers.len(),
        outcome.loads.len(),
        outcome.rules.lifetime_seconds,
        title = escape(title),
    )
}

/// The picture of all loads, and whose lines they are.
fn loads(outcome: &Outcome) -> String {
    let of = |server: usize| outcome.loads.iter().map(|loads| u64::from(loads[server])).collect::<Vec<_>>();
    let peak = |server: usize| {
        let loads = outcome.loads.iter().enumerate();
        loads
            .map(|(at, loads)| (loads[server], std::cmp::Reverse(at)))
            .max()
            .unwrap_or((0, std::cmp::Reverse(0)))
    };
    let mut peaks: Vec<_> = (0..outcome.servers.len()).map(|server| (peak(server), server)).collect();
    peaks.sort_by_key(|((load, _), server)| (std::cmp::Reverse(*load), *server));
    let (named, others) = peaks.split_at(peaks.len().min(NAMED));
    let highest = peaks.first().map_or(0, |((load, _), _)| u64::from(*load));
    let axis = Axis::up_to(highest.max(1000));

    let (mut lines, mut legend) = (String::new(), String::new());
    if !others.is_empty() {
        let among = |pick: fn(u64, u64) -> u64| {
            let second =
                |loads: &Vec<u32>| others.iter().map(|(_, server)| u64::from(loads[*server])).reduce(pick);
            let values: Vec<u64> = outcome.loads.iter().map(|loads| second(loads).unwrap_or(0)).collect();
            points(&values, axis, pick)
        };
        let (above, below) = (among(u64::max), among(u64::min));
        let back: Vec<&str> = below.split(' ').rev().collect();
        let _ = write!(lines, "<polygon class=\"others\" points=\"{above} {}\"/>", back.join(" "));
    }
    let mut over = String::new();
    for (number, ((load, std::cmp::Reverse(at)), server)) in named.iter().enumerate() {
        let name = escape(&outcome.servers[*server]);
        // Every other one is dashed and drawn later, so that two that lie on each other are both seen.
        let dashed = number % 2 == 1;
        let class = format!("server s{number}{}", if dashed { " dashed" } else { "" });
        let line = points(&of(*server), axis, u64::max);
        let into = if dashed { &mut over } else { &mut lines };
        let _ =
            write!(into, "<polyline class=\"{class}\" points=\"{line}\"><title>{name}</title></polyline>");
        let _ = write!(
            legend,
            "<li><svg viewBox=\"0 0 30 10\"><path class=\"{class}\" d=\"M0 5H30\"/></svg>{name} <small>at most {}, second {at}</small></li>",
            percent((*load).into())
        );
    }
    lines += &over;
    if let Some(((load, _), _)) = others.first() {
        let _ = write!(
            legend,
            "<li><svg viewBox=\"0 0 30 10\"><path class=\"others\" d=\"M0 0H30V10H0z\"/></svg>{} more, from the least to the most loaded <small>at most {}</small></li>",
            others.len(),
            percent((*load).into())
        );
    }
    let mut notes = String::new();
    for (load, class, name) in [
        (outcome.rules.first, "below", "first threshold"),
        (outcome.rules.second, "above", "second threshold"),
    ] {
        let at = axis.down(load.into());
        let _ = write!(lines, "<path class=\"rule\" d=\"M0 {at}H{SIDE}\"/>");
        let _ = write!(
            notes,
            "<span class=\"rule {class}\" style=\"top:{}\">{name}, {}</span>",
            share(at, SIDE),
            percent(load.into())
        );
    }
    let picture = picture(outcome, axis, "high", &lines, &percent, "load of each server over time");
    let end = "</div>\n";
    let picture = picture.strip_suffix(end).unwrap_or(&picture);
    format!("{picture}{notes}{end}<ul class=\"legend\">{legend}</ul>\n")
}

/// Marks from 0 to a top that is a round number.
#[derive(Clone, Copy)]
struct Axis {
    step: u64,
    top: u64,
}

impl Axis {
    /// The top is no less than this.
    fn up_to(most: u64) -> Self {
        let mut decade = 1_u64;
        loop {
            for factor in [1, 2, 5] {
                let step = decade.saturating_mul(factor);
                if step.saturating_mul(MARKS) >= most {
                    return Self { step, top: most.max(1).div_ceil(step).saturating_mul(step) };
                }
            }
            decade = decade.saturating_mul(10);
        }
    }

    /// How far below the top of the picture.
    fn down(self, value: u64) -> u64 {
        SIDE.saturating_sub(scaled(value, self.top))
    }

    fn marks(self, most: u64) -> impl Iterator<Item = u64> {
        (0..=MARKS).map(move |mark| mark.saturating_mul(self.step)).filter(move |value| *value <= most)
    }
}

/// A value as a part of the whole, in units of a picture.
fn scaled(value: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(SIDE) / u128::from(whole.max(1))).unwrap_or(SIDE)
}

/// The same for CSS.
fn share(value: u64, whole: u64) -> String {
    let thousandths = scaled(value, whole);
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

fn percent(thousandths: u64) -> String {
    format!("{} %", (thousandths + 5) / 10)
}

/// A line through values, one a second; of those that share a point, `pick` says which counts.
fn points(values: &[u64], axis: Axis, pick: fn(u64, u64) -> u64) -> String {
    let seconds = values.len();
    let count = seconds.min(POINTS);
    let mut line = String::new();
    let mut last = 0;
    for number in 0..count {
        let (from, to) = (number * seconds / count, (number + 1) * seconds / count);
        last = axis.down(values[from..to].iter().copied().reduce(pick).unwrap_or(0));
        let _ = write!(line, "{},{last} ", scaled(from as u64, seconds as u64));
    }
    // The last second lasts, too.
    let _ = write!(line, "{SIDE},{last}");
    line
}

/// Lines with axes around them, and with the events. What is written stands beside the picture, so that it is as large on a small screen.
fn picture(
    outcome: &Outcome,
    axis: Axis,
    height: &str,
    lines: &str,
    unit: &dyn Fn(u64) -> String,
    label: &str,
) -> String {
    let seconds = outcome.loads.len().max(1) as u64;
    let (mut drawn, mut written) = (String::new(), String::new());
    for value in axis.marks(axis.top) {
        let at = axis.down(value);
        let _ = write!(drawn, "<path class=\"grid\" d=\"M0 {at}H{SIDE}\"/>");
        let _ = write!(written, "<span class=\"y\" style=\"top:{}\">{}</span>", share(at, SIDE), unit(value));
    }
    for second in Axis::up_to(seconds).marks(seconds) {
        let at = share(second, seconds);
        let _ = write!(written, "<span class=\"x\" style=\"left:{at}\">{second} s</span>");
    }
    // Where the numbers of two events would stand on each other, one is written for both.
    let mut groups: Vec<(u64, usize, usize)> = Vec::new();
    for (number, event) in outcome.events.iter().enumerate().filter(|(_, event)| event.from < seconds) {
        let to = event.to.unwrap_or(seconds).min(seconds);
        let wide = share(to.saturating_sub(event.from), seconds);
        let at = scaled(event.from, seconds);
        let _ = write!(written, "<i style=\"left:{};width:{wide}\"></i>", share(at, SIDE));
        match groups.last_mut() {
            Some((first, _, to)) if at < *first + SIDE / 20 => *to = number + 1,
            _ => groups.push((at, number + 1, number + 1)),
        }
    }
    for (at, from, to) in groups {
        let numbers = if from == to { from.to_string() } else { format!("{from}–{to}") };
        let _ = write!(written, "<span class=\"event\" style=\"left:{}\">{numbers}</span>", share(at, SIDE));
    }
    format!(
        "<div class=\"plot {height}\"><svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\">{drawn}{lines}</svg>{written}</div>\n"
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
            None => "past the second threshold: never\n".to_owned(),
            Some(Over { seconds, server }) => {
                format!("past the second threshold: {seconds} s at the longest, {server}\n")
            }
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
        for NotRelieved { site, seconds, why } in self.unrelieved.iter().take(NAMED) {
            let _ = writeln!(text, "not relieved      site {site}, over for {seconds} s: {why}");
        }
        text += &match wrong {
            None => "holds\n".to_owned(),
            Some(wrong) => format!("does not hold: {wrong}\n"),
        };
        text
    }
}

const STYLE: &str = "\
:root{--page:#fff;--ink:#1c2128;--soft:#57606a;--line:#d5dae1;--lasts:#57606a14;--good:#11703a;--bad:#b42318;--good-soft:#e4f4ea;--bad-soft:#fdecea;\
--s0:#1f6fb2;--s1:#c46a00;--s2:#1a7f5a;--s3:#8a4fb5;--s4:#0b8a9e;--s5:#b8418f;--s6:#7a6a00;--s7:#5b6b7b}\
@media(prefers-color-scheme:dark){:root{--page:#14171c;--ink:#e4e8ee;--soft:#a3adb9;--line:#363d47;--lasts:#a3adb91c;--good:#5fd08b;--bad:#ff8a7d;\
--good-soft:#15301f;--bad-soft:#3c1b18;\
--s0:#6cb4f0;--s1:#f0a04b;--s2:#5fd0a0;--s3:#c39af0;--s4:#4fc8d8;--s5:#f08fcf;--s6:#cfc04f;--s7:#a9b8c8}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--page)}\
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:2.8rem 0 0}\
.verdict{border-left:.4rem solid;padding:.6rem .9rem;border-radius:.3rem;overflow-wrap:anywhere}.verdict b{font-size:1.25rem;margin-right:.5rem}\
.good{border-color:var(--good);background:var(--good-soft)}.good b{color:var(--good)}\
.bad{border-color:var(--bad);background:var(--bad-soft)}.bad b{color:var(--bad)}\
.plot{position:relative;margin:1.8rem 1.2rem 2.2rem 3.6rem}.high{height:20rem}.low{height:8rem}\
.plot>svg{position:absolute;width:100%;height:100%;overflow:visible}\
.plot span{position:absolute;font-size:.75rem;line-height:1.2;color:var(--soft);white-space:nowrap}\
.plot .y{right:calc(100% + .5rem);transform:translateY(-50%)}.plot .x{top:calc(100% + .4rem);transform:translateX(-50%)}\
.plot i{position:absolute;top:0;bottom:0;border-left:1px dashed var(--soft);background:var(--lasts)}.plot .event{bottom:calc(100% + .2rem);transform:translateX(-50%);color:var(--ink)}\
.plot .rule{right:0;color:var(--ink);background:var(--page);padding:0 .2rem;opacity:.85}\
.plot .above{transform:translateY(calc(-100% - 2px))}.plot .below{transform:translateY(2px)}\
svg *{fill:none;stroke-width:1;vector-effect:non-scaling-stroke}.grid{stroke:var(--line)}\
path.rule{stroke:var(--ink)}.count{stroke:var(--s0);stroke-width:1.5}svg .others{fill:var(--soft);fill-opacity:.25}\
.server{stroke-width:1.8}.dashed{stroke-dasharray:7 5}.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}\
.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}\
.legend{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem}.legend li{overflow-wrap:anywhere}\
.legend svg{width:30px;height:10px;margin-right:.4rem}small{color:var(--soft)}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::Shown;
    use super::*;

    /// Servers of which each is loaded as much as its number says.
    fn outcome(servers: u32, seconds: usize) -> Outcome {
        Outcome {
            servers: (0..servers).map(|number| format!("s<{number}>")).collect(),
            loads: vec![(0..servers).collect(); seconds],
            overloaded: vec![0; seconds],
            failed: vec![0; seconds],
            extra_copies: vec![0; seconds],
            lost: vec![0; seconds],
            unanswered: vec![u64::MAX; seconds],
            rules: Shown { first: 700, second: 900, lifetime_seconds: 20 },
            events: [
                (0, Some(3), "a & b"),
                (1, Some(u64::MAX), "c"),
                (5, None, "d"),
                (u64::MAX, Some(0), "e"),
            ]
            .map(|(from, to, what)| Happened { from, to, what: what.into() })
            .into(),
            longest_over: None,
            unrelieved: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_and_the_most_loaded_are_named_and_the_page_stays_small() {
        let good = page(&outcome(3, 10), "surge", None);
        assert!(
            good.contains("<b>Holds</b>") && good.contains("s&lt;2&gt;") && !good.contains(" more, from")
        );
        assert!(
            good.contains("<li>Second 0 to 3: a &amp; b</li>")
                && good.contains("Second 5 to the end: d")
                && good.contains("<i style=\"left:0.0%;width:30.0%\">")
                && good.contains("left:50.0%;width:50.0%")
                && good.contains("20 %")
                && good.contains("second threshold, 90 %")
        );
        let bad = page(&outcome(5315, 30), "\"<surge>\"", Some(&"s<1> was slow".to_owned()));
        assert!(bad.contains("<b>Does not hold</b> s&lt;1&gt; was slow.") && !bad.contains("<surge>"));
        assert_eq!(bad.matches("<polyline class=\"server").count(), NAMED);
        assert!(
            bad.contains("s&lt;5314&gt; <small>at most 531 %, second 0") && bad.contains("5307 more, from")
        );
        assert!(bad.contains("600 %"), "the axis goes on to a round number of per cent");
        assert!(bad.len() < 30_000, "{}", bad.len());
    }

    #[test]
    fn a_page_can_be_made_of_a_second_a_day_and_nothing() {
        for (servers, seconds) in [(0, 0), (0, 5), (1, 1), (9, 86_400)] {
            let page = page(&outcome(servers, seconds), "", None);
            assert!(
                page.ends_with("</html>\n") && page.len() < 300_000,
                "{servers} {seconds}: {}",
                page.len()
            );
        }
    }

    #[test]
    fn of_seconds_that_share_a_point_the_highest_is_shown() {
        let mut values = vec![0; 86_400];
        values[50_001] = 70;
        let line = points(&values, Axis::up_to(100), u64::max);
        assert_eq!(line.matches(",300").count(), 1, "{line}");
        assert!(points(&values, Axis::up_to(100), u64::min).split(' ').all(|point| point.ends_with(",1000")));
        assert_eq!(points(&[5], Axis::up_to(5), u64::max), "0,0 1000,0");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let ends = [0, 1, 7, 10, 11, 1022, 5314, u64::MAX]
            .map(|most| (Axis::up_to(most).step, Axis::up_to(most).top));
        assert_eq!(ends[..7], [(1, 1), (1, 1), (2, 8), (2, 10), (5, 15), (500, 1500), (2000, 6000)]);
        assert_eq!(ends[7].1, u64::MAX);
    }
}
