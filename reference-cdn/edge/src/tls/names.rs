//! Whom a certificate speaks for (RFC 9525): its DNS names, wildcards in the leftmost label only, and its IP addresses.

use std::collections::HashSet;
use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// The names in a certificate. The common name is not one of them: clients do not look at it either.
#[derive(Debug)]
pub struct Names {
    exact: HashSet<Box<str>>,
    /// Without their `*.`.
    wildcards: HashSet<Box<str>>,
    certificate: CertificateDer<'static>,
}

impl Names {
    /// # Errors
    /// When it is no certificate.
    pub fn of(certificate: &CertificateDer<'static>) -> Result<Self, webpki::Error> {
        let parsed = EndEntityCert::try_from(certificate)?;
        let (mut exact, mut wildcards) = (HashSet::new(), HashSet::new());
        for name in parsed.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => wildcards.insert(parent.into()),
                None => exact.insert(name.into()),
            };
        }
        Ok(Self { exact, wildcards, certificate: certificate.clone() })
    }

    /// Whether `host`, as it stands in a URI, is among them.
    pub fn cover(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return self.cover_address(address);
        }
        let host = lower(host);
        self.exact.contains(&*host) || parent(&host).is_some_and(|parent| self.wildcards.contains(parent))
    }

    fn cover_address(&self, address: IpAddr) -> bool {
        let name = ServerName::IpAddress(address.into());
        EndEntityCert::try_from(&self.certificate)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// Whether there are none at all, neither names nor addresses.
    pub fn is_empty(&self) -> bool {
        // Addresses cannot be listed, but the error tells what there was to compare with.
        let nobody = ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into());
        let Ok(certificate) = EndEntityCert::try_from(&self.certificate) else { return true };
        match certificate.verify_is_valid_for_subject_name(&nobody) {
            Err(webpki::Error::CertNotValidForName(context)) => context.presented.is_empty(),
            Err(_) => true,
            Ok(()) => false,
        }
    }

    /// Names without wildcards, in lower case.
    pub fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|name| &**name)
    }

    /// What follows `*.` in names with wildcards, in lower case.
    pub fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.wildcards.iter().map(|name| &**name)
    }
}

/// A host as certificates write it: in lower case, without the dot that ends a name in full.
pub fn lower(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// A name without its leftmost label, which is all that a wildcard stands for.
pub fn parent(host: &str) -> Option<&str> {
    host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_what_clients_take_them_for() {
        let names = ["www.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"].map(String::from);
        let made = rcgen::generate_simple_self_signed(names).expect("certificate");
        let names = Names::of(made.cert.der()).expect("certificate");
        for host in [
            "www.example.com",
            "WWW.Example.COM",
            "www.example.com.",
            "a.example.org",
            "192.0.2.1",
            "[2001:db8::1]",
        ] {
            assert!(names.cover(host), "{host}");
        }
        for host in [
            "example.com",
            "a.www.example.com",
            "example.org",
            "a.b.example.org",
            ".example.org",
            "*.example.org.evil",
            "192.0.2.2",
            "[2001:db8::2]",
            "",
            ".",
        ] {
            assert!(!names.cover(host), "{host}");
        }
    }
}
