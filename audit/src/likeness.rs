//! Who counts as a copy: by weights that are public and by what everybody said of the round's first fresh items.
//!
//! Both ways are looked at: whoever is called a copy should be one by what can be computed, and whoever says the same as an
//! earlier one of another owner should be called one. Probes stay secret while a competition runs, so what they alone
//! decide is said to be unclear. It does NOT run models: answers are those that `again` runs anew.

use super::again::Sample;
use super::draw::{Drawn, package};
use super::history::Past;
use super::{Case, Findings};
use copies::FRESH_ITEMS_MIN;
use copies::{
    Fingerprint, Relation, Thresholds, clusters, compare, compare_outputs, relation, relation_to_entry, same_on_items,
};
use datasets::Logits;
use protocol::SubmissionId;
use protocol::competition::{TeacherDistance, keeps_teacher_distance};
use protocol::evaluation::outputs_digest;
use protocol::nulls::Nulls;
use protocol::package::Format;
use rand::seq::IndexedRandom;
use referee::RecordedMember;
use std::collections::{BTreeMap, BTreeSet};

/// Compares, and says what can be told.
pub(super) fn check(case: &Case<'_>, past: &Past, drawn: &Drawn, findings: &mut Findings<'_>) {
    let likeness = match Likeness::read(case, past, drawn) {
        Ok(likeness) => likeness,
        Err(problem) => return findings.bad("copies", problem),
    };
    // Two that begin with a known package may be alike without a copy, which the probes tell; so it isn't a lie, and not ok.
    let excused = !case.competition.manifest.known.is_empty();
    let (mut unclear, mut bad) =
        if excused { (likeness.unmarked(), Vec::new()) } else { (Vec::new(), likeness.unmarked()) };
    let marked: Vec<&RecordedMember> =
        past.record.members.iter().filter(|it| it.copy_of.is_some() || it.is_entry.is_some()).collect();
    let picked: Vec<&RecordedMember> = match case.sample {
        Sample::All => marked.clone(),
        Sample::Some(count) => marked.sample(&mut rand::rng(), count).copied().collect(),
    };
    let mut shown = 0;
    for member in &picked {
        match likeness.marked(member) {
            Ok(Seen::Copy) => shown += 1,
            Ok(Seen::NotHere(hint)) => unclear.push(hint),
            Ok(Seen::Lie(lie)) => bad.push(lie),
            Err(problem) => unclear.push(format!("{}: {problem}", member.submission)),
        }
    }
    if !unclear.is_empty() {
        findings.unclear("copies", unclear.join("; "));
    }
    if unclear.is_empty() || !bad.is_empty() {
        let detail = format!(
            "{shown} of {} that count as copies looked at, and are; nobody else says the same as an earlier one",
            marked.len()
        );
        findings.all("copies", &bad, detail);
    }
}

/// What can be told of somebody who counts as a copy.
enum Seen {
    Copy,
    NotHere(String),
    Lie(String),
}

struct Likeness<'a> {
    case: &'a Case<'a>,
    /// What members said of the first fresh items, in the order of commitment.
    said: Vec<(&'a RecordedMember, Vec<f32>)>,
    /// What the teacher says of all fresh items.
    teacher: Vec<f32>,
    classes: u32,
}

impl<'a> Likeness<'a> {
    fn read(case: &'a Case<'a>, past: &'a Past, drawn: &Drawn) -> Result<Self, String> {
        let record = &past.record;
        let classes = drawn.logits.classes;
        let fixed = record.items.fixed as usize * classes as usize;
        let teacher = drawn.logits.values.get(fixed..).unwrap_or_default().to_vec();
        let mut said = Vec::new();
        for member in record.members.iter().filter(|_| record.items.cut.first >= FRESH_ITEMS_MIN) {
            if let Some(screened) = member.screening {
                let logits = Logits::from_bytes(&case.object(&screened.logits.sha256)?);
                let logits = logits.map_err(|error| error.to_string())?.values;
                if outputs_digest(&logits) != screened.outputs_sha256 {
                    return Err(format!("the answers of {} are not those that its outputs were", member.submission));
                }
                said.push((member, logits));
            }
        }
        said.sort_by_key(|(member, _)| member.arrival);
        Ok(Self { case, said, teacher, classes })
    }

    fn nulls(&self) -> Option<&Nulls> {
        self.case.competition.manifest.nulls.as_ref()
    }

    /// Whoever says the same as an earlier one of another owner, and counts as its own work.
    fn unmarked(&self) -> Vec<String> {
        let students: Vec<&[f32]> = self.said.iter().map(|(_, logits)| logits.as_slice()).collect();
        let threshold = Thresholds::of_outputs(self.nulls()).fresh_function_ppm;
        let same = match same_on_items(&students, &self.teacher, self.classes, threshold) {
            Ok(same) => same,
            Err(error) => return vec![error.to_string()],
        };
        // As the validator has it: only pairs of two hotkeys, each counting as the earliest that it leads to.
        let member = |index: usize| self.said.get(index).map(|(member, _)| *member);
        let strangers = |(a, b, _): &(usize, usize, i32)| matches!((member(*a), member(*b)), (Some(a), Some(b)) if a.hotkey != b.hotkey);
        let pairs: Vec<(usize, usize)> = same.iter().filter(|it| strangers(it)).map(|(a, b, _)| (*b, *a)).collect();
        let sides: BTreeSet<usize> = pairs.iter().flat_map(|(later, earlier)| [*later, *earlier]).collect();
        let heads: BTreeMap<usize, usize> = clusters(&sides, &pairs);
        let told = heads.into_iter().filter_map(|(later, head)| Some((member(later)?, member(head)?)));
        told.filter(|(later, head)| later.hotkey != head.hotkey && later.copy_of.is_none() && later.is_entry.is_none())
            .map(|(later, head)| {
                format!("{} says the same as {} and counts as work of its own", later.submission, head.submission)
            })
            .collect()
    }

