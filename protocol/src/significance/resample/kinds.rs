//! Resamples of two models by kinds of items: which of the two is right. How many of each kind a resample draws is drawn
//! exactly, as binomials; what their divergences then sum to is taken as normal, with the mean and the covariance that drawing
//! them one by one gives. Divergences move the composite by a hundredth of what answers do, and hundreds are summed.
//!
//! For simulations, where a draw is a handful of numbers instead of thousands. What anybody is told rests on whole resamples
//! ([`super::Pair::p_value`]). It does NOT know the composite.

use super::Packed;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, StandardNormal};

/// Items of a pair, by kind.
#[derive(Debug)]
pub(super) struct Kinds {
    items: u64,
    kinds: [Kind; 4],
}

/// Items of one kind: whether each of the two is right, and their divergences.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    right: [bool; 2],
    count: u64,
    mean: [f64; 2],
    /// Variances, and the covariance.
    variance: [f64; 2],
    covariance: f64,
}

impl Kinds {
    /// Of as many items of both.
    pub(super) fn of(challenger: &[Packed], champion: &[Packed]) -> Self {
        let kind = |right: [bool; 2]| Kind::of(right, challenger.iter().zip(champion));
        let kinds = [[true, true], [true, false], [false, true], [false, false]].map(kind);
        Self { items: challenger.len() as u64, kinds }
    }

    /// What the two sum to on a resample.
    pub(super) fn resample(&self, words: &mut ChaCha8Rng) -> [Packed; 2] {
        let (mut undrawn, mut left) = (self.items, self.items);
        let (mut correct, mut mean, mut variance, mut covariance) = ([0; 2], [0.0; 2], [0.0; 2], 0.0);
        for kind in &self.kinds {
            // Of those that earlier kinds left, each is of this one with its share of the kinds that are left.
            let share = kind.count as f64 / undrawn.max(1) as f64;
            let drawn = Binomial::new(left, share).map_or(0, |binomial| binomial.sample(words));
            (undrawn, left) = (undrawn - kind.count, left - drawn);
            let times = drawn as f64;
            for model in 0..2 {
                correct[model] += if kind.right[model] { drawn } else { 0 };
                mean[model] += times * kind.mean[model];
                variance[model] += times * kind.variance[model];
            }
            covariance += times * kind.covariance;
        }
        let js = normal(mean, variance, covariance, words);
        [Packed::sum(correct[0], js[0]), Packed::sum(correct[1], js[1])]
    }
}

impl Kind {
    fn of<'a>(right: [bool; 2], items: impl Iterator<Item = (&'a Packed, &'a Packed)>) -> Self {
        let (mut count, mut sum, mut squares, mut products) = (0, [0.0; 2], [0.0; 2], 0.0);
        for (a, b) in items.filter(|(a, b)| [a.correct() > 0, b.correct() > 0] == right) {
            let js = [a.js_micronats() as f64, b.js_micronats() as f64];
            count += 1;
            sum = [sum[0] + js[0], sum[1] + js[1]];
            squares = [squares[0] + js[0] * js[0], squares[1] + js[1] * js[1]];
            products += js[0] * js[1];
        }
        let times = f64::max(count as f64, 1.0);
        let mean = sum.map(|sum| sum / times);
        let variance = [squares[0] / times - mean[0] * mean[0], squares[1] / times - mean[1] * mean[1]];
        let covariance = products / times - mean[0] * mean[1];
        Self { right, count, mean, variance: variance.map(|it| it.max(0.0)), covariance }
    }
}

/// Two numbers that are normal together, not below 0.
fn normal(mean: [f64; 2], variance: [f64; 2], covariance: f64, words: &mut ChaCha8Rng) -> [u64; 2] {
    let [first, second]: [f64; 2] = [StandardNormal.sample(words), StandardNormal.sample(words)];
    let deviation = libm::sqrt(variance[0]);
    let along = if deviation > 0.0 { covariance / deviation } else { 0.0 };
    let across = libm::sqrt((variance[1] - along * along).max(0.0));
    let js = [mean[0] + deviation * first, mean[1] + along * first + across * second];
    js.map(|js| libm::round(js.max(0.0)) as u64)
}
