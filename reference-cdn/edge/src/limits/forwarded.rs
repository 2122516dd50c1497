//! Whose request it is when a trusted proxy (a load balancer) brings it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use super::prefix::Prefix;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address on whose behalf a trusted proxy asks: the last in X-Forwarded-For that is not itself a trusted proxy.
/// Whatever stands before that was written by somebody who is not trusted, and is not looked at. `None`: the proxy
/// names nobody, as in a request of its own.
pub fn client(headers: &HeaderMap, proxies: &[Prefix]) -> Option<IpAddr> {
    let lines: Vec<&[u8]> = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.as_bytes()).collect();
    let members = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    for member in members {
        let address = address(member.trim_ascii())?;
        if !proxies.iter().any(|proxy| proxy.contains(address)) {
            return Some(address);
        }
    }
    None
}

/// An address as proxies write it: also in brackets, and with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().expect("prefix"));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().expect("value"));
        }
        client(&headers, &proxies).map(|address| address.to_string())
    }

    #[test]
    fn the_last_that_is_not_trusted_counts() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["192.0.2.9, 192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.9", "192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, 10.1.2.3 , 2001:db8::7"], Some("192.0.2.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["2001:db9::1"], Some("2001:db9::1")),
            (&["[2001:db9::1]"], Some("2001:db9::1")),
            (&["[2001:db9::1]:80"], Some("2001:db9::1")),
            (&[], None),
            (&[""], None),
            (&["10.1.2.3"], None),
            // What a client wrote before a trusted proxy added its address is never believed.
            (&["10.1.2.3, 192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, unknown"], None),
            (&["192.0.2.1,"], None),
            (&["[192.0.2.1"], None),
        ] {
            assert_eq!(of(lines).as_deref(), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_passed_over(lines: Vec<Vec<u8>>, own: u32) {
            let proxies: [Prefix; 1] = ["10.0.0.0/8".parse().expect("prefix")];
            let mut headers = HeaderMap::new();
            for line in lines {
                if let Ok(value) = HeaderValue::from_bytes(&line) {
                    headers.append(X_FORWARDED_FOR, value);
                }
            }
            let own = IpAddr::V4(own.into());
            prop_assume!(!proxies[0].contains(own));
            // The proxy adds whom it serves; nothing that stands before changes who that is.
            headers.append(X_FORWARDED_FOR, HeaderValue::try_from(own.to_string()).expect("value"));
            prop_assert_eq!(client(&headers, &proxies), Some(own));
        }
    }
}
