//! Axes: where a value lies between the ends of a scale, and which ticks a person would have chosen.
//!
//! It knows numbers only, neither what they mean nor how they are drawn.

/// A scale from values to pixels, straight or logarithmic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    logarithmic: bool,
    /// The ends in values; in decades when logarithmic.
    domain: [f64; 2],
    /// The pixels of those ends.
    pixels: [f64; 2],
}

impl Axis {
    /// A straight scale. The ends may not coincide.
    pub(super) fn linear(domain: [f64; 2], pixels: [f64; 2]) -> Self {
        Self { logarithmic: false, domain, pixels }
    }

    /// A logarithmic scale; both ends are above 0.
    pub(super) fn logarithmic(domain: [f64; 2], pixels: [f64; 2]) -> Self {
        Self { logarithmic: true, domain: domain.map(f64::log10), pixels }
    }

    /// The pixel of `value`, held inside the scale and rounded to a tenth.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let [low, high] = self.domain;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        tenth(self.pixels[0] + share * (self.pixels[1] - self.pixels[0]))
    }

    /// Whether `value` lies inside the scale.
    pub(super) fn shows(&self, value: f64) -> bool {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        (self.domain[0]..=self.domain[1]).contains(&value)
    }

    /// At most `count_max` round values inside the scale, ascending.
    pub(super) fn ticks(&self, count_max: usize) -> Vec<f64> {
        if self.logarithmic { logarithmic_ticks(self.domain, count_max) } else { linear_ticks(self.domain, count_max) }
    }
}

/// One decimal of a pixel is finer than any screen and keeps the SVG small.
pub(super) fn tenth(pixel: f64) -> f64 {
    (pixel * 10.0).round() / 10.0
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks([low, high]: [f64; 2], count_max: usize) -> Vec<f64> {
    let rough = (high - low) / count_max.max(1) as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0].map(|factor| factor * decade);
    let multiples = |step: f64| {
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        (first..=last).map(move |index| index as f64 * step).collect::<Vec<_>>()
    };
    steps.into_iter().map(multiples).find(|ticks| ticks.len() <= count_max).unwrap_or_default()
}

/// Mantissas that people expect on a logarithmic axis, densest first.
const MANTISSAS: [&[f64]; 5] = [
    &[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0],
    &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0],
    &[1.0, 2.0, 5.0],
    &[1.0, 3.0],
    &[1.0],
];

/// The densest set of round mantissas that fits, then every second, third, ... decade.
fn logarithmic_ticks([low, high]: [f64; 2], count_max: usize) -> Vec<f64> {
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let inside = |tick: &f64| (low - 1e-9..=high + 1e-9).contains(&tick.log10());
    let with = |mantissas: &[f64], stride: usize| {
        let decades = (first..=last).filter(|decade| decade.rem_euclid(stride as i32) == 0);
        decades
            .flat_map(|decade| mantissas.iter().map(move |m| m * 10f64.powi(decade)))
            .filter(inside)
            .collect::<Vec<_>>()
    };
    let dense = MANTISSAS.into_iter().map(|mantissas| with(mantissas, 1));
    let sparse = (2..20).map(|stride| with(&[1.0], stride));
    dense.chain(sparse).find(|ticks| ticks.len() <= count_max).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let linear = |low, high| Axis::linear([low, high], [0.0, 1.0]).ticks(6);
        let logarithmic = |low, high| Axis::logarithmic([low, high], [0.0, 1.0]).ticks(6);
        assert_eq!(linear(83.2, 94.1), [84.0, 86.0, 88.0, 90.0, 92.0, 94.0]);
        assert_eq!(linear(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(logarithmic(0.08, 4.0), [0.1, 0.2, 0.5, 1.0, 2.0]);
        assert_eq!(logarithmic(1e-3, 1e6).len(), 5);
        assert!(!logarithmic(0.9, 1.3).is_empty());
    }

    #[test]
    fn every_range_has_between_two_and_six_ticks() {
        for exponent in 1..40 {
            let high = 2f64 * 1.5f64.powi(exponent);
            for axis in [Axis::linear([0.5, high], [0.0, 1.0]), Axis::logarithmic([0.5, high], [0.0, 1.0])] {
                let ticks = axis.ticks(6);
                assert!((2..=6).contains(&ticks.len()), "{high}: {ticks:?}");
                assert!(ticks.iter().all(|tick| axis.shows(*tick) || (tick / high - 1.0).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn values_outside_are_held_at_the_edge() {
        let axis = Axis::logarithmic([0.1, 10.0], [0.0, 100.0]);
        assert_eq!([0.0, -5.0, 0.1, 1.0, 10.0, 1e9].map(|v| axis.at(v)), [0.0, 0.0, 0.0, 50.0, 100.0, 100.0]);
    }
}
