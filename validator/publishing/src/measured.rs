//! Everything that is measured before a competition appears: the teacher, the reference, a rehearsal, and what is listed as known.
//!
//! It knows who is asked and in which order; how, `measure` does.

use crate::divide::Divided;
use crate::error::DataSetError;
use crate::measure::{Bench, Said};
use crate::{PublishError, Publisher, ScreeningTime, Source};
use datasets::{FormatError, Logits, arg_max};
use protocol::Report;
use protocol::score::Ceiling;
use service::copies::{self, EntryPrints, EntryZero};
use service::evaluator::ProgressFn;

/// What was measured before publishing.
pub(crate) struct Measured {
    /// Nothing of a teacher that is known by its answers only.
    pub(crate) teacher: Option<Report>,
    /// The teacher's answers to public items.
    pub(crate) answers: Logits,
    /// Its right ones.
    pub(crate) ceiling: Ceiling,
    pub(crate) reference: Report,
    /// What copies are compared beside on the probes: the teacher's logits, or else the reference's.
    pub(crate) probe_logits: Vec<f32>,
    pub(crate) entries: EntryPrints,
    pub(crate) screening: ScreeningTime,
}

impl Publisher {
    /// Measures all of it on the public items, and on the probes by which copies are recognised.
    pub(crate) async fn measured(
        &self,
        source: &Source,
        divided: &Divided,
        progress: &ProgressFn,
    ) -> Result<Measured, PublishError> {
        let (manifest, public) = (&source.manifest, &divided.public);
        let probes = copies::probes(&divided.secrets.probe_seed, manifest.input.shape());
        let on = Bench {
            manifest,
            reference: &source.reference.bytes,
            items: divided.asked.sha256,
            public: manifest.data.public_items,
            probes: Some(self.put(probes).await?.sha256),
            progress,
        };
        let teacher = match &source.teacher {
            Some(model) => Some(self.ask("teacher", &model.bytes, None, true, &on).await?),
            None => None,
        };
        let answers = match (&teacher, &public.answers) {
            (Some(teacher), _) => teacher_logits(teacher, manifest.labels.len())?,
            (None, Some(answers)) => answers.clone(),
            (None, None) => return Err(DataSetError::unanswered(manifest, "evaluation").into()),
        };
        let stored = self.put(answers.to_bytes()?).await?.sha256;
        let reference = self.ask("reference", &source.reference.bytes, Some(stored), true, &on).await?;
        let screening = self.rehearse(source, public, progress).await?;
        // What a teacher says that nobody can ask isn't known of probes: the reference stands for it there.
        let probe_logits = teacher.as_ref().unwrap_or(&reference).probe_logits.clone();
        let mut entries = Vec::new();
        if let (Some(model), Some(teacher)) = (&source.teacher, &teacher) {
            entries.push((EntryZero::Teacher, model.bytes.clone(), teacher.probe_logits.clone()));
        }
        entries.push((EntryZero::Reference, source.reference.bytes.clone(), reference.probe_logits));
        for (number, known) in (1..).zip(&source.known) {
            let said = self.ask("known package", &known.bytes, Some(stored), false, &on).await?;
            entries.push((EntryZero::Known(number), known.bytes.clone(), said.probe_logits));
        }
        let entries = EntryPrints::make(&self.0.objects, entries, &probe_logits).await?;
        let (teacher, ceiling) = (teacher.map(|teacher| teacher.report), ceiling(&answers, &public.labels));
        Ok(Measured { teacher, ceiling, answers, reference: reference.report, probe_logits, entries, screening })
    }
}

fn teacher_logits(teacher: &Said, classes: usize) -> Result<Logits, FormatError> {
    let classes = u32::try_from(classes).unwrap_or(u32::MAX);
    let logits = Logits { count: teacher.report.data.items, classes, values: teacher.logits.clone() };
    logits.validate()?;
    Ok(logits)
}

/// How many of the items with these labels the answers are right about.
fn ceiling(answers: &Logits, labels: &[u16]) -> Ceiling {
    let right = |(item, label): &(usize, &u16)| arg_max(answers.row(*item)) == usize::from(**label);
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Ceiling { correct: number(labels.iter().enumerate().filter(right).count()), items: number(labels.len()) }
}
