//! The OPT record of a response (RFC 6891 section 7): there if and only if the query had one.

use super::cookies::WHOLE;
use super::settings::Settings;
use crate::dns::codes::option;
use crate::dns::edns::Edns;
use crate::dns::writer::{Options, Writer};
use crate::respond::Transport;

/// Octets of an OPT record without options.
const BARE: usize = 11;
/// Block that responses on TLS are padded to, if asked (RFC 8467 section 4.1).
const BLOCK: usize = 468;

/// What goes into a response's OPT record, known before the rest is written.
pub(super) struct Reply<'a> {
    pub edns: &'a Edns<'a>,
    pub settings: &'a Settings,
    pub transport: Transport,
    pub cookie: Option<[u8; WHOLE]>,
    pub epoch: u64,
}

impl Reply<'_> {
    fn has_epoch(&self) -> bool {
        self.edns.epoch && self.settings.epoch
    }

    fn has_keepalive(&self) -> bool {
        self.edns.keepalive && self.transport != Transport::Udp
    }

    fn has_padding(&self) -> bool {
        self.edns.padding && self.transport == Transport::Tls
    }

    fn has_nsid(&self) -> bool {
        self.edns.nsid && !self.settings.nsid.is_empty()
    }

    /// Room that the record takes at most, padding apart.
    pub fn size(&self) -> usize {
        let mut size = BARE + 6;
        if let Some(subnet) = self.edns.subnet {
            size += 4 + subnet.data.len();
        }
        size += self.cookie.map_or(0, |cookie| 4 + cookie.len());
        size += if self.has_nsid() { 4 + self.settings.nsid.len() } else { 0 };
        size += if self.has_epoch() { 12 } else { 0 };
        size += if self.has_keepalive() { 6 } else { 0 };
        size + if self.has_padding() { 4 } else { 0 }
    }

    /// Writes the record. `scope` is for how long a prefix the response holds; `error` an extended error.
    pub fn write(&self, writer: &mut Writer<'_>, rcode: u16, scope: u8, error: Option<u16>) {
        let mut flags = if self.edns.dnssec_ok { 0x8000 } else { 0 };
        if self.edns.dnssec_ok && self.edns.compact_ok {
            flags |= 0x4000;
        }
        writer.opt(self.settings.payload, (rcode >> 4) as u8, flags, |options| {
            self.options(options, scope, error)
        });
    }

    fn options(&self, options: &mut Options<'_>, scope: u8, error: Option<u16>) {
        if let Some(subnet) = self.edns.subnet {
            // With nothing known of the client there is nothing to hold for (RFC 7871 section 7.2.1).
            let scope = if subnet.source == 0 { 0 } else { scope };
            options.put(option::SUBNET, &[&subnet.data[..3], &[scope], &subnet.data[4..]]);
        }
        if let Some(cookie) = &self.cookie {
            options.put(option::COOKIE, &[cookie]);
        }
        if self.has_nsid() {
            options.put(option::NSID, &[&self.settings.nsid]);
        }
        if self.has_epoch() {
            options.put(option::EPOCH, &[&self.epoch.to_be_bytes()]);
        }
        if self.has_keepalive() {
            options.put(option::KEEPALIVE, &[&self.settings.keepalive.to_be_bytes()]);
        }
        if let Some(error) = error {
            options.put(option::ERROR, &[&error.to_be_bytes()]);
        }
        if self.has_padding() {
            options.pad(option::PADDING, BLOCK);
        }
    }
}
