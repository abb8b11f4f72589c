//! Models run again: the champion and who was decided on public items and on the round's, and of the screened ones, and of
//! those that public items put out, a sample or all.

use super::draw::{Drawn, committed, request};
use super::history::Past;
use super::members::{Decided, Field, Own};
use super::retimed::waits;
use super::{Case, Findings, Stop};
use datasets::{Labelled, Logits};
use program::package::Classifier;
use protocol::architecture::Costs;
use protocol::backend::{DELTA_MICRO_MAX, OnBackend};
use protocol::competition::OfficialEngine;
use protocol::dethrone::Rule;
use protocol::evaluation::{Evaluation, EvaluationFailure, Inputs, Items, Truth};
use protocol::outcomes::Outcomes;
use protocol::package::{Format, PackageConfig};
use protocol::report::Host;
use protocol::round::EntryRole;
use protocol::{Digest, Manifest, Report, SubmissionId};
use rand::seq::IndexedRandom;
use referee::RecordedMember;

/// Which of those that were only screened are run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// So many, picked at random here, so that nobody knows who is looked at.
    Some(usize),
    /// All.
    All,
}

/// Runs them, and says what the differences are.
pub(super) fn check(
    case: &Case<'_>,
    past: &Past,
    drawn: &Drawn,
    field: &Field,
    findings: &mut Findings<'_>,
) -> Result<(), Stop> {
    let public = public(case).map_err(|problem| ("data", problem))?;
    let mut run = Run { case, past, drawn, public, told: Told::default() };
    let members = &past.record.members;
    field.own.iter().for_each(|(id, own)| run.published(id, own));
    // Who waits may have been measured in full, too, to be timed by another engine than before.
    let in_full = |member: &&RecordedMember| member.role != EntryRole::Screened || member.receipt.is_some();
    let (decided, screened): (Vec<&RecordedMember>, Vec<&RecordedMember>) = members.iter().partition(in_full);
    for member in &decided {
        run.decided(member, field);
        run.own(member, field);
    }
    let measured = decided.iter().filter(|member| field.decided.contains_key(&member.submission)).count();
    // What they said to be screened gave them their places.
    decided.iter().for_each(|member| run.screened(member));
    let rests: Vec<&RecordedMember> =
        screened.into_iter().filter(|it| it.screening.is_some() || is_below(it)).collect();
    let picked: Vec<&RecordedMember> = match case.sample {
        Sample::All => rests.clone(),
        Sample::Some(count) => rests.sample(&mut rand::rng(), count).copied().collect(),
    };
    for member in &picked {
        run.screened(member);
        if is_below(member) {
            run.own(member, field);
        }
    }
    for member in members.iter().filter(|member| member.failure.is_some()) {
        run.failed(member);
    }
    let Told { differing, mut unclear, mut bad } = run.told;
    let there = field.decided.values().next().map(|it| &it.report);
    let there = there.or_else(|| field.own.values().next().map(|it| &it.report));
    let drawn = drawn.differing.iter().cloned().map(|(who, here)| Differing { who, there: None, here });
    for Differing { who, there: own, here } in drawn.chain(differing) {
        match own.as_ref().or(there).map(|there| why_outputs_may_differ(there, &here)) {
            Some(None) => bad.push(format!("{who} answers otherwise here, on the same engine and class of machine")),
            Some(Some(why)) => unclear.push(format!("{who} answers otherwise here, which proves nothing: {why}")),
            None => unclear.push(format!("{who} answers otherwise here, and nothing says what machine that was")),
        }
    }
    if !unclear.is_empty() {
        findings.unclear("outputs", unclear.join("; "));
    }
    if unclear.is_empty() || !bad.is_empty() {
        let (sampled, rests) = (picked.len(), rests.len());
        let detail =
            format!("{measured} measured in full and {sampled} of {rests} others, run again: the same answers");
        findings.all("outputs", &bad, detail);
    }
    Ok(())
}

