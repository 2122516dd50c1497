//! Answers that depend on who asks.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::answer::{Answer, Has, Next, Outcome, Work};
use super::dnssec::sign::sorted;
use super::rates;
use super::zone::{Node, Role, Zone};
use crate::dns::codes::{error, rcode, rtype};
use crate::dns::name::Name;
use crate::dns::writer::{Data, Full, Section};
use crate::network::MOST_ADDRESSES;
use crate::steer::{Client, Steerable, Steered, Steering};

/// SvcParamKeys of address hints (RFC 9460 section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

const UNORDERED_V4: [Ipv4Addr; MOST_ADDRESSES] = [Ipv4Addr::UNSPECIFIED; MOST_ADDRESSES];
const UNORDERED_V6: [Ipv6Addr; MOST_ADDRESSES] = [Ipv6Addr::UNSPECIFIED; MOST_ADDRESSES];

/// For whom to choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub client: Client,
    pub turn: u32,
}

impl<S: Steering> Work<'_, '_, S> {
    /// A name whose addresses are chosen. Other types come from the file, if it has them (`node`).
    pub fn steered(
        &mut self,
        zone: &Zone,
        name: &Name,
        found: Steerable,
        node: Option<&Node>,
        first: bool,
    ) -> Result<Next, Full> {
        let qtype = self.qtype;
        let chosen = matches!(qtype, rtype::A | rtype::AAAA | rtype::HTTPS | rtype::ANY);
        let node = if chosen && self.out.signing.is_none() {
            node
        } else {
            node.or_else(|| zone.nodes.get(name.wire()))
        };
        if !chosen
            && qtype != rtype::CNAME
            && let Some(set) = node.and_then(|node| node.set(qtype))
        {
            self.answer.outcome = Outcome::Positive;
            if first {
                self.answer.kind = rates::Kind::Positive(found.rate_key());
            }
            let data = Data::Many(&set.records);
            self.out.put(zone, Section::Answer, name.wire(), qtype, set.ttl, data)?;
            return Ok(Next::Done);
        }
        let has_https = if qtype == rtype::HTTPS {
            self.scratch.clear();
            self.steering.https(found).map(|params| self.scratch.extend_from_slice(params)).is_some()
        } else {
            // For denials alone.
            zone.signer.is_some() && self.steering.https(found).is_some()
        };
        let denial = self.asks_for_denial(zone);
        let Choice { client, turn } = self.choice();
        match self.steering.steer(found, client, turn) {
            Steered::Addresses { v4, v6, ttl, scopes } => {
                let (rtype, data) = match qtype {
                    rtype::A => (qtype, Data::V4(v4)),
                    rtype::AAAA => (qtype, Data::V6(v6)),
                    rtype::ANY if v4.is_empty() => (rtype::AAAA, Data::V6(v6)),
                    rtype::ANY => (rtype::A, Data::V4(v4)),
                    rtype::HTTPS if has_https => {
                        if self.out.signer(zone).is_some() {
                            // One order, so that one signature is enough; those who use hints choose among them themselves.
                            let (mut four, mut six) = (UNORDERED_V4, UNORDERED_V6);
                            hints(self.scratch, sorted(&mut four, v4), sorted(&mut six, v6));
                        } else {
                            hints(self.scratch, v4, v6);
                        }
                        (qtype, Data::One(self.scratch))
                    }
                    _ => (qtype, Data::V4(&[])),
                };
                let scope = match rtype {
                    rtype::A => scopes.v4,
                    rtype::AAAA => scopes.v6,
                    rtype::HTTPS if has_https => scopes.of_all(),
                    // That there is no such record is so for everybody.
                    _ => 0,
                };
                self.answer.scope = self.answer.scope.max(scope);
                if data.is_empty() {
                    let chosen = [
                        (!v4.is_empty()).then_some(rtype::A),
                        (!v6.is_empty()).then_some(rtype::AAAA),
                        has_https.then_some(rtype::HTTPS),
                    ];
                    return self.no_data(zone, name, Has { node, chosen, steered: true });
                }
                (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
                if first {
                    self.answer.kind = rates::Kind::Positive(found.rate_key());
                }
                // Owner and question are the same, which is written fastest.
                if first && self.out.signing.is_none() && qtype != rtype::HTTPS {
                    if self.out.writer.addresses(data, ttl).is_err() {
                        self.out.writer.truncate();
                        return Err(Full);
                    }
                } else {
                    self.out.put(zone, Section::Answer, name.wire(), rtype, ttl, data)?;
                }
                Ok(Next::Done)
            }
            // An alias has no place beside SOA and NS (RFC 1034 section 3.6.2).
            Steered::Alias { scope, .. } if name.labels() == zone.labels => {
                self.answer.scope = self.answer.scope.max(scope);
                self.no_data(zone, name, Has { node, chosen: [None; 3], steered: true })
            }
            Steered::Alias { scope, .. } if denial => {
                self.answer.scope = self.answer.scope.max(scope);
                self.no_data(
                    zone,
                    name,
                    Has { node, chosen: [Some(rtype::CNAME), None, None], steered: true },
                )
            }
            Steered::Alias { target, ttl, scope } => {
                self.answer.scope = self.answer.scope.max(scope);
                (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
                if first {
                    self.answer.kind = rates::Kind::Positive(found.rate_key());
                }
                self.target.set(target);
                let data = Data::One(self.target.wire());
                self.out.put(zone, Section::Answer, name.wire(), rtype::CNAME, ttl, data)?;
                Ok(if matches!(qtype, rtype::CNAME | rtype::ANY) { Next::Done } else { Next::Alias })
            }
        }
    }

    /// The top level's own answer for the address of a low-level name server: the same as in its referrals.
    pub fn name_server(&mut self, zone: &Zone, name: &Name, at: usize, first: bool) -> Result<Next, Full> {
        let server = self.steering.name_servers(self.resolver).get(at).copied();
        let v4 = server.and_then(|server| server.v4);
        let v6 = server.and_then(|server| server.v6);
        let has = Has { chosen: [v4.map(|_| rtype::A), v6.map(|_| rtype::AAAA), None], ..Has::default() };
        let Role::Top { ttl, .. } = zone.role else { return self.no_data(zone, name, has) };
        let (v4, v6) = (v4.as_slice(), v6.as_slice());
        let (rtype, data) = match self.qtype {
            rtype::A => (rtype::A, Data::V4(v4)),
            rtype::ANY if !v4.is_empty() => (rtype::A, Data::V4(v4)),
            rtype::AAAA | rtype::ANY => (rtype::AAAA, Data::V6(v6)),
            _ => (rtype::A, Data::V4(&[])),
        };
        if data.is_empty() {
            return self.no_data(zone, name, has);
        }
        if first {
            self.answer.kind = rates::Kind::Positive(crate::dns::name::hash(name.wire()));
        }
        (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
        self.out.put(zone, Section::Answer, name.wire(), rtype, ttl, data)?;
        Ok(Next::Done)
    }

    /// Refers to the low-level name servers near the resolver. What is chosen depends on the resolver alone, so the scope stays 0
    /// (RFC 7871 section 7.2.1: referrals are not tailored to the client).
    pub fn steered_referral(
        &mut self,
        zone: &Zone,
        owner: &[u8],
        node: &Node,
        _name: &Name,
    ) -> Result<Next, Full> {
        let Role::Top { names, ttl, .. } = &zone.role else { return Ok(Next::Done) };
        let servers = self.steering.name_servers(self.resolver);
        let has_address = |server: &crate::network::NameServer| server.v4.is_some() || server.v6.is_some();
        let mut named = 0;
        for (name, _) in names.iter().zip(servers).filter(|(_, server)| has_address(server)) {
            named += 1;
            if self.out.writer.record(Section::Authority, owner, rtype::NS, *ttl, name).is_err() {
                self.out.writer.truncate();
                return Err(Full);
            }
        }
        if named == 0 {
            let before = self.answer;
            self.answer = Answer {
                kind: before.kind,
                ..Answer::with_error(rcode::SERVFAIL, error::NO_REACHABLE_AUTHORITY)
            };
            return Ok(Next::Done);
        }
        self.delegation(zone, owner, node)?;
        // The family that the resolver came with goes first: if not all fit, it has what it can use.
        let families =
            if self.resolver.is_ipv6() { [rtype::AAAA, rtype::A] } else { [rtype::A, rtype::AAAA] };
        let servers = self.steering.name_servers(self.resolver);
        let mut given = 0;
        'families: for family in families {
            for (name, server) in names.iter().zip(servers) {
                let done = match (family, server.v4, server.v6) {
                    (rtype::A, Some(v4), _) => {
                        self.out.writer.record(Section::Additional, name, family, *ttl, &v4.octets())
                    }
                    (rtype::AAAA, _, Some(v6)) => {
                        self.out.writer.record(Section::Additional, name, family, *ttl, &v6.octets())
                    }
                    _ => continue,
                };
                match done {
                    Ok(()) => given += 1,
                    Err(Full) => break 'families,
                }
            }
        }
        // These names are ours and can be asked for, so a part will do; none at all would cost a round trip more than TC.
        if given == 0 {
            self.out.writer.truncate();
            return Err(Full);
        }
        Ok(Next::Done)
    }
}

/// Makes SvcParams the data of an HTTPS record in ServiceMode, for the owner itself, with the chosen addresses as hints. Keys stay in
/// ascending order (RFC 9460 section 2.2).
fn hints(params: &mut Vec<u8>, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) {
    // What is there goes behind the new data, and is cut off at the end: one vector, no allocation once it has grown.
    let old = params.len();
    params.extend_from_slice(&[0, 1, 0]);
    let mut at = 0;
    let mut pending = [(IPV4_HINT, true), (IPV6_HINT, true)];
    loop {
        let head = if at + 4 <= old {
            Some([params[at], params[at + 1], params[at + 2], params[at + 3]])
        } else {
            None
        };
        let key = head.map_or(u16::MAX, |head| u16::from_be_bytes([head[0], head[1]]));
        for (hint, due) in &mut pending {
            if *due && (head.is_none() || key >= *hint) {
                *due = false;
                let size = if *hint == IPV4_HINT { v4.len() * 4 } else { v6.len() * 16 };
                if size > 0 {
                    params.extend_from_slice(&hint.to_be_bytes());
                    params.extend_from_slice(&(size as u16).to_be_bytes());
                    if *hint == IPV4_HINT {
                        v4.iter().for_each(|address| params.extend_from_slice(&address.octets()));
                    } else {
                        v6.iter().for_each(|address| params.extend_from_slice(&address.octets()));
                    }
                }
            }
        }
        let Some(head) = head else { break };
        let size = 4 + usize::from(u16::from_be_bytes([head[2], head[3]]));
        if at + size > old {
            break;
        }
        if key != IPV4_HINT && key != IPV6_HINT {
            params.extend_from_within(at..at + size);
        }
        at += size;
    }
    params.drain(..old);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_in_the_order_of_keys() {
        let (v4, v6) = ([Ipv4Addr::new(1, 2, 3, 4)], [Ipv6Addr::LOCALHOST]);
        let param = |key: u8, value: &[u8]| [&[0, key, 0, value.len() as u8], value].concat();
        let (four, six) = (param(4, &v4[0].octets()), param(6, &v6[0].octets()));
        for (before, after) in [
            (vec![], [four.clone(), six.clone()].concat()),
            (param(1, b"\x02h2"), [param(1, b"\x02h2"), four.clone(), six.clone()].concat()),
            (
                [param(1, b"\x02h2"), param(5, b"ech"), param(7, b"/q")].concat(),
                [param(1, b"\x02h2"), four.clone(), param(5, b"ech"), six.clone(), param(7, b"/q")].concat(),
            ),
            (
                [param(4, b"abcd"), param(9, b"")].concat(),
                [four.clone(), six.clone(), param(9, b"")].concat(),
            ),
        ] {
            let mut params = before;
            hints(&mut params, &v4, &v6);
            assert_eq!(params, [&[0, 1, 0], &after[..]].concat());
        }
        let mut params = param(1, b"\x02h2");
        hints(&mut params, &[], &[]);
        assert_eq!(params, [&[0, 1, 0][..], &param(1, b"\x02h2")].concat());
    }
}
