//! Whom a trusted proxy asks for (X-Forwarded-For), and the prefixes that say who is trusted.

use crate::input::Input;
use edge::Prefix;
use edge::limits::forwarded::client;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv4Addr};

const FIELD: HeaderName = HeaderName::from_static("x-forwarded-for");

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "10.0.0.0/8\n%%\n192.0.2.1",
        "10.0.0.0/8\n%%\n192.0.2.1, 10.1.2.3\n%%\n10.2.3.4",
        "2001:db8::/32\n%%\n[2001:db9::1]:443, [2001:db8::1]",
        "::ffff:10.0.0.0/104\n%%\n10.0.0.1:80,unknown",
        "0.0.0.0/0\n%%\n,,",
        "192.0.2.1\n%%\n192.0.2.1, ::ffff:192.0.2.1",
        "10.0.0.1/8\n%%\n_hidden, \"[::1]\"",
    ]
    .map(|text| [&[192, 0, 2, 7], text.as_bytes()].concat())
    .to_vec()
}

/// An address, then sections: a prefix that is trusted, and lines of the field.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input(input);
    let own = Ipv4Addr::from([input.byte(), input.byte(), input.byte(), input.byte()]);
    let sections = input.sections();
    let (first, lines) = sections.split_first().unwrap();
    let prefix = std::str::from_utf8(first).ok().and_then(|text| text.parse::<Prefix>().ok());
    if let Some(prefix) = prefix {
        let shown = prefix.to_string();
        assert_eq!(shown.parse(), Ok(prefix), "{shown}");
        let address: IpAddr = shown.split('/').next().unwrap().parse().unwrap();
        assert!(prefix.contains(address), "{shown}");
    }
    let proxies = Vec::from_iter(prefix);
    let trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
    let mut fields = HeaderMap::new();
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(FIELD, value);
        }
    }
    let named = client(&fields, &proxies);
    assert!(!named.is_some_and(trusted), "{named:?} is a proxy");
    // A proxy adds whom it serves: on a line of its own, or at the end of the last.
    let own = IpAddr::V4(own);
    let expected = if trusted(own) { named } else { Some(own) };
    let mut more = fields.clone();
    more.append(FIELD, HeaderValue::try_from(own.to_string()).unwrap());
    assert_eq!(client(&more, &proxies), expected, "{more:?}");
    let mut lines: Vec<_> = fields.get_all(FIELD).iter().cloned().collect();
    let Some(last) = lines.pop() else { return };
    let joined = [last.as_bytes(), b", ", own.to_string().as_bytes()].concat();
    lines.push(HeaderValue::from_bytes(&joined).unwrap());
    let mut more = HeaderMap::new();
    for line in lines {
        more.append(FIELD, line);
    }
    assert_eq!(client(&more, &proxies), expected, "{more:?}");
}