    /// Whether somebody who counts as a copy is one by what can be computed here.
    fn marked(&self, member: &RecordedMember) -> Result<Seen, String> {
        match (&member.copy_of, member.is_entry.as_deref()) {
            (Some(original), _) => self.of_submission(member, original),
            (None, Some(entry)) => self.of_entry(member, entry),
            (None, None) => Ok(Seen::Copy),
        }
    }

    fn of_submission(&self, member: &RecordedMember, original: &SubmissionId) -> Result<Seen, String> {
        let id = &member.submission;
        let committed = |id: &SubmissionId| self.case.log.commitments.get(id).map(|(index, _)| *index);
        match (committed(original), committed(id)) {
            (Some(earlier), Some(later)) if earlier < later => {}
            _ => return Ok(Seen::Lie(format!("{id} counts as {original}, which the log doesn't have before it"))),
        }
        let [first, second] = [self.print(original)?, self.print(id)?];
        let mut evidence = compare(&first, &second);
        evidence.fresh_residual_correlation_ppm = self.fresh(original, id);
        Ok(match relation(&evidence, &Thresholds::between(self.nulls(), first.family(), second.family())) {
            Relation::Copy(_) => Seen::Copy,
            _ => Seen::NotHere(format!(
                "{id} counts as {original}, which neither weights nor fresh answers show: `retort verify copy {id} \
                 {original} --validator URL`, with this validator's, has the probes once the competition is over"
            )),
        })
    }

    fn of_entry(&self, member: &RecordedMember, entry: &str) -> Result<Seen, String> {
        let (id, competition) = (&member.submission, &self.case.competition);
        let model = match entry {
            "teacher" => competition.teacher.model(),
            _ => Some(&competition.reference),
        };
        let (by_weights, thresholds) = match model {
            Some(model) => {
                let files = package(self.case, &model.config_json.sha256, &model.weights.sha256)?;
                let of =
                    Fingerprint::new(&files.config_json, &files.weights, None).map_err(|error| error.to_string())?;
                let own = self.print(id)?;
                let costs = own.costs().ok().zip(of.costs().ok());
                if entry == "teacher" && costs.is_some_and(|(own, of)| keeps_teacher_distance(&own, &of)) {
                    return Ok(Seen::Lie(format!("{id} counts as the teacher, and keeps the least distance from it")));
                }
                let thresholds = Thresholds::between(self.nulls(), of.family(), own.family());
                (matches!(relation_to_entry(&compare(&of, &own), &thresholds), Relation::Copy(_)), thresholds)
            }
            None if competition.manifest.teacher_distance == TeacherDistance::Half => {
                return Ok(Seen::Lie(format!(
                    "{id} counts as the teacher, and keeps the distance that is stated of it"
                )));
            }
            None => (false, Thresholds::of_outputs(self.nulls())),
        };
        let by_answers = entry == "teacher" && self.unexplained(id) < thresholds.entry_fresh_unexplained_ppm;
        Ok(match by_weights || by_answers {
            true => Seen::Copy,
            false => Seen::NotHere(format!("{id} counts as the {entry}, which the secret probes alone may show")),
        })
    }

    /// The share of what it says of fresh items that the teacher doesn't explain, ppm.
    fn unexplained(&self, id: &SubmissionId) -> i32 {
        let said = self.said(id).and_then(|said| {
            let teacher = self.teacher.get(..said.len())?;
            compare_outputs(said, teacher, teacher, self.classes).ok()?.unexplained_ppm
        });
        said.unwrap_or(i32::MAX)
    }

    /// rc of two on the fresh items that both answered.
    fn fresh(&self, first: &SubmissionId, second: &SubmissionId) -> Option<i32> {
        let (first, second) = (self.said(first)?, self.said(second)?);
        let pair = same_on_items(&[first, second], &self.teacher, self.classes, i32::MIN).ok()?;
        pair.first().map(|(_, _, ppm)| *ppm)
    }

    fn said(&self, id: &SubmissionId) -> Option<&[f32]> {
        self.said.iter().find(|(member, _)| member.submission == *id).map(|(_, logits)| logits.as_slice())
    }

    /// The weights of the package that was committed to.
    fn print(&self, id: &SubmissionId) -> Result<Fingerprint, String> {
        let [config, weights] = self.case.source.files(id)?;
        let committed = self.case.log.commitments.get(id).map(|(_, it)| it.package_sha256);
        if committed.and_then(|package| Format::named_by(&package, &config, &weights)).is_none() {
            return Err(format!("the files named for {id} are not the package that was committed to"));
        }
        let files = package(self.case, &config, &weights)?;
        let manifest = &self.case.competition.manifest;
        let ports = (manifest.input.shape(), manifest.labels.len());
        Fingerprint::of_package(&files.config_json, &files.weights, ports, None).map_err(|error| error.to_string())
    }
}
