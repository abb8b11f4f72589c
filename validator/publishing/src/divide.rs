//! The data of a competition, divided by a secret key, and what of it is stored before anything is measured: the pool and the public
//! part.
//!
//! Data is read from where a publisher has it to be divided and written once; from then on it is read where it is stored, so that what
//! is measured, committed to and published are the same bytes, whatever becomes of the publisher's files meanwhile.

use crate::data::Prepared;
use crate::error::PublishError;
use crate::source::Source;
use crate::{Publisher, prepare, say};
use datasets::Labelled;
use protocol::Digest;
use protocol::competition::ObjectRef;
use service::copies;
use service::evaluator::ProgressFn;
use service::state::materials;
use std::io::Write;

/// What only the validator knows of a competition.
pub(crate) struct Secrets {
    pub(crate) split_key: [u8; 32],
    pub(crate) salt: [u8; 32],
    pub(crate) probe_seed: Digest,
}

/// A competition's data, divided, of which hidden and public items are stored.
pub(crate) struct Divided {
    /// What miners train on, where its publisher has it.
    pub(crate) training: Labelled,
    /// The public items, where they are stored.
    pub(crate) public: Labelled,
    /// Their object, with the teacher's answers where they are known beforehand.
    pub(crate) asked: ObjectRef,
    /// The hidden pool's.
    pub(crate) pool: ObjectRef,
    /// The commitment to it.
    pub(crate) hidden_root: Digest,
    pub(crate) secrets: Secrets,
}

impl Publisher {
    /// Divides the data of `source` and stores what models are evaluated on; `progress` hears which part.
    pub(crate) async fn divided(&self, source: &mut Source, progress: &ProgressFn) -> Result<Divided, PublishError> {
        let (split_key, salt) = (rand::random(), rand::random());
        let (own, logits) = (source.own.take(), source.training_teacher_logits.as_ref());
        let Prepared { training, public, pool } = prepare(&source.manifest, own, logits, split_key).await?;
        let (objects, manifest) = (&self.0.objects, &source.manifest);
        let shared = copies::shared_probe_seed(&self.0.db, manifest, self.0.clock.now()).await?;
        let probe_seed = shared.unwrap_or_else(|| ::copies::own_probe_seed(&split_key));
        say(progress, "writing the hidden pool");
        let write = move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(pool.write_pool(to)?);
        let pool = objects.put_written(write).await?;
        let stored = materials::opened_pool(objects, &pool.sha256).await?;
        let commitment = tokio::task::spawn_blocking(move || stored.commitment(&salt)).await??;
        say(progress, "writing the public part");
        let answers = public.answers.clone();
        let asked = self.put_table(public, answers, manifest).await?;
        let (shape, classes) = (manifest.input.shape(), manifest.labels.len());
        Ok(Divided {
            training,
            public: materials::opened(objects, &asked.sha256, shape, classes).await?,
            asked,
            pool,
            hidden_root: commitment.root_hex().parse()?,
            secrets: Secrets { split_key, salt, probe_seed },
        })
    }
}
