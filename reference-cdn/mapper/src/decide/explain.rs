//! Why a client is answered as it is: the decision, watched.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::sites::{furthest, part_at, sites};
use super::{How, Part, Question, Route, Strictness, Verdict, Witness, choose};
use crate::conditions::Standing;
use crate::map::Map;
use crate::network::{Fallback, Family, Ranked, ServerId, SiteId, UnitId};
use crate::steer::Steerable;

/// Everything that was considered for one name and one client, for each family of addresses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    pub name: String,
    /// The zone that it is taken for a name of; none where that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    pub client: IpAddr,
    pub epoch: u64,
    pub service: String,
    /// Lifetime of the answer in seconds.
    pub ttl: u32,
    /// The client's unit: its number in this map, and its part when servers of a name are divided among units.
    pub unit: u32,
    pub part: u8,
    pub answers: Vec<Explained>,
}

/// The decision for one family of addresses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explained {
    /// `A` or `AAAA`.
    pub family: &'static str,
    /// How the answer came about, in words.
    pub how: &'static str,
    pub addresses: Vec<IpAddr>,
    /// Other name, where that is the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Clients whose addresses begin with so many of the same bits get the same answer, of both families.
    pub scope: u8,
    pub sites: Vec<SiteConsidered>,
    pub servers: Vec<ServerConsidered>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteConsidered {
    pub site: String,
    /// Comparable to a round trip in milliseconds; none for a site that is in no ranking of the unit.
    pub score_ms: Option<f64>,
    /// From 0 (a guess by distance) to 1 (measured now).
    pub confidence: f64,
    /// Of its clients, the share that goes to other sites, to shed load.
    pub sheds: f64,
    /// The unit's part at this site, and how many parts the site gives away: the unit goes if its part is below that.
    pub part: Option<u8>,
    pub gives_away: u8,
    pub verdict: Cow<'static, str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerConsidered {
    pub site: String,
    pub server: String,
    pub address: Option<IpAddr>,
    pub rack: u16,
    pub standing: &'static str,
    pub busy: bool,
    /// Of its content, the share that is also on one further server (above 1: on more).
    pub spread: f64,
    pub verdict: &'static str,
    /// In the answer.
    pub chosen: bool,
}

/// Notes what it sees.
#[derive(Default)]
struct Notes {
    sites: Vec<(Ranked, Verdict)>,
    servers: Vec<(ServerId, Part)>,
}

impl Witness for Notes {
    fn site(&mut self, ranked: Ranked, verdict: Verdict) {
        self.sites.push((ranked, verdict));
    }

    fn server(&mut self, server: ServerId, part: Part) {
        self.servers.push((server, part));
    }
}

