//! Drawing: beacon and secret decide the items, teacher and reference answer them, and the members are settled. A teacher that is
//! known by its answers only has answered before: they are in the pool.
//!
//! Items are measured in the order public, fixed, fresh. Fixed ones are known once an earlier round is revealed, so they
//! count with the public ones, for history; only fresh items are hidden, and they alone screen and decide.

use super::{Advanced, RoundError, Turn, drand};
use crate::state::materials::{self, Materials};
use datasets::hidden::Drawn;
use datasets::hidden::{self, Draw, Spent, relabel, rendered};
use datasets::{Labelled, Logits, arg_max};
use protocol::Digest;
use protocol::competition::{HiddenPool, ObjectRef};
use protocol::evaluation::{Inputs, Items, Truth};
use protocol::published::PublishedModel;
use protocol::round::Step;
use protocol::score::Ceiling;
use std::io::Write;
use store::db::leaves::enqueue;
use store::db::rounds;
use store::db::work::{Asked, Files, Question, Side, Told};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use transparency::EntryKind;

/// How long submissions that arrived in time may take to be scored before the round goes on without them.
const STRAGGLERS_SECONDS_MAX: u64 = 3_600;

/// Draws the round's items once its beacon is there and everybody who arrived in time is scored.
pub(super) async fn draw(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let Some(beacon) = &turn.round.record.beacon else { return Ok(Advanced::Waiting("its beacon")) };
    let closes_at = turn.closed_at();
    let patience_ends = closes_at.saturating_add(STRAGGLERS_SECONDS_MAX);
    let now = turn.app.clock.now();
    if now < patience_ends && turn.app.db.stragglers(&turn.round.competition, closes_at, now).await? {
        return Ok(Advanced::Waiting("submissions that arrived in time"));
    }
    if let Some(waits) = turn.waits().await? {
        return Ok(waits);
    }
    let value = turn.round.record.terms.beacon.check(beacon, Some(&drand()))?;
    let Made { object, mut items, draw, seed, fixed_seed } = make_items(turn, &value).await?;
    let told = match turn.stored.competition.teacher.model() {
        Some(teacher) => ask_teacher(turn, teacher, object.sha256).await?,
        None => {
            let logits = turn.needed("answers to the pool", items.answers.take())?;
            Some((turn.app.objects.put(logits.to_bytes()?.into()).await?, logits))
        }
    };
    let Some((teacher_logits, logits)) = told else { return Ok(Advanced::Measuring(1)) };
    let of_pool = items.labels.clone();
    relabel(&mut items.labels, &draw, &logits.values, logits.classes)?;

    let (known_ceiling, fresh_ceiling) = ceilings(turn, &items.labels, &logits, draw.fixed);
    let count = items.count();
    let stored_items = if items.labels == of_pool { object } else { put_items(turn, items).await? };
    let reference_outcomes = ask_reference(turn, stored_items.sha256, teacher_logits.sha256).await?;
    let Some(reference_outcomes) = reference_outcomes else { return Ok(Advanced::Measuring(1)) };
    let mut record = turn.round.record.clone();
    record.drawn = Some(Drawn {
        items: stored_items,
        teacher_logits,
        fixed: draw.fixed,
        cut: turn.stored.competition.manifest.rounds.screening.cut(count.saturating_sub(draw.fixed)),
        reference_outcomes,
        fixed_seed: Digest::from(fixed_seed),
        seed: Digest::from(seed),
        known_ceiling,
        fresh_ceiling,
    });
    failpoints::at(Moment::RoundItemsStored)?;
    // Who was disqualified since the round opened holds no seat in it.
    if let Some(champion) = record.champion_before.take() {
        record.champion_before = super::still_competes(turn.app, champion).await?;
    }
    if record.champion_before.is_none() {
        (record.crowned_at, record.crowned_in) = (0, 0);
    }
    let members = super::screen::members(turn, record.champion_before.as_ref(), closes_at).await?;
    let left_out = super::screen::left_out(turn, &members, closes_at).await?;
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Drawn, &record).await?;
    for member in &members {
        rounds::insert_entry(&mut tx, &turn.round, &member.submission, member.role).await?;
        if let Some(verdict) = &member.verdict {
            rounds::set_verdict(&mut tx, &turn.round, &member.submission, verdict).await?;
        }
    }
    for stated in &left_out {
        enqueue(&mut tx, &stated.key(), EntryKind::LeftOut, stated).await?;
    }
    failpoints::commit(tx, Change::Round(Step::Drawn)).await?;
    Ok(turn.told(Step::Drawn))
}

