//! Revealing: whatever decided the round becomes public, so that anybody can do all of it again; and so do the packages
//! that were entered in it.

use super::{Advanced, RoundError, Turn, drand, draw};
use datasets::hidden::Reveal;
use datasets::published::Part;
use datasets::{Images, Labelled};
use protocol::competition::ObjectRef;
use protocol::round::Step;
use store::db::competitions::{PublicObject, publish_object};
use store::db::weights;
use store::failpoints::{self, Change, Moment};

/// Opens the round to everybody.
pub(super) async fn reveal(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let reveal = turn.app.objects.put(opened(turn).await?.into()).await?;
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

/// The reveal's bytes.
async fn opened(turn: &Turn<'_>) -> Result<Vec<u8>, RoundError> {
    let record = &turn.round.record;
    let drawn = turn.needed("items", record.drawn.as_ref())?;
    let beacon = turn.needed("beacon", record.beacon.clone())?;
    let images = Images::from_bytes(&turn.app.objects.get(&drawn.items.sha256).await?)?;
    let pool = Part::from_pool(&turn.app.objects.get(&turn.stored.pool_sha256).await?)?;
    let (fixed_seed, spent) = (draw::first_fixed_seed(turn).await?, draw::spent(turn).await?);
    let (terms, secret, salt) = (record.terms.clone(), turn.round.secret.clone(), turn.stored.salt);
    tokio::task::spawn_blocking(move || {
        let pool = Labelled::from(pool).commitment(&salt)?;
        let reveal = Reveal::new(terms, secret, beacon, Some(&drand()), (fixed_seed.as_ref(), &spent), &pool, &images)?;
        Ok(reveal.to_bytes()?)
    })
    .await?
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
