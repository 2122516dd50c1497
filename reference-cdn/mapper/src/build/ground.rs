//! What is known of addresses before anything is measured: their networks and places. It changes with BGP tables and databases, not
//! with measurements, and is kept from one build to the next.

use super::clients::NONE;
use super::geo::Places;
use super::geometry::{Vector, vector};
use super::prefix::{Prefix, Runs, flatten};
use crate::network::Family;

/// A piece of address space, all alike, up to where the next begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub start: u64,
    pub asn: u32,
    /// Position in the list of all places.
    pub place: u32,
    /// Position among the neighbourhoods.
    pub own: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Ground {
    pub(super) gazetteer: Gazetteer,
    v4: Vec<Piece>,
    v6: Vec<Piece>,
}

/// All places of all databases in one list.
#[derive(Debug)]
pub(super) struct Gazetteer {
    /// Thousandths of a degree; whether only the country is known.
    pub at: Vec<Option<((i32, i32), bool)>>,
    asn: Vec<u32>,
    pub vectors: Vec<Vector>,
}

/// The result of a thread, or its panic.
pub(super) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Ground {
    /// `origins`: prefixes and their networks. Of several databases the first that knows something is believed.
    pub fn new(origins: &[(Prefix, u32)], databases: &[&Places]) -> Self {
        let gazetteer = Gazetteer::of(databases);
        let (v4, v6) = std::thread::scope(|scope| {
            let other = scope.spawn(|| pieces(Family::V6, origins, databases, &gazetteer));
            (pieces(Family::V4, origins, databases, &gazetteer), joined(other))
        });
        Self { gazetteer, v4, v6 }
    }

    /// The pieces of a family, cut where neighbourhoods begin and end.
    pub(super) fn cut(&self, family: Family, owns: &[Prefix]) -> Vec<Piece> {
        let base = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let owns = owns.iter().copied().zip(0..).filter(|(prefix, _)| prefix.family == family);
        let runs = flatten(family, owns.collect());
        let mut pieces = Vec::with_capacity(base.len() + runs.len());
        let mut run = 0;
        for (at, piece) in base.iter().enumerate() {
            let end = base.get(at + 1).map(|next| next.start);
            let mut start = piece.start;
            loop {
                while runs.get(run + 1).is_some_and(|(begin, _)| *begin <= start) {
                    run += 1;
                }
                let own = runs.get(run).and_then(|(_, own)| *own).unwrap_or(NONE);
                pieces.push(Piece { start, own, ..*piece });
                match runs
                    .get(run + 1)
                    .map(|(begin, _)| *begin)
                    .filter(|begin| end.is_none_or(|end| *begin < end))
                {
                    Some(begin) => start = begin,
                    None => break,
                }
            }
        }
        pieces
    }
}

fn pieces(
    family: Family,
    origins: &[(Prefix, u32)],
    databases: &[&Places],
    gazetteer: &Gazetteer,
) -> Vec<Piece> {
    let only = |list: &[(Prefix, u32)], offset: u32| -> Vec<(Prefix, u32)> {
        let own = list.iter().filter(|(prefix, _)| prefix.family == family);
        own.map(|(prefix, value)| (*prefix, value + offset)).collect()
    };
    let mut layers: Vec<Runs> = vec![flatten(family, only(origins, 0))];
    let mut offset = 0;
    for database in databases {
        layers.push(flatten(family, only(&database.prefixes, offset)));
        offset += database.places.len() as u32;
    }
    let mut next = vec![0_usize; layers.len()];
    let mut pieces: Vec<Piece> = Vec::with_capacity(layers.iter().map(Vec::len).sum());
    let mut start = 0;
    loop {
        // Where each layer has a run that holds `start`.
        for (layer, next) in layers.iter().zip(&mut next) {
            while layer.get(*next + 1).is_some_and(|(begin, _)| *begin <= start) {
                *next += 1;
            }
        }
        let value = |layer: usize| layers[layer].get(next[layer]).and_then(|(_, value)| *value);
        let mut place = NONE;
        let mut asn = value(0).unwrap_or(0);
        for number in (1..layers.len()).filter_map(value) {
            let at = number as usize;
            if place == NONE && gazetteer.at[at].is_some() {
                place = number;
            }
            if asn == 0 {
                asn = gazetteer.asn[at];
            }
        }
        if pieces.last().is_none_or(|last| (last.asn, last.place) != (asn, place)) {
            pieces.push(Piece { start, asn, place, own: NONE });
        }
        let begins =
            layers.iter().zip(&next).filter_map(|(layer, next)| layer.get(next + 1).map(|(begin, _)| *begin));
        match begins.min() {
            Some(begin) => start = begin,
            None => return pieces,
        }
    }
}

impl Gazetteer {
    fn add(&mut self, database: &Places) {
        for place in &database.places {
            self.at.push(place.at.map(|at| (at, place.country_only)));
            self.asn.push(place.asn);
        }
    }

    fn of(databases: &[&Places]) -> Self {
        let mut all = Self { at: Vec::new(), asn: Vec::new(), vectors: Vec::new() };
        for database in databases {
            all.add(database);
        }
        all.vectors = all.at.iter().map(|at| vector(at.map_or((0, 0), |(at, _)| at))).collect();
        all
    }

    /// The cell of a place: a number for the square of that size that holds it.
    pub fn cell(&self, place: u32, size: i32) -> u32 {
        let Some(Some(((north, east), _))) = self.at.get(place as usize).filter(|_| size > 0) else {
            return NONE;
        };
        let columns = (360_000 + size - 1) / size;
        let column = (east.rem_euclid(360_000)) / size;
        let row = (north + 90_000) / size;
        (row * columns + column) as u32
    }
}
