//! An audit of a round: everything that can be computed is computed again, from bytes that a validator hands out, its
//! public log and its ledger.
//!
//! Nothing here trusts the validator, and nothing here is used by it. First comes the course of all rounds, which an honest log
//! can't have otherwise (`course`); then the order is that of the round: what was bound and drawn (`draw`), who took part
//! (`entered`, `members`) and by which measurements (`attempts`, `timed`), who was screened, decided, crowned and placed
//! (`judgement`), who was paid (`payment`), what pages show (`shown`) and the board (`board`), who counts as a copy
//! (`likeness`), and models run again (`again`). The rules themselves are `referee`'s and `protocol`'s, the same functions.
//!
//! A round rests on earlier ones by the records that the log binds; each of them is audited by itself. Whoever wants to know
//! that a whole history holds audits all its rounds.
//!
//! It does NOT fetch anything and links no engine: [`Source`] and [`Engine`] are the caller's. That the log is the one that
//! everybody sees is `transparency`'s to show.

mod again;
mod attempts;
mod board;
mod course;
mod draw;
mod entered;
mod history;
mod judgement;
mod likeness;
mod members;
mod payment;
mod retimed;
mod shown;
mod statements;
mod timed;

pub use again::{Sample, on_backend, same_but_for_ties, why_outputs_may_differ};
pub use statements::{Stated, Statements};
pub use timed::{Timed, agree};

use chain::Registration;
use datasets::hidden::RoundView;
use protocol::amendment::EngineInForce;
use protocol::api::Leaderboard;
use protocol::digest::Hasher;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::rules::RULES;
use protocol::{Competition, CompetitionId, Digest, Hotkey, SubmissionId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek};

/// Where bytes come from. What is returned is believed only if it has the digest that was asked for.
pub trait Source {
    /// A public object.
    ///
    /// # Errors
    /// Why it isn't to be had.
    fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String>;

    /// The same as a file to read from, for what may be large.
    ///
    /// # Errors
    /// Why it isn't to be had.
    fn file(&self, sha256: &Digest) -> Result<File, String>;

    /// The digests of a submission's `config.json` and of the file that its model is in.
    ///
    /// # Errors
    /// Why they aren't known.
    fn files(&self, submission: &SubmissionId) -> Result<[Digest; 2], String>;
}

/// What runs models, as the validator's does.
pub trait Engine {
    /// Runs one.
    ///
    /// # Errors
    /// As [`EvaluationFailure`] says.
    fn evaluate(&self, who: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure>;

    /// What the raw times of a measurement say.
    ///
    /// # Errors
    /// Why they can't be read.
    fn timed(&self, samples: &[u8]) -> Result<Timed, String>;
}

/// What the validator's ledger says, verified entry by entry.
#[derive(Clone, Debug, Default)]
pub struct LedgerSeen {
    /// Everybody who ever was registered, and whose they were.
    pub registrations: Vec<Registration>,
    /// All weights that it ever took, by its own number.
    pub weights: BTreeMap<u64, Vec<(Hotkey, u32)>>,
    /// Hashes of entries by height: those that rounds are bound to, at least.
    pub hashes: BTreeMap<u64, Digest>,
}

/// A round, and all that is said of it.
pub struct Case<'a> {
    /// The competition, of which the log has the digest.
    pub competition: &'a Competition,
    /// Which round, by whoever asks: what is shown may be of another.
    pub round: u64,
    /// Whose log and receipts they are.
    pub validator: Hotkey,
    /// The log, which is known to be the one that was signed.
    pub log: &'a Statements,
    /// How many entries it had before anything else was asked for; it was read (again) after that. So what is shown has all
    /// of the first entries in it, and nothing that isn't in the log.
    pub seen: u64,
    /// What pages and API show of the round.
    pub shown: &'a RoundView,
    /// The board, if it is to be compared.
    pub board: Option<&'a Leaderboard>,
    /// The ledger, where it is served.
    pub ledger: Option<&'a LedgerSeen>,
    /// Where bytes come from.
    pub source: &'a dyn Source,
    /// What runs models.
    pub engine: &'a dyn Engine,
    /// Which of those that were only screened are run again.
    pub sample: Sample,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Ok,
    /// It can't be told here.
    Unclear,
    /// It doesn't hold.
    Bad,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word.
    pub check: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
}

/// Why a round can't be audited at all: it is of a version before this one, or isn't over. Where the log shows that it was
/// made so, that is a finding instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("round {round} of {competition} can't be checked: {why}")]
pub struct CannotBeChecked {
    /// The competition.
    pub competition: CompetitionId,
    /// The round.
    pub round: u64,
    /// Why.
    pub why: String,
    /// Whether there is anything to check: an abandoned round decided nothing.
    pub decided: bool,
}

/// Checks so far; each is told as it ends.
pub struct Findings<'a> {
    list: Vec<Finding>,
    tell: &'a mut dyn FnMut(&Finding),
}

