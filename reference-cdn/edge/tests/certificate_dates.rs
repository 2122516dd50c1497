//! Certificates of a listener that have expired or are not valid yet: said when they are read and when it happens.

#[path = "support/log.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod log;
mod support;

use std::time::Duration;

use log::Log;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use support::tls::{Folder, with_tls};
use support::{Origin, START, TestEdge, until};

/// From and until these days of January 2026; the clock starts on the first of them.
fn write(folder: &Folder, file: &str, from: u8, to: u8) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("key");
    let mut params = CertificateParams::new(vec![format!("{file}.test")]).expect("names");
    params.distinguished_name.push(DnType::CommonName, format!("{file}.test"));
    let day = |day: u8| match day {
        0 => date_time_ymd(2025, 12, 31),
        day => date_time_ymd(2026, 1, day),
    };
    (params.not_before, params.not_after) = (day(from), day(to));
    let made = params.self_signed(&key).expect("certificate");
    std::fs::write(folder.path(&format!("{file}.pem")), made.pem()).expect("write");
    std::fs::write(folder.path(&format!("{file}.key")), key.serialize_pem()).expect("write");
}

#[tokio::test]
async fn dates_are_said_when_read_and_when_they_come() {
    let (log, folder) = (Log::start(), Folder::new());
    write(&folder, "good", 0, 20);
    write(&folder, "old", 0, 1);
    write(&folder, "early", 3, 20);
    let origin = Origin::fixed("200 OK", b"page").await;
    let edge = TestEdge::with(origin.address, with_tls(&folder, &["good", "old", "early"])).await;
    let day = |days: u64| START.as_secs() + days * 86_400;
    let expires = |place: &str| edge.labelled("edge_tls_certificate_expires_seconds", place);
    assert_eq!((expires("1"), expires("2"), expires("3")), (day(19), day(0), day(19)));
    // In the last second of its time it is valid.
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("not valid yet") && lines[0].contains("early.pem"), "{lines:?}");
    assert!(lines[0].contains("early.test") && lines[0].contains("2026-01-03T00:00:00"), "{lines:?}");

    edge.advance(1);
    until("the end of a certificate", || !log.lines().is_empty()).await;
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("has expired") && lines[0].contains("old.pem"), "{lines:?}");
    assert!(lines[0].contains("old.test") && lines[0].contains("2026-01-01T00:00:00"), "{lines:?}");
    edge.clock.advance(Duration::from_secs(2 * 86_400));
    until("the beginning of another", || !log.lines().is_empty()).await;
    let lines = log.take();
    assert!(lines.len() == 1 && lines[0].contains("is valid now"), "{lines:?}");

    // Read again, what is still so is said again, and what is mended is not.
    write(&folder, "early", 0, 2);
    let answer = edge.admin("POST", "/certificates/reload", support::TOKEN, "").await;
    assert_eq!(answer.status, 200);
    let lines = log.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("has expired")), "{lines:?}");
    write(&folder, "early", 0, 20);
    write(&folder, "old", 0, 19);
    assert_eq!(edge.admin("POST", "/certificates/reload", support::TOKEN, "").await.status, 200);
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(expires("2"), day(18));
}
