//! What a path costs: measured, estimated, and between the two.

use super::probes::{LONGEST_TRIP, Probe};
use super::settings::Settings;

/// The whole of a weight.
pub const WHOLE: u32 = 1 << 16;

/// Round trips in light through fibre: 2 × 1.468 / 299 792.458 km/s, in microseconds a kilometre.
const FIBRE: f64 = 9.793_4;

/// What a measured path costs, in microseconds.
///
/// The throughput of a connection that loses packets goes with 1 / (rtt · √loss) (Mathis and others, "The macroscopic behavior of
/// the TCP congestion avoidance algorithm", 1997). So the cost is rtt · √(loss / harmless), and rtt alone while loss is harmless.
pub fn measured(rtt: u32, loss: u32, settings: &Settings) -> u32 {
    let harmless = settings.harmless_loss.max(1);
    if loss <= harmless {
        return rtt;
    }
    let factor = (f64::from(loss) / f64::from(harmless)).sqrt();
    (f64::from(rtt) * factor).min(f64::from(LONGEST_TRIP) * 10.0) as u32
}

/// What an unmeasured path is expected to cost: `km` over the ground if both ends are known, `steps` between networks if known.
pub fn estimated(km: Option<f64>, steps: Option<u8>, settings: &Settings) -> u32 {
    let trip = km.map_or(settings.unknown_trip, |km| {
        (km * FIBRE * f64::from(settings.detour) / 100.0).min(f64::from(LONGEST_TRIP)) as u32
    });
    let steps = u32::from(steps.unwrap_or(settings.unknown_steps));
    trip.saturating_add(settings.last_mile).saturating_add(steps.saturating_mul(settings.step))
}

/// One half for each half-life, of `whole`; straight lines between whole half-lives.
pub fn faded(whole: u32, age: u64, half_life: u64) -> u32 {
    let half_life = half_life.max(1);
    let halvings = age / half_life;
    if halvings >= 32 {
        return 0;
    }
    let before = u64::from(whole) >> halvings;
    // Between one power of two and the next: from 1 down to 1/2.
    let part = (before / 2).saturating_mul(age % half_life) / half_life;
    (before - part) as u32
}

/// How much a measurement counts now, of [`WHOLE`]. One from the future is trusted as little as one as far back: clocks are wrong in
/// both directions, and nothing stays fresh because its clock was.
pub fn weight(probe: &Probe, now: u64, settings: &Settings) -> u32 {
    faded(probe.kind.worth() * (WHOLE / 256), now.abs_diff(probe.time), settings.half_life)
}

/// Measurements of one path, put together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blend {
    costs: u128,
    weights: u64,
    most: u32,
}

impl Blend {
    pub fn add(&mut self, cost: u32, weight: u32) {
        self.costs += u128::from(cost) * u128::from(weight);
        self.weights += u64::from(weight);
        self.most = self.most.max(weight);
    }

    /// Between what was measured and the estimate, by how much the measurements are trusted. With the confidence in it, given that
    /// in the estimate.
    pub fn with(&self, estimate: u32, confidence: u8) -> (u32, u8) {
        if self.weights == 0 {
            return (estimate, confidence);
        }
        let trust = u64::from(self.most.min(WHOLE));
        let cost = (self.costs / u128::from(self.weights)) as u64;
        let score = (cost * trust + u64::from(estimate) * (u64::from(WHOLE) - trust)) / u64::from(WHOLE);
        let gained = u64::from(u8::MAX - confidence) * trust / u64::from(WHOLE);
        (u32::try_from(score).unwrap_or(u32::MAX), confidence + gained as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loss_costs_by_its_square_root() {
        let settings = Settings::default();
        let costs = [0, 1_000, 4_000, 10_000, 100_000].map(|loss| measured(10_000, loss, &settings));
        assert_eq!(costs, [10_000, 10_000, 20_000, 31_622, 100_000]);
    }

    #[test]
    fn distance_costs_light_in_fibre() {
        let settings = Settings::default();
        // 1000 km: 9.8 ms there and back, 60 % more for the way it is laid, 3 ms, and 1.5 ms for each of two steps.
        assert_eq!(estimated(Some(1000.0), Some(2), &settings), 15_669 + 3_000 + 3_000);
        assert_eq!(estimated(None, None, &settings), 150_000 + 3_000 + 4_500);
    }

    #[test]
    fn a_measurement_fades_to_the_estimate() {
        let settings = Settings::default();
        let score = |age| {
            let mut blend = Blend::default();
            blend.add(10_000, faded(WHOLE, age, settings.half_life));
            blend.with(50_000, 40)
        };
        assert_eq!(score(0), (10_000, 255));
        assert_eq!(score(900), (30_000, 147));
        assert_eq!(score(900 * 40), (50_000, 40));
    }

    proptest! {
        #[test]
        fn fading_never_goes_up(whole in 0..=WHOLE, age in 0..100_000_u64, more in 0..10_000_u64, half_life in 0..5_000_u64) {
            prop_assert!(faded(whole, age + more, half_life) <= faded(whole, age, half_life));
        }

        #[test]
        fn a_score_is_between_what_it_is_made_of(cost in 1..LONGEST_TRIP, estimate in 1..LONGEST_TRIP, trust in 0..=WHOLE, confidence: u8) {
            let mut blend = Blend::default();
            blend.add(cost, trust);
            let (score, known) = blend.with(estimate, confidence);
            prop_assert!(score >= cost.min(estimate) && score <= cost.max(estimate));
            prop_assert!(known >= confidence);
        }
    }
}
