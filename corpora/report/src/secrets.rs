//! Whether a tool shows the secrets of those whose traffic it judges.

use exchange::Secrets;
use std::hash::{BuildHasher as _, RandomState};

/// The flag of tools that judge other people's traffic; flatten it into a clap parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ShowSecrets {
    /// Show credentials, cookies and tokens as they are; by default each is shown as [secret-DIGITS], the same digits
    /// for the same value within one run
    #[arg(long, help_heading = "Reports")]
    pub show_secrets: bool,
}

impl ShowSecrets {
    /// How this run shows secrets, with a key drawn for it.
    pub fn secrets(self) -> Secrets {
        if self.show_secrets {
            return Secrets::Shown;
        }
        // The standard library's only way to what the system's source of randomness gives: 128 bits of it.
        let state = RandomState::new();
        let mut key = [0; 32];
        for (index, bytes) in key.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&state.hash_one(index).to_le_bytes());
        }
        Secrets::Pseudonyms(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_key_of_its_own() {
        let (one, other) = (ShowSecrets::default().secrets(), ShowSecrets::default().secrets());
        assert!(matches!(one, Secrets::Pseudonyms(_)));
        assert_ne!(one, other);
        assert_eq!(ShowSecrets { show_secrets: true }.secrets(), Secrets::Shown);
    }
}
