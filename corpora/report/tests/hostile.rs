//! Whatever text comes in, each form stays what it is: nothing is executed, coloured, moved or broken.

mod sample;

use proptest::prelude::*;
use report::{Check, Difference, Evidence, Fault, Ledger, Level, Reason, Report, Style, Subject, Verdict};

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        proptest::sample::select(vec![
            "]]>",
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "'",
            "&",
            "&#x1b;",
            "</pre>",
            "</style>",
            "--!>",
            "\u{1b}[2J",
            "\u{9b}31m",
            "\r",
            "\n",
            "\t",
            "\u{0}",
            "\u{7f}",
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\u{feff}",
            "\u{fffe}",
            "\u{ffff}",
            "{{ 7 * 7 }}",
            "{% raw %}",
            "<![CDATA[",
            "<?xml?>",
            "\\",
            "\u{2028}",
            "\u{85}",
            "\u{e0041}",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A report with `text` in every place that takes any.
fn filled(t: &[String]) -> Report {
    let text = |at: usize| t[at % t.len()].clone();
    let mut report = sample::report();
    report.tool.name = text(0);
    report.tool.version = text(1);
    report.title = text(2);
    report.started = text(3);
    report.subjects = vec![Subject { role: text(4), name: text(5), detail: Some(text(6)) }];
    report.reasons = vec![Reason::deciding(Fault::Candidate, text(7)).resting_on([text(8)]).next(text(9))];
    report.ledgers = vec![Ledger::new(text(10), 1).with(text(11), 1)];
    report.notes = vec![text(12)];
    let mut checks = Vec::new();
    for verdict in [Verdict::Fail, Verdict::NotJudged, Verdict::Waived, Verdict::Pass] {
        let mut check = Check::new(text(8), text(13), Level::Must, verdict, text(14)).because(text(15));
        check.explanation = Some(text(16));
        check.cites = Some(text(17));
        check.differences = vec![Difference {
            path: text(18),
            class: text(19),
            rule: text(20),
            left: Some(text(21)),
            right: Some(text(22)),
            counts: false,
            explanation: text(23),
            diff: Some(text(24)),
            waived: Some(text(25)),
        }];
        check.evidence = vec![
            Evidence::text(text(26), text(27)),
            Evidence::diff(text(28), text(29)),
            Evidence::command(text(30), text(31)),
        ];
        checks.push(check);
    }
    report.checks = checks;
    report
}

/// What a terminal or an XML reader must not see.
fn harmless(text: &str) -> bool {
    !text.chars().any(|c| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' | '\u{200b}')
    })
}

/// Elements by name, with tags that never close left out. Panics where the page does not nest.
fn elements(html: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::<String>::new(), Vec::new());
    let body = html.split_once("</style>").expect("a style sheet").1;
    for tag in body.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').unwrap_or_else(|| panic!("a tag that does not end: {tag}"));
        match inside.strip_prefix('/') {
            Some("head") => {}
            Some(name) => match open.pop() {
                Some(opened) => assert_eq!(opened, name),
                // Opened before the style sheet.
                None => assert_eq!(name, "html"),
            },
            None => {
                let name = inside.split([' ', '\n']).next().unwrap_or_default().to_owned();
                all.push(name.clone());
                if name != "input" {
                    open.push(name);
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_forms(t in proptest::collection::vec(text(), 32)) {
        let report = filled(&t);

        let plain = report.to_text(Style::default());
        prop_assert!(harmless(&plain), "{:?}", plain);
        let coloured = report.to_text(Style { colour: true, width: 80 });
        // What remains when our own colours are taken away is harmless: no other escape came through.
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        let uncoloured = report.to_text(Style { colour: false, width: 80 });
        prop_assert!(harmless(&stripped));
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(lines(&stripped), lines(&uncoloured));

        let json = report.to_json();
        prop_assert!(harmless(&json), "{:?}", json);
        prop_assert_eq!(Report::from_json(&json), Ok(report.clone()));

        let junit = report.to_junit();
        prop_assert!(harmless(&junit), "{:?}", junit);
        let read = quick_junit::Report::deserialize_from_str(&junit);
        prop_assert!(read.is_ok(), "{:?}\n{}", read, junit);

        let html = report.to_html();
        prop_assert!(harmless(&html), "{:?}", html);
        let allowed = ["body", "main", "h1", "h2", "h3", "h4", "section", "p", "ol", "ul", "li", "span", "a", "div", "table", "thead", "tbody",
            "tr", "th", "td", "fieldset", "legend", "label", "input", "details", "summary", "strong", "small", "pre", "footer"];
        for element in elements(&html) {
            prop_assert!(allowed.contains(&element.as_str()), "{}", element);
        }
        prop_assert!(!html.contains("http-equiv=\"refresh\"") && !html.contains("<script"));
    }
}
