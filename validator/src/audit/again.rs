//! Models run again on a round's items: the champion and who was decided, and of the screened ones a sample or all.

use super::draw::{Drawn, package, request};
use super::history::Past;
use super::members::Field;
use super::{Case, Findings, Stop};
use datasets::{Images, Logits};
use protocol::evaluation::{Evaluation, EvaluationFailure, Items};
use protocol::outcomes::Outcomes;
use protocol::package::package_digest;
use protocol::report::Host;
use protocol::round::EntryRole;
use protocol::{Digest, Report};
use rand::seq::IndexedRandom;
use referee::RecordedMember;
use std::sync::Arc;

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
    let mut run =
        Run { case, past, drawn, public: public(case).map_err(|problem| ("data", problem))?, told: Told::default() };
    let members = &past.record.members;
    let (decided, screened): (Vec<&RecordedMember>, Vec<&RecordedMember>) =
        members.iter().partition(|member| member.role != EntryRole::Screened);
    decided.iter().for_each(|member| run.decided(member, field));
    let measured = run.told.same;
    // What they said to be screened gave them their places.
    decided.iter().for_each(|member| run.screened(member));
    let before = run.told.same;
    let screened: Vec<&RecordedMember> = screened.into_iter().filter(|it| it.screening.is_some()).collect();
    let picked: Vec<&RecordedMember> = match case.sample {
        Sample::All => screened.clone(),
        Sample::Some(count) => screened.sample(&mut rand::rng(), count).copied().collect(),
    };
    picked.iter().for_each(|member| run.screened(member));
    let sampled = run.told.same - before;
    for member in members.iter().filter(|member| member.failure.is_some()) {
        run.failed(member);
    }
    let Told { differing, unclear, bad, .. } = run.told;
    let here = field.decided.values().next().map(|it| &it.report);
    let there = here.or_else(|| field.own.values().next().map(|it| &it.report));
    let (mut unclear, mut bad) = (unclear, bad);
    for (who, report) in drawn.differing.iter().cloned().chain(differing) {
        match there.map(|there| why_outputs_may_differ(there, &report)) {
            Some(None) => bad.push(format!("{who} answers otherwise here, on the same engine and class of machine")),
            Some(Some(why)) => unclear.push(format!("{who} answers otherwise here, which proves nothing: {why}")),
            None => unclear.push(format!("{who} answers otherwise here, and nothing says what machine that was")),
        }
    }
    if !unclear.is_empty() {
        findings.unclear("outputs", unclear.join("; "));
    }
    if unclear.is_empty() || !bad.is_empty() {
        let detail = format!(
            "{measured} measured in full and {sampled} of {} screened, run again: the same answers",
            screened.len()
        );
        findings.all("outputs", &bad, detail);
    }
    Ok(())
}

/// Public items as they were published.
struct Public {
    images: Images,
    logits: Logits,
}

fn public(case: &Case<'_>) -> Result<Public, String> {
    let competition = case.competition;
    let images = Images::from_bytes(&case.object(&competition.public_images.sha256)?);
    let logits = Logits::from_bytes(&case.object(&competition.public_teacher_logits.sha256)?);
    Ok(Public {
        images: images.map_err(|error| error.to_string())?,
        logits: logits.map_err(|error| error.to_string())?,
    })
}