/// The items before the teacher has seen them, and what they follow from.
struct Made {
    /// Where they are stored.
    object: ObjectRef,
    /// As they are there; with the teacher's answers, where those are all that is known of it.
    items: Labelled,
    draw: Draw,
    seed: [u8; 32],
    fixed_seed: [u8; 32],
}

/// Makes the items one after the other, of the pool where that lies, and stores them: nobody holds either.
async fn make_items(turn: &Turn<'_>, beacon: &[u8; 32]) -> Result<Made, RoundError> {
    let (round, terms) = (&turn.round, &turn.round.record.terms);
    let seed = hidden::seed(beacon, &round.secret, &terms.competition, round.number);
    let fixed_seed = match first_fixed_seed(turn).await? {
        Some(fixed_seed) => fixed_seed,
        None => hidden::fixed_seed(beacon, &round.secret, &terms.competition, round.number),
    };
    let pool = materials::opened_pool(&turn.app.objects, &turn.stored.pool_sha256).await?;
    let (spec, spent) = (terms.spec.clone(), spent(turn).await?);
    let drawing = tokio::task::spawn_blocking(move || {
        let draw = hidden::draw_unspent(&seed, &fixed_seed, pool.count(), &spec, &spent)?;
        Ok::<_, RoundError>((rendered(&pool, &draw)?, draw))
    });
    let (made, draw) = drawing.await??;
    let answers = made.answers.clone();
    let object = put_items(turn, made).await?;
    let items = Labelled { answers, ..stored_items(turn, &object).await? };
    Ok(Made { object, items, draw, seed, fixed_seed })
}

/// Stores items with their labels.
async fn put_items(turn: &Turn<'_>, items: Labelled) -> Result<ObjectRef, RoundError> {
    let write = move |to: &mut (dyn Write + Send)| Ok::<_, ObjectError>(items.write_images(to)?);
    Ok(turn.app.objects.put_written(write).await?)
}

/// What earlier rounds showed of a private pool: each of them is drawn again, in order.
pub(super) async fn spent(turn: &Turn<'_>) -> Result<Spent, RoundError> {
    let terms = &turn.round.record.terms;
    if terms.spec.hidden_pool == HiddenPool::Public {
        return Ok(Spent::default());
    }
    let mut rounds = turn.app.db.rounds(&turn.round.competition).await?;
    rounds.retain(|round| round.number < turn.round.number);
    let (spec, pool_count) = (terms.spec.clone(), terms.pool_count);
    tokio::task::spawn_blocking(move || {
        let mut spent = Spent::default();
        for drawn in rounds.into_iter().rev().filter_map(|round| round.record.drawn) {
            let (seed, fixed_seed) = (drawn.seed.as_bytes(), drawn.fixed_seed.as_bytes());
            let draw = hidden::draw_unspent(seed, fixed_seed, pool_count, &spec, &spent)?;
            spent.add(&draw);
        }
        Ok(spent)
    })
    .await?
}

/// The seed of the fixed part, which the first round that was drawn decided; `None` in that round.
pub(super) async fn first_fixed_seed(turn: &Turn<'_>) -> Result<Option<[u8; 32]>, RoundError> {
    let first = turn.app.db.first_drawn(&turn.round.competition).await?;
    let Some(first) = first.filter(|first| first.number < turn.round.number) else { return Ok(None) };
    let drawn = turn.needed("first draw", first.record.drawn)?;
    Ok(Some(*drawn.fixed_seed.as_bytes()))
}

/// The teacher's logits on the round's items, once it has answered.
async fn ask_teacher(
    turn: &Turn<'_>,
    teacher: &PublishedModel,
    items: Digest,
) -> Result<Option<(ObjectRef, Logits)>, RoundError> {
    let Some(Told::Said { logits: object, .. }) = ask(turn, Side::Teacher, teacher, items, None).await? else {
        return Ok(None);
    };
    let logits = Logits::from_bytes(&turn.app.objects.get(&object.sha256).await?)?;
    logits.validate()?;
    Ok(Some((object, logits)))
}

