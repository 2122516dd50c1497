//! Keys in the files that `dnssec-keygen` and `dnssec-settime` write, with the times of a roll-over in them (KEYS.md).

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use domain::base::rdata::ComposeRecordData as _;
use domain::rdata::ZoneRecordData;
use domain::utils::base64;
use domain::zonefile::inplace::{Entry, Zonefile};

use crate::dns::codes::rtype;
use crate::dns::name;

/// ECDSA Curve P-256 with SHA-256.
pub const ALGORITHM: u8 = 13;
/// SEP: the parent refers to this key (RFC 4034 section 2.1.1).
const SECURE_ENTRY_POINT: u16 = 1;
const MOST_KEYS: usize = 16;
/// No key file is longer.
const MOST_OCTETS: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: cannot be read: {error}; check the path and its permissions", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{}: {what}", file.display())]
    Wrong { file: PathBuf, what: String },
}

/// When a key is used, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub publish: Option<u64>,
    pub activate: Option<u64>,
    pub inactive: Option<u64>,
    pub delete: Option<u64>,
    /// When its CDS and CDNSKEY records are published and taken back (RFC 7344).
    pub sync_publish: Option<u64>,
    pub sync_delete: Option<u64>,
}

fn within(now: u64, from: Option<u64>, until: Option<u64>) -> bool {
    from.is_some_and(|from| from <= now) && until.is_none_or(|until| now < until)
}

/// A key pair of a zone.
pub struct Key {
    pub tag: u16,
    pub flags: u16,
    /// The DNSKEY record's data.
    pub dnskey: Box<[u8]>,
    pub times: Times,
    pub(super) pair: EcdsaKeyPair,
    /// Stands for the key and its zone where signatures are looked for.
    pub(super) digest: [u8; 16],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("tag", &self.tag).field("flags", &self.flags).finish_non_exhaustive()
    }
}

impl Key {
    /// A key pair from the text of its two files. `name` is what errors call them.
    pub fn parse(private: &str, public: &str, apex: &[u8], name: &Path) -> Result<Self, KeyError> {
        let wrong = |what: String| KeyError::Wrong { file: name.to_owned(), what };
        let dnskey = dnskey(public, apex).map_err(&wrong)?;
        let &[f0, f1, 3, ALGORITHM, ref point @ ..] = &dnskey[..] else {
            return Err(wrong("only keys of algorithm 13 (ECDSAP256SHA256) are used; make one with dnssec-keygen -a ECDSAP256SHA256".into()));
        };
        let (mut secret, mut times, mut has_times) = (None, Times::default(), false);
        for line in private.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let time = || {
                let time = seconds(value)
                    .ok_or_else(|| wrong(format!("{key}: {value} is no time; write YYYYMMDDHHMMSS")))?;
                Ok::<_, KeyError>(Some(time))
            };
            match key {
                "PrivateKey" => secret = base64::decode::<Vec<u8>>(value).ok(),
                "Publish" => (times.publish, has_times) = (time()?, true),
                "Activate" => (times.activate, has_times) = (time()?, true),
                "Inactive" => times.inactive = time()?,
                "Delete" => times.delete = time()?,
                "SyncPublish" => times.sync_publish = time()?,
                "SyncDelete" => times.sync_delete = time()?,
                "Revoke" => {
                    return Err(wrong("revoked keys (RFC 5011) are not served; take the key away".into()));
                }
                _ => {}
            }
        }
        if !has_times {
            // A file of other tools: used as long as it is there.
            (times.publish, times.activate) = (Some(0), Some(0));
        }
        let secret = secret
            .ok_or_else(|| wrong("it has no PrivateKey line in base 64; is it the .private file?".into()))?;
        let point = [&[4], point].concat();
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret, &point)
                .map_err(|_| {
                    wrong("private and public key do not belong together; are both files of one pair?".into())
                })?;
        let (flags, tag) = (u16::from_be_bytes([f0, f1]), tag(&dnskey));
        let whole = [apex, &dnskey].concat();
        let whole = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole);
        let mut digest = [0; 16];
        digest.copy_from_slice(&whole.as_ref()[..16]);
        Ok(Self { tag, flags, dnskey: dnskey.into(), times, pair, digest })
    }

    /// Signs the zone's keys rather than its data, when there are others for that.
    pub fn is_entry_point(&self) -> bool {
        self.flags & SECURE_ENTRY_POINT != 0
    }

    /// Whether it is among the zone's DNSKEY records.
    pub fn is_published(&self, now: u64) -> bool {
        within(now, self.times.publish.or(self.times.activate), self.times.delete)
    }

    pub fn is_active(&self, now: u64) -> bool {
        self.is_published(now) && within(now, self.times.activate, self.times.inactive)
    }

    /// When it signs no more.
    pub fn active_until(&self) -> Option<u64> {
        self.times.inactive.into_iter().chain(self.times.delete).min()
    }

    /// Whether the parent is asked to refer to it.
    pub fn is_synced(&self, now: u64) -> bool {
        within(now, self.times.sync_publish, self.times.sync_delete)
    }

    /// Data of a DS or CDS record for it, with SHA-256 (RFC 4509).
    pub fn ds(&self, apex: &[u8]) -> Vec<u8> {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        digest.update(apex);
        digest.update(&self.dnskey);
        let mut rdata = self.tag.to_be_bytes().to_vec();
        rdata.extend_from_slice(&[ALGORITHM, 2]);
        rdata.extend_from_slice(digest.finish().as_ref());
        rdata
    }
}

