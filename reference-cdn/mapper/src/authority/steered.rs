//! Answers that depend on who asks.

use super::answer::{Answer, Next, Outcome, Work};
use super::rates;
use super::zone::{Node, Role, Zone};
use crate::dns::codes::{error, rcode, rtype};
use crate::dns::name::Name;
use crate::dns::writer::{Data, Full, Section};
use crate::steer::{Client, Steerable, Steered, Steering};

/// SvcParamKeys of address hints (RFC 9460 section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

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
        if !chosen
            && let Some(set) = node.or_else(|| zone.nodes.get(name.wire())).and_then(|node| node.set(qtype))
            && qtype != rtype::CNAME
        {
            self.answer.kind = rates::Kind::Positive(found.content);
            self.answer.outcome = Outcome::Positive;
            self.put(zone, Section::Answer, name.wire(), qtype, set.ttl, Data::Many(&set.records))?;
            return Ok(Next::Done);
        }
        let has_https = if qtype == rtype::HTTPS {
            self.scratch.clear();
            self.steering.https(found).map(|params| self.scratch.extend_from_slice(params)).is_some()
        } else {
            false
        };
        let Choice { client, turn } = self.choice();
        match self.steering.steer(found, client, turn) {
            Steered::Addresses { v4, v6, ttl, scope } => {
                let data = match qtype {
                    rtype::A => Data::V4(v4),
                    rtype::AAAA => Data::V6(v6),
                    rtype::ANY if v4.is_empty() => Data::V6(v6),
                    rtype::ANY => Data::V4(v4),
                    rtype::HTTPS if has_https => {
                        hints(self.scratch, v4, v6);
                        Data::One(&[])
                    }
                    _ => Data::V4(&[]),
                };
                self.answer.scope = self.answer.scope.max(scope);
                if data.is_empty() {
                    return self.no_data(zone, name, &[]);
                }
                (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
                if first {
                    self.answer.kind = rates::Kind::Positive(found.content);
                }
                if qtype == rtype::HTTPS {
                    let data = std::mem::take(self.scratch);
                    let done = self.put(zone, Section::Answer, name.wire(), qtype, ttl, Data::One(&data));
                    *self.scratch = data;
                    done?;
                } else if first {
                    // Owner and question are the same.
                    if self.writer.addresses(data, ttl).is_err() {
                        self.writer.truncate();
                        return Err(Full);
                    }
                } else {
                    let rtype = if matches!(data, Data::V4(_)) { rtype::A } else { rtype::AAAA };
                    let mark = self.writer.mark();
                    let done = data
                        .each(|rdata| self.writer.record(Section::Answer, name.wire(), rtype, ttl, rdata));
                    if done.is_err() {
                        self.writer.back_to(mark);
                        self.writer.truncate();
                        return Err(Full);
                    }
                }
                Ok(Next::Done)
            }
            // An alias has no place beside SOA and NS (RFC 1034 section 3.6.2).
            Steered::Alias { scope, .. } if name.labels() == zone.labels => {
                self.answer.scope = self.answer.scope.max(scope);
                self.no_data(zone, name, &[])
            }
            Steered::Alias { target, ttl, scope } => {
                self.answer.scope = self.answer.scope.max(scope);
                self.target.set(target);
                (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
                if first {
                    self.answer.kind = rates::Kind::Positive(found.content);
                }
                let target = self.target.clone();
                self.put(zone, Section::Answer, name.wire(), rtype::CNAME, ttl, Data::One(target.wire()))?;
                Ok(if matches!(qtype, rtype::CNAME | rtype::ANY) { Next::Done } else { Next::Alias })
            }
        }
    }

    /// The top level's own answer for the address of a low-level name server: the same as in its referrals.
    pub fn name_server(&mut self, zone: &Zone, name: &Name, at: usize, first: bool) -> Result<Next, Full> {
        let Role::Top { ttl, .. } = zone.role else { return self.no_data(zone, name, &[]) };
        let server = self.steering.name_servers(self.resolver).get(at).copied();
        let v4 = server.and_then(|server| server.v4);
        let v6 = server.and_then(|server| server.v6);
        let (v4, v6) = (v4.as_slice(), v6.as_slice());
        let data = match self.qtype {
            rtype::A => Data::V4(v4),
            rtype::AAAA => Data::V6(v6),
            rtype::ANY if v4.is_empty() => Data::V6(v6),
            rtype::ANY => Data::V4(v4),
            _ => Data::V4(&[]),
        };
        if data.is_empty() {
            return self.no_data(zone, name, &[]);
        }
        if first {
            self.answer.kind = rates::Kind::Positive(crate::dns::name::hash(name.wire()));
        }
        (self.answer.outcome, self.answer.steered) = (Outcome::Positive, true);
        let rtype = if matches!(data, Data::V4(_)) { rtype::A } else { rtype::AAAA };
        self.put(zone, Section::Answer, name.wire(), rtype, ttl, data)?;
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
            if self.writer.record(Section::Authority, owner, rtype::NS, *ttl, name).is_err() {
                self.writer.truncate();
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
                        self.writer.record(Section::Additional, name, family, *ttl, &v4.octets())
                    }
                    (rtype::AAAA, _, Some(v6)) => {
                        self.writer.record(Section::Additional, name, family, *ttl, &v6.octets())
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
            self.writer.truncate();
            return Err(Full);
        }
        Ok(Next::Done)
    }
}

/// Makes SvcParams the data of an HTTPS record in ServiceMode, for the owner itself, with the chosen addresses as hints. Keys stay in
/// ascending order (RFC 9460 section 2.2).
fn hints(params: &mut Vec<u8>, v4: &[std::net::Ipv4Addr], v6: &[std::net::Ipv6Addr]) {
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
    use std::net::{Ipv4Addr, Ipv6Addr};

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