/// Whether public items put it out.
fn is_below(member: &RecordedMember) -> bool {
    member.verdict.is_some_and(|verdict| verdict.rule == Rule::BelowGate) && member.screening.is_none()
}

/// Public items as they were published.
struct Public {
    items: Labelled,
    logits: Logits,
}

fn public(case: &Case<'_>) -> Result<Public, String> {
    let competition = case.competition;
    let (shape, classes) = (competition.manifest.input.shape(), competition.manifest.labels.len());
    let table = case.file(&competition.tables.evaluation.sha256)?;
    let part = Labelled::open(table, shape, classes).and_then(Labelled::answered).map_err(|error| error.to_string());
    part.map(|(items, logits)| Public { items, logits })
}

#[derive(Default)]
struct Told {
    differing: Vec<Differing>,
    unclear: Vec<String>,
    bad: Vec<String>,
}

/// Answers that are others here.
struct Differing {
    who: String,
    /// The report of the same measurement there, where there is one.
    there: Option<Report>,
    here: Report,
}

/// What is said of a measurement there.
struct There<'a> {
    outcomes: &'a Outcomes,
    outputs_sha256: Digest,
    /// None is made of screening.
    report: Option<&'a Report>,
}

struct Run<'a> {
    case: &'a Case<'a>,
    past: &'a Past,
    drawn: &'a Drawn,
    public: Public,
    told: Told,
}