/// Explains what a map says about a steered name to a client. `name` is as it shall be shown.
pub fn explain(map: &Map, name: &str, steerable: Steerable, client: IpAddr) -> Explanation {
    let network = &map.network;
    let unit = match client {
        IpAddr::V4(address) => network.prefixes.unit_v4(address),
        IpAddr::V6(address) => network.prefixes.unit_v6(address),
    };
    let unit = unit.unwrap_or(UnitId(u32::MAX));
    let key = network.units.keys.get(unit.0 as usize).copied().unwrap_or(0);
    let part = super::part_of_unit(key);
    let service = network.services.get(steerable.service.0 as usize);
    let mut explanation = Explanation {
        name: name.to_owned(),
        zone: None,
        client,
        epoch: map.epoch.0,
        service: service.map_or_else(String::new, |service| service.name.clone()),
        ttl: service.map_or(0, |service| service.ttl),
        unit: unit.0,
        part,
        answers: Vec::new(),
    };
    let Some(service) = service else { return explanation };
    for family in Family::ALL {
        let Some(routes) = map.routes(steerable.service, family) else { continue };
        let mut notes = Notes::default();
        let elsewhere = service.elsewhere > 0;
        let ranking = network.units.ranking(unit);
        let route = if network.units.is_empty() {
            Route { near: routes.usable().most(), elsewhere: None }
        } else {
            sites(network, &map.conditions, routes.usable(), key, ranking, elsewhere, &mut notes)
        };
        let question = Question {
            service: steerable.service,
            content: steerable.content,
            family,
            route,
            part,
            strictness: routes.strictness(),
        };
        let choice = choose(network, &map.conditions, &question, &mut Vec::new(), &mut notes);
        let address = |server: ServerId| family.address(&network.servers[server.0 as usize]);
        let site_name = |site: SiteId| network.sites[site.0 as usize].name.clone();
        let nearest = ranking.iter().find(|ranked| routes.usable().at(ranked.site));
        let limit = nearest.map_or(0, furthest);
        let mut considered: Vec<SiteConsidered> = notes
            .sites
            .iter()
            .map(|(ranked, verdict)| SiteConsidered {
                site: site_name(ranked.site),
                score_ms: Some(f64::from(ranked.score) / 1000.0),
                confidence: f64::from(ranked.confidence) / 255.0,
                sheds: f64::from(map.conditions.site(ranked.site).shifted)
                    / f64::from(crate::conditions::PARTS),
                part: Some(part_at(key, ranked.site)),
                gives_away: map.conditions.site(ranked.site).shifted,
                verdict: site_verdict(*verdict, limit),
            })
            .collect();
        let fallback = match service.fallback {
            Fallback::Site(site) if choice.how == How::FallbackSite => Some((site, "the service's fallback")),
            _ => route.near.map(|site| (site, "most servers: none of the unit's sites has any")),
        };
        if let Some((site, verdict)) =
            fallback.filter(|(site, _)| notes.sites.iter().all(|(ranked, _)| ranked.site != *site))
        {
            considered.push(SiteConsidered {
                site: site_name(site),
                score_ms: None,
                confidence: 0.0,
                sheds: 0.0,
                part: None,
                gives_away: 0,
                verdict: verdict.into(),
            });
        }
        let servers = notes
            .servers
            .iter()
            .map(|(id, part)| {
                let server = &network.servers[id.0 as usize];
                let now = map.conditions.server(*id);
                ServerConsidered {
                    site: site_name(server.site),
                    server: network.server_names.get(id.0 as usize).cloned().unwrap_or_default(),
                    address: address(*id),
                    rack: server.rack,
                    standing: standing(now.standing),
                    busy: now.busy,
                    spread: f64::from(now.spread) / f64::from(crate::conditions::PARTS),
                    verdict: server_verdict(*part),
                    chosen: choice.servers().contains(id),
                }
            })
            .collect();
        let alias = match &service.fallback {
            Fallback::Alias(target) if choice.how == How::Alias => Some(target.clone()),
            _ => None,
        };
        explanation.answers.push(Explained {
            family: if family == Family::V4 { "A" } else { "AAAA" },
            how: how(choice.how, question.strictness),
            addresses: choice.servers().iter().filter_map(|server| address(*server)).collect(),
            alias,
            scope: routes.scope(client, choice.alike),
            sites: considered,
            servers,
        });
    }
    if let [v4, v6] = explanation.answers.as_mut_slice() {
        // A name has either addresses or another name, and what IPv4 has decides which.
        if v4.alias.is_some() {
            (v6.alias, v6.how, v6.scope) = (v4.alias.clone(), v4.how, v4.scope);
            v6.addresses.clear();
            v6.servers.iter_mut().for_each(|server| server.chosen = false);
        } else if v6.alias.take().is_some() {
            v6.how = "no server with an address of this family is well";
        }
    }
    explanation
}

fn how(how: How, strictness: Strictness) -> &'static str {
    match (how, strictness) {
        (How::Steered, _) => "steered",
        (How::Overloaded, _) => "only servers past their second threshold are left",
        (How::LastKnown, _) => "no server is well: those last known are named",
        (How::FallbackSite, _) => "no server is well: those of the fallback site are named",
        (How::Alias, _) => "no server is well: the service's other name is given",
        (How::Nothing, _) => "there is no server that could be named",
    }
}

