//! An authoritative name server without sockets: a query and what time it is in, a response out.
//!
//! What comes from files ([`zone`], read by [`load`]) is shared by all threads and never changes; what depends on the client comes from
//! [`Steering`]. Each thread has one [`Authority`].

mod answer;
pub mod cookies;
pub mod counters;
pub mod dnssec;
pub mod load;
mod options;
pub mod rates;
pub mod settings;
mod steered;
pub mod zone;

use std::net::IpAddr;
use std::sync::Arc;

pub use counters::Counters;
pub use settings::{Current, Settings, WithoutCookie};

use crate::dns::codes::{class, error, flag, opcode, rcode, rtype};
use crate::dns::name::Name;
use crate::dns::query::{self, Query, Question};
use crate::dns::writer::{Data, Section, Writer};
use crate::respond::{Asked, LONGEST_MESSAGE, Respond, Transport};
use crate::steer::{Client, Steering};
use answer::{Answer, Out, Outcome, Work};
use cookies::Standing;
use rates::{Limiter, Verdict};

/// Longest response without EDNS on UDP (RFC 1035 section 4.2.1); whoever says less is taken to mean it (RFC 6891 section 6.2.3).
const SHORTEST_LIMIT: usize = 512;

/// Answers the queries of one thread.
pub struct Authority<S> {
    source: Current,
    settings: Arc<Settings>,
    steering: S,
    counters: Arc<Counters>,
    limiter: Option<Limiter>,
    seed: u64,
    turn: u32,
    // What a query needs room for, kept from one to the next.
    name: Name,
    target: Name,
    scratch: Vec<u8>,
    types: Vec<u16>,
    signatures: dnssec::Cache,
    secret: [u8; 16],
}

impl<S: Steering> Authority<S> {
    /// `seed` is random and differs from thread to thread.
    pub fn new(source: Current, steering: S, seed: [u8; 16]) -> Self {
        let settings = source.load_full();
        let signatures = dnssec::Cache::new(room(&settings), seed);
        let (secret, seed) = (seed, u128::from_le_bytes(seed) as u64);
        let limiter = settings.rates.map(|rates| Limiter::new(rates, seed));
        Self {
            source,
            settings,
            steering,
            counters: Arc::default(),
            limiter,
            seed,
            turn: seed as u32,
            name: Name::default(),
            target: Name::default(),
            scratch: Vec::with_capacity(1024),
            types: Vec::with_capacity(64),
            signatures,
            secret,
        }
    }

    /// Where to read what this one counts.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// How many signatures to keep: none where no zone is signed.
fn room(settings: &Settings) -> usize {
    let signs = settings.zones.all().iter().any(|zone| zone.signer.is_some());
    if signs { settings.signatures } else { 0 }
}

/// What comes before any zone is looked at; `None`, the question is for a zone.
fn before_zones(query: &Query<'_>, cookie: Option<Standing>) -> Option<Answer> {
    let opcode = query.opcode();
    // Whatever is in it: another operation may have another form (RFC 8906 section 3.1.4).
    if !matches!(opcode, opcode::QUERY | opcode::NOTIFY | opcode::UPDATE) {
        return Some(Answer::bare(rcode::NOTIMP));
    }
    if query.tsig.is_some() && query.fault.is_none() {
        return Some(Answer::bare(rcode::NOTAUTH));
    }
    if opcode != opcode::QUERY {
        return Some(Answer::with_error(rcode::REFUSED, error::NOT_SUPPORTED));
    }
    if query.fault.is_some() {
        return Some(Answer::bare(rcode::FORMERR));
    }
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(Answer::bare(rcode::BADVERS));
    }
    let Some(question) = query.question else {
        return Some(Answer::bare(match cookie {
            Some(Standing::New | Standing::Valid) => rcode::NOERROR,
            Some(Standing::Invalid) => rcode::BADCOOKIE,
            None => rcode::FORMERR,
        }));
    };
    match question.qtype {
        rtype::OPT | rtype::TSIG | rtype::NXNAME => {
            Some(Answer::with_error(rcode::FORMERR, error::INVALID_QUERY_TYPE))
        }
        rtype::TKEY => Some(Answer::bare(rcode::NOTIMP)),
        rtype::AXFR | rtype::IXFR => Some(Answer::with_error(rcode::REFUSED, error::PROHIBITED)),
        _ => None,
    }
}