impl Run<'_> {
    fn decided(&mut self, member: &RecordedMember, field: &Field) {
        let Some(there) = field.decided.get(&member.submission) else { return };
        let seed = protocol::attempt::seed(self.drawn.secret.expose(), &member.submission, there.attempt);
        if seed != there.report.data.seed {
            return self.told.bad.push(format!("{} was measured with a seed that was picked", member.submission));
        }
        let items = self.round_items();
        if items.inputs.pixels.sha256().ok() != Some(there.report.data.images_sha256)
            || items.truth.public != there.report.data.public_items
        {
            return self.told.bad.push(format!("{} was measured on other items than were drawn", member.submission));
        }
        let Decided { report, outcomes, .. } = there;
        if let Some(again) = self.asked(member, self.case.official().engine, items) {
            let there = There { outcomes, outputs_sha256: report.outputs_sha256, report: Some(report) };
            self.compare(member, &there, again);
        }
    }

    /// What a submission's own report says of items and of the package's costs, without running it.
    fn published(&mut self, id: &SubmissionId, own: &Own) {
        let data = &own.report.data;
        let (sha256, count) = (self.public.items.pixels.sha256().ok(), self.public.items.count());
        if (Some(data.images_sha256), data.items) != (sha256, count) {
            return self.told.bad.push(format!("{id} was measured on other items than the public ones"));
        }
        let costs = self.case.source.files(id).and_then(|files| {
            let [config, weights] = files;
            let committed = self.case.log.commitments.get(id).map(|(_, it)| it.package_sha256);
            match committed.and_then(|package| Format::named_by(&package, &config, &weights)) {
                Some(Format::Catalogue) => costs_of_plan(&self.case.object(&config)?),
                Some(Format::Onnx) => costs_of_graph(&self.case.object(&weights)?, &self.case.competition.manifest),
                None => Err("the files named are not the package that was committed to".into()),
            }
        });
        let cost = &own.report.cost;
        match costs {
            Ok(costs)
                if (costs.size_bytes, costs.parameters, costs.macs)
                    == (cost.size_bytes, cost.parameters, cost.macs) => {}
            Ok(_) => self.told.bad.push(format!("{id} has other costs than its package")),
            Err(problem) => self.told.unclear.push(format!("nobody can tell the costs of {id}: {problem}")),
        }
    }

    /// A submission's own answers, to public items.
    fn own(&mut self, member: &RecordedMember, field: &Field) {
        let Some(Own { report, outcomes, engine, .. }) = field.own.get(&member.submission) else { return };
        let items = self.public_items();
        if let Some(again) = self.asked(member, *engine, items) {
            let there = There { outcomes, outputs_sha256: report.outputs_sha256, report: Some(report) };
            self.compare(member, &there, again);
        }
    }

    fn screened(&mut self, member: &RecordedMember) {
        let Some(screened) = member.screening else { return };
        let there = match self.case.object(&screened.outcomes.sha256).map(|bytes| Outcomes::from_bytes(&bytes)) {
            Ok(Ok(there)) => there,
            _ => return self.told.bad.push(format!("the answers of {} can't be read", member.submission)),
        };
        let items = self.fresh_items(screened.items);
        if let Some(again) = self.asked(member, self.case.official().engine, items) {
            let there = There { outcomes: &there, outputs_sha256: screened.outputs_sha256, report: None };
            self.compare(member, &there, again);
        }
    }

    /// What failed there should fail here.
    fn failed(&mut self, member: &RecordedMember) {
        let (id, failure) = (&member.submission, member.failure.clone().unwrap_or_default());
        let items = match member.role {
            // Who waits failed where it was to be timed by another engine than before.
            EntryRole::Screened if !waits(member) => self.fresh_items(self.past.record.items.cut.first),
            _ => self.round_items(),
        };
        let Ok(package) = committed(self.case, &member.submission) else {
            return self.told.unclear.push(format!("{id} failed there, and its package isn't public"));
        };
        let models = (package, self.drawn.reference.clone());
        let asked = request(self.case, self.case.official().engine, models, items);
        match self.case.engine.evaluate(&id.to_string(), asked) {
            Err(EvaluationFailure::Package(_)) => {}
            Err(EvaluationFailure::Infrastructure(_)) => self.told.unclear.push(format!("{id} fails here, too")),
            Ok(_) if failure.starts_with("infrastructure") => {
                let told = format!("{id} answers here; the validator says that its own engine failed");
                self.told.unclear.push(told);
            }
            Ok(_) => self.told.bad.push(format!("{id} answers here; the validator says that it failed: {failure}")),
        }
    }

    fn compare(&mut self, member: &RecordedMember, there: &There<'_>, again: Evaluation) {
        let (id, report) = (&member.submission, there.report);
        let (values, here) = (there.outcomes.values(), again.outcomes.values());
        let answers = values.right == here.right && values.js_micronats == here.js_micronats;
        if values.images_sha256 != here.images_sha256 || values.size_bytes != here.size_bytes {
            self.told.bad.push(format!("{id} was measured on other items, or has another size"));
        } else if let Some(found) = report.and_then(on_backend) {
            if let Err(others) = same_but_for_ties(there.outcomes, &again) {
                let told = format!(
                    "{id} was answered on {}, and {others} answers differ here by more than it may",
                    found.backend
                );
                self.told.bad.push(told);
            }
        } else if again.report.outputs_sha256 != there.outputs_sha256 {
            let (who, there) = (id.to_string(), report.cloned());
            self.told.differing.push(Differing { who, there, here: again.report });
        } else if !answers {
            self.told.bad.push(format!("{id} has the same outputs here, and other answers than are recorded"));
        } else if report.is_some_and(|report| !has_same_figures(report, &again.report)) {
            self.told.bad.push(format!("{id} has the same outputs here, and other figures than its report"));
        }
    }

    fn asked(&mut self, member: &RecordedMember, engine: OfficialEngine, items: Items) -> Option<Evaluation> {
        let id = &member.submission;
        let package = match committed(self.case, &member.submission) {
            Ok(package) => package,
            Err(problem) => {
                self.told.unclear.push(format!("{id} can't be run again: {problem}"));
                return None;
            }
        };
        let asked = request(self.case, engine, (package, self.drawn.reference.clone()), items);
        match self.case.engine.evaluate(&id.to_string(), asked) {
            Ok(again) => Some(again),
            Err(EvaluationFailure::Package(rejection)) => {
                self.told.bad.push(format!("{id} was measured there, and fails here: {rejection}"));
                None
            }
            Err(failure) => {
                self.told.unclear.push(format!("{id} can't be run here: {failure}"));
                None
            }
        }
    }

    fn fresh_items(&self, count: u32) -> Items {
        let fixed = self.past.record.items.fixed as usize;
        self.drawn.items(self.case, fixed..fixed + count as usize, true)
    }

    fn public_items(&self) -> Items {
        let Public { items, logits } = &self.public;
        let input = &self.case.competition.manifest.input;
        items.clone().asked(input, items.count(), Some(logits.values.clone()))
    }

    /// Public items, then the round's; what is known counts as public.
    fn round_items(&self) -> Items {
        let (public, drawn) = (&self.public, self.drawn);
        let pixels = public.items.pixels.clone().then(drawn.all.pixels.clone());
        Items {
            inputs: Inputs { spec: self.case.competition.manifest.input.clone(), pixels },
            truth: Truth {
                labels: [&public.items.labels[..], &drawn.all.labels].concat().into(),
                public: public.items.count() + self.past.record.items.fixed,
                teacher_logits: Some([&public.logits.values[..], &drawn.logits.values].concat().into()),
            },
        }
    }
}

