//! Rounds: committed to, closed, drawn, measured, judged, paid, revealed; one step after the other, each exactly once.
//!
//! ```text
//! open ──close──▶ closed ──beacon──▶ drawn ──▶ screened ──▶ measured ──▶ judged ──▶ paid ──▶ revealed ──▶ the next opens
//!                   └──no beacon──▶ abandoned ──▶ the next opens
//! ```
//!
//! [`advance`] does the one step that is due. What a step needs is in the database or follows from it, and what it
//! yields is written in the transaction that moves the round on, so a crash at any point only repeats a step. Steps that
//! reach outside (the ledger, the object store) say the same thing twice without harm. None measures: what a round wants to know it
//! asks (`asked`), and its step is due again when the answers are there.
//!
//! It knows the clock only to see whether a round is over. Who is screened, decided and crowned is `referee`'s,
//! payment `protocol::reward`'s, items `datasets::hidden`'s.

mod asked;
mod beacon;
mod change;
mod close;
mod draw;
mod field;
mod judge;
mod measure;
mod open;
mod pay;
mod record;
mod reveal;
mod schedule;
mod screen;
mod view;

pub use asked::{measured, request, screened};
pub use beacon::supply_beacon;
pub use change::{announce_reward, schedule};
pub use close::close_now;
pub use schedule::run;
pub use view::of_submission;
pub use view::{gate_of, shown_share, told_of};
pub use view::{view, views};

use crate::app::App;
use crate::copies::Original;
use crate::relay::RelayError;
use crate::state::materials::MaterialError;
use chain::LedgerError;
use datasets::FormatError;
use datasets::hidden::{
    BeaconError, CommitError, DrandChain, DrandError, DrawError, RenderError, RevealError, RoundAbandoned, RoundClosed,
};
use protocol::amendment::EngineInForce;
use protocol::round::Step;
use protocol::submission::State;
use protocol::{CompetitionId, Digest, SubmissionId};
use serde_json::json;
use std::collections::HashMap;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::db::rounds::{Record, Round};
use store::failpoints::{self, Change};
use store::objects::ObjectError;
use transparency::EntryKind;

