//! Revealing: whatever decided the round becomes public, so that anybody can do all of it again; and so do the packages
//! that were entered in it.

use super::{Advanced, RoundError, Turn, drand, draw};
use crate::state::materials;
use datasets::hidden::Ended;
use protocol::competition::ObjectRef;
use protocol::round::Step;
use std::io::Write;
use store::db::competitions::{PublicObject, publish_object};
use store::db::weights;
use store::failpoints::{self, Change, Moment};

/// Opens the round to everybody.
pub(super) async fn reveal(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let reveal = opened(turn).await?;
    failpoints::at(Moment::RevealStored)?;
    let mut record = turn.round.record.clone();
    record.reveal = Some(reveal);
    let objects = public_objects(turn, reveal).await?;
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Revealed, &record).await?;
    for object in &objects {
        publish_object(&mut tx, object).await?;
    }
    weights::release(&mut tx, &turn.round.competition, turn.stored.competition.manifest.weights_public, false).await?;
    failpoints::commit(tx, Change::Round(Step::Revealed)).await?;
    turn.app.board.changed(&turn.round.competition);
    Ok(turn.told(Step::Revealed))
}

/// Writes the reveal, of pool and items where they lie.
async fn opened(turn: &Turn<'_>) -> Result<ObjectRef, RoundError> {
    let (record, objects) = (&turn.round.record, &turn.app.objects);
    let drawn = turn.needed("items", record.drawn.as_ref())?;
    let beacon = turn.needed("beacon", record.beacon.clone())?;
    let items = draw::stored_items(turn, &drawn.items).await?;
    let (pool, salt) = (materials::opened_pool(objects, &turn.stored.pool_sha256).await?, turn.stored.salt);
    let pool = tokio::task::spawn_blocking(move || pool.commitment(&salt)).await??;
    let (fixed_seed, spent) = (draw::first_fixed_seed(turn).await?, draw::spent(turn).await?);
    let (terms, secret) = (record.terms.clone(), turn.round.secret.clone());
    let ended = Ended { terms, secret, beacon, fixed_seed, spent, pool, items };
    let write = move |to: &mut (dyn Write + Send)| Ok::<_, RoundError>(ended.reveal(Some(&drand()), to)?);
    objects.put_written(write).await
}

async fn public_objects(turn: &Turn<'_>, reveal: ObjectRef) -> Result<Vec<PublicObject>, RoundError> {
    let number = turn.round.number;
    let object = |object: ObjectRef, what: &str| PublicObject {
        sha256: object.sha256,
        size_bytes: object.size_bytes,
        filename: format!("round-{number}-{what}"),
    };
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    let mut objects = vec![
        object(reveal, "reveal.rtrev"),
        object(drawn.items, "items.rtimg"),
        object(drawn.teacher_logits, "teacher-logits.rtlog"),
    ];
    let entries = turn.app.db.round_entries(&turn.round.competition, number).await?;
    objects.push(object(drawn.reference_outcomes, "reference-outcomes.rtout"));
    objects.push(object(turn.needed("record", turn.round.record.judged)?, "record.json"));
    for screened in entries.iter().filter_map(|entry| entry.screening) {
        objects.push(object(screened.outcomes, "screening.rtout"));
        objects.push(object(screened.logits, "screening-logits.rtlog"));
    }
    for result in entries.into_iter().filter_map(|entry| entry.result) {
        objects.push(object(result.report_object, "report.json"));
        objects.push(object(result.outcomes_object, "outcomes.rtout"));
        objects.push(object(result.receipt_object, "receipt.json"));
        objects.push(object(result.samples_object, "latency-samples.json"));
    }
    Ok(objects)
}
