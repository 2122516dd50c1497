//! Signs what goes out (RFC 4034 section 3, RFC 4035 section 2.2).

use aws_lc_rs::rand::SystemRandom;

use super::cache::{Cache, Signature};
use super::keys::{ALGORITHM, Key};
use crate::authority::counters::Counters;
use crate::authority::zone::RrSet;
use crate::dns::codes::{class, rtype};
use crate::dns::name;
use crate::dns::writer::{Data, Full, Section, Writer};
use crate::network::MOST_ADDRESSES;

/// For how long before now a signature holds, for clocks that are behind.
const BEFORE: u64 = 3600;
/// Up to how much later or earlier than usual a signature ends, so that not all are due at once.
const JITTER: u64 = 3600;

/// The keys of a zone.
#[derive(Debug)]
pub struct Signer {
    apex: Box<[u8]>,
    keys: Vec<Key>,
    /// For how long a signature holds, in seconds.
    validity: u64,
    /// Lifetime of DNSKEY, CDS and CDNSKEY records.
    ttl: u32,
}

/// Which keys sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Keys,
    Data,
}

impl Signer {
    /// `validity` is at least a day: every answer's lifetime must end before its signature does.
    pub fn new(apex: &[u8], keys: Vec<Key>, validity: u64, ttl: u32) -> Self {
        Self { apex: apex.into(), keys, validity: validity.max(86_400), ttl: ttl.min(86_400) }
    }

    pub(super) fn apex(&self) -> &[u8] {
        &self.apex
    }

    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What an operator must see to, if anything: no key that signs, none that the parent can refer to.
    pub fn check(&self, now: u64) -> Result<(), String> {
        let apex = name::show(&self.apex);
        if !self.keys.iter().any(|key| key.is_active(now)) {
            let so = if self.keys.iter().any(|key| key.is_published(now)) {
                "active: those that are published sign"
            } else {
                "active or published: its answers are not signed, and resolvers that validate refuse them"
            };
            return Err(format!(
                "no key of {apex} is {so}; set the times of one with dnssec-settime -P now -A now -I none -D none, or make one with dnssec-keygen, and send SIGHUP"
            ));
        }
        if !self.keys.iter().any(|key| key.is_active(now) && key.is_entry_point()) {
            return Err(format!(
                "no key-signing key of {apex} is active; the parent's DS record has nothing to refer to"
            ));
        }
        Ok(())
    }

    /// The keys that sign now. Without one for the purpose the others do; without an active one those that are published, which is
    /// better than no signature.
    fn signing(&self, now: u64, purpose: Use) -> impl Iterator<Item = &Key> {
        let active = self.keys.iter().any(|key| key.is_active(now));
        let usable = move |key: &&Key| if active { key.is_active(now) } else { key.is_published(now) };
        let fits = move |key: &Key| key.is_entry_point() == (purpose == Use::Keys);
        let fitting = self.keys.iter().filter(usable).any(fits);
        self.keys.iter().filter(usable).filter(move |key| !fitting || fits(key))
    }

    /// Records at the apex that are made of the keys, if there are such now.
    pub fn set(&self, rtype: u16, now: u64) -> Option<RrSet> {
        let all = self.keys.iter();
        let mut records: Vec<Box<[u8]>> = match rtype {
            rtype::DNSKEY => all.filter(|key| key.is_published(now)).map(|key| key.dnskey.clone()).collect(),
            rtype::CDNSKEY => all.filter(|key| key.is_synced(now)).map(|key| key.dnskey.clone()).collect(),
            rtype::CDS => all.filter(|key| key.is_synced(now)).map(|key| key.ds(&self.apex).into()).collect(),
            _ => return None,
        };
        records.sort_unstable();
        (!records.is_empty()).then_some(RrSet { rtype, ttl: self.ttl, records })
    }
}

/// What signs the records of one response.
pub struct Signing<'w> {
    pub cache: &'w mut Cache,
    pub counters: &'w Counters,
    /// Seconds since 1970.
    pub now: u64,
    /// A signature could not be made.
    pub failed: bool,
}

