//! Services as an operator writes them: host names with ranges, what they need, how they are answered.

use std::collections::HashMap;

use super::plant::{Origin, Plant};
use super::problem::{BadInput, MOST_PROBLEMS, nearest};
use crate::network::{MOST_ADDRESSES, Order};

pub const MOST_SERVICES: usize = 65_536;
/// Most host names of all services, ranges counted in full.
pub const MOST_HOSTS: usize = 1_000_000;
/// Longest pattern: a host name has at most 200 octets, and each of its ranges some more.
const LONGEST_PATTERN: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    pub name: String,
    /// Ranges written out.
    pub hosts: Vec<String>,
    pub needs: Vec<String>,
    pub copies: u8,
    pub near: u8,
    pub elsewhere: u8,
    pub ttl: u32,
    pub order: Order,
    pub fallback: FallbackPlan,
    pub https: Option<Vec<u8>>,
    pub said: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FallbackPlan {
    LastKnown,
    Site(String),
    Alias(String),
}

/// Writes ranges out: `a{0..2}` is `a0`, `a1`, `a2`; `a{00..99}` keeps its zeros; of several, each with each.
///
/// # Errors
/// What is wrong with the pattern.
pub fn expand(pattern: &str, most: usize) -> Result<Vec<String>, String> {
    // Also bounds how deep this goes.
    if pattern.len() > LONGEST_PATTERN {
        return Err(format!("has {} octets; at most {LONGEST_PATTERN}", pattern.len()));
    }
    let Some((before, rest)) = pattern.split_once('{') else {
        return if pattern.contains('}') {
            Err("has } without {".into())
        } else {
            Ok(vec![pattern.to_owned()])
        };
    };
    let (range, after) = rest.split_once('}').ok_or("has { without }")?;
    let (first, last) = range.split_once("..").ok_or("has braces that hold no range such as {0..99}")?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|octet| octet.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten().ok_or_else(|| {
            format!("has a range from or to {text:?}, which is no number of up to nine digits")
        })
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(format!("has a range from {from} down to {to}"));
    }
    let width = if first.len() > 1 && first.starts_with('0') { first.len() } else { 0 };
    let tails = expand(after, most)?;
    let count = (to - from) as usize + 1;
    if count.saturating_mul(tails.len()) > most {
        return Err(format!("stands for more than {most} names"));
    }
    Ok((from..=to).flat_map(|n| tails.iter().map(move |tail| format!("{before}{n:0width$}{tail}"))).collect())
}

/// A host name below the steered zone: LDH labels and underscores, lowercase; `*` in first place.
///
/// # Errors
/// Why it is none.
pub fn check_host(host: &str) -> Result<(), String> {
    if host.len() > 200 {
        return Err(format!("has {} octets; with the zone's name it must fit 255", host.len()));
    }
    for (at, label) in host.split('.').enumerate() {
        if label == "*" && at == 0 {
            continue;
        }
        if label.is_empty() || label.len() > 63 {
            return Err("has a label that is empty or above 63 octets (RFC 1035 section 2.3.4)".into());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!(
                "has the label \"{label}\", which begins or ends with - (RFC 1123 section 2.1); take it off"
            ));
        }
        if let Some(odd) =
            label.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')))
        {
            return Err(format!(
                "holds {odd:?}; lowercase letters, digits, - and _ may be used, and * as first label"
            ));
        }
    }
    Ok(())
}

/// The target of an alias: absolute, lowercase.
///
/// # Errors
/// Why it is none.
pub fn check_alias(name: &str) -> Result<(), String> {
    let Some(name) = name.strip_suffix('.') else {
        return Err("is not absolute: it needs a final dot".into());
    };
    if name.starts_with('*') {
        return Err("cannot be a wildcard".into());
    }
    check_host(name)
}

/// SvcParams in wire format (RFC 9460 sections 2.2, 7.1 and 7.2), keys ascending.
///
/// # Errors
/// What is wrong with them.
pub fn svc_params(alpn: &[String], no_default_alpn: bool, port: Option<u16>) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    let mut param = |key: u16, value: &[u8]| {
        wire.extend(key.to_be_bytes());
        // Values are bounded below: at most 16 protocols of 255 octets.
        wire.extend((value.len() as u16).to_be_bytes());
        wire.extend(value);
    };
    if alpn.len() > 16 {
        return Err(format!("alpn lists {} protocols, of at most 16", alpn.len()));
    }
    if !alpn.is_empty() {
        let mut value = Vec::new();
        for protocol in alpn {
            let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0);
            value.push(length.ok_or("alpn holds a protocol that is empty or above 255 octets")?);
            value.extend(protocol.as_bytes());
        }
        param(1, &value);
    } else if no_default_alpn {
        return Err("no-default-alpn without alpn (RFC 9460 section 7.1.1)".into());
    }
    if no_default_alpn {
        param(2, &[]);
    }
    if let Some(port) = port {
        param(3, &port.to_be_bytes());
    }
    Ok(wire)
}

