//! Rows as a competition takes them: pictures become inputs, and the classes of a source become labels, by their names.
//!
//! It does NOT know which rows will be public or hidden, and keeps nothing.

use super::answers;
use super::pixels::RowPixels;
use super::{Inputs, Part, RowError, SourceError, Table};
use crate::{Images, Labelled, Logits, pool};
use protocol::Digest;
use protocol::competition::{InputSpec, RowSpec};
use protocol::digest::Hasher;
use protocol::pixels::Pixels;
use std::collections::{HashMap, HashSet};

/// What a competition says of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What goes into a model.
    pub input: &'a InputSpec,
    /// What comes out, in order.
    pub labels: &'a [String],
    /// Which rows, and what becomes of their pictures.
    pub rows: &'a RowSpec,
    /// The inputs of a part may have this many bytes: they are held in memory.
    pub bytes_max: u64,
}

/// The labelled images of a part.
#[derive(Clone, Debug)]
pub struct Items {
    /// In the order of their rows.
    pub images: Images,
    /// What the teacher answered to each, in the order of the labels, where the part has that.
    pub answers: Option<Logits>,
    /// Rows that couldn't be read.
    pub left_out: Vec<RowError>,
}

/// The labelled images of a part, however many.
#[derive(Clone, Debug)]
pub struct Opened {
    /// In the order of their rows.
    pub items: Labelled,
    /// Rows that couldn't be read.
    pub left_out: Vec<RowError>,
    /// Of all items, as a pool's file has them.
    pub sha256: Digest,
}

impl Table {
    /// A part's rows as labelled images. `progress` hears how many are done, of how many.
    ///
    /// # Errors
    /// When classes and labels have other names, more rows can't be read than may be left out, or there are too many.
    pub fn items(&self, part: &Part, wanted: &Wanted<'_>, progress: &dyn Fn(u64, u64)) -> Result<Items, SourceError> {
        let label_of = self.label_of(wanted)?;
        let inputs = part.inputs(wanted.input.shape(), wanted.rows, wanted.bytes_max, progress)?;
        let Inputs { pixels, labels, answers, left_out } = by_labels(inputs, &label_of);
        let InputSpec { channels, height, width, .. } = *wanted.input;
        let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
        let answers = answers::table(answers, labels.len());
        Ok(Items { images: Images { count, channels, height, width, pixels, labels }, answers, left_out })
    }

    /// The same, however many there are: their pixels are made again of their pictures whenever they are asked for.
    ///
    /// # Errors
    /// As [`Table::items`].
    pub fn opened(&self, part: &Part, wanted: &Wanted<'_>, progress: &dyn Fn(u64, u64)) -> Result<Opened, SourceError> {
        let (label_of, shape) = (self.label_of(wanted)?, wanted.input.shape());
        // What a pool's file begins with follows from its labels. Mostly it is what all rows would make of it, and then its digest
        // is there as soon as each row was decoded once.
        let count = u32::try_from(part.rows).unwrap_or(u32::MAX);
        let label_bytes = if wanted.labels.len() > usize::from(u8::MAX) + 1 { 2 } else { 1 };
        let head = pool::head(count, shape, label_bytes, part.answers.is_some());
        let mut hasher = Hasher::default();
        hasher.update(&head);
        let inputs = part.rows_into(shape, wanted.rows, &mut hasher, progress)?;
        let Inputs { labels, answers, left_out, .. } = by_labels(inputs, &label_of);
        let missing: HashSet<u64> = left_out.iter().map(|row| row.number).collect();
        let rows = (0..part.rows).filter(|row| !missing.contains(row)).collect();
        let pixels = Pixels::of(RowPixels::new(part, rows, shape, wanted.rows.pictures));
        let answers = answers::table(answers, labels.len());
        let items = Labelled { shape, pixels, labels, answers };
        if items.pool_head() == head {
            hasher.update(&items.pool_tail().map_err(SourceError::Again)?);
        } else {
            hasher = Hasher::default();
            items.write_pool(&mut hasher).map_err(SourceError::Again)?;
        }
        Ok(Opened { items, left_out, sha256: hasher.finish() })
    }

    /// The label of each class of the source.
    fn label_of(&self, wanted: &Wanted<'_>) -> Result<Vec<u16>, SourceError> {
        match &self.classes {
            Some(classes) => by_name(classes, wanted.labels),
            None => Ok((0..=u16::MAX).collect()),
        }
    }
}

/// Classes as labels, and answers in their order.
fn by_labels(inputs: Inputs, label_of: &[u16]) -> Inputs {
    // A class without a label is none of the manifest's, and said to be so when its items are checked.
    let label = |class: &u16| label_of.get(usize::from(*class)).copied().unwrap_or(u16::MAX);
    let labels: Vec<u16> = inputs.labels.iter().map(label).collect();
    let answers = answers::table(inputs.answers, labels.len()).map(|answers| by_label(&answers, label_of));
    Inputs { labels, answers: answers.unwrap_or_default(), ..inputs }
}

/// Answers in the order of the labels, which those of the data's classes have.
fn by_label(answers: &Logits, label_of: &[u16]) -> Vec<f32> {
    let classes = answers.classes as usize;
    let mut values = vec![0.0; answers.values.len()];
    for (row, said) in values.chunks_exact_mut(classes.max(1)).zip(answers.values.chunks_exact(classes.max(1))) {
        for (label, value) in label_of.iter().zip(said) {
            if let Some(place) = row.get_mut(usize::from(*label)) {
                *place = *value;
            }
        }
    }
    values
}

/// The label of each class: that of the same name.
fn by_name(classes: &[String], labels: &[String]) -> Result<Vec<u16>, SourceError> {
    let named: HashSet<&String> = classes.iter().collect();
    if let Some(label) = labels.iter().find(|label| !named.contains(label)) {
        return Err(SourceError::NoItems { label: label.clone(), classes: classes.join(", ") });
    }
    let places: HashMap<&String, u16> = labels.iter().zip(0..).collect();
    let unnamed = |class: &String| SourceError::Unnamed { class: class.clone() };
    classes.iter().map(|class| places.get(class).copied().ok_or_else(|| unnamed(class))).collect()
}
