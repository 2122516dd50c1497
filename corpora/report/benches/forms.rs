//! How long each form of a report of 100 000 checks takes.

use criterion::{Criterion, criterion_group, criterion_main};
use exchange::Time;
use report::{Check, Evidence, Fault, Level, Outcome, Reason, Report, Style, Verdict};
use std::hint::black_box;

fn large() -> Report {
    let mut report = Report::new("replay", "0.1.0", "a large capture", Time(0), Time(0));
    report.outcome = Outcome::Differences;
    let check = |i: usize| {
        let verdict = if i.is_multiple_of(3) { Verdict::Fail } else { Verdict::Pass };
        let title = format!("GET http://site.test/{i}");
        let mut check = Check::new(format!("replay/{i}"), "replay", Level::Must, verdict, title)
            .because("the bodies differ");
        check.evidence =
            vec![Evidence::text("answer", "HTTP/1.1 200 OK\nContent-Type: text/html\n\n".repeat(5))];
        check
    };
    report.checks = (0..100_000).map(check).collect();
    let failed =
        report.checks.iter().filter(|c| c.verdict == Verdict::Fail).map(|c| c.id.clone()).collect::<Vec<_>>();
    report.reasons = vec![Reason::deciding(Fault::Candidate, "many transactions differ").resting_on(failed)];
    report
}

fn forms(criterion: &mut Criterion) {
    let report = large();
    let mut group = criterion.benchmark_group("100 000 checks");
    group.sample_size(10);
    group.bench_function("text", |b| b.iter(|| black_box(&report).to_text(Style::default())));
    group.bench_function("json", |b| b.iter(|| black_box(&report).to_json()));
    group.bench_function("junit", |b| b.iter(|| black_box(&report).to_junit()));
    group.bench_function("html", |b| b.iter(|| black_box(&report).to_html()));
    group.finish();
}

criterion_group!(benches, forms);
criterion_main!(benches);