/// Audits a round, and tells each finding as it comes.
///
/// # Errors
/// When the round is of a version before this one, or isn't revealed, and the log doesn't show that as a lie.
pub fn audit(case: &Case<'_>, tell: &mut dyn FnMut(&Finding)) -> Result<Vec<Finding>, CannotBeChecked> {
    let mut findings = Findings { list: Vec::new(), tell };
    let problems = course::problems(case.log, case.id());
    let stated = match checkable(case) {
        Ok(stated) => stated,
        Err(cannot) if problems.is_empty() && case.log.problems.is_empty() => return Err(cannot),
        Err(cannot) => {
            history::stated_once(case, &mut findings);
            findings.all("rounds", &problems, cannot.to_string());
            return Ok(findings.list);
        }
    };
    findings.all("rounds", &problems, format!("{} of them, one after the other", case.log.rounds(case.id()).count()));
    // What can't be read leaves nothing to go on with; the finding says so.
    if let Err((check, problem)) = examine(case, stated, &mut findings) {
        findings.bad(check, problem);
    }
    Ok(findings.list)
}

/// A check that failed so that nothing after it can be made.
pub type Stop = (&'static str, String);

fn examine(case: &Case<'_>, stated: &Stated, findings: &mut Findings<'_>) -> Result<(), Stop> {
    let past = history::read(case, stated, findings)?;
    if case.log.engine_in(case.competition, u64::MAX).since > 0 {
        let of_it =
            format!("round {} measures on {}, as the log said before it began", case.round, case.official().engine);
        findings.all("engine", &case.log.engines_stated_late(case.id()), of_it);
    }
    let drawn = draw::check(case, stated, &past, findings)?;
    let field = members::check(case, stated, &past, findings)?;
    attempts::check(case, &past, &field, findings);
    let why = judgement::check(case, &past, &drawn, &field, findings)?;
    payment::check(case, stated, &past, findings);
    shown::check(case, (stated, &past), (&drawn, &field), why.as_deref(), findings);
    board::check(case, &past, &field, findings);
    likeness::check(case, &past, &drawn, findings);
    again::check(case, &past, &drawn, &field, findings)
}

/// Whether this version can audit the round.
fn checkable<'a>(case: &Case<'a>) -> Result<&'a Stated, CannotBeChecked> {
    let (competition, round) = (case.id().clone(), case.round);
    let stated = case.log.round(&competition, round);
    // A record says more about the version that judged than the opening does.
    let rules = stated.map(|stated| stated.rules().max(course::RECORDED_SINCE));
    let earlier = || case.log.rounds(case.id()).take_while(|(number, _)| *number < round);
    let why = match stated {
        None => "the public log has nothing of it",
        Some(stated) if stated.abandoned.is_some() => "it was abandoned, and decided nothing",
        Some(stated) if stated.judged.is_none() => "the public log has no judgement of it yet",
        Some(stated) if stated.record().is_none() => "a version before this one judged it",
        Some(_) if rules > Some(RULES) => "it goes by rules of a later version: take that version of this program",
        Some(_) if rules < Some(RULES) => "it goes by rules of an earlier version",
        Some(stated) if stated.revealed.as_ref().is_none_or(|(index, _)| *index >= case.seen) => {
            "it isn't revealed yet"
        }
        Some(_) if earlier().any(|(_, stated)| stated.judged.is_some() && stated.record().is_none()) => {
            "it rests on rounds that a version before this one judged"
        }
        Some(stated) => return Ok(stated),
    };
    let decided = stated.is_none_or(|stated| stated.abandoned.is_none());
    Err(CannotBeChecked { competition, round, why: why.to_owned(), decided })
}

impl Findings<'_> {
    pub fn add(&mut self, check: &'static str, verdict: Verdict, detail: String) {
        let finding = Finding { check, verdict, detail };
        (self.tell)(&finding);
        self.list.push(finding);
    }

    pub fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Verdict::Ok, detail.into());
    }

    pub fn unclear(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Verdict::Unclear, detail.into());
    }

    pub fn bad(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Verdict::Bad, detail.into());
    }

    /// All problems in one finding, or that there is none.
    pub fn all(&mut self, check: &'static str, problems: &[String], detail: impl Into<String>) {
        /// What is listed of many.
        const SHOWN_MAX: usize = 5;
        if problems.is_empty() {
            return self.ok(check, detail);
        }
        let shown = problems.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
        let more = problems.len().saturating_sub(SHOWN_MAX);
        self.bad(check, if more == 0 { shown } else { format!("{shown}; and {more} more") });
    }
}

impl Case<'_> {
    /// An object, which has the digest that was asked for.
    pub fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String> {
        let bytes = self.source.object(sha256)?;
        match Digest::of(&bytes) == *sha256 {
            true => Ok(bytes),
            false => Err(format!("object {} is not what its digest says", sha256.short())),
        }
    }

    /// An object's file, of the digest that was asked for.
    pub fn file(&self, sha256: &Digest) -> Result<File, String> {
        let mut file = self.source.file(sha256)?;
        match hashed(&mut file).map_err(|error| error.to_string())? == *sha256 {
            true => Ok(file),
            false => Err(format!("object {} is not what its digest says", sha256.short())),
        }
    }

    pub fn id(&self) -> &CompetitionId {
        &self.competition.manifest.id
    }

    /// What the round measures on.
    pub fn official(&self) -> EngineInForce {
        self.log.engine_in(self.competition, self.round)
    }
}

fn hashed(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    file.rewind()?;
    io::copy(file, &mut hasher)?;
    Ok(hasher.finish())
}
