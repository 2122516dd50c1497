//! Dates that somebody must see to: of the keys that zones are signed with, and of the certificate. They are looked at each minute and
//! whenever something about the keys changes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Shared;
use crate::authority::dnssec::lasting::{Lasting, shown};
use crate::authority::zone::Zones;
use crate::dns::name;
use crate::server::{CertificateStanding, CertificateValidity};

/// Between two looks, in seconds.
const GLANCE: u64 = 60;
/// What nears is said again after so many seconds.
const AGAIN: u64 = 86_400;

/// What is to be said, and how loud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Wrong(String),
    Warning(String),
    Mended(String),
}

impl Said {
    fn log(&self) {
        match self {
            Self::Wrong(what) => tracing::error!("{what}"),
            Self::Warning(what) => tracing::warn!("{what}"),
            Self::Mended(what) => tracing::info!("{what}"),
        }
    }
}

/// What was said last, and when.
#[derive(Debug, Default)]
pub(super) struct Dates {
    zones: HashMap<Box<[u8]>, (Lasting, u64)>,
    certificate: Vec<CertificateStanding>,
}

impl Dates {
    /// What there is to say of the keys of zones.
    pub fn of_keys(&mut self, now: u64, zones: &Zones, again: bool) -> Vec<Said> {
        let mut said = Vec::new();
        let signed = zones.all().iter().filter_map(|zone| Some((zone, zone.signer.as_ref()?)));
        let next: HashMap<_, _> =
            signed.map(|(zone, signer)| (zone.apex.clone(), signer.lasting(now))).collect();
        self.zones.retain(|apex, _| next.contains_key(apex));
        let mut next: Vec<_> = next.into_iter().collect();
        next.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (apex, lasting) in next {
            let (before, time) = self.zones.entry(apex.clone()).or_insert((Lasting::Well, now));
            let changed = *before != lasting;
            match &lasting {
                Lasting::Well if changed => said.push(Said::Mended(format!(
                    "{} has active keys again, which do not end within a week unless others follow",
                    name::show(&apex)
                ))),
                Lasting::Ended(what) if changed || again => said.push(Said::Wrong(what.clone())),
                Lasting::Ending(what) if changed || again || now.abs_diff(*time) >= AGAIN => {
                    if matches!(before, Lasting::Ended(_)) {
                        said.push(Said::Mended(format!("a key of {} is active again", name::show(&apex))));
                    }
                    said.push(Said::Warning(what.clone()));
                }
                _ => continue,
            }
            (*before, *time) = (lasting, now);
        }
        said
    }

    /// What there is to say of a certificate and those that vouch for it.
    pub fn of_certificate(
        &mut self,
        now: u64,
        file: &Path,
        chain: &[CertificateValidity],
        again: bool,
    ) -> Vec<Said> {
        let mut said = Vec::new();
        self.certificate.resize(chain.len(), CertificateStanding::Valid);
        for (validity, before) in chain.iter().zip(&mut self.certificate) {
            let standing = validity.at(now);
            let same = standing == std::mem::replace(before, standing);
            if same && !(again && standing != CertificateStanding::Valid) {
                continue;
            }
            said.push(match unfit(now, file, validity) {
                Some(what) => Said::Warning(what),
                None => Said::Mended(format!("{}: a certificate is valid now", file.display())),
            });
        }
        said
    }

