//! The ranking of each unit: which sites come into question, what each costs, the best [`MOST_RANKED`].

use super::as_graph::{Distances, To};
use super::clients::{Clients, Group, Known, Middle, NONE};
use super::geometry::{Vector, distance, dot};
use super::keys::QuickMap;
use super::score::{Blend, estimated};
use super::settings::Settings;
use super::stock::{Facts, HAS_SERVERS};
use crate::network::{MOST_RANKED, Ranked, SiteId};

/// Most sites of the same and neighbouring networks that are looked through for the nearest.
const MOST_ADJACENT: usize = 512;
/// How many of them, and of the largest sites for clients without a place, are considered.
const ADJACENT: usize = 12;
const _: () = assert!(ADJACENT < MOST_RANKED);
/// Edge of the squares in which the nearest sites are looked for once, in thousandths of a degree.
const SQUARE: f64 = 1.0;

/// A measurement, resolved: what a neighbourhood sees of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measured {
    pub own: u32,
    pub site: u32,
    pub cost: u32,
    /// Of [`super::score::WHOLE`], now.
    pub weight: u32,
}

/// How much estimates are trusted now: by place, by country, by network, and for knowing the steps between networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    pub place: u8,
    pub country: u8,
    pub network: u8,
    pub steps: u8,
}

/// A site that comes into question.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    site: u32,
    estimate: u32,
    confidence: u8,
}

/// All that rankings are made from.
#[derive(Clone, Copy)]
pub struct Ranker<'a> {
    pub settings: &'a Settings,
    pub facts: &'a Facts,
    /// The largest sites, for clients of whom too little is known.
    pub largest: &'a [u32],
    pub clients: &'a Clients,
    pub distances: &'a Distances,
    pub trust: Trust,
    /// Sorted.
    pub measured: &'a [Measured],
    pub squares: &'a Squares,
    /// By source in `distances`, its sites.
    pub sites_of: &'a [Vec<u32>],
}

/// The nearest sites of each square of the globe that has clients.
#[derive(Debug, Default)]
pub struct Squares {
    nearest: QuickMap<u32, Vec<u32>>,
}

/// A place's square, and the middle of it.
fn square(at: &Vector) -> u32 {
    // Squares of a cube around the globe: no angles are needed, and no square is narrow.
    let sizes = at.map(f64::abs);
    let face = usize::from(sizes[1] > sizes[0]);
    let face = if sizes[2] > sizes[face] { 2 } else { face };
    let scale = 1.0 / sizes[face].max(0.5);
    let steps = 90.0 / SQUARE;
    let side = |value: f64| (((value * scale + 1.0) / 2.0 * steps) as u32).min(steps as u32 - 1);
    let (a, b) = (at[(face + 1) % 3], at[(face + 2) % 3]);
    let sign = u32::from(at[face] < 0.0);
    ((face as u32 * 2 + sign) * steps as u32 + side(a)) * steps as u32 + side(b)
}

fn middle_of(square: u32) -> Vector {
    let steps = (90.0 / SQUARE) as u32;
    let (b, rest) = (square % steps, square / steps);
    let (a, rest) = (rest % steps, rest / steps);
    let (face, sign) = ((rest / 2) as usize, rest % 2);
    let side = |number: u32| (f64::from(number) + 0.5) / f64::from(steps) * 2.0 - 1.0;
    let mut at = [0.0; 3];
    at[face] = if sign == 1 { -1.0 } else { 1.0 };
    at[(face + 1) % 3] = side(a);
    at[(face + 2) % 3] = side(b);
    let length = dot(&at, &at).sqrt();
    at.map(|part| part / length)
}

impl Squares {
    /// Looks up what is not known yet of the squares of these places. Cost: new squares × sites.
    pub fn see_to(&mut self, places: impl Iterator<Item = Vector>, facts: &Facts, settings: &Settings) {
        let mut wanted: Vec<u32> =
            places.map(|at| square(&at)).filter(|at| !self.nearest.contains_key(at)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let share = wanted.len().div_ceil(settings.threads.max(1)).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = wanted
                .chunks(share)
                .map(|part| {
                    scope.spawn(move || {
                        let mut scratch = Vec::new();
                        let mut find =
                            |at: &u32| (*at, around(&middle_of(*at), facts, settings, &mut scratch));
                        part.iter().map(&mut find).collect::<Vec<_>>()
                    })
                })
                .collect();
            for part in parts {
                self.nearest.extend(part.join().unwrap_or_default());
            }
        });
    }
}

