//! Right and wrong answers.

use super::answers;

/// Counts of right and wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Right answers.
    pub correct: u32,
    /// Right answers among the first `public` items.
    pub public_correct: u32,
    /// `confusion[truth][answer]`.
    pub confusion: Vec<Vec<u32>>,
}

/// Counts the answers of `logits` `[items, classes]` against `labels`. Every label is below `classes`.
pub fn accuracy(logits: &[f32], labels: &[u8], classes: usize, public: u32) -> Accuracy {
    let mut counts = Accuracy { confusion: vec![vec![0; classes]; classes], ..Accuracy::default() };
    for (index, (answer, label)) in answers(logits, classes).into_iter().zip(labels).enumerate() {
        let truth = usize::from(*label);
        counts.confusion[truth][answer] += 1;
        if answer == truth {
            counts.correct += 1;
            counts.public_correct += u32::from(index < public as usize);
        }
    }
    counts
}