/// `limit` is the furthest score at which another site may relieve the nearest.
fn site_verdict(verdict: Verdict, limit: u32) -> Cow<'static, str> {
    let limit = || format!("{:.1} ms", f64::from(limit) / 1000.0);
    let text = match verdict {
        Verdict::InVain => {
            return format!(
                "chosen: gives this unit away to shed load, but no other up to {} can take it",
                limit()
            )
            .into();
        }
        Verdict::TooFar => return format!("too far to relieve the nearest: beyond {}", limit()).into(),
        Verdict::Near => "chosen",
        Verdict::Elsewhere => "chosen, for addresses in another failure domain",
        Verdict::NoSuchServer => "has no server for the service",
        Verdict::NoneUsable => "none of its servers may be named now",
        Verdict::Sheds => "nearest, but gives this unit away to shed load",
        Verdict::ShedsToo => "sheds load itself",
        Verdict::SameDomain => "in the same failure domain as the nearest",
        Verdict::NotNeeded => "further away than was needed",
    };
    text.into()
}

fn server_verdict(part: Part) -> &'static str {
    match part {
        Part::Home => "carries the name",
        Part::Replacement => "stands in for one that may not be named",
        Part::Further => "carries the name too, since others have much to do",
        Part::LacksFeature => "cannot do what the service needs",
        Part::LacksAddress => "has no address of this family",
        Part::Unusable(_) => "would carry the name, but may not be named",
        Part::Busy => "next in order, but has too much to do to be given more",
        Part::NotNeeded => "further down in the name's order",
    }
}

/// A standing in words.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Serving => "serving",
        Standing::Overloaded => "overloaded",
        Standing::Failed => "failed",
        Standing::Withdrawn => "withdrawn",
        Standing::Leaving => "leaving",
    }
}

/// Servers that are shown of a site, of those that were not needed.
const SHOWN: usize = 5;

