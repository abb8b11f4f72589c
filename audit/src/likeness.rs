//! Who counts as a copy: by weights that are public and by what everybody says of the round's first fresh items.
//!
//! Both ways are looked at: whoever is called a copy should be one by what can be computed, and whoever says the same as an
//! earlier one of another owner should be called one. Who counted as a copy before the round was asked nothing in it, so where
//! weights don't show it both are asked here. Probes stay secret while a competition runs, so what they alone decide is said
//! to be unclear. It does NOT know whether recorded answers are true: `again` runs those anew.

use super::again::Sample;
use super::draw::{Drawn, committed, model, request};
use super::history::Past;
use super::{Case, Findings};
use copies::{
    Evidence, FRESH_ITEMS_MIN, Fingerprint, Relation, Thresholds, clusters, compare, compare_outputs, relation,
    relation_to_entry, same_on_items,
};
use datasets::Logits;
use protocol::SubmissionId;
use protocol::competition::{TeacherDistance, keeps_teacher_distance};
use protocol::evaluation::{PackageBytes, outputs_digest};
use protocol::nulls::Nulls;
use rand::seq::IndexedRandom;
use referee::RecordedMember;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// The whole of a share.
const PPM: i32 = 1_000_000;

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
    let (mut shown, mut asked) = (0, 0);
    for member in &picked {
        match likeness.marked(member) {
            Ok(Seen::Copy) => shown += 1,
            Ok(Seen::Asked) => asked += 1,
            Ok(Seen::NotHere(hint)) => unclear.push(hint),
            Ok(Seen::Lie(lie)) => bad.push(lie),
            Err(problem) => {
                unclear.push(format!("{} counts as a copy, and can't be compared: {problem}", member.submission));
            }
        }
    }
    if !unclear.is_empty() {
        findings.unclear("copies", unclear.join("; "));
    }
    if unclear.is_empty() || !bad.is_empty() {
        let by_answers = match asked {
            0 => String::new(),
            _ => format!(" ({asked} by what both answer here to {} fresh items)", likeness.fresh_items()),
        };
        let detail = format!(
            "{} of {} that count as copies looked at, and are{by_answers}; nobody else says the same as an earlier one",
            shown + asked,
            marked.len()
        );
        findings.all("copies", &bad, detail);
    }
}

/// What can be told of somebody who counts as a copy.
enum Seen {
    /// It is one by weights, or by what it answered in the round.
    Copy,
    /// It is one by what both answer here.
    Asked,
    NotHere(String),
    Lie(String),
}

/// A model's answers, or why there are none.
type Answers = Result<Rc<[f32]>, String>;

struct Likeness<'a> {
    case: &'a Case<'a>,
    drawn: &'a Drawn,
    /// The first fresh one of what was drawn.
    fixed: u32,
    /// How many were answered in the round by everybody.
    first: u32,
    /// What members said of the first fresh items, in the order of commitment.
    said: Vec<(&'a RecordedMember, Vec<f32>)>,
    /// What the teacher says of all fresh items.
    teacher: Vec<f32>,
    classes: u32,
    /// What was answered here, by whom.
    here: RefCell<BTreeMap<String, Answers>>,
}

impl<'a> Likeness<'a> {
    fn read(case: &'a Case<'a>, past: &'a Past, drawn: &'a Drawn) -> Result<Self, String> {
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
        let (fixed, first) = (record.items.fixed, record.items.cut.first);
        Ok(Self { case, drawn, fixed, first, said, teacher, classes, here: RefCell::default() })
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
        let place = |id: &SubmissionId| self.case.log.commitments.get(id).map(|(index, _)| *index);
        match (place(original), place(id)) {
            (Some(earlier), Some(later)) if earlier < later => {}
            _ => return Ok(Seen::Lie(format!("{id} counts as {original}, which the log doesn't have before it"))),
        }
        let packages = [committed(self.case, original)?, committed(self.case, id)?];
        let [first, second] = [self.print(&packages[0])?, self.print(&packages[1])?];
        let thresholds = Thresholds::between(self.nulls(), first.family(), second.family());
        let weights = compare(&first, &second);
        let is_copy = |fresh: Option<i32>| {
            let evidence = Evidence { fresh_residual_correlation_ppm: fresh, ..weights.clone() };
            matches!(relation(&evidence, &thresholds), Relation::Copy(_))
        };
        if is_copy(self.said(original).zip(self.said(id)).and_then(|both| self.fresh(both))) {
            return Ok(Seen::Copy);
        }
        let [first, second] = packages;
        let fresh = match (self.answers(&original.to_string(), first), self.answers(&id.to_string(), second)) {
            (Ok(first), Ok(second)) => self.fresh((&first, &second)),
            (Err(problem), _) | (_, Err(problem)) => {
                return Ok(Seen::NotHere(format!(
                    "{id} counts as {original}, which weights don't show, and {problem}"
                )));
            }
        };
        Ok(match is_copy(fresh) {
            true => Seen::Asked,
            false => Seen::NotHere(format!(
                "{id} counts as {original}, which neither weights nor fresh answers show: errors on {} fresh items correlate \
                 by {}, and from {} on they decide. `retort verify copy {id} {original} --validator URL`, with this \
                 validator's, has the secret probes once the competition is over",
                self.fresh_items(),
                ppm(fresh),
                ppm(Some(thresholds.fresh_function_ppm))
            )),
        })
    }

