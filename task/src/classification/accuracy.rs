//! Right and wrong answers.

use super::answers;
use protocol::report::CONFUSION_CLASSES_MAX;

/// Counts of right and wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accuracy {
    /// Right answers.
    pub correct: u32,
    /// Right answers among the first `public` items.
    pub public_correct: u32,
    /// `confusion[truth][answer]`; empty where there are too many classes for a report.
    pub confusion: Vec<Vec<u32>>,
}

/// Counts the answers of `logits` `[items, classes]` against `labels`. Every label is below `classes`.
pub fn accuracy(logits: &[f32], labels: &[u16], classes: usize, public: u32) -> Accuracy {
    let told = if classes > CONFUSION_CLASSES_MAX { 0 } else { classes };
    let mut counts = Accuracy { confusion: vec![vec![0; told]; told], ..Accuracy::default() };
    for (index, (answer, label)) in answers(logits, classes).into_iter().zip(labels).enumerate() {
        let truth = usize::from(*label);
        if let Some(count) = counts.confusion.get_mut(truth).and_then(|row| row.get_mut(answer)) {
            *count += 1;
        }
        if answer == truth {
            counts.correct += 1;
            counts.public_correct += u32::from(index < public as usize);
        }
    }
    counts
}