impl Explanation {
    /// Tables for people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} for {}, map {}\nservice {}, lifetime {} s, unit {} (part {} of {} where the servers of a name are divided)\n",
            self.name,
            self.client,
            self.epoch,
            self.service,
            self.ttl,
            self.unit,
            self.part,
            crate::conditions::PARTS
        );
        for answer in &self.answers {
            let given = match &answer.alias {
                Some(alias) => format!("CNAME {alias}"),
                None if answer.addresses.is_empty() => "no address".into(),
                None => answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            };
            let _ = writeln!(
                text,
                "\n{}  {given}\n    {}; the same for all of /{}",
                answer.family, answer.how, answer.scope
            );
            let mut rows =
                vec![["SITE", "SCORE", "CONFIDENCE", "SHEDS", "PART", "VERDICT"].map(String::from)];
            rows.extend(answer.sites.iter().map(|site| {
                [
                    site.site.clone(),
                    site.score_ms.map_or("-".into(), |score| format!("{score:.1} ms")),
                    format!("{:.0} %", site.confidence * 100.0),
                    match site.gives_away {
                        0 => "0 %".into(),
                        1 => format!("{:.0} %, part 0", site.sheds * 100.0),
                        parts => format!("{:.0} %, parts 0 to {}", site.sheds * 100.0, parts - 1),
                    },
                    site.part.map_or("-".into(), |part| part.to_string()),
                    site.verdict.to_string(),
                ]
            }));
            text += &table(&rows);
            let mut rows =
                vec![["", "SERVER", "ADDRESS", "RACK", "STATE", "SPREAD", "VERDICT"].map(String::from)];
            let mut left_out = 0;
            let mut shown = 0;
            for server in &answer.servers {
                if server.verdict == server_verdict(Part::NotNeeded) {
                    shown += 1;
                    if shown > SHOWN {
                        left_out += 1;
                        continue;
                    }
                }
                let state =
                    if server.busy { format!("{}, busy", server.standing) } else { server.standing.into() };
                rows.push([
                    if server.chosen { "*" } else { "" }.into(),
                    server.server.clone(),
                    server.address.map_or("-".into(), |address| address.to_string()),
                    server.rack.to_string(),
                    state,
                    format!("{:.0} %", server.spread * 100.0),
                    server.verdict.into(),
                ]);
            }
            if rows.len() > 1 {
                text.push('\n');
                text += &table(&rows);
            }
            if left_out > 0 {
                let _ = writeln!(text, "    and {left_out} more further down in the name's order");
            }
        }
        text
    }
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("    {}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::{Conditions, ServerNow};
    use crate::map::Epoch;
    use crate::sample;
    use std::sync::Arc;

    #[test]
    fn an_explanation_tells_the_scope_that_answers_have() {
        use crate::map::{Published, Steerer};
        use crate::steer::{Client, Steered, Steering as _};
        let mut network = sample::network(&[2, 2, 2]);
        // IPv6 at one site only.
        network.servers[2..].iter_mut().for_each(|server| server.v6 = None);
        let conditions = Conditions::calm(&network);
        let map = Arc::new(Map::new(Epoch(7), Arc::new(network), conditions, 4));
        let mut steerer = Steerer::new(Published::new(Arc::clone(&map)), 64);
        let name = map.names().find(b"\x02a1").unwrap();
        for client in ["10.0.0.1", "10.0.1.1", "192.0.2.1", "2001:db8::1"] {
            let address = client.parse().unwrap();
            let told = explain(&map, "a1", name, address).answers.into_iter().map(|answer| answer.scope);
            let Steered::Addresses { scopes, .. } = steerer.steer(name, Client { address, length: 32 }, 0)
            else {
                panic!("addresses");
            };
            assert_eq!(told.collect::<Vec<_>>(), [scopes.v4, scopes.v6], "{client}");
        }
    }

    #[test]
    fn an_explanation_names_who_was_considered_and_why() {
        let mut network = sample::network(&[4, 3, 2]);
        network.services[0].elsewhere = 1;
        network.sites[2].domain = 0;
        network.servers[6].features = 1;
        let mut conditions = Conditions::calm(&network);
        conditions.servers[1].standing = Standing::Failed;
        conditions.servers[0] = ServerNow { standing: Standing::Serving, busy: true, spread: 70 };
        conditions.sites[1].shifted = 64;
        let map = Map::new(Epoch(7), Arc::new(network), conditions, 4);
        let name = map.names().find(b"\x02a1").unwrap();
        let text = |client: &str| explain(&map, "a1.g.cdn.example", name, client.parse().unwrap()).to_text();
        insta::assert_snapshot!(text("10.0.0.1") + "\n" + &text("10.0.1.1"));
    }

    /// What decides whether a site gives a unit away is the unit's part there.
    #[test]
    fn an_explanation_says_which_units_a_site_gives_away_and_that_nobody_takes_them() {
        let mut network = sample::network(&[2, 2]);
        // Too far from the first, for the units that are nearest to it.
        for ranked in network.units.ranked.iter_mut().filter(|ranked| ranked.score > 10_000) {
            ranked.score = 200_000;
        }
        let mut conditions = Conditions::calm(&network);
        let key = |client: u8| network.units.keys[usize::from(client)];
        let goes = (0..=255).step_by(2).find(|client| part_at(key(*client), SiteId(0)) < 21).unwrap();
        let stays = (0..=255).step_by(2).find(|client| part_at(key(*client), SiteId(0)) >= 21).unwrap();
        conditions.sites[0].shifted = 21;
        let parts = [goes, stays].map(|client| part_at(key(client), SiteId(0)));
        let map = Map::new(Epoch(7), Arc::new(network), conditions, 4);
        let name = map.names().find(b"\x02a1").unwrap();
        for (client, part) in [goes, stays].into_iter().zip(parts) {
            let told = explain(&map, "a1", name, [10, 0, client, 1].into());
            let sites = &told.answers[0].sites;
            assert_eq!((sites[0].part, sites[0].gives_away), (Some(part), 21));
            let verdicts = [&*sites[0].verdict, &*sites[1].verdict];
            if client == goes {
                assert_eq!(
                    verdicts,
                    [
                        "chosen: gives this unit away to shed load, but no other up to 60.0 ms can take it",
                        "too far to relieve the nearest: beyond 60.0 ms"
                    ]
                );
            } else {
                assert_eq!(verdicts, ["chosen", "further away than was needed"]);
            }
            assert!(told.to_text().contains("33 %, parts 0 to 20"), "{}", told.to_text());
        }
    }
}
