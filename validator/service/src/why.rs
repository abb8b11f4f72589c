//! Why a submission ended as it did: everything that decided about it, in sentences, from admission to pay.
//!
//! It decides nothing and measures nothing: it puts what boards, rounds, copies and the public log have of one submission
//! into one list. What else comes to decide something adds its facts in `of`.

use crate::app::App;
use crate::copies::{EntryZero, Original};
use crate::{appeals, copies, rounds, views};
use ::copies::Relation;
use datasets::hidden::{RoundEntryView, RoundView};
use protocol::api::{AppealView, Reason, SubmissionStatus};
use protocol::dethrone::{Rule, Verdict};
use protocol::leaf::{Attempt, Purpose};
use protocol::round::{EntryRole, Step};
use protocol::score::ScoreRules;
use protocol::submission::State;
use protocol::{Competition, CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use store::db::DbError;
use store::db::copies::{EntryPair, RankedPair};
use utoipa::ToSchema;

/// `GET /api/v1/submissions/{id}/why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Why)]
pub struct WhyView {
    /// The submission.
    pub submission: SubmissionId,
    /// Where it was entered.
    pub competition: CompetitionId,
    /// By whom.
    pub hotkey: Hotkey,
    /// Where it is.
    pub state: State,
    /// Why it ended without a score.
    pub reason: Option<Reason>,
    /// What decided about it, in the order in which things come.
    pub facts: Vec<Fact>,
    /// What its owner said about that, and the operator.
    pub appeals: Vec<AppealView>,
}

/// Something that decided about a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WhyFact)]
pub struct Fact {
    /// What it is about.
    pub topic: Topic,
    /// The round that it belongs to.
    pub round: Option<u64>,
    /// The sentence.
    pub sentence: String,
    /// Where more is said, on this validator.
    pub link: Option<String>,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WhyTopic)]
pub enum Topic {
    /// Whether the package was taken.
    Admission,
    /// How often it was measured, and for what.
    Measurement,
    /// Whether it reaches the least quality on public items.
    Gate,
    /// Whether it counts as another one.
    Copies,
    /// Where it stands.
    Rank,
    /// What a round made of it.
    Round,
    /// What a round paid for it.
    Pay,
    /// When its package becomes public.
    Weights,
}

impl Fact {
    fn new(topic: Topic, sentence: impl Into<String>) -> Self {
        Self { topic, round: None, sentence: sentence.into(), link: None }
    }

    fn of_round(topic: Topic, round: &RoundView, sentence: impl Into<String>) -> Self {
        let link = format!("/competitions/{}/rounds/{}", round.competition, round.round);
        Self { round: Some(round.round), link: Some(link), ..Self::new(topic, sentence) }
    }
}

/// The story of a submission; `None` if there is none of this name.
pub async fn of(app: &App, id: &SubmissionId) -> Result<Option<WhyView>, DbError> {
    let Some(status) = views::submission(app, id).await? else { return Ok(None) };
    let attempts: Vec<Attempt> = app.db.leaves_under(&Attempt::prefix(id)).await?;
    let counted = copies::found_copies(&app.db, &status.competition).await?;
    let pairs = copies::relations(app, id).await?;
    let mut facts = vec![admission(&status)];
    facts.extend(measurements(&attempts));
    let stored = app.db.competition(&status.competition).await?.map(|stored| stored.competition);
    facts.extend(stored.as_ref().and_then(|competition| gate(&status, competition)));
    facts.extend(app.db.entry_pairs_of(id).await?.iter().map(entry_likeness));
    facts.extend(pairs.iter().map(|pair| likeness(id, pair, &counted)));
    facts.extend(
        (status.compared == Some(false)).then(|| Fact::new(Topic::Copies, "not compared with all entries yet")),
    );
    facts.extend(rank(&status));
    let rules = stored.map(|competition| competition.manifest.score);
    for round in rounds::of_submission(&app.db, id, status.created_at).await? {
        facts.extend(fate(&status, &round));
        facts.extend(fallen(&round, rules.as_ref()));
    }
    facts.extend(weights(&status));
    let appeals = appeals::of(&app.db, id).await?;
    let SubmissionStatus { id, competition, hotkey, state, reason, .. } = status;
    Ok(Some(WhyView { submission: id, competition, hotkey, state, reason, facts, appeals }))
}