/// The nearest sites of a point, and beyond them the nearest that have what those lack: another domain, each set of needs.
fn around(at: &Vector, facts: &Facts, settings: &Settings, scratch: &mut Vec<(f64, u32)>) -> Vec<u32> {
    scratch.clear();
    for (site, place) in facts.at.iter().enumerate() {
        if let Some(place) = place
            && facts.offers[site] & HAS_SERVERS != 0
        {
            // The larger the product, the nearer.
            scratch.push((-dot(at, place), site as u32));
        }
    }
    let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let count = settings.candidates.clamp(MOST_RANKED, 1000);
    let count = count.min(scratch.len());
    if count < scratch.len() {
        scratch.select_nth_unstable_by(count, order);
    }
    let (near, far) = scratch.split_at_mut(count);
    near.sort_unstable_by(order);
    let mut sites: Vec<u32> = near.iter().map(|(_, site)| *site).collect();
    let mut add = |lacks: &dyn Fn(u32) -> bool, most: usize| {
        let have = sites.iter().filter(|site| lacks(**site)).count();
        for _ in have..most {
            let best = far
                .iter()
                .filter(|(_, site)| lacks(*site) && !sites.contains(site))
                .min_by(|a, b| order(a, b));
            sites.extend(best.map(|(_, site)| *site));
        }
    };
    if let Some((_, first)) = near.first() {
        let domain = facts.domain[*first as usize];
        add(&|site| facts.domain[site as usize] != domain, 2);
    }
    for need in 0..facts.needs {
        add(&|site| facts.offers[site as usize] >> need & 1 == 1, 2);
    }
    sites
}

