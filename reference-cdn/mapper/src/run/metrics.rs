//! What is counted and measured, for whoever watches a mapper.

use std::fmt::Write as _;

use super::Shared;

/// All of them, as Prometheus reads them.
pub(super) fn text(shared: &Shared) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(out, "# HELP mapper_{name} {help}\n# TYPE mapper_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(out, "mapper_{name}{labels} {value}");
        }
    };
    let status = shared.status.load();
    let plain = |value: u64| vec![(String::new(), value)];
    let version = format!("{{version=\"{}\"}}", status.version);
    metric(
        "build_info",
        "gauge",
        "Always 1; its label says which version of the program this is.",
        &[(version, 1)],
    );
    metric("epoch", "gauge", "Which map answers.", &plain(status.epoch));
    let now = (shared.outside.unix)() / 1000;
    metric(
        "map_age_seconds",
        "gauge",
        "How long ago the map that answers was made. It grows while nothing changes, too.",
        &plain(now.saturating_sub(status.made)),
    );
    let standings = [
        ("serving", status.serving),
        ("overloaded", status.overloaded),
        ("failed", status.failed),
        ("withdrawn", status.withdrawn),
        ("leaving", status.leaving),
    ];
    let of = |key: &str, values: &[(&str, usize)]| -> Vec<(String, u64)> {
        values.iter().map(|(name, value)| (format!("{{{key}=\"{name}\"}}"), *value as u64)).collect()
    };
    metric("servers", "gauge", "Servers by their standing.", &of("standing", &standings));
    metric("servers_busy", "gauge", "Servers past their first load threshold.", &plain(status.busy as u64));
    metric(
        "names_hot",
        "gauge",
        "Names on more servers of a site than they must be.",
        &plain(status.hot as u64),
    );
    metric("sites_shedding", "gauge", "Sites that give clients away.", &plain(status.shedding as u64));
    metric(
        "reports_blind",
        "gauge",
        "1 while so many servers are silent that it is not believed.",
        &plain(status.blind.into()),
    );
    metric(
        "map_held_back",
        "gauge",
        "1 while a map waits for an operator.",
        &plain(status.held_back.is_some().into()),
    );
    metric(
        "map_trouble",
        "gauge",
        "1 while maps cannot be read or published, who is withdrawn cannot be kept, or a service has no server that is well.",
        &plain(status.trouble.is_some().into()),
    );
    metric(
        "build_problems",
        "gauge",
        "What was wrong with inputs when the network was last built: build.problems in the status says what.",
        &plain(status.build.as_ref().map_or(0, |build| build.problems.len() as u64)),
    );
    metric(
        "keys_trouble",
        "gauge",
        "1 while signing keys of a zone have ended or end within a week: keys-trouble in the status says which.",
        &plain(shared.keys_trouble().is_some().into()),
    );
    let settings = shared.authority.load();
    let signed = settings.zones.all().iter().filter_map(|zone| Some((zone, zone.signer.as_ref()?)));
    let expire: Vec<_> = signed
        .filter_map(|(zone, signer)| {
            let labels = format!("{{zone=\"{}\"}}", escaped(&crate::dns::name::show(&zone.apex)));
            Some((labels, signer.expires(now)?))
        })
        .collect();
    if !expire.is_empty() {
        metric(
            "zone_keys_expire_seconds",
            "gauge",
            "When the last signing key of a zone becomes inactive, in seconds since 1970; none where that is never.",
            &expire,
        );
    }
    let chain = shared.certificate.get().map(crate::server::ServerCertificate::validity);
    if let Some(end) = chain.and_then(|chain| chain.iter().map(|validity| validity.not_after).min()) {
        metric(
            "tls_certificate_expires_seconds",
            "gauge",
            "When the certificate, or one that vouches for it, expires, in seconds since 1970.",
            &plain(end),
        );
    }
    if let Some(build) = &status.build {
        // As of now: the build looked at them a while ago.
        let since = now.saturating_sub(build.now);
        let ages: Vec<_> = build
            .inputs
            .iter()
            .map(|input| {
                let labels = format!("{{input=\"{}\",file=\"{}\"}}", input.kind, escaped(&input.file));
                (labels, (input.age + since).saturating_sub(input.ahead))
            })
            .collect();
        metric(
            "input_age_seconds",
            "gauge",
            "How old what an input says is, or its file where it does not say; 0 if it is from the future.",
            &ages,
        );
    }
    // Of those that were not taken, as many as there are now.
    let mut reports = status.reports.clone();
    reports.extend(shared.reports.outcomes());
    let mut reports: Vec<_> =
        reports.iter().map(|(name, count)| (format!("{{outcome=\"{name}\"}}"), *count)).collect();
    reports.sort();
    metric("load_reports_total", "counter", "Load reports by what became of them.", &reports);
    if let Some(metrics) = shared.metrics.get() {
        let values: Vec<_> = crate::server::Count::ALL
            .iter()
            .map(|what| (format!("{{what=\"{}\"}}", what.name()), metrics.get(*what)))
            .collect();
        metric(
            "threads_gone",
            "gauge",
            "Threads that answered queries and do not any more: restart the mapper.",
            &plain(metrics.threads_gone() as u64),
        );
        metric("network_total", "counter", "What sockets did.", &values);
        metric(
            "network_overflowed_total",
            "counter",
            "Datagrams that the kernel dropped for want of room.",
            &plain(metrics.overflowed()),
        );
    }
    let threads = shared.counters.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut sums: std::collections::BTreeMap<(&str, &str), u64> = std::collections::BTreeMap::new();
    for counters in threads.iter() {
        for (name, help, value) in counters.snapshot() {
            *sums.entry((name, help)).or_default() += value;
        }
    }
    for ((name, help), value) in sums {
        metric(&format!("dns_{name}_total"), "counter", help, &plain(value));
    }
    out
}

/// The value of a label, as the text format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