fn admission(status: &SubmissionStatus) -> Fact {
    let sentence = match (&status.reason, status.state) {
        // Some ends have no other reason than themselves.
        (Some(reason), state) if reason.code.to_string() == state.as_str() => format!("{state}: {}", reason.detail),
        (Some(reason), state) if state.is_terminal() => format!("{state}: {}: {}", reason.code, reason.detail),
        (_, State::AwaitingUpload) => "announced; its files are still to come".into(),
        (_, State::Checking) => "its files are there; the admission check is due".into(),
        _ => "admitted: package, architecture and costs are within the rules".to_owned(),
    };
    Fact::new(Topic::Admission, sentence)
}

fn measurements(attempts: &[Attempt]) -> Vec<Fact> {
    let purpose = |attempt: &Attempt| match attempt.purpose {
        Purpose::Submission => "on public items".to_owned(),
        Purpose::Round => format!("in full, for round {}", attempt.round),
    };
    let fact = |attempt: &Attempt| {
        Fact::new(Topic::Measurement, format!("measurement {} began, {}", attempt.number, purpose(attempt)))
    };
    attempts.iter().map(fact).collect()
}

fn gate(status: &SubmissionStatus, competition: &Competition) -> Option<Fact> {
    let (score, teacher) = (status.score.as_ref()?, competition.teacher.ceiling());
    let accuracy = score.accuracy.value_ppm as f64 / 1e4;
    let place = if score.gate { "above" } else { "below" };
    let asked = rounds::gate_of([teacher.correct.into(), teacher.items.into()], &competition.manifest.score);
    Some(Fact::new(
        Topic::Gate,
        format!("{accuracy:.2} % of public items right, where {asked}; so it is {place} the gate"),
    ))
}

/// What an entry 0 is to this submission.
fn entry_likeness(EntryPair { submission, entry, relation, .. }: &EntryPair) -> Fact {
    let sentence = match (relation, entry) {
        (Relation::Copy(_), EntryZero::Known(_)) => {
            format!("is or begins with {entry} of the manifest: nothing follows")
        }
        (Relation::Copy(_), _) => format!("counts as the {entry}: it takes no place, no seat and no pay"),
        _ => format!("alike the {entry} in one respect: nothing follows from it alone"),
    };
    let link = Some(format!("/api/v1/submissions/{submission}/entries"));
    Fact { link, ..Fact::new(Topic::Copies, sentence) }
}

/// What another submission is to this one.
fn likeness(id: &SubmissionId, ranked: &RankedPair, counted: &HashMap<SubmissionId, Original>) -> Fact {
    let RankedPair { pair, hotkeys, .. } = ranked;
    let is_later = pair.later == *id;
    let other = if is_later { &pair.earlier } else { &pair.later };
    let sentence = match pair.relation {
        Relation::Copy(_) if hotkeys.0 == hotkeys.1 => format!("a copy of {other} of the same owner: nothing follows"),
        Relation::Copy(_) if is_later && counted.contains_key(id) => {
            format!("a copy of {other}, which came earlier: it takes no place, no seat and no pay")
        }
        Relation::Copy(_) if is_later => format!("derived from {other}, whose owner had it from here: nothing follows"),
        Relation::Copy(_) => format!("{other}, which came later, is a copy of it"),
        Relation::KnownStart => {
            format!("begun, like {other}, with a checkpoint that the manifest lists: nothing follows")
        }
        Relation::Suspicion(_) => format!("alike {other} in one respect: nothing follows from it alone"),
        Relation::Independent => format!("independent of {other}"),
    };
    let link = Some(format!("/copies/{}/{}", pair.earlier, pair.later));
    Fact { link, ..Fact::new(Topic::Copies, sentence) }
}

fn rank(status: &SubmissionStatus) -> Vec<Fact> {
    let Some(row) = &status.row else { return Vec::new() };
    let sentences = std::iter::once(&row.why).chain(&row.details);
    sentences.map(|sentence| Fact::new(Topic::Rank, sentence)).collect()
}

