//! Which clients belong together: address space is cut where what is known of it changes, and pieces that are alike become a unit.

use super::geometry::{Sum, Vector};
use super::ground::{Gazetteer, Ground, Piece, joined};
use super::keys::{QuickMap, spread};
use super::prefix::Prefix;
use crate::network::{Family, Prefixes, UnitId};

/// No cell, no neighbourhood.
pub const NONE: u32 = u32::MAX;

/// How finely clients are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Grain {
    /// Edge of a cell in thousandths of a degree; 0: places are not told apart.
    pub cell: i32,
    pub networks: bool,
    /// Each measured or named prefix is a unit of its own.
    pub neighbourhoods: bool,
}

const fn grain(cell: i32, networks: bool, neighbourhoods: bool) -> Grain {
    Grain { cell, networks, neighbourhoods }
}

/// From the finest on. The first that gives few enough units is taken.
pub const GRAINS: [Grain; 10] = [
    grain(1_000, true, true),
    grain(2_000, true, true),
    grain(4_000, true, true),
    grain(8_000, true, true),
    grain(8_000, true, false),
    grain(20_000, true, false),
    grain(2_000, false, false),
    grain(5_000, false, false),
    grain(20_000, false, false),
    grain(0, false, false),
];

/// What defines a unit; in this order they are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    pub asn: u32,
    pub cell: u32,
    /// Position among the neighbourhoods.
    pub own: u32,
}

/// Units of one network and cell, neighbours in the list of units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub asn: u32,
    /// Its first unit and the one after its last.
    pub units: std::ops::Range<u32>,
    pub place: Option<Middle>,
    /// Neighbourhoods of it, ascending, in [`Clients::owns`].
    pub owns: std::ops::Range<u32>,
}

/// Where clients are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    pub at: Vector,
    pub known: Known,
}

/// How well it is known where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// Guessed from where others of their network are.
    Network,
    Country,
    Place,
}

/// All of it. Unit 0 is for those of whom nothing is known; it is in no group.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    pub grain: Grain,
    pub units: Vec<Unit>,
    pub keys: Vec<u64>,
    pub groups: Vec<Group>,
    pub owns: Vec<u32>,
    pub prefixes: Prefixes,
}