fn costs_of_plan(config_json: &[u8]) -> Result<Costs, String> {
    let plan = PackageConfig::from_json(config_json).and_then(|config| config.plan());
    plan.map_err(|rejection| rejection.to_string())?.costs().map_err(|error| error.to_string())
}

fn costs_of_graph(file: &[u8], manifest: &Manifest) -> Result<Costs, String> {
    let read = Classifier::read(file, manifest.input.shape(), manifest.labels.len());
    read.map(|graph| graph.costs).map_err(|rejection| rejection.to_string())
}

/// From equal outputs follow equal figures, to the last unit.
fn has_same_figures(there: &Report, here: &Report) -> bool {
    (&there.quality, &there.fidelity, there.calibration) == (&here.quality, &here.fidelity, here.calibration)
}

/// The backend whose answers a report counts, where they aren't the official engine's.
pub fn on_backend(report: &Report) -> Option<&OnBackend> {
    report.on_backend.as_ref().filter(|found| found.counts())
}

/// How many answers of a backend are otherwise right or wrong than the official engine's of the same items, each of which is a tie
/// there: a logit may be off as far as [`DELTA_MICRO_MAX`], so two may change places.
///
/// # Errors
/// How many differ that are no ties.
pub fn same_but_for_ties(there: &Outcomes, again: &Evaluation) -> Result<usize, usize> {
    let (right, here) = (&there.values().right, &again.outcomes.values().right);
    let classes = (again.logits.len() / here.len().max(1)).max(1);
    let is_tie = |logits: &[f32]| {
        let mut sorted = logits.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let margin = sorted.first().zip(sorted.get(1)).map_or(f64::INFINITY, |(a, b)| f64::from(*a) - f64::from(*b));
        margin * 1e6 <= 2.0 * DELTA_MICRO_MAX as f64
    };
    let pairs = right.iter().zip(here).zip(again.logits.chunks(classes));
    let differing: Vec<bool> = pairs.filter(|((a, b), _)| a != b).map(|(_, logits)| is_tie(logits)).collect();
    let others = differing.iter().filter(|tie| !**tie).count() + right.len().abs_diff(here.len());
    if others == 0 { Ok(differing.len()) } else { Err(others) }
}

/// What makes other outputs an honest difference, if anything.
pub fn why_outputs_may_differ(there: &Report, here: &Report) -> Option<String> {
    let class = |host: &Host| format!("{} with flush-to-zero {}", host.cpu_flags.join(" "), host.flush_to_zero);
    let pairs = [
        ("the engine", there.engine.clone(), here.engine.clone()),
        ("the device", there.device.clone(), here.device.clone()),
        ("the class of machine", class(&there.host), class(&here.host)),
    ];
    let differing = pairs.into_iter().find(|(_, there, here)| there != here);
    differing.map(|(what, there, here)| format!("{what} was {there} and is {here}"))
}
