//! Drawing: beacon and secret decide the items, teacher and reference answer them, and the members are settled. A teacher that is
//! known by its answers only has answered before: they are in the pool.
//!
//! Items are measured in the order public, fixed, fresh. Fixed ones are known once an earlier round is revealed, so they
//! count with the public ones, for history; only fresh items are hidden, and they alone screen and decide.

use super::{Advanced, RoundError, Turn, drand};
use crate::evaluator::{evaluated, silent};
use crate::state::materials::{self, Materials};
use datasets::hidden::Drawn;
use datasets::hidden::{self, Draw, Spent, relabel, render};
use datasets::published::Part;
use datasets::{Images, Logits, arg_max};
use protocol::Digest;
use protocol::competition::HiddenPool;
use protocol::evaluation::{Evaluation, EvaluationRequest, Inputs, Items, Order, PackageBytes, Scope, Truth};
use protocol::published::PublishedModel;
use protocol::round::Step;
use protocol::score::Ceiling;
use std::sync::Arc;
use store::db::log::enqueue;
use store::db::rounds;
use store::failpoints::{self, Change, Moment};
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
    let value = turn.round.record.terms.beacon.check(beacon, Some(&drand()))?;
    let Made { mut items, answers, draw, seed, fixed_seed } = make_items(turn, &value).await?;
    let logits = match (answers, turn.stored.competition.teacher.model()) {
        (_, Some(teacher)) => ask_teacher(turn, teacher, &items).await?,
        (answers, None) => turn.needed("answers to the pool", answers)?,
    };
    relabel(&mut items, &draw, &logits.values, logits.classes)?;

    let (known_ceiling, fresh_ceiling) = ceilings(turn, &items, &logits, draw.fixed);
    let reference = ask_reference(turn, &items, &logits).await?;
    let mut record = turn.round.record.clone();
    record.drawn = Some(Drawn {
        items: turn.app.objects.put(items.to_bytes()?.into()).await?,
        teacher_logits: turn.app.objects.put(logits.to_bytes()?.into()).await?,
        fixed: draw.fixed,
        cut: turn.stored.competition.manifest.rounds.screening.cut(items.count.saturating_sub(draw.fixed)),
        reference_outcomes: turn.app.objects.put(reference.into()).await?,
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
    items: Images,
    /// The teacher's, where they are all that is known of it.
    answers: Option<Logits>,
    draw: Draw,
    seed: [u8; 32],
    fixed_seed: [u8; 32],
}

async fn make_items(turn: &Turn<'_>, beacon: &[u8; 32]) -> Result<Made, RoundError> {
    let (round, terms) = (&turn.round, &turn.round.record.terms);
    let seed = hidden::seed(beacon, &round.secret, &terms.competition, round.number);
    let fixed_seed = match first_fixed_seed(turn).await? {
        Some(fixed_seed) => fixed_seed,
        None => hidden::fixed_seed(beacon, &round.secret, &terms.competition, round.number),
    };
    let Part { images: pool, answers } = Part::from_pool(&turn.app.objects.get(&turn.stored.pool_sha256).await?)?;
    let (spec, spent) = (terms.spec.clone(), spent(turn).await?);
    tokio::task::spawn_blocking(move || {
        let draw = hidden::draw_unspent(&seed, &fixed_seed, pool.count, &spec, &spent)?;
        let answers = answers.map(|answers| draw.answers(&answers));
        Ok(Made { items: render(&pool, &draw)?, answers, draw, seed, fixed_seed })
    })
    .await?
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

/// The teacher's logits on the round's items.
async fn ask_teacher(turn: &Turn<'_>, teacher: &PublishedModel, items: &Images) -> Result<Logits, RoundError> {
    let (app, competition) = (turn.app, &turn.stored.competition);
    let teacher = materials::package(&app.objects, &teacher.config_json.sha256, &teacher.weights.sha256).await?;
    let answered = ask(turn, "the teacher", Some(teacher), items, None).await?;
    let classes = u32::try_from(competition.manifest.labels.len()).unwrap_or(u32::MAX);
    let logits = Logits { count: items.count, classes, values: answered.logits };
    logits.validate()?;
    Ok(logits)
}

/// The reference student's answers, item by item: entry 0 beside the teacher.
async fn ask_reference(turn: &Turn<'_>, items: &Images, logits: &Logits) -> Result<Vec<u8>, RoundError> {
    let answered = ask(turn, "the reference", None, items, Some(logits.values.clone())).await?;
    Ok(answered.outcomes.to_bytes())
}

/// Outputs of a published model on the round's items; of the reference, unless another is given.
async fn ask(
    turn: &Turn<'_>,
    who: &str,
    candidate: Option<PackageBytes>,
    items: &Images,
    teacher_logits: Option<Vec<f32>>,
) -> Result<Evaluation, RoundError> {
    let (app, competition) = (turn.app, &turn.stored.competition);
    let reference = app.materials.of(&app.objects, turn.stored).await?.reference.clone();
    let Items { inputs, truth } = items.clone().asked(&competition.manifest.input, 0, teacher_logits);
    let order = Order {
        candidate: candidate.unwrap_or_else(|| reference.clone()),
        reference,
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine: competition.manifest.engine,
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: app.config.limits.publish_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    let _place = app.measuring_a_round.lock().await;
    let answered = evaluated(app.evaluator.as_ref(), EvaluationRequest::new(order, truth), silent()).await;
    answered.map_err(|failure| RoundError::Evaluation { who: who.into(), failure })
}

/// The teacher's right answers on what is known and on what is fresh. The fixed part counts as known.
fn ceilings(turn: &Turn<'_>, items: &Images, logits: &Logits, fixed: u32) -> (Ceiling, Ceiling) {
    let right = |range: std::ops::Range<usize>| {
        let rows = logits.values.chunks_exact(logits.classes as usize).zip(&items.labels);
        let rows = rows.skip(range.start).take(range.len());
        rows.filter(|(row, label)| arg_max(row) == usize::from(**label)).count() as u32
    };
    let (fixed, all) = (fixed as usize, items.labels.len());
    let public = turn.stored.competition.teacher.ceiling();
    let known = Ceiling { correct: public.correct + right(0..fixed), items: public.items + fixed as u32 };
    (known, Ceiling { correct: right(fixed..all), items: (all - fixed) as u32 })
}

/// The first `count` fresh items, none of them public, in the order of the draw.
pub(super) async fn fresh_items(turn: &Turn<'_>, count: u32) -> Result<Items, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    let images = Images::from_bytes(&turn.app.objects.get(&drawn.items.sha256).await?)?;
    let logits = Logits::from_bytes(&turn.app.objects.get(&drawn.teacher_logits.sha256).await?)?;
    let range: Vec<u32> = (drawn.fixed..drawn.fixed.saturating_add(count).min(images.count)).collect();
    let classes = logits.classes as usize;
    let rows = logits.values.chunks_exact(classes.max(1)).skip(drawn.fixed as usize).take(range.len());
    let teacher: Vec<f32> = rows.flatten().copied().collect();
    let input = &turn.stored.competition.manifest.input;
    Ok(images.select(&range).asked(input, 0, Some(teacher)))
}

/// What is measured in full: public items, then fixed ones, then fresh ones, as one set; everything that is known counts
/// as public.
pub(super) async fn round_items(turn: &Turn<'_>, materials: &Materials) -> Result<Items, RoundError> {
    let drawn = turn.needed("items", turn.round.record.drawn.as_ref())?;
    let images = Images::from_bytes(&turn.app.objects.get(&drawn.items.sha256).await?)?;
    let logits = Logits::from_bytes(&turn.app.objects.get(&drawn.teacher_logits.sha256).await?)?;
    let Items { inputs, truth } = &materials.items;
    let teacher = truth.teacher_logits.as_deref().unwrap_or_default();
    let pixels = [&inputs.pixels[..], &images.pixels].concat().into();
    Ok(Items {
        inputs: Inputs { spec: inputs.spec.clone(), pixels },
        truth: Truth {
            labels: [&truth.labels[..], &images.labels].concat().into(),
            public: truth.public + drawn.fixed,
            teacher_logits: Some([teacher, &logits.values].concat().into()),
        },
    })
}