#[derive(Default)]
struct Told {
    same: usize,
    differing: Vec<(String, Report)>,
    unclear: Vec<String>,
    bad: Vec<String>,
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
        if Digest::of(&items.pixels) != there.report.data.images_sha256
            || items.public != there.report.data.public_items
        {
            return self.told.bad.push(format!("{} was measured on other items than were drawn", member.submission));
        }
        if let Some(again) = self.asked(member, items) {
            self.compare(member, (&there.outcomes, there.report.outputs_sha256), again);
        }
    }

    fn screened(&mut self, member: &RecordedMember) {
        let Some(screened) = member.screening else { return };
        let there = match self.case.object(&screened.outcomes.sha256).map(|bytes| Outcomes::from_bytes(&bytes)) {
            Ok(Ok(there)) => there,
            _ => return self.told.bad.push(format!("the answers of {} can't be read", member.submission)),
        };
        let items = self.fresh_items(screened.items);
        if let Some(again) = self.asked(member, items) {
            self.compare(member, (&there, screened.outputs_sha256), again);
        }
    }

    /// What failed there should fail here.
    fn failed(&mut self, member: &RecordedMember) {
        let (id, failure) = (&member.submission, member.failure.clone().unwrap_or_default());
        let items = match member.role {
            EntryRole::Screened => self.fresh_items(self.past.record.items.cut.first),
            _ => self.round_items(),
        };
        let Ok(package) = self.package(member) else {
            return self.told.unclear.push(format!("{id} failed there, and its package isn't public"));
        };
        let asked = request(self.case, (package, self.drawn.reference.clone()), items);
        match self.case.engine.evaluate(&id.to_string(), asked) {
            Err(EvaluationFailure::Package(_)) => self.told.same += 1,
            Err(EvaluationFailure::Infrastructure(_)) => self.told.unclear.push(format!("{id} fails here, too")),
            Ok(_) if failure.starts_with("infrastructure") => {
                let told = format!("{id} answers here; the validator says that its own engine failed");
                self.told.unclear.push(told);
            }
            Ok(_) => self.told.bad.push(format!("{id} answers here; the validator says that it failed: {failure}")),
        }
    }

    fn compare(&mut self, member: &RecordedMember, (there, outputs): (&Outcomes, Digest), again: Evaluation) {
        let (there, here) = (there.values(), again.outcomes.values());
        let answers = there.right == here.right && there.js_micronats == here.js_micronats;
        let (id, same_outputs) = (&member.submission, again.report.outputs_sha256 == outputs);
        if there.images_sha256 != here.images_sha256 || there.size_bytes != here.size_bytes {
            self.told.bad.push(format!("{id} was measured on other items, or has another size"));
        } else if answers && same_outputs {
            self.told.same += 1;
        } else if same_outputs {
            self.told.bad.push(format!("{id} has the same outputs here, and other answers than are recorded"));
        } else {
            self.told.differing.push((id.to_string(), again.report));
        }
    }

    fn asked(&mut self, member: &RecordedMember, items: Items) -> Option<Evaluation> {
        let id = &member.submission;
        let package = match self.package(member) {
            Ok(package) => package,
            Err(problem) => {
                self.told.unclear.push(format!("{id} can't be run again: {problem}"));
                return None;
            }
        };
        let asked = request(self.case, (package, self.drawn.reference.clone()), items);
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

    /// The package that was committed to.
    fn package(&self, member: &RecordedMember) -> Result<protocol::evaluation::PackageBytes, String> {
        let [config, weights] = self.case.source.files(&member.submission)?;
        let committed = self.case.log.commitments.get(&member.submission).map(|(_, it)| it.package_sha256);
        match committed == Some(package_digest(&config, &weights)) {
            true => package(self.case, &config, &weights),
            false => Err("the files named are not the package that was committed to".into()),
        }
    }

    fn fresh_items(&self, count: u32) -> Items {
        let fixed = self.past.record.items.fixed as usize;
        self.drawn.items(self.case, fixed..fixed + count as usize, true)
    }

    /// Public items, then the round's; what is known counts as public.
    fn round_items(&self) -> Items {
        let (public, drawn) = (&self.public, self.drawn);
        let pixels: Arc<[u8]> = [&public.images.pixels[..], &drawn.images.pixels].concat().into();
        Items {
            input: self.case.competition.manifest.input.clone(),
            pixels,
            labels: [&public.images.labels[..], &drawn.images.labels].concat().into(),
            public: public.images.count + self.past.record.items.fixed,
            teacher_logits: Some([&public.logits.values[..], &drawn.logits.values].concat().into()),
        }
    }
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
