//! Rows as a competition takes them: pictures become inputs, and the classes of a source become labels, by their names.
//!
//! It does NOT know which rows will be public or hidden, and keeps nothing.

use super::answers;
use super::{Inputs, Part, RowError, SourceError, Table};
use crate::labelled::Placed;
use crate::{Images, Labelled, Logits};
use protocol::competition::{InputSpec, RowSpec};
use std::collections::{HashMap, HashSet};
use std::io::BufWriter;

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

    /// The same, however many there are: each is decoded once, and their pixels lie in a file without a name meanwhile. And the
    /// rows that couldn't be read.
    ///
    /// # Errors
    /// As [`Table::items`], and when there is no room.
    pub fn spooled(
        &self,
        part: &Part,
        wanted: &Wanted<'_>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(Labelled, Vec<RowError>), SourceError> {
        let label_of = self.label_of(wanted)?;
        let mut spool = BufWriter::new(tempfile::tempfile().map_err(SourceError::unspooled)?);
        let inputs = part.rows_into(wanted.input.shape(), wanted.rows, &mut spool, progress)?;
        let Inputs { labels, answers, left_out, .. } = by_labels(inputs, &label_of);
        let file = spool.into_inner().map_err(|error| SourceError::unspooled(error.into_error()))?;
        let answers = answers::table(answers, labels.len());
        let file = Placed::new(file).map_err(SourceError::unspooled)?;
        let all = 0..file.bytes;
        let items = Labelled::raw((file, all), wanted.input.shape(), labels, answers);
        Ok((items, left_out))
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
