//! Fingerprints of what was scored, and comparisons with what its sketch is nearest to among all that it can be compared with.
//!
//! Work is found in the database, not remembered: a scored submission without a fingerprint row is due.

use super::{CopyError, entries, kin};
use crate::app::App;
use crate::materials;
use ::copies::{Fingerprint, Known, ProbeLogits, Relation, Sketch, Thresholds, candidates, compare, relation};
use protocol::evaluation::from_little_endian;
use protocol::nulls::Nulls;
use protocol::{CompetitionId, Digest, SubmissionId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::causes::Chain;
use store::db::copies::{self as rows, Fingerprinted, Pair, Unprinted};
use store::db::{DbError, is_duplicate};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use tokio_util::sync::CancellationToken;

/// How often to look for what is due when nobody says so.
const IDLE: Duration = Duration::from_secs(1);
/// Submissions that one look takes up.
const BATCH_MAX: u32 = 64;
/// How long what failed is left alone.
const BACK_OFF: Duration = Duration::from_secs(30);

/// Compares what is due, until `stop`.
pub async fn watch(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = tokio::select! {
            done = catch_up(&app, u64::MAX) => match done {
                Ok(()) => IDLE,
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "submissions can't be compared");
                    BACK_OFF
                }
            },
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = app.signals.scored.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Compares everything that is due and was announced before this moment, in all competitions: a round waits for those
/// before its close alone, so that nobody who sends more models meanwhile holds it up.
pub(super) async fn catch_up(app: &App, announced_before: u64) -> Result<(), CopyError> {
    loop {
        let due = app.db.unprinted(announced_before, BATCH_MAX).await?;
        if due.is_empty() {
            return Ok(());
        }
        for submission in due {
            // One at a time, whoever asks: two would do the same work twice.
            let _place = app.comparing.lock().await;
            if app.db.fingerprint(&submission.submission).await?.is_none() {
                take_up(app, &submission).await?;
            }
        }
    }
}

/// Compares one submission with those that may be its kin and writes both in one transaction. If another process wrote a
/// fingerprint meanwhile, it is looked again.
async fn take_up(app: &App, due: &Unprinted) -> Result<(), CopyError> {
    let (print, object) = match fingerprint(app, due).await? {
        // As large as the model: every comparison shares it.
        Ok((print, object)) => (Arc::new(print), object),
        Err(problem) => return without(app, due, &problem).await,
    };
    let key = app.db.sketch_key().await?;
    let sketch = print.sketch(&key);
    let turn = materials::turn(app, &due.submission).await?;
    let with_entries = entries::compare_with_all(app, due, &print, turn).await?;
    let kin = kin::of(&app.db, &due.competition).await?;
    let stated = kin::all_nulls(&app.db, &kin).await?;
    let mut compared: HashMap<SubmissionId, Compared> = HashMap::new();
    loop {
        let others = app.db.fingerprinted(&kin).await?;
        let known: Vec<Known> = others.iter().map(|other| other.known.clone()).collect();
        for other in candidates(&sketch, &known).into_iter().map(|at| &others[at]) {
            if !compared.contains_key(&other.submission) {
                let found = compare_with(app, due, &print, other, (&stated, &key)).await?;
                compared.insert(other.submission.clone(), found);
            }
        }
        let mut tx = app.db.write().await?;
        if rows::count_fingerprinted(&mut tx, &kin).await? != others.len() as u64 {
            continue;
        }
        match rows::insert_fingerprint(&mut tx, due, Ok((object, &sketch)), app.clock.now()).await {
            Err(DbError::Sql(error)) if is_duplicate(&error) => return Ok(()),
            inserted => inserted?,
        }
        let pairs = || compared.values().filter_map(|compared| compared.pair.as_ref());
        for pair in pairs() {
            rows::put_pair(&mut tx, pair).await?;
        }
        for pair in &with_entries {
            rows::insert_entry_pair(&mut tx, &due.competition, pair).await?;
        }
        for (other, compared) in &compared {
            if let Some(sketch) = &compared.sketch {
                rows::put_sketch(&mut tx, other, sketch).await?;
            }
        }
        failpoints::commit(tx, Change::Comparison).await?;
        tell(app, due, pairs(), &with_entries, &kin);
        return Ok(());
    }
}

/// Says what was found, and that boards are others now: a copy has a place until it is known for one, in whatever competition.
fn tell<'a>(
    app: &App,
    due: &Unprinted,
    pairs: impl Iterator<Item = &'a Pair>,
    with_entries: &[rows::EntryPair],
    kin: &[CompetitionId],
) {
    let mut is_related = !with_entries.is_empty();
    for rows::EntryPair { entry, relation, .. } in with_entries {
        tracing::info!(submission.id = %due.submission, %entry, ?relation, "{} is not independent of the {entry}", due.submission);
    }
    for Pair { later, earlier, relation, .. } in pairs {
        is_related = true;
        tracing::info!(submission.id = %later, %earlier, ?relation, "{later} is not independent of {earlier}");
    }
    if is_related {
        kin.iter().for_each(|competition| app.board.changed(competition));
    }
}

