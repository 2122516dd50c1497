//! The suite against Debian's nginx.

use conformance::bench::Candidate;
use conformance::peer::nginx::Nginx;
use conformance::{Options, run};
use endpoint::{Origin, Settings};

#[tokio::test(flavor = "multi_thread")]
async fn nginx() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::local(Settings::default()).await.unwrap();
    let nginx = Nginx::start(origin.address(), dir.path()).await.unwrap();
    let options = Options {
        candidate: Candidate::parse(&format!("http://{}", nginx.address())).unwrap(),
        advertise: origin.address().to_string(),
        only: Vec::new(),
        profile: None,
        nonce: conformance::cli::nonce(),
    };
    let run = run(&options, &origin).await.unwrap();
    let report = conformance::report::of_run(&run, None);
    for j in &run.checks {
        if j.verdict != conformance::Verdict::Pass {
            println!(
                "{:?} {:?} {} {:?} {}ms",
                j.verdict,
                j.kind,
                j.check.id,
                j.reason.as_deref().unwrap_or("").lines().next(),
                j.took.as_millis()
            );
        }
    }
    println!("{:#?}", run.preflight);
    println!("took {:?}", run.finished.since(run.started));
    std::fs::write("/tmp/g/nginx.txt", report.to_text(Default::default())).unwrap();
    std::fs::write("/tmp/g/nginx.json", report.to_json()).unwrap();
}
