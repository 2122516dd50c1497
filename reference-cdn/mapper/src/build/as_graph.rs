//! How many networks apart two autonomous systems are: breadth first over the graph of neighbours that BGP paths show.
//!
//! The graph is taken as undirected. Real paths obey contracts and can be longer; the number is one estimate among others.

use super::keys::QuickMap;

/// Distances beyond this are not told apart: paths of the Internet rarely have more.
pub const FARTHEST: u8 = 5;

/// Networks and who is next to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsGraph {
    /// Sorted.
    numbers: Vec<u32>,
    /// Neighbours of each, by position, one after another; and where each one's end.
    neighbours: Vec<u32>,
    ends: Vec<u32>,
}

impl AsGraph {
    /// From links, in any order, each in any direction, repeated or not.
    pub fn new(mut links: Vec<(u32, u32)>) -> Self {
        links.retain(|(a, b)| a != b);
        let turned: Vec<(u32, u32)> = links.iter().map(|(a, b)| (*b, *a)).collect();
        links.extend(turned);
        links.sort_unstable();
        links.dedup();
        let mut numbers: Vec<u32> = links.iter().map(|(a, _)| *a).collect();
        numbers.dedup();
        let places: QuickMap<u32, u32> = numbers.iter().copied().zip(0..).collect();
        let mut graph = Self {
            ends: Vec::with_capacity(numbers.len()),
            neighbours: Vec::with_capacity(links.len()),
            numbers,
        };
        let mut links = links.into_iter().peekable();
        for number in &graph.numbers {
            while let Some((_, to)) = links.next_if(|(from, _)| from == number) {
                // Both ends of a link are numbers, as each is there in both directions.
                graph.neighbours.extend(places.get(&to));
            }
            graph.ends.push(graph.neighbours.len() as u32);
        }
        graph
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn links(&self) -> usize {
        self.neighbours.len() / 2
    }

    fn at(&self, number: u32) -> Option<usize> {
        self.numbers.binary_search(&number).ok()
    }

    fn around(&self, at: usize) -> &[u32] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]) as usize;
        &self.neighbours[start..self.ends[at] as usize]
    }

    /// Distances from each of `from` to every network. Cost: links × `from` / 64 × [`FARTHEST`] steps, shared by `threads`.
    pub fn distances(&self, mut from: Vec<u32>, threads: usize) -> Distances {
        from.sort_unstable();
        from.dedup();
        let words = from.len().div_ceil(64);
        let mut distances = Distances { words, from, planes: Vec::new(), numbers: self.numbers.clone() };
        if words == 0 || self.is_empty() {
            return distances;
        }
        // A plane has a bit for each pair: within that many steps. The next is the union over all neighbours.
        let mut plane = vec![0_u64; self.len() * words];
        for (source, number) in distances.from.iter().enumerate() {
            if let Some(at) = self.at(*number) {
                plane[at * words + source / 64] |= 1 << (source % 64);
            }
        }
        let rows = self.len().div_ceil(threads.max(1));
        for _ in 1..FARTHEST {
            let mut next = plane.clone();
            std::thread::scope(|scope| {
                for (part, chunk) in next.chunks_mut(rows * words).enumerate() {
                    let before = &plane;
                    scope.spawn(move || {
                        for (row, bits) in chunk.chunks_mut(words).enumerate() {
                            for &neighbour in self.around(part * rows + row) {
                                let start = neighbour as usize * words;
                                for (bit, other) in bits.iter_mut().zip(&before[start..start + words]) {
                                    *bit |= other;
                                }
                            }
                        }
                    });
                }
            });
            distances.planes.push(std::mem::replace(&mut plane, next));
        }
        distances.planes.push(plane);
        distances
    }
}

/// Distances from some networks (those that sites are in) to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distances {
    words: usize,
    from: Vec<u32>,
    numbers: Vec<u32>,
    /// The `n`th: which pairs are within `n` steps.
    planes: Vec<Vec<u64>>,
}

impl Distances {
    /// Position of a network among those that distances are known from.
    pub fn source(&self, number: u32) -> Option<u32> {
        self.from.binary_search(&number).ok().map(|at| at as u32)
    }

    /// Distances to one network; `None` if the graph does not have it.
    pub fn to(&self, number: u32) -> Option<To<'_>> {
        let at = self.numbers.binary_search(&number).ok().filter(|_| !self.planes.is_empty())?;
        Some(To { distances: self, start: at * self.words })
    }
}

/// Distances to one network.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    distances: &'a Distances,
    start: usize,
}

impl To<'_> {
    /// Steps from a source; [`FARTHEST`] or more, or unreachable, is [`FARTHEST`].
    pub fn from(&self, source: u32) -> u8 {
        let (word, bit) = (self.start + source as usize / 64, source % 64);
        self.distances
            .planes
            .iter()
            .position(|plane| plane[word] >> bit & 1 == 1)
            .map_or(FARTHEST, |steps| steps as u8)
    }

    /// Sources that are in the network itself or next to it, ascending.
    pub fn adjacent(&self) -> impl Iterator<Item = u32> + '_ {
        let plane = self.distances.planes.get(1);
        let words = plane.map_or(&[][..], |plane| &plane[self.start..self.start + self.distances.words]);
        words.iter().zip(0_u32..).flat_map(|(word, at)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(at * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances_on_a_line() {
        let graph = AsGraph::new((1..9).map(|n| (n, n + 1)).collect());
        let distances = graph.distances(vec![1, 77], 2);
        let near = |to| distances.to(to).map(|to| to.from(0));
        let got: Vec<_> = (1..=9).map(near).collect();
        assert_eq!(got, [0, 1, 2, 3, 4, 5, 5, 5, 5].map(Some));
        assert_eq!(near(77), None);
        assert_eq!(distances.to(1).map(|to| to.from(1)), Some(FARTHEST));
    }

    proptest! {
        #[test]
        fn distances_are_those_of_a_plain_search(
            links in prop::collection::vec((0..30_u32, 0..30_u32), 0..60),
            from in prop::collection::vec(0..30_u32, 0..8),
            threads in 1..4_usize,
        ) {
            let graph = AsGraph::new(links.clone());
            let distances = graph.distances(from.clone(), threads);
            for source in from {
                let position = distances.source(source).unwrap();
                let mut steps = [FARTHEST; 30];
                steps[source as usize] = 0;
                for _ in 0..FARTHEST {
                    for &(a, b) in &links {
                        let (a, b) = (a as usize, b as usize);
                        steps[a] = steps[a].min(steps[b].saturating_add(1));
                        steps[b] = steps[b].min(steps[a].saturating_add(1));
                    }
                }
                for to in 0..30 {
                    let Some(found) = distances.to(to) else { continue };
                    let known = graph.at(source).is_some();
                    let expected = if known { steps[to as usize] } else { FARTHEST };
                    prop_assert_eq!(found.from(position), expected, "{} to {}", source, to);
                    prop_assert_eq!(found.adjacent().any(|near| near == position), expected <= 1);
                }
            }
        }
    }
}