impl Ranker<'_> {
    fn has_servers(&self, site: u32) -> bool {
        self.facts.offers.get(site as usize).is_some_and(|offers| offers & HAS_SERVERS != 0)
    }

    fn candidate(&self, site: u32, place: Option<&Middle>, to: Option<To<'_>>) -> Candidate {
        let at = site as usize;
        let km = place.zip(self.facts.at[at].as_ref()).map(|(middle, site)| distance(&middle.at, site));
        let steps = to.zip(self.distances.source(self.facts.asn[at])).map(|(to, source)| to.from(source));
        let trust = match (km, place.map(|place| place.known)) {
            (Some(_), Some(Known::Place)) => self.trust.place,
            (Some(_), Some(Known::Country)) => self.trust.country,
            (Some(_), Some(Known::Network)) => self.trust.network,
            _ => 0,
        };
        let confidence = trust + steps.map_or(0, |_| self.trust.steps);
        Candidate { site, estimate: estimated(km, steps, self.settings), confidence }
    }

    /// Sites that come into question for a group, the measured ones among them.
    fn candidates(&self, group: &Group, pool: &[Measured], sites: &mut Vec<u32>, out: &mut Vec<Candidate>) {
        sites.clear();
        out.clear();
        let place = group.place.as_ref();
        if let Some(place) = place {
            sites.extend(self.squares.nearest.get(&square(&place.at)).into_iter().flatten());
        }
        let to = self.distances.to(group.asn);
        if let Some(to) = to {
            let adjacent = to.adjacent().flat_map(|source| self.sites_of[source as usize].iter().copied());
            let start = sites.len();
            sites.extend(adjacent.filter(|site| self.has_servers(*site)).take(MOST_ADJACENT));
            if sites.len() - start > ADJACENT {
                let near = |site: &u32| {
                    place
                        .zip(self.facts.at[*site as usize].as_ref())
                        .map_or(1.0, |(place, at)| -dot(&place.at, at))
                };
                sites[start..]
                    .select_nth_unstable_by(ADJACENT, |a, b| near(a).total_cmp(&near(b)).then(a.cmp(b)));
                sites.truncate(start + ADJACENT);
            }
        }
        if sites.len() < MOST_RANKED {
            sites.extend(self.largest);
        }
        sites.extend(pool.iter().map(|measured| measured.site).filter(|site| self.has_servers(*site)));
        sites.sort_unstable();
        sites.dedup();
        out.extend(sites.iter().map(|site| self.candidate(*site, place, to)));
    }

    fn own(&self, own: u32) -> &[Measured] {
        if own == NONE {
            return &[];
        }
        let start = self.measured.partition_point(|measured| measured.own < own);
        let length = self.measured[start..].partition_point(|measured| measured.own == own);
        &self.measured[start..start + length]
    }

    /// Rankings of the units of a group, one after another. `out` gets the sites, `ends` where each ends.
    fn group(&self, group: &Group, scratch: &mut Scratch, out: &mut Vec<Ranked>, ends: &mut Vec<u32>) {
        let Scratch { sites, candidates, pool, blends, scored } = scratch;
        pool.clear();
        for own in &self.clients.owns[group.owns.start as usize..group.owns.end as usize] {
            pool.extend_from_slice(self.own(*own));
        }
        self.candidates(group, pool, sites, candidates);
        blends.clear();
        // Those who were not measured themselves take after their neighbours, by half; if they are one unit, in full.
        let share = if self.clients.grain.neighbourhoods { 1 } else { 0 };
        for measured in pool.iter() {
            blends.entry(measured.site).or_default().add(measured.cost, measured.weight >> share);
        }
        for unit in group.units.clone() {
            let mut own = self.own(self.clients.units[unit as usize].own);
            scored.clear();
            for candidate in candidates.iter() {
                let mut blend = Blend::default();
                own = &own[own.partition_point(|measured| measured.site < candidate.site)..];
                for measured in own.iter().take_while(|measured| measured.site == candidate.site) {
                    blend.add(measured.cost, measured.weight);
                }
                let blend = if own.first().is_some_and(|measured| measured.site == candidate.site) {
                    blend
                } else {
                    blends.get(&candidate.site).copied().unwrap_or_default()
                };
                let (score, confidence) = blend.with(candidate.estimate, candidate.confidence);
                scored.push(Ranked { site: SiteId(candidate.site), score, confidence });
            }
            self.choose(scored);
            out.extend_from_slice(scored);
            ends.push(out.len() as u32);
        }
    }

    /// Keeps the best; where those lack another failure domain, or what some services need, the best that has it takes the last place.
    fn choose(&self, scored: &mut Vec<Ranked>) {
        let order = |a: &Ranked, b: &Ranked| (a.score, a.site).cmp(&(b.score, b.site));
        if scored.len() <= MOST_RANKED {
            scored.sort_unstable_by(order);
            return;
        }
        scored.select_nth_unstable_by(MOST_RANKED, order);
        scored[..MOST_RANKED].sort_unstable_by(order);
        let mut places = MOST_RANKED;
        let domain = self.facts.domain[scored[0].site.0 as usize];
        let mut changed = false;
        let mut see_to = |scored: &mut Vec<Ranked>, has: &dyn Fn(&Ranked) -> bool| {
            if scored[..MOST_RANKED].iter().any(has) || places < MOST_RANKED / 2 {
                return;
            }
            let best = (MOST_RANKED..scored.len())
                .filter(|at| has(&scored[*at]))
                .min_by(|a, b| order(&scored[*a], &scored[*b]));
            if let Some(best) = best {
                places -= 1;
                scored.swap(places, best);
                changed = true;
            }
        };
        see_to(scored, &|ranked: &Ranked| self.facts.domain[ranked.site.0 as usize] != domain);
        for need in 0..self.facts.needs {
            see_to(scored, &|ranked: &Ranked| self.facts.offers[ranked.site.0 as usize] >> need & 1 == 1);
        }
        scored.truncate(MOST_RANKED);
        if changed {
            scored.sort_unstable_by(order);
        }
    }

    /// Rankings of these groups, in their order: sites one after another, and where each unit's end.
    pub fn rank(&self, groups: &[u32]) -> (Vec<Ranked>, Vec<u32>) {
        let share = groups.len().div_ceil(self.settings.threads.max(1)).max(1);
        let mut ranked = Vec::new();
        let mut ends = Vec::new();
        std::thread::scope(|scope| {
            let parts: Vec<_> = groups
                .chunks(share)
                .map(|part| {
                    scope.spawn(move || {
                        let (mut ranked, mut ends) = (Vec::new(), Vec::new());
                        let mut scratch = Scratch::default();
                        for group in part {
                            self.group(
                                &self.clients.groups[*group as usize],
                                &mut scratch,
                                &mut ranked,
                                &mut ends,
                            );
                        }
                        (ranked, ends)
                    })
                })
                .collect();
            for part in parts {
                let (more, their_ends) = part.join().unwrap_or_default();
                let before = ranked.len() as u32;
                ranked.extend(more);
                ends.extend(their_ends.into_iter().map(|end| before + end));
            }
        });
        (ranked, ends)
    }

    /// Whether a group's candidates depend on which sites are the largest.
    pub fn leans(&self, group: &Group, few: bool) -> bool {
        // Those with a place have enough candidates near it; those without have at most some of neighbouring networks.
        few || group.place.is_none()
    }

    /// Whether there are so few sites that every group's candidates depend on which are the largest.
    pub fn few(&self) -> bool {
        let placed =
            self.facts.at.iter().zip(0..).filter(|(at, site)| at.is_some() && self.has_servers(*site));
        placed.take(MOST_RANKED).count() < MOST_RANKED
    }

    /// For clients of whom nothing is known: sites that the settings name, then the largest.
    pub fn default_ranking(&self) -> Vec<Ranked> {
        let named =
            self.settings.default_sites.iter().filter_map(|name| self.facts.names.binary_search(name).ok());
        let mut sites: Vec<u32> = named.map(|at| at as u32).filter(|site| self.has_servers(*site)).collect();
        for site in self.largest {
            if sites.len() >= MOST_RANKED {
                break;
            }
            if !sites.contains(site) {
                sites.push(*site);
            }
        }
        sites.truncate(MOST_RANKED);
        let first = estimated(None, None, self.settings);
        let rank =
            |(site, place)| Ranked { site: SiteId(site), score: first.saturating_add(place), confidence: 0 };
        sites.into_iter().zip(0..).map(rank).collect()
    }
}

#[derive(Default)]
struct Scratch {
    sites: Vec<u32>,
    candidates: Vec<Candidate>,
    pool: Vec<Measured>,
    blends: QuickMap<u32, Blend>,
    scored: Vec<Ranked>,
}