/// Who this server is (RFC 4892), as far as it is configured to tell.
fn identity(
    settings: &Settings,
    counters: &Counters,
    writer: &mut Writer<'_>,
    name: &Name,
    qtype: u16,
) -> Answer {
    let text = match name.wire() {
        b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => &settings.version,
        b"\x08hostname\x04bind\x00" | b"\x02id\x06server\x00" => &settings.hostname,
        _ => &None,
    };
    let Some(text) = text.as_ref().filter(|_| matches!(qtype, rtype::TXT | rtype::ANY)) else {
        return Answer::bare(rcode::REFUSED);
    };
    counters.identity.one();
    let mut rdata = Vec::with_capacity(text.len() + 1);
    let text = &text.as_bytes()[..text.len().min(255)];
    rdata.push(text.len() as u8);
    rdata.extend_from_slice(text);
    if Data::One(&rdata)
        .each(|rdata| writer.record_of(Section::Answer, name.wire(), rtype::TXT, class::CH, 0, rdata))
        .is_err()
    {
        writer.truncate();
    }
    Answer { authoritative: true, ..Answer::bare(rcode::NOERROR) }
}

fn count(counters: &Counters, query: &Query<'_>, answer: &Answer, truncated: bool) {
    match answer.outcome {
        Outcome::Positive => counters.positive.one(),
        Outcome::Referral => counters.referral.one(),
        Outcome::NoData => counters.nodata.one(),
        Outcome::NoName => counters.nxdomain.one(),
        Outcome::Other => {}
    }
    if answer.steered {
        counters.steered.one();
        let by_subnet = query.edns.and_then(|edns| edns.subnet).is_some_and(|subnet| subnet.source > 0);
        counters.steered_by_subnet.add(u64::from(by_subnet));
    }
    match answer.rcode {
        rcode::FORMERR => counters.formerr.one(),
        rcode::SERVFAIL => counters.servfail.one(),
        rcode::NOTIMP => counters.notimp.one(),
        rcode::REFUSED => counters.refused.one(),
        rcode::BADVERS => counters.badvers.one(),
        rcode::BADCOOKIE => counters.badcookie.one(),
        _ => {}
    }
    counters.truncated.add(u64::from(truncated));
}

/// For whom addresses are chosen: the client, if the query tells something of it, or else the resolver.
fn client_of(query: &Query<'_>, resolver: IpAddr) -> Client {
    match query.edns.and_then(|edns| edns.subnet).filter(|subnet| subnet.source > 0) {
        Some(subnet) => Client { address: subnet.address, length: subnet.source },
        None => Client { address: resolver, length: if resolver.is_ipv4() { 32 } else { 128 } },
    }
}

/// Header flags of a response: what is copied from the query (RFC 1035 section 4.1.1, RFC 4035 section 3.1.6), and what is ours. Never
/// RA and never AD. RD and CD are a query's: what these bits are in another operation is not known here, so they are not repeated.
fn flags_of(query: &Query<'_>, answer: &Answer) -> u16 {
    let authoritative = if answer.authoritative { flag::AA } else { 0 };
    let repeated = if query.opcode() == opcode::QUERY { flag::RD | flag::CD } else { 0 };
    flag::QR | query.flags & (flag::OPCODE | repeated) | authoritative | answer.rcode & 0xf
}

/// What the query's cookie is worth, and the cookie of the response.
fn cookie_of(
    settings: &Settings,
    counters: &Counters,
    query: &Query<'_>,
    resolver: IpAddr,
    now: u64,
) -> (Option<Standing>, Option<[u8; cookies::WHOLE]>) {
    let (Some(secrets), Some(theirs)) = (&settings.cookies, query.edns.and_then(|edns| edns.cookie)) else {
        return (None, None);
    };
    let standing = secrets.check(theirs, resolver, now);
    match standing {
        Standing::New => counters.cookie_new.one(),
        Standing::Valid => counters.cookie_valid.one(),
        Standing::Invalid => counters.cookie_invalid.one(),
    }
    (Some(standing), Some(secrets.make(theirs, resolver, now)))
}

