//! A rehearsal of a hidden round before a competition is published: does the reference pass the manifest's gate?
//!
//! Who is below the gate on hidden items is out for good. A gate that the validator's own reference doesn't reach is one
//! that nobody is known to pass, so it is refused here, where it can still be changed. The items are public ones, changed as
//! a round changes its own: no hidden item is shown to anyone. Its answers are timed as well: how long the screening of a round
//! takes is said before anybody depends on it.

use crate::error::{GateMissed, PublishError};
use crate::measure::{Bench, Said};
use crate::{Publisher, Source};
use datasets::Labelled;
use datasets::hidden::{DrawSpec, draw, relabel, rendered};
use protocol::evaluation::PackageBytes;
use protocol::score::{Ceiling, Scale, share_ppm, wilson};
use service::evaluator::{Progress, ProgressFn};
use std::fmt;
use std::sync::Arc;

/// Items of the rehearsal, or all public ones: the reference's share is known to about two points, in seconds.
const ITEMS_MAX: u32 = 1_000;

/// How long this machine takes to screen a model like the reference, in milliseconds; the first run is of the first cut, the
/// second of what the best answer besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreeningTime {
    /// For each model.
    pub each_ms: u64,
    /// For each of the best, besides.
    pub finalist_ms: u64,
    /// How many the best are.
    pub finalists: u32,
}

impl fmt::Display for ScreeningTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| format!("{}.{} s", ms / 1_000, ms / 100 % 10);
        let most = self.finalist_ms.saturating_mul(self.finalists.into());
        write!(
            f,
            "screening a round takes about {} for each model that waits, and at most {} more for the best {}",
            seconds(self.each_ms),
            seconds(most),
            self.finalists
        )
    }
}

/// What is rehearsed, and who hears how far it is.
struct Rehearsal<'a> {
    source: &'a Source,
    progress: &'a ProgressFn,
}

impl Publisher {
    /// Plays a round on public items with the teacher and the reference, and says how long screening takes.
    ///
    /// # Errors
    /// [`PublishError::Gate`] when the reference is shown to be below the gate.
    pub(crate) async fn rehearse(
        &self,
        source: &Source,
        public: &Labelled,
        progress: &ProgressFn,
    ) -> Result<ScreeningTime, PublishError> {
        let heard = Arc::clone(progress);
        let progress: ProgressFn = Arc::new(move |Progress { phase, done, total }| {
            heard(Progress { phase: format!("a round, rehearsed: {phase}"), done, total });
        });
        let on = Rehearsal { source, progress: &progress };
        let family = source.manifest.rounds.transforms;
        // They are in random order, so the first are as good as any.
        let (pool, seed): (Labelled, [u8; 32]) = (public.part(0..ITEMS_MAX as usize), rand::random());
        let spec = DrawSpec::of_family(pool.count(), family);
        let drawn = draw(&seed, &seed, pool.count(), &spec)?;
        let mut items = rendered(&pool, &drawn)?;
        let classes = source.manifest.labels.len();
        let teacher = match &source.teacher {
            Some(model) => self.answers("teacher", &on, &model.bytes, &items, None).await?.logits,
            None => items.answers.take().map(|answers| answers.values).unwrap_or_default(),
        };
        relabel(&mut items.labels, &drawn, &teacher, u32::try_from(classes).unwrap_or(u32::MAX))?;
        let reference = self.answers("reference", &on, &source.reference.bytes, &items, Some(&teacher)).await?;
        let Said { logits: reference, took_ms: finalist_ms, .. } = reference;

        let right = |logits: &[f32]| {
            let rows = logits.chunks_exact(classes.max(1)).zip(&items.labels);
            rows.filter(|(row, label)| datasets::arg_max(row) == usize::from(**label)).count() as u32
        };
        let (ceiling, correct) = (Ceiling { correct: right(&teacher), items: items.count() }, right(&reference));
        let count = u64::from(items.count());
        if Scale::new(&source.manifest.score, ceiling).gate(wilson(u64::from(correct), count).high_ppm) {
            let each_ms = self.screened_once(&on, &items, &teacher).await?;
            return Ok(ScreeningTime { each_ms, finalist_ms, finalists: source.manifest.rounds.screening.finalists });
        }
        Err(PublishError::Gate(GateMissed {
            gate_ppm: source.manifest.score.gate_ppm,
            reference_ppm: share_ppm(u64::from(correct), count),
            teacher_ppm: share_ppm(u64::from(ceiling.correct), count),
            items: items.count(),
        }))
    }

    /// How long the reference takes for as many items as everybody answers in a round.
    async fn screened_once(&self, on: &Rehearsal<'_>, items: &Labelled, teacher: &[f32]) -> Result<u64, PublishError> {
        let source = on.source;
        let rounds = &source.manifest.rounds;
        let cut = rounds.screening.cut(rounds.fresh_of(source.manifest.data.hidden_items));
        let few = items.part(0..cut.first.max(1) as usize);
        let teacher = teacher.get(..few.labels.len() * source.manifest.labels.len()).unwrap_or_default();
        Ok(self.answers("reference", on, &source.reference.bytes, &few, Some(teacher)).await?.took_ms)
    }

    async fn answers(
        &self,
        role: &'static str,
        Rehearsal { source, progress }: &Rehearsal<'_>,
        package: &PackageBytes,
        items: &Labelled,
        teacher_logits: Option<&[f32]>,
    ) -> Result<Said, PublishError> {
        let teacher_logits = match teacher_logits {
            Some(logits) => Some(self.put_answers(source.manifest.labels.len(), logits).await?),
            None => None,
        };
        let on = Bench {
            manifest: &source.manifest,
            reference: &source.reference.bytes,
            items: self.put_items(items.clone()).await?,
            public: 0,
            probes: None,
            progress,
        };
        self.ask(role, package, teacher_logits, false, &on).await
    }
}