/// Writes that a submission can't be compared, so that it isn't tried for ever.
async fn without(app: &App, due: &Unprinted, problem: &str) -> Result<(), CopyError> {
    tracing::error!(submission.id = %due.submission, "{} has no fingerprint: {problem}", due.submission);
    let mut tx = app.db.write().await?;
    match rows::insert_fingerprint(&mut tx, due, Err(problem), app.clock.now()).await {
        Err(DbError::Sql(error)) if is_duplicate(&error) => return Ok(()),
        inserted => inserted?,
    }
    Ok(failpoints::commit(tx, Change::Comparison).await?)
}

/// What came of a comparison.
struct Compared {
    /// Nothing for independent ones.
    pair: Option<Pair>,
    /// Of the other one, where it had none.
    sketch: Option<Sketch>,
}

async fn compare_with(
    app: &App,
    due: &Unprinted,
    print: &Arc<Fingerprint>,
    other: &Fingerprinted,
    (stated, key): (&HashMap<CompetitionId, Nulls>, &[u8; 32]),
) -> Result<Compared, CopyError> {
    // A fingerprint is about as large as its model.
    let turn = materials::turn(app, &other.submission).await?;
    let stored = app.objects.get(&other.fingerprint_sha256).await?;
    let (ours, print) = (print, Arc::clone(print));
    let ours_is_later = due.arrival > other.known.arrival;
    let nulls = stated.get(if ours_is_later { &due.competition } else { &other.competition }).cloned();
    // The earlier one first, whichever was scored first: evidence doesn't depend on the order of work.
    let compared = turn.run(move || {
        let other_print = Fingerprint::from_bytes(&stored)?;
        drop(stored);
        let (earlier, later) = if ours_is_later { (&other_print, &*print) } else { (&*print, &other_print) };
        let evidence = compare(earlier, later);
        let relation = relation(&evidence, &Thresholds::between(nulls.as_ref(), earlier.family(), later.family()));
        Ok::<_, CopyError>((relation, evidence, other_print))
    });
    let (mut relation, evidence, other_print) = compared.await??;
    let sketch = other.known.sketch.is_none().then(|| other_print.sketch(key));
    if relation == Relation::Independent {
        return Ok(Compared { pair: None, sketch });
    }
    if matches!(relation, Relation::Copy(_)) {
        let competitions = [&due.competition, &other.competition];
        relation = entries::explained(app, competitions, relation, [ours, &other_print]).await?;
    }
    let (ours, theirs) = (due.submission.clone(), other.submission.clone());
    let (later, earlier) = if ours_is_later { (ours, theirs) } else { (theirs, ours) };
    Ok(Compared { pair: Some(Pair { later, earlier, relation, evidence }), sketch })
}

/// Makes and stores the fingerprint of a submission, or says why there can be none.
async fn fingerprint(app: &App, due: &Unprinted) -> Result<Result<(Fingerprint, Digest), String>, CopyError> {
    let turn = materials::turn(app, &due.submission).await?;
    let (_, files) = materials::files_of(app, &due.submission).await?;
    let Some(stored) = app.db.competition(&due.competition).await? else {
        return Ok(Err("its competition is gone".to_owned()));
    };
    let student = logits(app, &due.probe_logits_sha256).await?;
    let teacher = match app.db.probe_teacher_logits(&due.competition).await? {
        Some(sha256) => logits(app, &sha256).await?,
        None => Vec::new(),
    };
    let manifest = stored.competition.manifest;
    let print = move || {
        let ports = (manifest.input.shape(), manifest.labels.len());
        made(&student, &teacher, |probes| Fingerprint::of_package(&files[0], &files[1], ports, probes))
    };
    let print = match turn.run(print).await? {
        Ok(print) => print,
        Err(problem) => return Ok(Err(problem.to_string())),
    };
    let object = app.objects.put(print.to_bytes()?.into()).await?;
    failpoints::at(Moment::FingerprintStored)?;
    Ok(Ok((print, object.sha256)))
}

/// Outputs that can't be compared, such as infinite ones, leave the weights.
pub(super) fn made(
    student: &[f32],
    teacher: &[f32],
    new: impl Fn(Option<ProbeLogits<'_>>) -> Result<Fingerprint, ::copies::FingerprintError>,
) -> Result<Fingerprint, ::copies::FingerprintError> {
    if student.is_empty() || teacher.is_empty() {
        return new(None);
    }
    match new(Some(ProbeLogits { student, teacher })) {
        Err(::copies::FingerprintError::Probes(_)) => new(None),
        made => made,
    }
}

async fn logits(app: &App, sha256: &Digest) -> Result<Vec<f32>, ObjectError> {
    Ok(from_little_endian(&app.objects.get(sha256).await?))
}

/// The stored fingerprint of a submission.
pub(super) async fn stored(app: &App, id: &SubmissionId) -> Result<Option<Fingerprint>, CopyError> {
    let Some(Ok(sha256)) = app.db.fingerprint(id).await? else { return Ok(None) };
    Ok(Some(Fingerprint::from_bytes(&app.objects.get(&sha256).await?)?))
}
