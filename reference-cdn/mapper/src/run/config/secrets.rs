//! Keys, tokens and secrets, each in a file of its own. What is in them is never said.

use std::path::Path;

use super::{Config, ConfigError, read_bounded};

/// Longest file with a key or token.
const LONGEST_SECRET: u64 = 4096;
const SHORTEST_TOKEN: usize = 16;

pub(super) fn read_secret(path: &Path) -> Result<String, ConfigError> {
    read_bounded(path, LONGEST_SECRET).map_err(ConfigError::one)
}

impl Config {
    /// The secrets of a file: the first makes cookies, all check them. At least one.
    pub(super) fn cookie_secrets(&self, path: &Path) -> Result<Vec<[u8; 16]>, ConfigError> {
        let path = self.at(path);
        let text = read_secret(&path)?;
        let secret = |line: &str| {
            let mut secret = [0; 16];
            let right = line.len() == 32 && line.is_ascii();
            for (octet, at) in secret.iter_mut().zip((0..32).step_by(2)) {
                let digits = line.get(at..at + 2).filter(|_| right)?;
                *octet = u8::from_str_radix(digits, 16).ok()?;
            }
            Some(secret)
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match lines.map(secret).collect::<Option<Vec<_>>>() {
            Some(secrets) if !secrets.is_empty() => Ok(secrets),
            _ => Err(ConfigError::one(format!(
                "{}: each line has a cookie secret of 32 hexadecimal digits, the newest first; make one with openssl rand -hex 16",
                path.display()
            ))),
        }
    }

    /// Keys of load reports.
    ///
    /// # Errors
    /// A file cannot be read, or a key is too short.
    pub fn report_keys(&self) -> Result<control::load_report::Keys, ConfigError> {
        let mut keys = control::load_report::Keys::default();
        for key in self.load.iter().flat_map(|load| &load.keys) {
            let path = self.at(&key.file);
            let text = read_secret(&path)?;
            keys.add(key.id, text.trim().as_bytes())
                .map_err(|error| ConfigError::one(format!("{}: {error}", path.display())))?;
            keys.bind(key.id, key.servers.clone());
        }
        Ok(keys)
    }

    /// The operators' secret.
    ///
    /// # Errors
    /// The file cannot be read, or what it has is too short.
    pub fn admin_token(&self) -> Result<Option<String>, ConfigError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let path = self.at(&admin.token_file);
        let token = read_secret(&path)?.trim().to_owned();
        if token.len() < SHORTEST_TOKEN {
            let what = format!("{}: a token has at least {SHORTEST_TOKEN} characters", path.display());
            return Err(ConfigError::one(what));
        }
        Ok(Some(token))
    }
}
