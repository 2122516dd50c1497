//! What an authority counts. Each thread has its own; whoever wants the sum adds snapshots.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::respond::Transport;

/// A number that one thread alone increases and any may read: a plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub fn one(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of one thread.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        impl Counters {
            /// All of them with their names and what they mean, in a fixed order.
            pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name.get()),)+]
            }
        }
    };
}

counters! {
    /// Queries over UDP.
    queries_udp,
    /// Queries over TCP.
    queries_tcp,
    /// Queries over TLS.
    queries_tls,
    /// Responses over UDP.
    responses_udp,
    /// Responses over TCP.
    responses_tcp,
    /// Responses over TLS.
    responses_tls,
    /// Messages without a whole header, and responses: never answered.
    dropped_silently,
    /// Responses with records and NOERROR.
    positive,
    /// Positive responses with addresses or an alias chosen by the map.
    steered,
    /// Steered responses chosen by EDNS Client Subnet.
    steered_by_subnet,
    /// Responses that refer to other name servers.
    referral,
    /// NOERROR without what was asked for.
    nodata,
    /// NXDOMAIN, and NOERROR that says the same in a compact denial.
    nxdomain,
    /// FORMERR.
    formerr,
    /// SERVFAIL.
    servfail,
    /// NOTIMP.
    notimp,
    /// REFUSED.
    refused,
    /// BADVERS.
    badvers,
    /// BADCOOKIE.
    badcookie,
    /// Responses with TC, those of rate limiting not counted.
    truncated,
    /// Queries with EDNS.
    with_edns,
    /// Queries with EDNS Client Subnet.
    with_subnet,
    /// Queries with DO.
    with_dnssec_ok,
    /// Queries with a client cookie alone.
    cookie_new,
    /// Queries with a server cookie of ours that is valid.
    cookie_valid,
    /// Queries with a server cookie that is not.
    cookie_invalid,
    /// Responses that rate limiting held back.
    rate_dropped,
    /// Responses that rate limiting replaced by an empty one with TC.
    rate_slipped,
    /// Queries for the identity of the server (class CH).
    identity,
    /// Signatures made.
    signatures_made,
    /// Signatures found ready.
    signatures_ready,
}

impl Counters {
    pub(super) fn query(&self, transport: Transport) {
        match transport {
            Transport::Udp => self.queries_udp.one(),
            Transport::Tcp => self.queries_tcp.one(),
            Transport::Tls => self.queries_tls.one(),
        }
    }

    pub(super) fn response(&self, transport: Transport) {
        match transport {
            Transport::Udp => self.responses_udp.one(),
            Transport::Tcp => self.responses_tcp.one(),
            Transport::Tls => self.responses_tls.one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_names_and_meanings() {
        let counters = Counters::default();
        counters.refused.add(3);
        let all = counters.snapshot();
        assert!(all.contains(&("refused", "REFUSED.", 3)), "{all:?}");
        assert!(all.iter().all(|(_, meaning, _)| meaning.ends_with('.')), "{all:?}");
        // They are read one by one, in any order.
        assert!(!all.iter().any(|(_, meaning, _)| meaning.contains("these")), "{all:?}");
    }
}