/// The reference student's answers, item by item: entry 0 beside the teacher; once it has answered.
async fn ask_reference(turn: &Turn<'_>, items: Digest, logits: Digest) -> Result<Option<ObjectRef>, RoundError> {
    let reference = &turn.stored.competition.reference;
    let told = ask(turn, Side::Reference, reference, items, Some(logits)).await?;
    Ok(told.and_then(|told| if let Told::Said { outcomes, .. } = told { Some(outcomes) } else { None }))
}

/// What a published model says of the round's items.
async fn ask(
    turn: &Turn<'_>,
    who: Side,
    candidate: &PublishedModel,
    items: Digest,
    teacher_logits: Option<Digest>,
) -> Result<Option<Told>, RoundError> {
    let competition = &turn.stored.competition;
    let files = |model: &PublishedModel| Files { config_json: model.config_json.sha256, weights: model.weights.sha256 };
    let question = Question {
        candidate: files(candidate),
        reference: files(&competition.reference),
        input: competition.manifest.input.clone(),
        engine: turn.engine().engine,
        items,
        public: 0,
        teacher_logits,
        probes: None,
        is_timed: false,
        seed: 0,
    };
    turn.answer_to(Asked::Teacher { round: turn.round.number, who, question }).await
}

/// The teacher's right answers on what is known and on what is fresh. The fixed part counts as known.
fn ceilings(turn: &Turn<'_>, labels: &[u16], logits: &Logits, fixed: u32) -> (Ceiling, Ceiling) {
    let right = |range: std::ops::Range<usize>| {
        let rows = logits.values.chunks_exact(logits.classes as usize).zip(labels);
        let rows = rows.skip(range.start).take(range.len());
        rows.filter(|(row, label)| arg_max(row) == usize::from(**label)).count() as u32
    };
    let (fixed, all) = (fixed as usize, labels.len());
    let public = turn.stored.competition.teacher.ceiling();
    let known = Ceiling { correct: public.correct + right(0..fixed), items: public.items + fixed as u32 };
    (known, Ceiling { correct: right(fixed..all), items: (all - fixed) as u32 })
}

/// The round's items, where they are stored.
pub(super) async fn stored_items(turn: &Turn<'_>, items: &ObjectRef) -> Result<Labelled, RoundError> {
    let manifest = &turn.stored.competition.manifest;
    let (input, classes) = (manifest.input.shape(), manifest.labels.len());
    Ok(materials::opened(&turn.app.objects, &items.sha256, input, classes).await?)
}

/// The first `count` fresh items, none of them public, in the order of the draw.
pub(super) async fn fresh_items(turn: &Turn<'_>, count: u32) -> Result<Items, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    let items = stored_items(turn, &drawn.items).await?;
    let logits = Logits::from_bytes(&turn.app.objects.get(&drawn.teacher_logits.sha256).await?)?;
    let fixed = drawn.fixed as usize;
    let fresh = fixed..fixed.saturating_add(count as usize).min(items.labels.len());
    let rows = logits.values.chunks_exact(logits.classes.max(1) as usize).skip(fixed).take(fresh.len());
    let input = &turn.stored.competition.manifest.input;
    Ok(items.part(fresh).asked(input, 0, Some(rows.flatten().copied().collect())))
}

/// What is measured in full: public items, then fixed ones, then fresh ones, as one set; everything that is known counts
/// as public.
pub(super) async fn round_items(turn: &Turn<'_>, materials: &Materials) -> Result<Items, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    let items = stored_items(turn, &drawn.items).await?;
    let logits = Logits::from_bytes(&turn.app.objects.get(&drawn.teacher_logits.sha256).await?)?;
    let Items { inputs, truth } = &materials.items;
    let teacher = truth.teacher_logits.as_deref().unwrap_or_default();
    Ok(Items {
        inputs: Inputs { spec: inputs.spec.clone(), pixels: inputs.pixels.clone().then(items.pixels) },
        truth: Truth {
            labels: [&truth.labels[..], &items.labels].concat().into(),
            public: truth.public + drawn.fixed,
            teacher_logits: Some([teacher, &logits.values].concat().into()),
        },
    })
}
