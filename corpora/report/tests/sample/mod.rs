//! A report with something of everything.

use exchange::{Body, Fields, Request, Response, Secrets, Time};
use report::{Check, Difference, Evidence, Fault, Ledger, Level, Outcome, Reason, Report, Subject, Verdict};

pub fn report() -> Report {
    let start = Time::new(1_795_298_820, 0);
    let mut report = Report::new(
        "gate",
        "0.1.0",
        "edge 2.4.0 before deployment",
        start,
        Time::new(1_795_298_907, 250_000_000),
    );
    report.seed = Some(42);
    report.subjects = vec![
        Subject::new("reference", "http://127.0.0.1:8080"),
        Subject {
            detail: Some("nginx/1.22.1".to_owned()),
            ..Subject::new("candidate", "http://127.0.0.1:8081")
        },
        Subject::new("capture", "corpora/recordings/chromium-nginx.pcapng"),
    ];
    report.outcome = Outcome::DoNotDeploy;
    report.reasons = vec![
        Reason::deciding(Fault::Candidate, "1 of 18 requirements (MUST) that the reference keeps is broken.")
            .resting_on(["freshness/age-grows"]),
        Reason::deciding(Fault::Candidate, "2 of 118 replayed transactions differ in meaning.")
            .resting_on(["replay/17", "replay/31"])
            .next("replay http corpora/recordings/chromium-nginx.pcapng --reference http://127.0.0.1:8080 --candidate http://127.0.0.1:8081"),
        Reason::warning(Fault::Input, "2 requests of the capture had lost packets and were not replayed."),
    ];
    report.ledgers = vec![
        Ledger::new("transactions", 120).with("agreed", 116).with("differed", 2).with("not rebuilt", 2),
        Ledger::new("origin requests", 44).with("answered from the recording", 44).with("unrecorded", 0),
    ];
    report.notes = vec![
        "One waiver has expired: fields.server, owner edge-team, since 2026-10-31. Remove or renew it."
            .to_owned(),
    ];
    report.checks = vec![age(), purge(), should(), pass(), replay(), waived()];
    report
}

fn exchange() -> (Request, Response) {
    let fields: Fields = [("Host", "site.test"), ("User-Agent", "conformance/0.1.0")].into_iter().collect();
    let request = Request::new("GET", "/a/7f3c?x=1", fields);
    let fields: Fields =
        [("Date", "Sat, 21 Nov 2026 22:07:00 GMT"), ("Age", "0"), ("X-Odd", "tab\there \u{202e}")]
            .into_iter()
            .collect();
    let mut response =
        Response::new(200, fields, Body::complete("hello\n\x1b[31m<script>alert(1)</script>]]>\n"));
    response.reason = "OK".into();
    (request, response)
}

fn age() -> Check {
    let (request, response) = exchange();
    let mut check = Check::new(
        "freshness/age-grows",
        "freshness",
        Level::Must,
        Verdict::Fail,
        "Age grows while an object is stored",
    )
    .because("after 4 s in the store the answer said Age: 0");
    check.explanation = Some(
        "A cache that answers from its store says how old the answer is, so that the next cache does not keep it beyond its lifetime."
            .to_owned(),
    );
    check.cites = Some("RFC 9111 section 4.2.3".to_owned());
    check.evidence = vec![
        Evidence::request("second request", &request, &Secrets::Shown),
        Evidence::response("its answer", &response, &Secrets::Shown),
        Evidence::text("seen at the origin", "nothing: it was asked once, 4.0 s before"),
        Evidence::command(
            "reproduce",
            "conformance run --candidate http://127.0.0.1:8081 --origin-listen 127.0.0.1:9000 --only freshness/age-grows",
        ),
    ];
    check.milliseconds = Some(4100);
    check
}

fn purge() -> Check {
    Check::new(
        "purge/exact-url",
        "purge",
        Level::Must,
        Verdict::NotJudged,
        "A purge of one URL leaves its neighbours",
    )
    .because("the candidate has no profile that says how to purge it; write one: [purge] method = \"PURGE\"")
}

fn should() -> Check {
    let mut check = Check::new(
        "freshness/heuristic",
        "freshness",
        Level::Should,
        Verdict::Fail,
        "A heuristic lifetime is at most a tenth of the age",
    )
    .because("an object without lifetime was stored for a day");
    check.cites = Some("RFC 9111 section 4.2.2".to_owned());
    check
}

fn pass() -> Check {
    Check::new(
        "framing/chunked-trailers",
        "framing",
        Level::Must,
        Verdict::Pass,
        "Trailers of a chunked answer arrive",
    )
}

fn difference(path: &str, left: Option<&str>, right: Option<&str>, explanation: &str) -> Difference {
    Difference {
        path: path.to_owned(),
        class: "freshness".to_owned(),
        rule: "freshness.age (RFC 9111 section 4.2.3)".to_owned(),
        left: left.map(str::to_owned),
        right: right.map(str::to_owned),
        counts: true,
        explanation: explanation.to_owned(),
        diff: None,
        waived: None,
    }
}

fn replay() -> Check {
    let mut check =
        Check::new("replay/17", "replay", Level::Must, Verdict::Fail, "GET http://site.test/style.css")
            .because("2 differences that count");
    check.differences = vec![
        difference(
            "fields.age",
            Some("12"),
            None,
            "the candidate's Date is 12 s old, so that it comes from a store, and it gives no Age",
        ),
        Difference {
            class: "body".to_owned(),
            rule: "body.text (RFC 9110 section 6.4)".to_owned(),
            diff: Some("@@ -1,3 +1,3 @@\n body {\n-  color: red;\n+  color: blue;\n }\n".to_owned()),
            ..difference(
                "body",
                Some("25 bytes: body {\\x0a  color: red;\\x0a}\\x0a"),
                Some("26 bytes: body {\\x0a  color: blue;\\x0a}\\x0a"),
                "the bytes differ, first at offset 16",
            )
        },
    ];
    check.evidence =
        vec![Evidence::command("reproduce", "curl -si -H 'Host: site.test' http://127.0.0.1:8081/style.css")];
    check
}

fn waived() -> Check {
    let mut check = Check::new("replay/31", "replay", Level::Must, Verdict::Waived, "GET http://site.test/")
        .because("edge-team accepts it until 2027-01-31: the new build says its version");
    check.differences = vec![Difference {
        class: "identity".to_owned(),
        rule: "field.server (RFC 9110 section 10.2.4)".to_owned(),
        counts: false,
        waived: Some("edge-team until 2027-01-31: the new build says its version".to_owned()),
        ..difference("fields.server", Some("edge"), Some("edge/2.4.0"), "another name for the software")
    }];
    check
}