    fn of_entry(&self, member: &RecordedMember, entry: &str) -> Result<Seen, String> {
        let (id, competition) = (&member.submission, &self.case.competition);
        let is_teacher = entry == "teacher";
        let model_of = if is_teacher { competition.teacher.model() } else { Some(&competition.reference) };
        let own = committed(self.case, id)?;
        let (weights, thresholds) = match model_of {
            Some(entry) => {
                let of = self.print(&model(self.case, entry)?)?;
                let print = self.print(&own)?;
                let costs = print.costs().ok().zip(of.costs().ok());
                if is_teacher && costs.is_some_and(|(own, of)| keeps_teacher_distance(&own, &of)) {
                    return Ok(Seen::Lie(format!("{id} counts as the teacher, and keeps the least distance from it")));
                }
                (compare(&of, &print), Thresholds::between(self.nulls(), of.family(), print.family()))
            }
            None if competition.manifest.teacher_distance == TeacherDistance::Half => {
                return Ok(Seen::Lie(format!(
                    "{id} counts as the teacher, and keeps the distance that is stated of it"
                )));
            }
            None => (Evidence::of_outputs(PPM), Thresholds::of_outputs(self.nulls())),
        };
        let is_entry = |fresh: Option<i32>| {
            let evidence = Evidence { fresh_residual_correlation_ppm: fresh, ..weights.clone() };
            matches!(relation_to_entry(&evidence, &thresholds), Relation::Copy(_))
        };
        let recorded = self.said(id).filter(|_| is_teacher).map(|said| self.unexplained(said, &self.teacher));
        if is_entry(None) || recorded.is_some_and(|ppm| ppm < thresholds.entry_fresh_unexplained_ppm) {
            return Ok(Seen::Copy);
        }
        Ok(self.asked_beside((id, own), entry, thresholds.entry_fresh_unexplained_ppm, &is_entry))
    }

    /// Whether it answers here as the entry does: the teacher's answers are public, the reference is asked, too.
    fn asked_beside(
        &self,
        (id, own): (&SubmissionId, PackageBytes),
        entry: &str,
        least_ppm: i32,
        is_entry: &dyn Fn(Option<i32>) -> bool,
    ) -> Seen {
        let (of, errors_tell) = match entry {
            "teacher" => (Ok(self.teacher.clone().into()), false),
            _ => (self.answers(entry, self.drawn.reference.clone()), true),
        };
        let (of, said) = match (of, self.answers(&id.to_string(), own)) {
            (Ok(of), Ok(said)) => (of, said),
            (Err(problem), _) | (_, Err(problem)) => {
                return Seen::NotHere(format!("{id} counts as the {entry}, which weights don't show, and {problem}"));
            }
        };
        let unexplained = self.unexplained(&said, &of);
        if unexplained < least_ppm || errors_tell && is_entry(self.fresh((&of, &said))) {
            return Seen::Asked;
        }
        Seen::NotHere(format!(
            "{id} counts as the {entry}, which neither weights nor fresh answers show: {} of what it says of {} fresh items \
             isn't explained, and less than {} decides. Only the secret probes may show it, once the competition is over",
            ppm(Some(unexplained)),
            self.fresh_items(),
            ppm(Some(least_ppm))
        ))
    }

    /// The share of what is said of fresh items that others don't explain, ppm.
    fn unexplained(&self, said: &[f32], by: &[f32]) -> i32 {
        let common = said.len().min(by.len());
        let both = said.get(..common).zip(by.get(..common)).zip(self.teacher.get(..common));
        let found = both.and_then(|((said, by), teacher)| compare_outputs(said, by, teacher, self.classes).ok());
        found.and_then(|found| found.unexplained_ppm).unwrap_or(PPM)
    }

    /// rc of what two say of the first fresh items.
    fn fresh(&self, (first, second): (&[f32], &[f32])) -> Option<i32> {
        let pair = same_on_items(&[first, second], &self.teacher, self.classes, i32::MIN).ok()?;
        pair.first().map(|(_, _, ppm)| *ppm)
    }

    /// What a member answered in the round.
    fn said(&self, id: &SubmissionId) -> Option<&[f32]> {
        self.said.iter().find(|(member, _)| member.submission == *id).map(|(_, logits)| logits.as_slice())
    }

    /// What a package answers to the first fresh items, asked here once.
    fn answers(&self, who: &str, package: PackageBytes) -> Answers {
        if self.fresh_items() < FRESH_ITEMS_MIN {
            return Err(format!("its {} fresh items are too few to show it by answers", self.fresh_items()));
        }
        if let Some(said) = self.here.borrow().get(who) {
            return said.clone();
        }
        let items = self.drawn.items(self.case, self.range(), true);
        let models = (package, self.drawn.reference.clone());
        let asked = request(self.case, self.case.official().engine, models, items);
        let said = self.case.engine.evaluate(who, asked).map(|answered| answered.logits.into());
        let said = said.map_err(|failure| format!("{who} can't be run here: {failure}"));
        self.here.borrow_mut().insert(who.to_owned(), said.clone());
        said
    }

    /// How many are put to models here: as many as in the round, where those show anything.
    fn fresh_items(&self) -> u32 {
        self.range().len() as u32
    }

    fn range(&self) -> Range<usize> {
        let (fixed, count) = (self.fixed as usize, self.first.max(FRESH_ITEMS_MIN) as usize);
        fixed..(fixed + count).min(self.drawn.len())
    }

    fn print(&self, package: &PackageBytes) -> Result<Fingerprint, String> {
        let manifest = &self.case.competition.manifest;
        let ports = (manifest.input.shape(), manifest.labels.len());
        let print = Fingerprint::of_package(&package.config_json, &package.weights, ports, None);
        print.map_err(|error| error.to_string())
    }
}

/// A share, as people read it.
fn ppm(share: Option<i32>) -> String {
    share.map_or("nothing".to_owned(), |share| format!("{:.3}", f64::from(share) / f64::from(PPM)))
}