impl Clients {
    /// Cuts the ground by neighbourhoods (sorted, each once), and joins what is alike; `most` units at the most, if the coarsest grain
    /// allows.
    pub fn new(ground: &Ground, owns: &[Prefix], most: usize) -> Self {
        let gazetteer = &ground.gazetteer;
        let (v4, v6) = std::thread::scope(|scope| {
            let other = scope.spawn(|| ground.cut(Family::V6, owns));
            (ground.cut(Family::V4, owns), joined(other))
        });
        let (mut v4_units, mut v6_units) = (Vec::new(), Vec::new());
        let mut numbers: QuickMap<(u32, u32, u32), u32> = QuickMap::default();
        let mut chosen = GRAINS[GRAINS.len() - 1];
        'grains: for grain in GRAINS {
            numbers.clear();
            for (pieces, units) in [(&v4, &mut v4_units), (&v6, &mut v6_units)] {
                units.clear();
                for piece in pieces {
                    let key = unit(piece, gazetteer, grain);
                    let next = numbers.len() as u32;
                    units.push(key.map_or(NONE, |key| *numbers.entry(key).or_insert(next)));
                    if numbers.len() >= most && grain.cell > 0 {
                        continue 'grains;
                    }
                }
            }
            chosen = grain;
            break;
        }
        Self::join(owns, gazetteer, chosen, numbers, [(v4, v4_units), (v6, v6_units)])
    }

    fn join(
        neighbourhoods: &[Prefix],
        gazetteer: &Gazetteer,
        grain: Grain,
        numbers: QuickMap<(u32, u32, u32), u32>,
        pieces: [(Vec<Piece>, Vec<u32>); 2],
    ) -> Self {
        let mut sorted: Vec<(Unit, u32)> =
            numbers.into_iter().map(|((asn, cell, own), number)| (Unit { asn, cell, own }, number)).collect();
        sorted.sort_unstable();
        // By the number that was given first, the unit's position.
        let mut positions = vec![0_u32; sorted.len()];
        for ((_, number), position) in sorted.iter().zip(1..) {
            positions[*number as usize] = position;
        }
        let mut units = vec![Unit { asn: 0, cell: NONE, own: NONE }];
        units.extend(sorted.into_iter().map(|(unit, _)| unit));
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of = vec![NONE; units.len()];
        for (unit, at) in units.iter().zip(0_u32..).skip(1) {
            let before = units[at as usize - 1];
            if at == 1 || (before.asn, before.cell) != (unit.asn, unit.cell) {
                groups.push(Group { asn: unit.asn, units: at..at, ..Group::default() });
            }
            if let Some(group) = groups.last_mut() {
                group.units.end = at + 1;
            }
            group_of[at as usize] = groups.len() as u32 - 1;
        }
        // Where each group is, and which neighbourhoods are in it.
        let mut middles = vec![(Sum::default(), Sum::default()); groups.len()];
        let mut networks: QuickMap<u32, Sum> = QuickMap::default();
        let mut owns: Vec<(u32, u32)> = Vec::new();
        let mut prefixes = Prefixes::default();
        for ((pieces, numbers), v4) in pieces.into_iter().zip([true, false]) {
            let mut last = None;
            for (piece, number) in pieces.into_iter().zip(numbers) {
                let unit = if number == NONE { 0 } else { positions[number as usize] };
                if last != Some(unit) {
                    last = Some(unit);
                    if v4 {
                        prefixes.v4.push((piece.start as u32, UnitId(unit)));
                    } else {
                        prefixes.v6.push((piece.start, UnitId(unit)));
                    }
                }
                let group = group_of[unit as usize];
                if group == NONE {
                    continue;
                }
                if let Some(Some((_, country_only))) = gazetteer.at.get(piece.place as usize) {
                    let vector = &gazetteer.vectors[piece.place as usize];
                    let (exact, country) = &mut middles[group as usize];
                    if *country_only {
                        country.add(vector)
                    } else {
                        exact.add(vector)
                    }
                    if piece.asn != 0 {
                        networks.entry(piece.asn).or_default().add(vector);
                    }
                }
                if piece.own != NONE && owns.last() != Some(&(group, piece.own)) {
                    owns.push((group, piece.own));
                }
            }
        }
        owns.sort_unstable();
        owns.dedup();
        let mut at = 0;
        for (group, (exact, country)) in groups.iter_mut().zip(&middles) {
            group.place =
                middle(exact, Known::Place).or_else(|| middle(country, Known::Country)).or_else(|| {
                    // Nothing is known of these clients, but others of their network are all near one point.
                    let (vector, closeness) = networks.get(&group.asn)?.middle()?;
                    (closeness > 0.98).then_some(Middle { at: vector, known: Known::Network })
                });
            group.owns = at..at;
        }
        for (group, number) in groups.iter_mut().zip(0_u32..) {
            let start = at;
            while owns.get(at as usize).is_some_and(|(of, _)| *of == number) {
                at += 1;
            }
            group.owns = start..at;
        }
        let keys = units.iter().map(|unit| key(unit, grain, neighbourhoods)).collect();
        Self { grain, units, keys, groups, owns: owns.into_iter().map(|(_, own)| own).collect(), prefixes }
    }
}

fn middle(sum: &Sum, known: Known) -> Option<Middle> {
    sum.middle().map(|(at, _)| Middle { at, known })
}

/// What defines the unit of a piece; `None` for the default one.
fn unit(piece: &Piece, gazetteer: &Gazetteer, grain: Grain) -> Option<(u32, u32, u32)> {
    let asn = if grain.networks { piece.asn } else { 0 };
    let cell = gazetteer.cell(piece.place, grain.cell);
    let own = if grain.neighbourhoods { piece.own } else { NONE };
    let nothing = piece.asn == 0 && piece.place == NONE && piece.own == NONE;
    (!nothing).then_some((asn, cell, own))
}

/// The same for the same unit in every network that has it.
fn key(unit: &Unit, grain: Grain, owns: &[Prefix]) -> u64 {
    let own = owns.get(unit.own as usize).map_or(0, |prefix| {
        let kind = u64::from(prefix.length) << 1 | u64::from(prefix.family == Family::V6);
        spread(spread(prefix.start).wrapping_add(kind)) | 1
    });
    let size = if unit.cell == NONE { 0 } else { grain.cell as u64 };
    spread(spread(u64::from(unit.asn) << 32 | u64::from(unit.cell)).wrapping_add(spread(size)) ^ own)
}
