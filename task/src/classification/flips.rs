//! Where student and teacher differ about the truth (Yan et al. 2021, "Positive-congruent training").

use super::answers;

/// Counts of items on which exactly one of the two is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flips {
    /// Teacher right, student wrong.
    pub negative: u32,
    /// Teacher wrong, student right.
    pub positive: u32,
}

/// Counts flips; both logits are `[items, classes]`.
pub fn flips(student: &[f32], teacher: &[f32], labels: &[u16], classes: usize) -> Flips {
    let mut flips = Flips::default();
    let pairs = answers(student, classes).into_iter().zip(answers(teacher, classes));
    for ((student, teacher), label) in pairs.zip(labels) {
        let truth = usize::from(*label);
        flips.negative += u32::from(teacher == truth && student != truth);
        flips.positive += u32::from(teacher != truth && student == truth);
    }
    flips
}
