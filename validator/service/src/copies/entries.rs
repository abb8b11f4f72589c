//! Entries 0: a competition's teacher, its reference, and the packages that its manifest lists as known.
//!
//! Their fingerprints are made when the competition is published. Whoever is the teacher or the reference in disguise
//! counts as it; a known package makes nobody a copy, it explains why two are alike.

use super::compare::made;
use super::{CopyError, kin};
use crate::app::App;
use crate::heavy::Turn;
use ::copies::{
    Evidence, Fingerprint, FingerprintError, Relation, Thresholds, compare, relation, relation_to_entry, unless_known,
};
use protocol::competition::keeps_teacher_distance;
use protocol::evaluation::PackageBytes;
use protocol::nulls::Nulls;
use protocol::{CompetitionId, Digest};
use std::sync::Arc;
use store::db::copies::{self as rows, EntryPair, EntryZero, Unprinted};
use store::db::{DbError, Tx};
use store::objects::{ObjectError, Objects};

/// The fingerprints of a competition that is being published, as objects.
pub struct EntryPrints(Vec<(EntryZero, Digest)>);

impl EntryPrints {
    /// Makes and stores them: each package with its logits on the probes, beside the teacher's.
    ///
    /// # Errors
    /// When a package has no fingerprint, which admission rules out, or the store fails.
    pub async fn make(
        objects: &Objects,
        entries: Vec<(EntryZero, PackageBytes, Vec<f32>)>,
        teacher: &[f32],
    ) -> Result<Self, EntryError> {
        let mut prints = Vec::with_capacity(entries.len());
        for (entry, package, logits) in entries {
            let print =
                made(&logits, teacher, |probes| Fingerprint::new(&package.config_json, &package.weights, probes))?;
            prints.push((entry, objects.put(print.to_bytes()?.into()).await?.sha256));
        }
        Ok(Self(prints))
    }
}

/// Why an entry 0 has no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// It can't be made.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// It can't be stored.
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// Writes them down.
///
/// # Errors
/// When the database fails.
pub async fn store(tx: &mut Tx, competition: &CompetitionId, prints: &EntryPrints) -> Result<(), DbError> {
    for (entry, fingerprint) in &prints.0 {
        rows::insert_entry(tx, competition, *entry, fingerprint).await?;
    }
    Ok(())
}

/// A competition's entries 0, read.
async fn read(app: &App, competition: &CompetitionId) -> Result<Vec<(EntryZero, Fingerprint)>, CopyError> {
    let mut prints = Vec::new();
    for (entry, sha256) in app.db.copy_entries(competition).await? {
        prints.push((entry, Fingerprint::from_bytes(&app.objects.get(&sha256).await?)?));
    }
    Ok(prints)
}

/// What a submission is to the entries 0 of its competition, where it isn't independent.
pub(super) async fn compare_with_all(
    app: &App,
    due: &Unprinted,
    print: &Arc<Fingerprint>,
    turn: Turn,
) -> Result<Vec<EntryPair>, CopyError> {
    let entries = read(app, &due.competition).await?;
    let nulls = kin::nulls(&app.db, &due.competition).await?;
    let print = Arc::clone(print);
    let compared = move || {
        let pair = |(entry, of): &(EntryZero, Fingerprint)| (*entry, judged(*entry, [of, &print], nulls.as_ref()));
        entries.iter().map(pair).collect::<Vec<_>>()
    };
    let compared = turn.run(compared).await?.into_iter();
    let pair =
        |(entry, (relation, evidence))| EntryPair { submission: due.submission.clone(), entry, relation, evidence };
    Ok(compared.filter(|(_, (relation, _))| *relation != Relation::Independent).map(pair).collect())
}

/// What a submission is to one entry 0.
fn judged(entry: EntryZero, [of, print]: [&Fingerprint; 2], nulls: Option<&Nulls>) -> (Relation, Evidence) {
    let evidence = compare(of, print);
    let thresholds = Thresholds::between(nulls, of.family(), print.family());
    let relation = match entry {
        EntryZero::Teacher if keeps_distance(of, print) => Relation::Independent,
        EntryZero::Teacher | EntryZero::Reference => relation_to_entry(&evidence, &thresholds),
        EntryZero::Known(_) => relation(&evidence, &thresholds),
    };
    (relation, evidence)
}

fn keeps_distance(teacher: &Fingerprint, print: &Fingerprint) -> bool {
    matches!((print.costs(), teacher.costs()), (Ok(own), Ok(of)) if keeps_teacher_distance(&own, &of))
}

/// What a pair of copies is once the packages that `competitions` list as known are looked at.
pub(super) async fn explained(
    app: &App,
    competitions: [&CompetitionId; 2],
    between: Relation,
    pair: [&Fingerprint; 2],
) -> Result<Relation, CopyError> {
    let mut to_known = Vec::new();
    for (place, competition) in competitions.into_iter().enumerate() {
        if place > 0 && competitions[0] == competition {
            continue;
        }
        let nulls = kin::nulls(&app.db, competition).await?;
        for (entry, of) in read(app, competition).await? {
            if matches!(entry, EntryZero::Known(_)) {
                let [first, second] = pair.map(|print| judged(entry, [&of, print], nulls.as_ref()).0);
                to_known.push((first, second));
            }
        }
    }
    Ok(unless_known(between, &to_known))
}
