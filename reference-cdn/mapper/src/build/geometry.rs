//! Distances on the globe, with nothing but additions, multiplications, divisions and square roots: IEEE 754 fixes those to the last
//! bit, so that every machine builds the same map. The sines of the system's library differ.

/// Mean radius of the Earth in km (IUGG).
const RADIUS: f64 = 6371.0088;

/// A point on the unit sphere.
pub type Vector = [f64; 3];

/// Sine of an angle up to π/2 in size: the series, to below 1e-12.
fn sine(x: f64) -> f64 {
    let square = x * x;
    let mut term = x;
    let mut sum = x;
    for n in [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0] {
        term *= -square / ((2.0 * n) * (2.0 * n + 1.0));
        sum += term;
    }
    sum
}

/// Of thousandths of a degree: exact turns are taken off before anything is rounded.
fn sine_of(thousandths: i64) -> f64 {
    let turned = thousandths.rem_euclid(360_000);
    let folded = match turned {
        0..=90_000 => turned,
        90_001..=270_000 => 180_000 - turned,
        _ => turned - 360_000,
    };
    sine(folded as f64 * (std::f64::consts::PI / 180_000.0))
}

/// From thousandths of a degree north and east.
pub fn vector((north, east): (i32, i32)) -> Vector {
    let (north, east) = (i64::from(north), i64::from(east));
    let around = sine_of(90_000 - north);
    [around * sine_of(90_000 - east), around * sine_of(east), sine_of(north)]
}

pub fn dot(a: &Vector, b: &Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Kilometres along the surface.
pub fn distance(a: &Vector, b: &Vector) -> f64 {
    let gaps = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    let chord = (gaps[0] * gaps[0] + gaps[1] * gaps[1] + gaps[2] * gaps[2]).sqrt();
    2.0 * arcsine((chord / 2.0).min(1.0)) * RADIUS
}

/// For 0 to 1. Abramowitz and Stegun 4.4.46, off by at most 2e-8 (0.3 m on the ground).
fn arcsine(x: f64) -> f64 {
    const FACTORS: [f64; 8] = [
        -0.001_262_491_1,
        0.006_670_090_1,
        -0.017_088_125_6,
        0.030_891_881_0,
        -0.050_174_304_6,
        0.088_978_987_4,
        -0.214_598_801_6,
        1.570_796_305_0,
    ];
    let series = FACTORS.iter().fold(0.0, |sum, factor| sum * x + factor);
    (std::f64::consts::FRAC_PI_2 - (1.0 - x).sqrt() * series).max(0.0)
}

/// Sums of vectors that come out the same in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    parts: [i64; 3],
    count: i64,
}

impl Sum {
    pub fn add(&mut self, vector: &Vector) {
        for (sum, part) in self.parts.iter_mut().zip(vector) {
            // 2^24 steps: half a metre. A billion of them stay within 64 bits.
            *sum += (part * 16_777_216.0).round() as i64;
        }
        self.count += 1;
    }

    pub fn join(&mut self, other: &Self) {
        for (sum, part) in self.parts.iter_mut().zip(other.parts) {
            *sum += part;
        }
        self.count += other.count;
    }

    /// The middle, and how near to it all are: 1 if at one point, 0 if all around the globe. `None` if there is nothing.
    pub fn middle(&self) -> Option<(Vector, f64)> {
        let [x, y, z] = self.parts.map(|part| part as f64);
        let length = (x * x + y * y + z * z).sqrt();
        (length > 0.0)
            .then(|| ([x / length, y / length, z / length], length / (self.count as f64 * 16_777_216.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_distances() {
        let near = |a, b, km: f64| {
            let got = distance(&vector(a), &vector(b));
            assert!((got - km).abs() < 1.0, "{got} km, not {km}");
        };
        near((50_110, 8_680), (50_110, 8_680), 0.0);
        near((0, 0), (0, 180_000), 20_015.1);
        near((90_000, 0), (-90_000, 77_000), 20_015.1);
        near((0, 179_500), (0, -179_500), 111.2);
        // Frankfurt to New York, by the haversine formula.
        near((50_110, 8_680), (40_710, -74_010), 6_203.0);
    }

    proptest! {
        #[test]
        fn as_with_the_library_of_the_system(a in (-90_000..=90_000_i32, -180_000..=180_000_i32), b in (-90_000..=90_000_i32, -180_000..=180_000_i32)) {
            let radians = |(north, east): (i32, i32)| ((f64::from(north) / 1000.0).to_radians(), (f64::from(east) / 1000.0).to_radians());
            let ((n1, e1), (n2, e2)) = (radians(a), radians(b));
            let half = ((n2 - n1) / 2.0).sin().powi(2) + n1.cos() * n2.cos() * ((e2 - e1) / 2.0).sin().powi(2);
            let expected = 2.0 * half.sqrt().min(1.0).asin() * RADIUS;
            let got = distance(&vector(a), &vector(b));
            prop_assert!((got - expected).abs() < 0.01 + expected * 1e-5, "{} {}", got, expected);
        }
    }
}
