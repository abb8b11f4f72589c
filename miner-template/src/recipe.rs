//! The recipe: what a miner edits. The loss that a student learns from, and the schedule that it learns by.
//!
//! Formulas and their sources: L = w_ce CE(y, z_s) + w_kd τ² KL(p_T || p_S) (Hinton et al. 2015, arXiv 1503.02531), with
//! logits standardised per sample before the softmax (Sun et al. 2024, arXiv 2403.01427).

use burn::tensor::{Tensor, activation::log_softmax};
use protocol::transforms::Family;
use serde::{Deserialize, Serialize};

/// Where images are few, a pass over them has so many steps, by batches that may get as small as this, and all passes together
/// have so many.
const STEPS_A_PASS: usize = 50;
const BATCH_MIN: usize = 8;
const STEPS_IN_ALL: usize = 1_000;

/// How a student learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What is minimised.
    pub loss: Loss,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch: usize,
    /// The highest learning rate of the one-cycle schedule.
    pub learning_rate_peak: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// What is done to images.
    pub changes: Changes,
}

/// What is done to training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Changes {
    /// What a hidden round does to its items, drawn anew in each pass: what counts is decided there.
    Rounds {
        /// The competition's family.
        family: Family,
    },
    /// Changes that keep a label, whatever the rounds do.
    Plain(Plain),
}

/// Changes that keep a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plain {
    /// Images are shifted by up to this many pixels in both directions.
    pub shift: u8,
    /// Images are mirrored half of the time.
    pub flip: bool,
    /// Side of a square that is blanked at a random place; 0 for none. Only used without a teacher.
    pub erase: u8,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            loss: Loss::default(),
            epochs: 10,
            batch: 128,
            learning_rate_peak: 6e-3,
            weight_decay: 0.02,
            changes: Changes::Rounds { family: Family::default() },
        }
    }
}

impl Recipe {
    /// The usual one for so many training images: of few it makes smaller batches and more passes, or nothing would be learnt.
    pub fn for_images(images: u32) -> Self {
        let (usual, images) = (Self::default(), (images as usize).max(1));
        let batch = (images / STEPS_A_PASS).clamp(BATCH_MIN, usual.batch).min(images);
        let passes = STEPS_IN_ALL.div_ceil(images.div_ceil(batch)) as u32;
        Self { batch, epochs: passes.max(usual.epochs), ..usual }
    }
}

impl Plain {
    /// Mirroring, and shifts by up to this many pixels.
    pub fn shifted(shift: u8) -> Self {
        Self { shift, flip: true, erase: 0 }
    }
}

/// What a student minimises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Loss {
    /// The labels alone.
    CrossEntropy,
    /// Labels and the teacher's softened outputs.
    Distillation {
        /// τ: how soft.
        temperature: f32,
        /// w_kd.
        weight_teacher: f32,
        /// w_ce.
        weight_labels: f32,
        /// Whether logits are standardised per sample first.
        standardise: bool,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Self::plain()
    }
}

impl Loss {
    /// Plain knowledge distillation: τ = 4, .9 / .1.
    pub fn plain() -> Self {
        Self::Distillation { temperature: 4.0, weight_teacher: 0.9, weight_labels: 0.1, standardise: false }
    }

    /// Logit-standardised distillation: τ = 2, 9 / 0.1.
    pub fn standardised() -> Self {
        Self::Distillation { temperature: 2.0, weight_teacher: 9.0, weight_labels: 0.1, standardise: true }
    }

    /// Whether it needs the teacher's outputs.
    pub fn needs_teacher(&self) -> bool {
        matches!(self, Self::Distillation { .. })
    }

    /// The mean loss of a batch. `student` and `teacher` are logits, `labels` is one-hot, all `[batch, classes]`.
    pub fn value(&self, student: Tensor<2>, labels: &Tensor<2>, teacher: Option<Tensor<2>>) -> Tensor<1> {
        let cross_entropy = |logits: Tensor<2>| -(log_softmax(logits, 1) * labels.clone()).sum_dim(1).mean();
        match (*self, teacher) {
            (Self::Distillation { temperature, weight_teacher, weight_labels, standardise }, Some(teacher)) => {
                let soften = |logits: Tensor<2>| {
                    let logits = if standardise { standardised(logits) } else { logits };
                    log_softmax(logits.div_scalar(temperature), 1)
                };
                let divergence = kl_divergence(soften(teacher), soften(student.clone()));
                divergence.mul_scalar(weight_teacher * temperature * temperature)
                    + cross_entropy(student).mul_scalar(weight_labels)
            }
            _ => cross_entropy(student),
        }
    }
}

/// (z - mean) / (standard deviation + 1e-7) of each row.
fn standardised(logits: Tensor<2>) -> Tensor<2> {
    let centred = logits.clone() - logits.mean_dim(1);
    let deviation = centred.clone().powi_scalar(2).mean_dim(1).add_scalar(1e-14).sqrt().add_scalar(1e-7);
    centred / deviation
}

/// KL(p || q), mean over rows, of two arrays of log-probabilities.
fn kl_divergence(log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<1> {
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).mean()
}

/// The learning rate at `progress` in [0, 1]: up for the first fifth, then down to nothing (Smith 2018, "one cycle").
pub fn one_cycle(peak: f64, progress: f64) -> f64 {
    const WARM_UP: f64 = 0.2;
    if progress < WARM_UP {
        peak * (0.1 + 0.9 * progress / WARM_UP)
    } else {
        let fall = (progress - WARM_UP) / (1.0 - WARM_UP);
        peak * 0.5 * (1.0 + (std::f64::consts::PI * fall).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_are_shown_in_enough_steps_and_many_as_ever() {
        assert_eq!(Recipe::for_images(60_000), Recipe::default());
        for images in [1, 7, 200, 360, 2_000, 6_400, 13_000] {
            let Recipe { epochs, batch, .. } = Recipe::for_images(images);
            let steps = (images as usize).div_ceil(batch) * epochs as usize;
            assert!(batch <= images as usize && batch <= 128 && steps >= STEPS_IN_ALL, "{images}: {epochs} of {batch}");
        }
    }
}