impl<S: Steering> Respond for Authority<S> {
    fn respond(&mut self, asked: &Asked<'_>, response: &mut [u8]) -> Option<usize> {
        // Parts that are borrowed apart from each other: counting references to what all threads share would cost more than the rest.
        let Self {
            settings,
            steering,
            counters,
            limiter,
            turn,
            name,
            target,
            scratch,
            types,
            signatures,
            ..
        } = self;
        let (settings, counters): (&Settings, &Counters) = (settings, counters);
        let Some(query) = query::read(asked.query, name) else {
            counters.dropped_silently.one();
            return None;
        };
        counters.query(asked.transport);
        let resolver = asked.peer.ip().to_canonical();
        let (cookie, fresh) = cookie_of(settings, counters, &query, resolver, asked.now.unix);
        let reply = query.edns.as_ref().map(|edns| {
            counters.with_edns.one();
            counters.with_dnssec_ok.add(u64::from(edns.dnssec_ok));
            counters.with_subnet.add(u64::from(edns.subnet.is_some()));
            options::Reply {
                edns,
                settings,
                transport: asked.transport,
                cookie: fresh,
                epoch: steering.epoch(),
            }
        });
        let limit = match (asked.transport, query.edns) {
            (Transport::Udp, Some(edns)) => {
                usize::from(edns.payload.min(settings.payload)).max(SHORTEST_LIMIT)
            }
            (Transport::Udp, None) => SHORTEST_LIMIT,
            _ => LONGEST_MESSAGE,
        };
        let reserved = reply.as_ref().map_or(0, options::Reply::size);
        let mut writer = Writer::new(response, limit, reserved, query.question.as_ref())?;
        let mut answer = match before_zones(&query, cookie) {
            Some(answer) => answer,
            None if asked.transport == Transport::Udp
                && settings.without_cookie == WithoutCookie::Challenge
                && matches!(cookie, Some(Standing::New | Standing::Invalid)) =>
            {
                Answer::bare(rcode::BADCOOKIE)
            }
            None => match query.question {
                Some(Question { qclass: class::CH, qtype, .. }) => {
                    identity(settings, counters, &mut writer, name, qtype)
                }
                Some(Question { qclass: class::IN, qtype, .. }) => {
                    *turn = turn.wrapping_add(1);
                    let mut work = Work {
                        settings,
                        steering,
                        out: Out {
                            writer: &mut writer,
                            signing: query.edns.is_some_and(|edns| edns.dnssec_ok).then_some(
                                dnssec::Signing {
                                    cache: signatures,
                                    counters,
                                    now: asked.now.unix,
                                    failed: false,
                                },
                            ),
                        },
                        compact_ok: query.edns.is_some_and(|edns| edns.compact_ok),
                        now: asked.now.unix,
                        qtype,
                        resolver,
                        client: client_of(&query, resolver),
                        turn: *turn,
                        scratch,
                        types,
                        target,
                        answer: Answer::bare(rcode::NOERROR),
                    };
                    work.run(name);
                    if work.out.signing.as_ref().is_some_and(|signing| signing.failed) {
                        writer = Writer::new(response, limit, reserved, query.question.as_ref())?;
                        Answer::with_error(rcode::SERVFAIL, error::OTHER)
                    } else {
                        work.answer
                    }
                }
                _ => Answer::bare(rcode::REFUSED),
            },
        };
        if asked.transport == Transport::Udp
            && cookie != Some(Standing::Valid)
            && let Some(limiter) = limiter
        {
            let verdict = limiter.take(resolver, answer.kind, asked.now.monotonic);
            let challenged =
                settings.without_cookie == WithoutCookie::ChallengeWhenLimited && cookie.is_some();
            if verdict != Verdict::Send {
                // Larger than the query by no more than the cookie.
                writer = Writer::new(response, limit, reserved, query.question.as_ref())?;
                if challenged {
                    answer = Answer::bare(rcode::BADCOOKIE);
                } else if verdict == Verdict::Slip {
                    counters.rate_slipped.one();
                    answer = Answer::bare(answer.rcode);
                    writer.truncate();
                    if let Some(reply) = &reply {
                        reply.write(&mut writer, answer.rcode, 0, None);
                    }
                    counters.response(asked.transport);
                    return Some(writer.finish(query.id, flags_of(&query, &answer)));
                } else {
                    counters.rate_dropped.one();
                    return None;
                }
            }
        }
        count(counters, &query, &answer, writer.is_truncated());
        if let Some(reply) = &reply {
            reply.write(&mut writer, answer.rcode, answer.scope, answer.error);
        }
        if let Some(tsig) = query.tsig.filter(|_| answer.rcode == rcode::NOTAUTH) {
            tsig.refuse(&mut writer);
        }
        counters.response(asked.transport);
        Some(writer.finish(query.id, flags_of(&query, &answer)))
    }

    /// Takes the newest map and settings.
    fn refresh(&mut self) {
        self.steering.refresh();
        let newest = self.source.load();
        if !Arc::ptr_eq(&newest, &self.settings) {
            if room(&newest) != room(&self.settings) {
                self.signatures = dnssec::Cache::new(room(&newest), self.secret);
            }
            self.settings = Arc::clone(&newest);
            if self.settings.rates.as_ref() != self.limiter.as_ref().map(Limiter::rates) {
                self.limiter = self.settings.rates.map(|rates| Limiter::new(rates, self.seed));
            }
        }
    }
}