/// RFC 4034 appendix B.
fn tag(dnskey: &[u8]) -> u16 {
    let sum: u32 = dnskey
        .iter()
        .enumerate()
        .map(|(at, octet)| if at % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) })
        .sum();
    (sum + (sum >> 16)) as u16
}

fn dnskey(text: &str, apex: &[u8]) -> Result<Vec<u8>, String> {
    let mut file = Zonefile::with_capacity(text.len() + 1);
    file.extend_from_slice(text.as_bytes());
    file.extend_from_slice(b"\n");
    file.set_origin(domain::base::Name::root_bytes());
    file.set_default_class(domain::base::iana::Class::IN);
    while let Some(entry) = file.next_entry().map_err(|error| format!("its .key file: {error}"))? {
        let Entry::Record(record) = entry else { continue };
        if !matches!(record.data(), ZoneRecordData::Dnskey(_)) {
            continue;
        }
        let owner: domain::base::Name<Vec<u8>> = domain::base::ToName::to_name(record.owner());
        if !owner.as_slice().eq_ignore_ascii_case(apex) {
            return Err(format!(
                "it is a key of {owner}, not of {}; take it out of the folder",
                name::show(apex)
            ));
        }
        let mut rdata = Vec::new();
        // Writing to a vector does not fail.
        _ = record.data().compose_rdata(&mut rdata);
        debug_assert_eq!(record.rtype().to_int(), rtype::DNSKEY);
        return Ok(rdata);
    }
    Err("its .key file has no DNSKEY record".into())
}

/// `YYYYMMDDHHMMSS` in seconds since 1970.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    // dnssec-settime writes the time in words behind it.
    let text = text.split_whitespace().next()?;
    if text.len() != 14 || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    u64::try_from(jiff::tz::Offset::UTC.to_timestamp(time).ok()?.as_second()).ok()
}

