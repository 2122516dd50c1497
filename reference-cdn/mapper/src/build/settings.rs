//! What a builder can be told.

/// How maps are built. The defaults suit a CDN that probes every few minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// After how many seconds a measurement is trusted half as much. The score then glides to the estimate.
    pub half_life: u64,
    /// After how many seconds a BGP table or a database of places is trusted half as much.
    pub table_half_life: u64,
    /// Most map units. If there were more, cells become coarser, then networks are no longer told apart. Bounds memory: a unit
    /// takes about 200 octets in a network, and as much again for each service that routes are precomputed for.
    pub most_units: usize,
    /// Distances are multiplied by this many hundredths, as fibre does not run straight.
    pub detour: u32,
    /// Microseconds for each step from network to network.
    pub step: u32,
    /// Steps that are assumed where BGP does not tell.
    pub unknown_steps: u8,
    /// Microseconds between a client and the first router, in each estimate.
    pub last_mile: u32,
    /// Round trip in microseconds that is assumed where the place of clients or site is unknown.
    pub unknown_trip: u32,
    /// Loss in parts of a million that costs nothing. Beyond, cost grows with its square root.
    pub harmless_loss: u32,
    /// How many of the nearest sites are considered for each unit.
    pub candidates: usize,
    /// Sites for clients of whom nothing is known, best first. Those that are not named follow by capacity.
    pub default_sites: Vec<String>,
    /// How many threads compute. The result does not depend on it.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            half_life: 900,
            table_half_life: 30 * 86_400,
            most_units: 200_000,
            detour: 160,
            step: 1_500,
            unknown_steps: 3,
            last_mile: 3_000,
            unknown_trip: 150_000,
            harmless_loss: 1_000,
            candidates: 40,
            default_sites: Vec::new(),
            threads: 2,
        }
    }
}