/// What a round made of it and paid for it.
fn fate(status: &SubmissionStatus, round: &RoundView) -> Vec<Fact> {
    let about = |sentence: String| Fact::of_round(Topic::Round, round, sentence);
    let mut facts = match round.entries.first() {
        Some(entry) => vec![about(entered(entry, round))],
        None if round.step >= Step::Judged => vec![about("it was not among those that were decided between".into())],
        None => vec![about(format!("the round is {}", round.step))],
    };
    if round.champion.as_ref() == Some(&status.id) {
        facts.push(about("it holds the seat at the end of the round".into()));
    }
    let told = round.why.iter().filter(|reason| reason.submission == status.id);
    facts.extend(told.map(|reason| Fact::of_round(Topic::Pay, round, &reason.sentence)));
    facts
}

/// What a round saw of a submission that it didn't let compete, and the line that it had to pass.
fn fallen(round: &RoundView, rules: Option<&ScoreRules>) -> Option<Fact> {
    let (entry, rules) = (round.entries.first()?, rules?);
    let sentence = match (entry.role, entry.seen, entry.changed) {
        (EntryRole::Screened, Some(seen), _) => rounds::told_of(&seen, rules),
        (_, _, Some(changed)) if entry.verdict.as_ref()?.rule == Rule::BelowHiddenGate => {
            let (ceiling, [right, items]) = (round.drawn.as_ref()?.fresh_ceiling, changed.map(u64::from));
            let gate = rounds::gate_of([ceiling.correct.into(), ceiling.items.into()], rules);
            format!("{} of {items} hidden items right, where {gate}", rounds::shown_share([right, items]))
        }
        _ => return None,
    };
    Some(Fact::of_round(Topic::Gate, round, sentence))
}

/// What was measured in a round, and the rule that decided.
pub fn entered(entry: &RoundEntryView, round: &RoundView) -> String {
    let role = match entry.role {
        EntryRole::Champion => "champion",
        EntryRole::Challenger => "challenger",
        EntryRole::Screened => "screened",
    };
    let percent = |[right, items]: [u32; 2]| 100.0 * f64::from(right) / f64::from(items.max(1));
    let mut sentence = role.to_owned();
    if let (Some(clean), Some(changed)) = (entry.clean, entry.changed) {
        let (clean, changed) = (percent(clean), percent(changed));
        sentence.push_str(&format!("; {clean:.2} % of public and {changed:.2} % of hidden items right"));
    }
    if let Some(items) = entry.fresh_items {
        sentence.push_str(&format!("; asked {items} fresh hidden items"));
    }
    if let Some(failure) = &entry.failure {
        sentence.push_str(&format!("; it could not be measured: {failure}"));
    }
    if let Some(verdict) = &entry.verdict {
        sentence.push_str(&format!("; {}", ruled(verdict)));
    } else if round.step < Step::Judged {
        sentence.push_str("; the verdict is to come");
    } else if entry.seen.is_some_and(|seen| seen.standing_ppm.is_none()) {
        sentence.push_str("; below the gate on hidden items, though not beyond doubt: the next round asks it again");
    }
    sentence
}

/// What a verdict says.
fn ruled(verdict: &Verdict) -> String {
    let said = match verdict.rule {
        Rule::ChampionNotMeasured => "the champion could not be measured, and a doubt keeps the seat",
        Rule::ChallengerNotMeasured => "it could not be measured",
        Rule::NotComparable => "it could not be compared with the champion",
        Rule::NearCopy => "a copy of an earlier one",
        Rule::LatencyBreach => "it behaved otherwise while it was timed",
        Rule::LatencyUnstable => "the host was too restless to compare latencies",
        Rule::BelowGate => "below the gate on public items",
        Rule::BelowHiddenGate => "below the gate on fresh hidden items, beyond doubt: out for good",
        Rule::Screened => "above the gate and not decided this time: it gains priority",
        Rule::HiddenNotBetter => "not shown to be better than the champion: its evidence is kept",
        Rule::Dethrones => "shown to be better than the champion",
    };
    format!("{}: {said}", verdict.rule)
}

fn weights(status: &SubmissionStatus) -> Option<Fact> {
    let round = status.withheld_until_round?;
    Some(Fact::new(Topic::Weights, format!("its package becomes public when round {round} is over")))
}
