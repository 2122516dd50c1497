//! What is wrong with a configuration that is of the right form.

use super::Config;
use super::parts::RoleName;

impl Config {
    /// Each thing that is wrong, with its key.
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.listen.is_empty() {
            wrong.push("listen: name at least one address, such as \"127.0.0.1:5300\"".to_owned());
        }
        if self.zones.is_empty() {
            wrong.push("zone: a name server without a zone answers nothing; add a [[zone]]".into());
        }
        for zone in &self.zones {
            let at = format!("zone {}", zone.apex);
            let top = zone.role == RoleName::Top;
            if top && zone.cut.is_none() {
                wrong.push(format!("{at}: a top zone needs cut, such as cut = \"g.{}\"", zone.apex));
            }
            if !top && (zone.cut.is_some() || zone.name_servers.is_some() || zone.lifetime.is_some()) {
                wrong.push(format!("{at}: cut, name-servers and lifetime are for zones with role = \"top\""));
            }
        }
        let names: Vec<_> = self.name_server_names().into_iter().map(|names| names.len()).collect();
        if names.windows(2).any(|pair| pair[0] != pair[1]) {
            wrong.push("zone: all top zones must name as many name-servers".into());
        }
        if let Err(error) = self.rules.check() {
            wrong.push(format!("rules: {error}"));
        }
        if self.load.as_ref().is_some_and(|load| load.keys.is_empty()) {
            wrong.push("load: without a [[load.key]] no report can be believed".into());
        }
        for (at, key) in self.load.iter().flat_map(|load| load.keys.iter().enumerate()) {
            let twice = self.load.iter().any(|load| load.keys[..at].iter().any(|other| other.id == key.id));
            if twice {
                wrong.push(format!(
                    "load.key: id {} is there twice; give each key a number of its own",
                    key.id
                ));
            }
        }
        if self.load.is_some() && self.inputs.is_none() {
            wrong.push(
                "load: reports are for who builds maps; give it [inputs] too, or send them to that one"
                    .into(),
            );
        }
        if let Some(inputs) = &self.inputs
            && inputs.network.is_empty()
            && (inputs.sites.is_empty() || inputs.servers.is_empty())
        {
            wrong.push("inputs: name the network, or sites and servers".into());
        }
        for probe in &self.probes {
            let at = format!("probe of {}", probe.host);
            let request = http::Request::get(&probe.path).header("host", &probe.host).body(());
            if let Err(error) = request {
                wrong.push(format!("{at}: host and path make no request: {error}"));
            } else if !probe.path.starts_with('/') {
                wrong.push(format!("{at}: path begins with /"));
            }
            let digits =
                |text: &String| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !probe.sha256.as_ref().is_none_or(digits) {
                wrong.push(format!("{at}: sha256 has 64 hexadecimal digits"));
            }
            if self.inputs.is_none() {
                wrong.push(format!("{at}: probes are for who builds maps; give it [inputs] too"));
            }
        }
        if self.probe_names.is_some() && (self.inputs.is_none() || self.low_zone().is_none()) {
            wrong.push("probe-names: it is for who builds maps ([inputs]) and has a top or low zone".into());
        }
        let steered = self.zones.iter().any(|zone| zone.role != RoleName::Static);
        if self.map.is_none() && (steered || self.inputs.is_some()) {
            wrong
                .push("map: top and low zones are answered from maps; name the folder where they are".into());
        }
        if self.map.as_ref().is_some_and(|map| map.keep == 0) {
            wrong.push("map.keep: at least the map in use is kept".into());
        }
        wrong
    }
}
