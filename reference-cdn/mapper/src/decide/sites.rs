//! Which sites answer a unit of clients.

use super::placement::{Strictness, mix};
use super::{Route, Witness};
use crate::conditions::{Conditions, PARTS};
use crate::network::{Family, Features, Network, Ranked, ServerId, SiteId};

/// How much further than its nearest usable site a unit's clients may be sent to relieve that one: three times as far, or this many
/// microseconds, whichever is more.
const DETOUR: u32 = 50_000;

/// What became of a site of a unit's ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its servers are named first.
    Near,
    /// They are, though it gives this unit away to shed load: no other site can take it.
    InVain,
    /// Chosen for addresses in another failure domain.
    Elsewhere,
    /// No server there can do what the service needs.
    NoSuchServer,
    /// Servers could, but none may be named now.
    NoneUsable,
    /// It gives this unit to another site, to shed load.
    Sheds,
    /// It could take the unit from a site that sheds load, but it sheds too.
    ShedsToo,
    /// It is too far away to take the unit from a site that sheds load.
    TooFar,
    /// In the same failure domain as the nearest.
    SameDomain,
    /// A better one was found.
    NotNeeded,
}

/// How many servers of each site may be named for one need and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable {
    pub strictness: Strictness,
    at: Vec<Servers>,
    /// The site with the most of them: for units that have none in their ranking.
    most: Option<SiteId>,
}

/// What a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    None,
    NoneUsable,
    Some,
}

impl Usable {
    /// Counts them, as strictly as leaves any; where none is left, whether the last known may be named is for the service's
    /// fallback to say.
    pub fn count(
        network: &Network,
        conditions: &Conditions,
        needs: Features,
        family: Family,
        last_known: bool,
    ) -> Self {
        let at = |strictness| Self::count_at(network, conditions, needs, family, strictness);
        let mut usable = at(Strictness::Serving);
        if usable.is_none() {
            usable = at(Strictness::Overloaded);
        }
        if usable.is_none() && last_known {
            usable = at(Strictness::LastKnown);
        }
        usable
    }

    fn count_at(
        network: &Network,
        conditions: &Conditions,
        needs: Features,
        family: Family,
        strictness: Strictness,
    ) -> Self {
        let mut most: Option<(u32, SiteId)> = None;
        let at = network.sites.iter().enumerate().map(|(at, site)| {
            let mut servers = Servers::None;
            let mut count = 0;
            for server in site.servers.clone() {
                let Some(found) = network.servers.get(server as usize) else { continue };
                if found.features & needs == needs && family.of(found) {
                    count += u32::from(strictness.admits(conditions.server(ServerId(server)).standing));
                    servers = if count > 0 { Servers::Some } else { Servers::NoneUsable };
                }
            }
            if count > 0 && most.is_none_or(|(best, _)| count > best) {
                most = Some((count, SiteId(u32::try_from(at).unwrap_or(u32::MAX))));
            }
            servers
        });
        let at = at.collect();
        Self { strictness, at, most: most.map(|(_, site)| site) }
    }

    /// Whether a server of this site may be named.
    pub fn at(&self, site: SiteId) -> bool {
        self.at.get(site.0 as usize) == Some(&Servers::Some)
    }

    /// Whether there is nobody to be named anywhere.
    pub fn is_none(&self) -> bool {
        self.most.is_none()
    }

    /// Whether any server could do what the service needs, were it well.
    pub fn is_able(&self) -> bool {
        self.at.iter().any(|servers| *servers != Servers::None)
    }

    /// The site with the most servers that may be named.
    pub fn most(&self) -> Option<SiteId> {
        self.most
    }

    fn missing(&self, site: SiteId) -> Verdict {
        match self.at.get(site.0 as usize) {
            Some(Servers::NoneUsable) => Verdict::NoneUsable,
            _ => Verdict::NoSuchServer,
        }
    }
}

/// A unit's part at a site: it is sent on when the site gives away more parts than this.
pub fn part_at(key: u64, site: SiteId) -> u8 {
    (mix(key ^ mix(u64::from(site.0))) % u64::from(PARTS)) as u8
}

/// The furthest score to which a unit may be sent to relieve the nearest usable site.
pub fn furthest(nearest: &Ranked) -> u32 {
    nearest.score.saturating_mul(3).max(nearest.score.saturating_add(DETOUR))
}

/// Finds the sites for a unit of clients, by its key and ranking.
pub fn sites(
    network: &Network,
    conditions: &Conditions,
    usable: &Usable,
    key: u64,
    ranking: &[Ranked],
    elsewhere: bool,
    witness: &mut impl Witness,
) -> Route {
    let sheds = |site: SiteId| part_at(key, site) < conditions.site(site).shifted;
    let nearest = ranking.iter().position(|ranked| usable.at(ranked.site));
    let mut near = nearest;
    let far = nearest.map_or(u32::MAX, |at| furthest(&ranking[at]));
    if let Some(first) = nearest.filter(|at| sheds(ranking[*at].site)) {
        let relief = |ranked: &Ranked| usable.at(ranked.site) && !sheds(ranked.site) && ranked.score <= far;
        if let Some(at) = ranking[first + 1..].iter().position(relief) {
            near = Some(first + 1 + at);
        }
    }
    // Nobody in the ranking: the site that has the most.
    let near_site = near.map(|at| ranking[at].site).or(usable.most);
    let in_vain = near.is_some_and(|at| near == nearest && sheds(ranking[at].site));
    let domain = |site: SiteId| network.sites.get(site.0 as usize).map(|site| site.domain);
    let apart = near_site.filter(|_| elsewhere).and_then(|near| {
        let others = || ranking.iter().filter(|ranked| ranked.site != near && usable.at(ranked.site));
        let is_apart = |ranked: &&Ranked| domain(ranked.site) != domain(near);
        // Not to where the unit was just sent away from, if there is another within reach.
        let free = |ranked: &&Ranked| is_apart(ranked) && !sheds(ranked.site) && ranked.score <= far;
        let found = others().find(free).or_else(|| others().find(is_apart)).or_else(|| others().next());
        found.map(|ranked| ranked.site)
    });
    for (at, ranked) in ranking.iter().enumerate() {
        let verdict = if Some(at) == near {
            if in_vain { Verdict::InVain } else { Verdict::Near }
        } else if Some(ranked.site) == apart {
            Verdict::Elsewhere
        } else if !usable.at(ranked.site) {
            usable.missing(ranked.site)
        } else if in_vain || near.is_some_and(|near| at < near) {
            if Some(at) == nearest {
                Verdict::Sheds
            } else if sheds(ranked.site) {
                Verdict::ShedsToo
            } else {
                Verdict::TooFar
            }
        } else if elsewhere && near_site.is_some_and(|near| domain(near) == domain(ranked.site)) {
            Verdict::SameDomain
        } else {
            Verdict::NotNeeded
        };
        witness.site(*ranked, verdict);
    }
    Route { near: near_site, elsewhere: apart }
}
