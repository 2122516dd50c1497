//! What of a configuration takes effect while a mapper runs, and what only when it is started again.

use super::Config;
use super::parts::{Admin, Load, RoleName, ZonePlan};

impl Config {
    /// This one, with what may change while a mapper runs as in `fresh`: zones, `[dns]`, keys of load reports, the token's file. Where
    /// `fresh` has no `[load]` or `[admin]`, there is none: this one's may be older than what is in use.
    pub(in super::super) fn renewed(&self, fresh: Self) -> Self {
        let load = self.load.clone().zip(fresh.load).map(|(now, fresh)| Load { keys: fresh.keys, ..now });
        let admin = self.admin.clone().zip(fresh.admin);
        let admin = admin.map(|(now, fresh)| Admin { token_file: fresh.token_file, ..now });
        Self { zones: fresh.zones, dns: fresh.dns, load, admin, lines: fresh.lines, ..self.clone() }
    }

    /// Whether the same names are steered, and in the same way: the keeper of maps and the probes of name servers go by these.
    pub(in super::super) fn steers_as(&self, other: &Self) -> bool {
        fn steered(
            config: &Config,
        ) -> impl Iterator<Item = (&str, RoleName, &Option<String>, &Option<Vec<String>>)> {
            let steered = |zone: &&ZonePlan| zone.role != RoleName::Static;
            config
                .zones
                .iter()
                .filter(steered)
                .map(|zone| (zone.apex.as_str(), zone.role, &zone.cut, &zone.name_servers))
        }
        steered(self).eq(steered(other))
    }

    /// Parts in which `fresh` differs and that stay as they are until a restart.
    pub(in super::super) fn unlike(&self, fresh: &Self) -> Vec<&'static str> {
        // All are named, so that none is forgotten.
        let Self {
            listen,
            threads,
            pin_threads,
            ready_answers,
            tcp,
            tls,
            zones: _,
            map,
            inputs,
            build,
            load,
            probes,
            probe_names,
            rules,
            dns: _,
            admin,
            path: _,
            lines: _,
        } = self;
        let load_listen = |config: &Self| config.load.as_ref().map(|load| load.listen);
        let admin_listen = |config: &Self| config.admin.as_ref().map(|admin| admin.listen);
        let parts = [
            ("listen", *listen == fresh.listen),
            ("threads", *threads == fresh.threads),
            ("pin-threads", *pin_threads == fresh.pin_threads),
            ("ready-answers", *ready_answers == fresh.ready_answers),
            ("tcp", *tcp == fresh.tcp),
            ("tls", *tls == fresh.tls),
            ("map", *map == fresh.map),
            ("inputs", *inputs == fresh.inputs),
            ("build", *build == fresh.build),
            ("load", load.as_ref().map(|load| load.listen) == load_listen(fresh)),
            ("probe", *probes == fresh.probes),
            ("probe-names", *probe_names == fresh.probe_names),
            ("rules", *rules == fresh.rules),
            ("admin", admin.as_ref().map(|admin| admin.listen) == admin_listen(fresh)),
        ];
        parts.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}