    /// Zones whose keys have ended, or soon will; why and what to do.
    pub fn trouble(&self) -> Option<String> {
        let mut wrong: Vec<&str> = Vec::new();
        for (lasting, _) in self.zones.values() {
            if let Lasting::Ending(what) | Lasting::Ended(what) = lasting {
                wrong.push(what);
            }
        }
        wrong.sort_unstable();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

/// Why clients refuse a certificate for its dates, if they do.
pub(super) fn unfit(now: u64, file: &Path, validity: &CertificateValidity) -> Option<String> {
    let file = file.display();
    match validity.at(now) {
        CertificateStanding::Valid => None,
        CertificateStanding::Expired => Some(format!(
            "{file}: a certificate expired at {}: clients refuse it; replace it and send SIGHUP",
            shown(validity.not_after)
        )),
        CertificateStanding::NotYet => Some(format!(
            "{file}: a certificate is valid from {} on: clients refuse it until then, or this machine's clock is wrong",
            shown(validity.not_before)
        )),
    }
}

/// Looks at the dates until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let wait = shared.look_at_dates(false);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

impl Shared {
    pub(super) fn keys_trouble(&self) -> Option<String> {
        self.dates.lock().unwrap_or_else(PoisonError::into_inner).trouble()
    }

    /// Says what changed, and after how many milliseconds to look again. After everything was read again, what is still wrong is said
    /// `again` too.
    pub(super) fn look_at_dates(&self, again: bool) -> u64 {
        let time = (self.outside.unix)();
        let now = time / 1000;
        let settings = self.authority.load();
        let mut dates = self.dates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = dates.of_keys(now, &settings.zones, again);
        if let Some(certificate) = self.certificate.get() {
            said.extend(dates.of_certificate(now, certificate.file(), &certificate.validity(), again));
        }
        said.iter().for_each(Said::log);
        let zones = settings.zones.all().iter();
        let changes = zones.filter_map(|zone| zone.signer.as_ref()?.next_change(now));
        let next = changes.min().map_or(u64::MAX, |next| next.saturating_mul(1000).saturating_sub(time));
        next.clamp(1, GLANCE * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const PRIVATE: &str = "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: WRF8r4/tWenSZIfrUJlxKJU30+BGC0dxSEo1PRY9B1k=\n";
    const PUBLIC: &str = "cdn.test. IN DNSKEY 257 3 13 Yf5Zfsez4+4SA+xf4Tj7EP+N26k7p4ss/teop9u068VffkKrrE9LWOh3 sEXysgMjWAy+v4PJGfRWY64Oq/rkKA==\n";
    const ZONE: &str = "$TTL 60\n@ IN SOA ns.example. h.example. 1 2 3 4 60\n@ IN NS ns.example.\n";

    /// A zone whose key has these lines of times.
    fn zones(times: &str) -> Zones {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("cdn.zone", ZONE);
        put("Kcdn.test.+013+51300.key", PUBLIC);
        put("Kcdn.test.+013+51300.private", &format!("{PRIVATE}{times}"));
        let text =
            "listen = [\"127.0.0.1:0\"]\n[[zone]]\napex = \"cdn.test\"\nfile = \"cdn.zone\"\nkeys = \".\"\n";
        Config::parse(text, &folder.path().join("mapper.toml")).unwrap().zones().unwrap()
    }

    #[test]
    fn keys_that_end_are_said_once_a_day_then_once_and_that_they_are_mended() {
        const DAY: u64 = 86_400;
        let ends = zones(
            "Publish: 19700101000000\nActivate: 19700101000000\nInactive: 19700201000000\nDelete: 19700202000000\n",
        );
        let end = 31 * DAY;
        let mut dates = Dates::default();
        assert_eq!((dates.of_keys(10 * DAY, &ends, false), dates.trouble()), (vec![], None));
        let begins = end - 7 * DAY;
        let mut warned = 0;
        for minute in 0..7 * 24 * 60 {
            let said = dates.of_keys(begins + minute * 60, &ends, false);
            assert!(said.iter().all(|said| matches!(said, Said::Warning(_))), "{said:?}");
            assert!(dates.trouble().is_some());
            warned += said.len();
        }
        assert_eq!(warned, 7);
        let said = dates.of_keys(end, &ends, false);
        assert!(matches!(&said[..], [Said::Wrong(what)] if what.contains("those that are published sign")));
        assert_eq!(dates.of_keys(end + 60, &ends, false), []);
        // What it says is another thing when none is published any more.
        let said = dates.of_keys(end + DAY, &ends, false);
        assert!(matches!(&said[..], [Said::Wrong(what)] if what.contains("its answers are not signed")));
        assert_eq!(dates.of_keys(end + 9 * DAY, &ends, false), []);
        assert_eq!(dates.of_keys(end + 9 * DAY, &ends, true).len(), 1);
        assert!(dates.trouble().is_some());
        let well = zones("Publish: 19700101000000\nActivate: 19700101000000\n");
        let said = dates.of_keys(end + 9 * DAY, &well, false);
        assert!(matches!(&said[..], [Said::Mended(_)]), "{said:?}");
        assert_eq!(dates.trouble(), None);
        // A zone that is taken out takes its trouble with it.
        dates.of_keys(end, &ends, false);
        dates.of_keys(end, &Zones::new(Vec::new()), false);
        assert_eq!(dates.trouble(), None);
    }

    #[test]
    fn a_certificate_that_expires_is_said_once() {
        let chain = [CertificateValidity { not_before: 100, not_after: 200 }];
        let mut dates = Dates::default();
        let mut look = |now, again| dates.of_certificate(now, Path::new("dns.pem"), &chain, again);
        assert!(
            matches!(&look(99, false)[..], [Said::Warning(what)] if what.contains("valid from 1970-01-01T00:01:40Z on"))
        );
        assert!(matches!(&look(100, false)[..], [Said::Mended(_)]));
        assert_eq!(look(200, false), []);
        assert!(
            matches!(&look(201, false)[..], [Said::Warning(what)] if what.starts_with("dns.pem: a certificate expired at 1970-01-01T00:03:20Z"))
        );
        assert_eq!((look(9999, false), look(9999, true).len()), (vec![], 1));
    }
}
