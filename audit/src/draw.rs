//! What was bound and what came of it: commitment, beacon, items, the teacher's and the reference's answers, ceilings.

use super::statements::Stated;
use super::{Case, Findings, Stop};
use crate::history::Past;
use datasets::hidden::{
    Beacon, BeaconRule, DrandChain, Expected, Reveal, Revealed, RoundClosed, RoundCommitment, Secret, Spent, relabel,
    seed, verify_reveal,
};
use datasets::published::TableError;
use datasets::{Labelled, Logits, arg_max};
use protocol::competition::{HiddenPool, ObjectRef, OfficialEngine};
use protocol::evaluation::{EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::package::Format;
use protocol::published::PublishedModel;
use protocol::score::Ceiling;
use protocol::{Digest, Report, SubmissionId};
use referee::record::RecordedItems;
use std::io::{BufWriter, IntoInnerError};
use std::ops::Range;
use std::sync::Arc;

/// A published model is given as long as it needs.
pub(super) const WALL_SECONDS_MAX: u64 = 3_600;
/// Bytes that a worker may use.
pub(super) const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// A round's items, made again.
pub(super) struct Drawn {
    /// Fixed ones first, as a file of their own.
    pub(super) all: Labelled,
    /// The teacher's answers to them.
    pub(super) logits: Logits,
    /// The reference student.
    pub(super) reference: PackageBytes,
    /// What seeds of measurements follow from.
    pub(super) secret: Secret,
    /// Which beacon the round was bound to.
    pub(super) beacon: BeaconRule,
    /// What the fixed part follows from.
    pub(super) fixed_seed: Digest,
    /// Answers that differ, with what measured them here; whether that is a lie depends on the machine there.
    pub(super) differing: Vec<(String, Report)>,
}

/// Makes the items again and has them answered.
pub(super) fn check(case: &Case<'_>, stated: &Stated, past: &Past, findings: &mut Findings<'_>) -> Result<Drawn, Stop> {
    let recorded = &past.record.items;
    let reveal = opening(case, stated, findings).map_err(|problem| ("draw", problem))?;
    let beacon = beacon(case, stated, &reveal, findings).map_err(|problem| ("beacon", problem))?;
    let (revealed, value) = again(case, stated, &reveal, &beacon).map_err(|problem| ("draw", problem))?;
    let own_seed = Digest::from(seed(&value, &reveal.secret, &reveal.terms.competition, reveal.terms.round));
    let mut problems = Vec::new();
    let fresh = revealed.items.count().saturating_sub(revealed.draw.fixed);
    let rules = &case.competition.manifest.rounds;
    for (what, holds) in [
        ("the items", Digest::from(reveal.items_sha256) == recorded.images.sha256),
        ("the fixed part", revealed.draw.fixed == recorded.fixed),
        ("the seed of bouts", own_seed == recorded.seed),
        ("the cut of screening", rules.screening.cut(fresh) == recorded.cut),
    ] {
        if !holds {
            problems.push(format!("{what} in the record is not what commitment, beacon and secret give"));
        }
    }
    let detail = format!("{} fixed and {fresh} fresh items follow from commitment, beacon and secret", recorded.fixed);
    findings.all("draw", &problems, detail);
    answered(case, recorded, (revealed, reveal), findings)
}

/// The opening, whose digest the log has.
fn opening(case: &Case<'_>, stated: &Stated, findings: &mut Findings<'_>) -> Result<Reveal, String> {
    let reveal = reveal_of(case, stated)?;
    let logged = commitment(stated)?;
    logged.check(&reveal.terms, &reveal.secret).map_err(|error| format!("not what the log bound: {error}"))?;
    if case.shown.commitment != logged {
        return Err("the commitment shown is not the one in the log".into());
    }
    findings.ok("commitment", "as the log has it since the round opened");
    Ok(reveal)
}

fn commitment(stated: &Stated) -> Result<RoundCommitment, String> {
    Stated::field(stated.opened.as_ref(), "commitment").ok_or_else(|| "the log has no opening of the round".into())
}

/// The beacon by the log, held against its source.
fn beacon(case: &Case<'_>, stated: &Stated, reveal: &Reveal, findings: &mut Findings<'_>) -> Result<Beacon, String> {
    let order = [&stated.opened, &stated.closed, &stated.beacon, &stated.judged];
    let order = order.map(|it| it.as_ref().map(|(index, _)| *index));
    if !order.is_sorted() || order.contains(&None) {
        return Err("the log doesn't have opening, close, beacon and judgement in this order".into());
    }
    let (_, closed) = stated.closed.as_ref().ok_or("the log has no close")?;
    let closed: RoundClosed = serde_json::from_value(closed.clone()).map_err(|error| error.to_string())?;
    closed.check(&commitment(stated)?).map_err(|error| format!("the close waits for another beacon: {error}"))?;
    let early = reveal.terms.beacon.check_close(&DrandChain::quicknet(), closed.closed_at);
    early.map_err(|error| error.to_string())?;
    let beacon = stated.value().ok_or("the log has no beacon")?;
    if beacon != reveal.beacon {
        return Err("the round was drawn with another beacon than the log has".into());
    }
    if let Beacon::Ledger { height, hash } = &beacon {
        match case.ledger.map(|ledger| ledger.hashes.get(height)) {
            None => findings.unclear("beacon", "the ledger isn't served, so nobody can look the beacon up"),
            Some(found) if found == Some(&Digest::from(*hash)) => {
                findings.ok("beacon", format!("the ledger's entry {height}"));
            }
            Some(_) => return Err(format!("the ledger's entry {height} has another hash")),
        }
    } else {
        findings.ok("beacon", format!("drand's round {}, with its signature", beacon.number()));
    }
    Ok(beacon)
}

fn again(case: &Case<'_>, stated: &Stated, reveal: &Reveal, beacon: &Beacon) -> Result<(Revealed, [u8; 32]), String> {
    let before = before(case)?;
    let revealed = revealed(case, (case.round, stated), reveal, Some(beacon), &before)?;
    let value = reveal.terms.beacon.check(beacon, Some(&DrandChain::quicknet())).map_err(|error| error.to_string())?;
    Ok((revealed, value))
}

/// What a round follows from beside its own reveal.
#[derive(Default)]
struct Before {
    /// Of the first round that was drawn; nothing if this is it.
    fixed_seed: Option<[u8; 32]>,
    /// Of a private pool.
    spent: Spent,
}

/// Does earlier draws again: the first, or all of them where the pool is private.
fn before(case: &Case<'_>) -> Result<Before, String> {
    let mut before = Before::default();
    let drawn = case.log.rounds(case.id()).filter(|(_, stated)| stated.judged.is_some());
    for (number, stated) in drawn.take_while(|(number, _)| *number < case.round) {
        if before.fixed_seed.is_some() && case.competition.manifest.data.hidden_pool == HiddenPool::Public {
            break;
        }
        let told = |problem: String| format!("round {number}: {problem}");
        let reveal = reveal_of(case, stated).map_err(told)?;
        let revealed = revealed(case, (number, stated), &reveal, stated.value().as_ref(), &before).map_err(told)?;
        before.fixed_seed.get_or_insert(revealed.fixed_seed);
        before.spent.add(&revealed.draw);
    }
    Ok(before)
}

/// A round's draw, from its opening.
fn revealed(
    case: &Case<'_>,
    (number, stated): (u64, &Stated),
    reveal: &Reveal,
    beacon: Option<&Beacon>,
    before: &Before,
) -> Result<Revealed, String> {
    let manifest = &case.competition.manifest;
    let expected = Expected {
        competition: manifest.id.as_ref(),
        round: number,
        pool_root: &case.competition.hidden_root.to_string(),
        pool_count: manifest.data.hidden_items,
        rules: &manifest.rounds,
        hidden_pool: manifest.data.hidden_pool,
        answer_classes: manifest.teacher.answers().map_or(0, |_| manifest.labels.len() as u32),
        spent: &before.spent,
        commitment: &commitment(stated)?,
        beacon,
        chain: Some(&DrandChain::quicknet()),
        fixed_seed: before.fixed_seed.as_ref(),
    };
    verify_reveal(reveal, &expected).map_err(|error| error.to_string())
}

/// The secret of a round that is over, as its opening bound it.
pub(super) fn secret(case: &Case<'_>, round: u64) -> Result<[u8; 32], String> {
    let stated = case.log.round(case.id(), round).ok_or("the log has nothing of it")?;
    if let Some(secret) = Stated::field::<Digest>(stated.abandoned.as_ref(), "secret") {
        return Ok(*secret.as_bytes());
    }
    let reveal = reveal_of(case, stated)?;
    commitment(stated)?.check(&reveal.terms, &reveal.secret).map_err(|error| error.to_string())?;
    Ok(*reveal.secret.expose())
}

fn reveal_of(case: &Case<'_>, stated: &Stated) -> Result<Reveal, String> {
    let object: ObjectRef = Stated::field(stated.revealed.as_ref(), "reveal").ok_or("the log names no reveal")?;
    Reveal::open(case.file(&object.sha256)?).map_err(|error| error.to_string())
}

/// Items in a file without a name: they are read whenever a model runs, and making them takes far longer than reading them.
fn kept(case: &Case<'_>, items: &Labelled) -> Result<Labelled, TableError> {
    let mut file = BufWriter::new(tempfile::tempfile()?);
    items.write_images(&mut file)?;
    let file = file.into_inner().map_err(IntoInnerError::into_error)?;
    Labelled::open(file, items.shape, case.competition.manifest.labels.len())
}

/// Teacher and reference, asked again here.
fn answered(
    case: &Case<'_>,
    recorded: &RecordedItems,
    (revealed, Reveal { secret, terms, .. }): (Revealed, Reveal),
    findings: &mut Findings<'_>,
) -> Result<Drawn, Stop> {
    let stop = |check: &'static str| move |problem: String| (check, problem);
    let reference = model(case, &case.competition.reference).map_err(stop("reference"))?;
    let bytes = case.object(&recorded.teacher_logits.sha256).map_err(stop("teacher"))?;
    let logits = Logits::from_bytes(&bytes).map_err(|error| ("teacher", error.to_string()))?;
    let (beacon, fixed_seed) = (terms.beacon, Digest::from(revealed.fixed_seed));
    let all = kept(case, &revealed.items).map_err(|error| ("draw", error.to_string()))?;
    let mut drawn = Drawn { all, logits, reference, secret, beacon, fixed_seed, differing: Vec::new() };

    match case.competition.teacher.model() {
        Some(teacher) => ask_teacher(case, teacher, &mut drawn, findings).map_err(stop("teacher"))?,
        None => committed_answers(&revealed, &drawn, findings).map_err(stop("teacher"))?,
    }
    labels(recorded, &revealed, &drawn, case, findings).map_err(stop("labels"))?;
    ask_reference(case, recorded, &mut drawn, findings).map_err(stop("reference"))?;
    Ok(drawn)
}

fn ask_teacher(
    case: &Case<'_>,
    teacher: &PublishedModel,
    drawn: &mut Drawn,
    findings: &mut Findings<'_>,
) -> Result<(), String> {
    let teacher = model(case, teacher)?;
    let models = (teacher, drawn.reference.clone());
    let asked = request(case, case.official().engine, models, drawn.items(case, 0..drawn.len(), false));
    match case.engine.evaluate("the teacher", asked) {
        Ok(again) if again.logits == drawn.logits.values => {
            findings.ok("teacher", "run again: its answers are bit for bit the recorded ones");
        }
        Ok(again) => drawn.differing.push(("the teacher".into(), again.report)),
        Err(failure) => findings.unclear("teacher", format!("it can't be run here: {failure}")),
    }
    Ok(())
}

/// Of a teacher that nobody can ask, what counts is what the pool was committed to with.
fn committed_answers(revealed: &Revealed, drawn: &Drawn, findings: &mut Findings<'_>) -> Result<(), String> {
    let committed = revealed.items.answers.as_ref().ok_or("the pool's commitment has no answers of it")?;
    let recorded = &drawn.logits;
    if (committed.count, committed.classes) != (recorded.count, recorded.classes) {
        return Err(format!("{} answers of {} classes are recorded", recorded.count, recorded.classes));
    }
    let other = |item: &usize| {
        let bits = |logits: &Logits| logits.row(*item).iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        bits(committed) != bits(recorded)
    };
    let problems: Vec<String> = (0..committed.len())
        .filter(other)
        .map(|item| format!("its recorded answer to item {item} is not the one that was committed to with the pool"))
        .collect();
    let detail = "known by its answers only, which are bit for bit those that were committed to with the pool";
    findings.all("teacher", &problems, detail);
    Ok(())
}

/// Mixtures have the teacher's labels, and ceilings count its right answers.
fn labels(
    recorded: &RecordedItems,
    revealed: &Revealed,
    drawn: &Drawn,
    case: &Case<'_>,
    findings: &mut Findings<'_>,
) -> Result<(), String> {
    let mut relabelled = revealed.items.labels.clone();
    relabel(&mut relabelled, &revealed.draw, &drawn.logits.values, drawn.logits.classes)
        .map_err(|error| error.to_string())?;
    let public = case.competition.teacher.ceiling();
    let fixed = recorded.fixed as usize;
    let known = Ceiling { correct: public.correct + drawn.right(0..fixed), items: public.items + recorded.fixed };
    let fresh = drawn.len() - fixed;
    let fresh = Ceiling { correct: drawn.right(fixed..drawn.len()), items: fresh as u32 };
    let mut problems = Vec::new();
    if relabelled != revealed.items.labels {
        problems.push("mixtures have other labels than the teacher's".to_owned());
    }
    if (known, fresh) != (recorded.known_ceiling, recorded.fresh_ceiling) {
        let shown = |ceiling: Ceiling| format!("{} of {}", ceiling.correct, ceiling.items);
        let (here, there) = (shown(fresh), shown(recorded.fresh_ceiling));
        problems.push(format!("the teacher has {here} fresh items right, and {there} in the record (ceilings differ)"));
    }
    findings.all(
        "ceilings",
        &problems,
        format!("the teacher has {} of {} fresh items right", fresh.correct, fresh.items),
    );
    Ok(())
}

fn ask_reference(
    case: &Case<'_>,
    recorded: &RecordedItems,
    drawn: &mut Drawn,
    findings: &mut Findings<'_>,
) -> Result<(), String> {
    case.object(&recorded.reference_outcomes.sha256)?;
    let models = (drawn.reference.clone(), drawn.reference.clone());
    let asked = request(case, case.official().engine, models, drawn.items(case, 0..drawn.len(), true));
    match case.engine.evaluate("the reference", asked) {
        Ok(again) if Digest::of(&again.outcomes.to_bytes()) == recorded.reference_outcomes.sha256 => {
            findings.ok("reference", "run again: the same answers");
        }
        Ok(again) => drawn.differing.push(("the reference".into(), again.report)),
        Err(failure) => findings.unclear("reference", format!("it can't be run here: {failure}")),
    }
    Ok(())
}

pub(super) fn model(case: &Case<'_>, model: &PublishedModel) -> Result<PackageBytes, String> {
    package(case, &model.config_json.sha256, &model.weights.sha256)
}

/// A package's two files.
pub(super) fn package(case: &Case<'_>, config: &Digest, weights: &Digest) -> Result<PackageBytes, String> {
    Ok(PackageBytes { config_json: case.object(config)?.into(), weights: case.object(weights)?.into() })
}

/// The package that a submission committed to.
pub(super) fn committed(case: &Case<'_>, id: &SubmissionId) -> Result<PackageBytes, String> {
    let [config, weights] = case.source.files(id)?;
    let sha256 = case.log.commitments.get(id).map(|(_, it)| it.package_sha256);
    match sha256.is_some_and(|sha256| Format::named_by(&sha256, &config, &weights).is_some()) {
        true => package(case, &config, &weights),
        false => Err(format!("the files named for {id} are not the package that was committed to")),
    }
}

/// A request for outputs alone, as the validator makes it.
pub(super) fn request(
    case: &Case<'_>,
    engine: OfficialEngine,
    (candidate, reference): (PackageBytes, PackageBytes),
    Items { inputs, truth }: Items,
) -> EvaluationRequest {
    let order = Order {
        candidate,
        reference,
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine,
        backends: Vec::new(),
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: case.competition.manifest.limits.evaluation_seconds_max.max(WALL_SECONDS_MAX),
        memory_bytes_max: MEMORY_BYTES_MAX,
    };
    EvaluationRequest::new(order, truth)
}

impl Drawn {
    pub(super) fn len(&self) -> usize {
        self.all.labels.len()
    }

    /// Whether the teacher was right, item by item.
    pub(super) fn teacher_right(&self) -> Vec<bool> {
        let rows = self.logits.values.chunks_exact(self.logits.classes.max(1) as usize).zip(&self.all.labels);
        rows.map(|(row, label)| arg_max(row) == usize::from(*label)).collect()
    }

    fn right(&self, range: Range<usize>) -> u32 {
        let right = self.teacher_right();
        right.get(range).unwrap_or_default().iter().filter(|right| **right).count() as u32
    }

    /// Some of the items, none of them public, with the teacher's answers or without.
    pub(super) fn items(&self, case: &Case<'_>, range: Range<usize>, with_teacher: bool) -> Items {
        let some = self.all.part(range.clone());
        let classes = self.logits.classes as usize;
        let rows = self.logits.values.chunks_exact(classes.max(1)).skip(range.start).take(some.labels.len());
        let teacher: Option<Vec<f32>> = with_teacher.then(|| rows.flatten().copied().collect());
        some.asked(&case.competition.manifest.input, 0, teacher)
    }
}