impl Signing<'_> {
    /// Adds the RRSIG records of an RRset that was just written. `owner` is in lower case. A name that a wildcard made is signed as
    /// if it stood in the zone: nothing tells it apart.
    #[expect(clippy::too_many_arguments, reason = "an RRset has that many parts")]
    pub fn add(
        &mut self,
        writer: &mut Writer<'_>,
        signer: &Signer,
        section: Section,
        owner: &[u8],
        rtype: u16,
        ttl: u32,
        data: Data<'_>,
    ) -> Result<(), Full> {
        let purpose = match rtype {
            rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY => Use::Keys,
            _ => Use::Data,
        };
        // Addresses are ordered for the client; a signature is over their canonical order (RFC 4034 section 6.3).
        let (mut v4, mut v6) = (
            [std::net::Ipv4Addr::UNSPECIFIED; MOST_ADDRESSES],
            [std::net::Ipv6Addr::UNSPECIFIED; MOST_ADDRESSES],
        );
        let data = match data {
            Data::V4(all) => Data::V4(sorted(&mut v4, all)),
            Data::V6(all) => Data::V6(sorted(&mut v6, all)),
            other => other,
        };
        let mut labels = name::count(owner) as u8;
        if owner.starts_with(b"\x01*") {
            labels -= 1;
        }
        for key in signer.signing(self.now, purpose) {
            let Some(signature) = self.signature(signer, key, owner, labels, rtype, ttl, data) else {
                self.failed = true;
                return Err(Full);
            };
            let rdata = &mut self.cache.rdata;
            rdata.clear();
            head(rdata, signer, key, labels, rtype, ttl, &signature);
            rdata.extend_from_slice(&signature.octets);
            writer.record(section, owner, rtype::RRSIG, ttl, rdata)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "an RRset has that many parts")]
    fn signature(
        &mut self,
        signer: &Signer,
        key: &Key,
        owner: &[u8],
        labels: u8,
        rtype: u16,
        ttl: u32,
        data: Data<'_>,
    ) -> Option<Signature> {
        // What is signed but for the times, without ambiguity: names end by themselves, each record tells its length.
        let message = &mut self.cache.message;
        message.clear();
        message.extend_from_slice(&key.digest);
        message.extend_from_slice(owner);
        message.extend_from_slice(&rtype.to_be_bytes());
        message.extend_from_slice(&ttl.to_be_bytes());
        _ = data.each(|rdata| {
            message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            message.extend_from_slice(rdata);
            Ok::<_, Full>(())
        });
        let message = std::mem::take(&mut self.cache.message);
        let found = self.cache.key(&[&message]);
        self.cache.message = message;
        if let Some(signature) = self.cache.find(found, self.now) {
            self.counters.signatures_ready.one();
            return Some(signature);
        }
        self.counters.signatures_made.one();
        let jitter = (found >> 64) as u64 % (2 * JITTER);
        let mut signature = Signature {
            inception: self.now.saturating_sub(BEFORE + jitter / 2) as u32,
            expiration: (self.now + signer.validity + jitter - JITTER) as u32,
            octets: [0; super::cache::SIGNATURE],
        };
        let message = &mut self.cache.message;
        message.clear();
        head(message, signer, key, labels, rtype, ttl, &signature);
        _ = data.each(|rdata| {
            message.extend_from_slice(owner);
            message.extend_from_slice(&rtype.to_be_bytes());
            message.extend_from_slice(&class::IN.to_be_bytes());
            message.extend_from_slice(&ttl.to_be_bytes());
            message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
            message.extend_from_slice(rdata);
            Ok::<_, Full>(())
        });
        let made = key.pair.sign(&SystemRandom::new(), message).ok()?;
        signature.octets = made.as_ref().try_into().ok()?;
        // Made again when half of its time is over, so that no resolver is left with one that ends before its record does.
        self.cache.keep(found, self.now + signer.validity / 2, signature);
        Some(signature)
    }
}

/// Addresses in canonical order, up to [`MOST_ADDRESSES`].
pub fn sorted<'a, T: Copy + Ord>(room: &'a mut [T; MOST_ADDRESSES], all: &[T]) -> &'a [T] {
    let room = &mut room[..all.len().min(MOST_ADDRESSES)];
    room.copy_from_slice(&all[..room.len()]);
    room.sort_unstable();
    room
}

/// The data of an RRSIG record up to its signature.
fn head(
    to: &mut Vec<u8>,
    signer: &Signer,
    key: &Key,
    labels: u8,
    rtype: u16,
    ttl: u32,
    signature: &Signature,
) {
    to.extend_from_slice(&rtype.to_be_bytes());
    to.extend_from_slice(&[ALGORITHM, labels]);
    to.extend_from_slice(&ttl.to_be_bytes());
    to.extend_from_slice(&signature.expiration.to_be_bytes());
    to.extend_from_slice(&signature.inception.to_be_bytes());
    to.extend_from_slice(&key.tag.to_be_bytes());
    to.extend_from_slice(&signer.apex);
}