/// Why a round did not move on.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// There is no such competition.
    #[error("no competition is called {0}")]
    UnknownCompetition(CompetitionId),
    /// There is no such round.
    #[error("{competition} has no round {round}")]
    UnknownRound {
        /// The competition.
        competition: CompetitionId,
        /// The round asked for.
        round: u64,
    },
    /// A command came at the wrong time.
    #[error("round {round} of {competition} is {step}, so it can't be {wanted}")]
    OutOfOrder {
        /// The competition.
        competition: CompetitionId,
        /// Its round.
        round: u64,
        /// Where it is.
        step: Step,
        /// What was to be done with it.
        wanted: &'static str,
    },
    /// The terms of a round can't be committed to.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A beacon that isn't the round's.
    #[error("the beacon: {0}")]
    Beacon(#[from] BeaconError),
    /// A beacon that can't be read.
    #[error("the beacon: {0}")]
    Drand(#[from] DrandError),
    /// A beacon that isn't to be had.
    #[error("the beacon: {0}")]
    Relay(#[from] RelayError),
    /// A published competition that names no beacon: a version before this one published it.
    #[error("{0} names no beacon for its rounds: publish it again under another name")]
    NoBeacon(CompetitionId),
    /// Nothing can be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The items can't be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A round can't be opened to the public.
    #[error(transparent)]
    Reveal(#[from] RevealError),
    /// The pool can't be committed to.
    #[error(transparent)]
    Pool(#[from] datasets::commitment::CommitmentError),
    /// A stored file isn't in its format.
    #[error("a stored data file: {0}")]
    Format(#[from] FormatError),
    /// Stored outcomes can't be read.
    #[error(transparent)]
    Outcomes(#[from] protocol::outcomes::OutcomesError),
    /// What an evaluation is made of is missing.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A report that is no JSON.
    #[error("a report that is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Other rewards that can't be announced.
    #[error(transparent)]
    Change(#[from] protocol::reward::ChangeError),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A measurement that can't be signed for.
    #[error(transparent)]
    Receipt(#[from] protocol::receipt::ReceiptError),
    /// Submissions can't be compared.
    #[error(transparent)]
    Copies(#[from] crate::copies::CopyError),
    /// A thread failed.
    #[error("a thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// Something that an earlier step wrote isn't there.
    #[error("round {round} is {step} but has no {what}; this is a bug")]
    Missing {
        /// The round.
        round: u64,
        /// Its step.
        step: Step,
        /// What is missing.
        what: &'static str,
    },
}

/// What [`advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// A round came to this step.
    To(Step),
    /// Nothing is due; what is waited for.
    Waiting(&'static str),
    /// So many answers are waited for, of those that were asked to be measured.
    Measuring(u64),
}

/// A competition with its round under way.
pub struct Turn<'a> {
    app: &'a App,
    stored: &'a StoredCompetition,
    round: Round,
}

/// Does the one step that is due in a competition.
///
/// # Errors
/// When the step fails; it stays due.
pub async fn advance(app: &App, competition: &CompetitionId) -> Result<Advanced, RoundError> {
    let unknown = || RoundError::UnknownCompetition(competition.clone());
    let stored = app.db.competition(competition).await?.ok_or_else(unknown)?;
    let round = match app.db.latest_round(competition).await? {
        Some(round) if !round.step.is_over() => round,
        before => return open::open(app, &stored, before).await,
    };
    let mut turn = Turn { app, stored: &stored, round };
    let advanced = match turn.round.step {
        Step::Open => close::close(&turn).await,
        Step::Closed => match beacon::settle(&mut turn).await {
            Ok(Some(advanced)) => Ok(advanced),
            // What holds items is on the heap: a thread has two megabytes of stack, and unoptimised futures are large.
            Ok(None) => Box::pin(draw::draw(&turn)).await,
            Err(error) => Err(error),
        },
        Step::Drawn => Box::pin(screen::screen(&turn)).await,
        Step::Screened => Box::pin(measure::measure(&turn)).await,
        Step::Measured => Box::pin(judge::judge(&turn)).await,
        Step::Judged => pay::pay(&turn).await,
        Step::Paid | Step::Revealed | Step::Abandoned => Box::pin(reveal::reveal(&turn)).await,
    };
    // Another process was faster: the step is done.
    match advanced {
        Err(RoundError::Db(DbError::RoundMoved { .. })) => Ok(Advanced::Waiting("another process")),
        advanced => advanced,
    }
}

/// The submission, unless it was disqualified.
async fn still_competes(app: &App, id: SubmissionId) -> Result<Option<SubmissionId>, DbError> {
    let found = app.db.submission(&id).await?;
    Ok(found.filter(|submission| submission.state == State::Scored).map(|submission| submission.id))
}

/// The name of a round's leaf in the public log.
fn leaf_key(round: &Round, what: &str) -> String {
    format!("round/{}/{}/{what}", round.competition, round.number)
}

/// The last part of a leaf's name, what kind it is, and what it says.
type Leaf = (&'static str, EntryKind, serde_json::Value);

/// What the public log says when a round comes to a step at `now`.
fn leaf(round: &Round, to: Step, record: &Record, now: u64) -> Result<Option<Leaf>, RoundError> {
    let (competition, number) = (&round.competition, round.number);
    Ok(match to {
        Step::Closed => {
            let closed_at = round.closes_at.unwrap_or(round.opened_at);
            let closed = RoundClosed::new(competition.clone(), &record.terms, &round.secret, closed_at)?;
            Some(("closed", EntryKind::RoundClosed, serde_json::to_value(closed)?))
        }
        Step::Abandoned => {
            let why = record.abandoned.clone();
            let why = why.ok_or(RoundError::Missing { round: number, step: to, what: "reason" })?;
            let (competition, secret) = (competition.clone(), Digest::from(*round.secret.expose()));
            let abandoned = RoundAbandoned { competition, round: number, why, secret, at: now };
            Some(("abandoned", EntryKind::RoundAbandoned, serde_json::to_value(abandoned)?))
        }
        Step::Judged => Some((
            "judged",
            EntryKind::RoundJudged,
            json!({
                "competition": competition, "round": number,
                "champion_before": record.champion_before, "champion": record.champion,
                "record": record.judged,
            }),
        )),
        Step::Paid => Some((
            "reward",
            EntryKind::Reward,
            json!({"competition": competition, "round": number, "epoch": round.epoch, "weights": record.weights}),
        )),
        Step::Revealed => Some((
            "revealed",
            EntryKind::RoundRevealed,
            json!({"competition": competition, "round": number, "reveal": record.reveal}),
        )),
        Step::Open | Step::Drawn | Step::Screened | Step::Measured => None,
    })
}

/// The chain of drand that rounds may be bound to.
fn drand() -> DrandChain {
    DrandChain::quicknet()
}

impl Turn<'_> {
    /// What the round measures on.
    fn engine(&self) -> EngineInForce {
        self.stored.engine_in(self.round.number)
    }

    /// What an earlier step must have written.
    fn needed<T>(&self, what: &'static str, value: Option<T>) -> Result<T, RoundError> {
        value.ok_or(RoundError::Missing { round: self.round.number, step: self.round.step, what })
    }

    /// Writes that the round came to `to`, with everything in `record`.
    async fn moved(&self, to: Step, record: &store::db::rounds::Record) -> Result<Advanced, RoundError> {
        let mut tx = self.app.db.write().await?;
        self.moved_in(&mut tx, to, record).await?;
        failpoints::commit(tx, Change::Round(to)).await?;
        Ok(self.told(to))
    }

    async fn moved_in(
        &self,
        tx: &mut store::db::Tx,
        to: Step,
        record: &store::db::rounds::Record,
    ) -> Result<(), RoundError> {
        let now = self.app.clock.now();
        store::db::rounds::advance(tx, &self.round, to, record, now).await?;
        let Some((what, kind, body)) = leaf(&self.round, to, record, now)? else { return Ok(()) };
        Ok(store::db::leaves::enqueue(tx, &leaf_key(&self.round, what), kind, &body).await?)
    }

    /// Which submissions count as what.
    async fn copies(&self) -> Result<HashMap<SubmissionId, Original>, RoundError> {
        Ok(crate::copies::copy_of(self.app, &self.round.competition, self.closed_at()).await?)
    }

    /// When the round closed: what the champion's age is counted to, the same for everybody who checks.
    fn closed_at(&self) -> u64 {
        self.round.closes_at.unwrap_or(self.round.opened_at)
    }

    /// How long the champion has reigned when the round closes.
    fn champion_age_seconds(&self) -> u64 {
        self.closed_at().saturating_sub(self.round.record.crowned_at)
    }

    fn told(&self, to: Step) -> Advanced {
        let (round, competition) = (self.round.number, &self.round.competition);
        tracing::info!(%competition, round, step = %to, "round {round} of {competition} is {to}");
        Advanced::To(to)
    }
}
