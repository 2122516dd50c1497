//! Counters beside the ledger: connections, bytes, and what was written.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($(#[$doc:meta])* $live:ident, $snapshot:ident { $($(#[$field:meta])* $name:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $live {
            $($(#[$field])* pub $name: AtomicU64,)*
        }

        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct $snapshot {
            $($(#[$field])* pub $name: u64,)*
        }

        impl $live {
            pub fn snapshot(&self) -> $snapshot {
                $snapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl $snapshot {
            /// Names and values, for metrics.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// What the relay did.
    Connections, ConnectionTotals {
        /// Client connections accepted.
        accepted,
        /// Client connections that have ended.
        closed,
        /// Client connections reset because the primary could not be reached.
        primary_unreachable,
        /// Connections that became another protocol (101, CONNECT); relayed, and not looked at from there on.
        tunnelled,
        /// Connections whose bytes stopped making sense as HTTP/1.1; relayed, and not looked at from there on.
        unfollowed,
        /// Connections cut at shutdown with a message under way.
        cut,
        /// Times that accepting failed, for lack of descriptors for example.
        accept_errors,
        /// Bytes relayed from clients to the primary.
        bytes_to_primary,
        /// Bytes relayed from the primary to clients.
        bytes_to_clients,
        /// Held-back requests that `--record` lacks because there was no memory for a copy.
        unrecorded,
    }
}