/// All keys of a zone in a folder: `K<zone>.+013+<tag>.private` with its `.key`.
pub fn load(folder: &Path, apex: &[u8]) -> Result<Vec<Key>, KeyError> {
    let unreadable = |file: &Path| {
        let file = file.to_owned();
        move |error| KeyError::Unreadable { file, error }
    };
    let begin = format!("K{}+", name::show(apex));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.len() > begin.len()
            && name[..begin.len()].eq_ignore_ascii_case(&begin)
            && name.ends_with(".private")
        {
            files.push(path);
        }
    }
    files.sort();
    let wrong = |what: String| KeyError::Wrong { file: folder.to_owned(), what };
    if files.is_empty() {
        return Err(wrong(format!(
            "it has no {begin}013+….private; make one with dnssec-keygen -a ECDSAP256SHA256 -f KSK"
        )));
    }
    if files.len() > MOST_KEYS {
        return Err(wrong(format!(
            "it has {} keys of {}; keep {MOST_KEYS} at most",
            files.len(),
            name::show(apex)
        )));
    }
    let text = |path: &Path| {
        use std::io::Read as _;
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable(path))?;
        file.take(MOST_OCTETS).read_to_string(&mut text).map_err(unreadable(path))?;
        Ok::<_, KeyError>(text)
    };
    files
        .iter()
        .map(|path| Key::parse(&text(path)?, &text(&path.with_extension("key"))?, apex, path))
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const PRIVATE: &str = "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: WRF8r4/tWenSZIfrUJlxKJU30+BGC0dxSEo1PRY9B1k=\nCreated: 20261127162327\nPublish: 20261127162327\nActivate: 20261127162327\n";
    pub const PUBLIC: &str = "; comment\ncdn.test. IN DNSKEY 257 3 13 Yf5Zfsez4+4SA+xf4Tj7EP+N26k7p4ss/teop9u068VffkKrrE9LWOh3 sEXysgMjWAy+v4PJGfRWY64Oq/rkKA==\n";
    const APEX: &[u8] = b"\x03cdn\x04test\0";

    /// Tag and digest are those that dnssec-keygen and dnssec-dsfromkey gave.
    #[test]
    fn a_key_of_dnssec_keygen() {
        let key = Key::parse(PRIVATE, PUBLIC, APEX, Path::new("K")).unwrap();
        assert_eq!((key.tag, key.flags, key.is_entry_point()), (51_300, 257, true));
        let ds: String = key.ds(APEX)[4..].iter().map(|octet| format!("{octet:02X}")).collect();
        assert_eq!(ds, "7E2551DA7F02F783E62E2FAA95D4898D71874F790E26F62FA625FA8293392208");
        let made = seconds("20261127162327").unwrap();
        assert_eq!(made, 1_795_796_607);
        assert!(!key.is_active(made - 1) && key.is_active(made) && !key.is_synced(made));
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn times() {
        assert_eq!(seconds("19700101000000"), Some(0));
        assert_eq!(seconds("20000229120000"), Some(951_825_600));
        assert_eq!(seconds("20240301000000 (Fri Mar  1 00:00:00 2024)"), Some(1_709_251_200));
        for wrong in ["", "2024", "20241301000000", "20240100000000", "2024010100000x", "19600101000000"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_life() {
        let text = format!(
            "{PRIVATE}Inactive: 20270101000000\nDelete: 20270201000000\nSyncPublish: 20261201000000\nSyncDelete: 20270115000000\n"
        );
        let key = Key::parse(&text, PUBLIC, APEX, Path::new("K")).unwrap();
        for (time, published, active, synced) in [
            ("20261101000000", false, false, false),
            ("20261128000000", true, true, false),
            ("20261202000000", true, true, true),
            ("20270102000000", true, false, true),
            ("20270116000000", true, false, false),
            ("20270202000000", false, false, false),
        ] {
            let now = seconds(time).unwrap();
            assert_eq!(
                (key.is_published(now), key.is_active(now), key.is_synced(now)),
                (published, active, synced),
                "{time}"
            );
        }
    }

    #[test]
    fn keys_that_are_refused() {
        let error = |private: &str, public: &str, apex: &[u8]| {
            Key::parse(private, public, apex, Path::new("K")).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error(PRIVATE, PUBLIC, b"\x01x\0").contains("not of x."));
        assert!(error(PRIVATE, "", APEX).contains("no DNSKEY"));
        assert!(error("", PUBLIC, APEX).contains("no PrivateKey line"));
        assert!(error(&PRIVATE.replace("WRF8", "XRF8"), PUBLIC, APEX).contains("belong together"));
        assert!(error(PRIVATE, &PUBLIC.replace("3 13", "3 8"), APEX).contains("algorithm 13"));
        assert!(
            error(&PRIVATE.replace("Activate: 2026", "Activate: x"), PUBLIC, APEX).contains("YYYYMMDDHHMMSS")
        );
        assert!(error(&format!("{PRIVATE}Revoke: 20261127162327"), PUBLIC, APEX).contains("revoked"));
    }
}