/// What only all services together show.
pub(super) fn check(plant: &Plant, problems: &mut Vec<BadInput>) {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let file = |origin: &Origin| plant.files.get(usize::from(origin.file)).map_or("", String::as_str);
    for (at, service) in plant.services.iter().enumerate() {
        for host in &service.hosts {
            if let Some(before) = owners.insert(host, at) {
                let other = &plant.services[before];
                let what = format!(
                    "host \"{host}\" of service \"{}\" is also one of \"{}\"",
                    service.name, other.name
                );
                problems.push(
                    BadInput::new(file(&service.said), what).line(u64::from(service.said.line)).key("hosts"),
                );
            }
        }
        if let FallbackPlan::Site(site) = &service.fallback
            && plant.sites.binary_search_by(|known| known.name.as_str().cmp(site)).is_err()
        {
            let what =
                format!("service \"{}\" falls back to site \"{site}\", which there is not", service.name);
            let mut bad =
                BadInput::new(file(&service.said), what).line(u64::from(service.said.line)).key("fallback");
            bad.hint = nearest(site, plant.sites.iter().map(|site| site.name.as_str()))
                .map(|near| format!("did you mean \"{near}\"?"));
            problems.push(bad);
        }
        if problems.len() > MOST_PROBLEMS {
            return;
        }
    }
    if owners.len() > MOST_HOSTS {
        problems.push(
            BadInput::new(
                plant.files.first().map_or("", String::as_str),
                format!("{} hosts, of at most {MOST_HOSTS}", owners.len()),
            )
            .key("hosts"),
        );
    }
}

/// # Errors
/// The key and what is wrong with it.
pub fn check_numbers(
    copies: u64,
    near: u64,
    elsewhere: u64,
    ttl: u64,
) -> Result<(u8, u8, u8, u32), (&'static str, String)> {
    let most = MOST_ADDRESSES as u64;
    if !(1..=64).contains(&copies) {
        return Err(("copies", format!("is {copies}; from 1 to 64 servers")));
    }
    if !(1..=most).contains(&near) {
        return Err(("near", format!("is {near}; from 1 to {most} addresses")));
    }
    if near + elsewhere.min(most) > most {
        return Err(("elsewhere", format!("is {elsewhere}; with near ({near}) at most {most} addresses")));
    }
    if !(1..=86_400).contains(&ttl) {
        return Err((
            "ttl",
            format!(
                "is {ttl} s; from 1 to 86400, and 20 to 60 where load is to be steered: at 0 each client asks for each connection"
            ),
        ));
    }
    // Each was compared with a bound that fits.
    Ok((copies as u8, near as u8, elsewhere as u8, ttl as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_out() {
        assert_eq!(expand("www", 10).unwrap(), ["www"]);
        assert_eq!(expand("a{8..10}", 10).unwrap(), ["a8", "a9", "a10"]);
        assert_eq!(expand("a{08..10}.b", 10).unwrap(), ["a08.b", "a09.b", "a10.b"]);
        assert_eq!(expand("{0..1}x{0..1}", 10).unwrap(), ["0x0", "0x1", "1x0", "1x1"]);
        for bad in [
            "a{0..9",
            "a0}",
            "a{}",
            "a{1}",
            "a{1..x}",
            "a{2..1}",
            "a{0..10}",
            "{0..3}{0..3}",
            "a{0..9999999999}",
        ] {
            assert!(expand(bad, 10).is_err(), "{bad}");
        }
        // More ranges than the stack would bear.
        assert!(expand(&"{0..0}".repeat(200_000), 10).is_err());
    }

    #[test]
    fn parameters_are_in_wire_format() {
        let wire = svc_params(&["h2".into(), "h3".into()], true, Some(8443)).unwrap();
        assert_eq!(wire, b"\x00\x01\x00\x06\x02h2\x02h3\x00\x02\x00\x00\x00\x03\x00\x02\x20\xfb");
        assert!(svc_params(&[], true, None).is_err());
        assert!(svc_params(&[String::new()], false, None).is_err());
    }
}
