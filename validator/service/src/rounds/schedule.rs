//! The scheduler: moves every competition's round on, each at its own pace, and says what one waits for or can't do.
//!
//! A round that waits, fails or takes long holds up no other competition's. While one waits for answers it is looked at whenever some
//! answer comes.

use super::{Advanced, RoundError, advance};
use crate::app::App;
use protocol::CompetitionId;
use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;
use store::causes::Chain;
use store::db::DbError;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often rounds are looked at, and new competitions are looked for.
const TICK: Duration = Duration::from_secs(1);
/// How long a round that failed is left alone, at first and at most: twice as long after each failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// How often a step under way is told of.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Works until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut known = HashSet::new();
    let mut competitions = JoinSet::new();
    while !stop.is_cancelled() {
        match app.db.competitions().await {
            Ok(stored) => {
                let ids = stored.into_iter().map(|stored| stored.competition.manifest.id);
                for id in ids.filter(|id| known.insert(id.clone())) {
                    competitions.spawn(keep_going(app.clone(), id));
                }
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't see which competitions there are"),
        }
        tokio::select! {
            Some(ended) = competitions.join_next() => if let Err(error) = ended && error.is_panic() {
                // Whoever supervises this counts it, and starts all of them again.
                std::panic::resume_unwind(error.into_panic());
            },
            () = tokio::time::sleep(TICK) => {}
            () = stop.cancelled() => {}
        }
    }
    competitions.shutdown().await;
}

/// Takes one step of a competition's rounds after the other.
async fn keep_going(app: App, id: CompetitionId) {
    let (least, most) = BACK_OFF;
    let mut back_off = least;
    let mut asked = Asked::default();
    loop {
        // From before the look, so that no answer is missed.
        let mut answered = std::pin::pin!(app.signals.answered.notified());
        answered.as_mut().enable();
        let pause = match step(&app, &id).await {
            Ok(Advanced::Measuring(left)) => {
                back_off = least;
                asked.tell(&app, &id, left).await;
                tokio::select! {
                    () = answered => {}
                    () = tokio::time::sleep(TICK) => {}
                }
                continue;
            }
            Ok(advanced) => {
                (back_off, asked) = (least, Asked::default());
                if let Advanced::To(_) = advanced { Duration::ZERO } else { TICK }
            }
            Err(error) => {
                let pause = back_off;
                back_off = (back_off * 2).min(most);
                tracing::error!(competition = %id, pause_s = pause.as_secs(), error = %Chain(&error), "the round of {id} doesn't move on");
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Since when a round waits for answers, and when that was last told.
#[derive(Default)]
struct Asked(Option<(Instant, Instant)>);

impl Asked {
    /// Says how far the round is, if it waits for long and that wasn't said lately.
    async fn tell(&mut self, app: &App, id: &CompetitionId, left: u64) {
        let now = Instant::now();
        let (since, told) = *self.0.get_or_insert((now, now));
        if told.elapsed() < TOLD_EVERY {
            return;
        }
        self.0 = Some((since, now));
        tracing::info!(competition = %id, left, "the round of {id} waits for {left} answers");
        told_once(app, id, since.elapsed().as_secs()).await;
    }
}

/// One step, which is told of while it takes long.
async fn step(app: &App, id: &CompetitionId) -> Result<Advanced, RoundError> {
    tokio::select! {
        advanced = advance(app, id) => advanced,
        never = tell(app, id) => match never {},
    }
}

/// Says how far the round is, every now and then.
async fn tell(app: &App, id: &CompetitionId) -> Infallible {
    let began = Instant::now();
    loop {
        tokio::time::sleep(TOLD_EVERY).await;
        told_once(app, id, began.elapsed().as_secs()).await;
    }
}

async fn told_once(app: &App, id: &CompetitionId, seconds: u64) {
    if let Err(error) = tell_once(app, id, seconds).await {
        tracing::warn!(competition = %id, error = %Chain(&error), "can't see how far the round of {id} is");
    }
}

async fn tell_once(app: &App, id: &CompetitionId, seconds: u64) -> Result<(), DbError> {
    let Some(round) = app.db.latest_round(id).await? else { return Ok(()) };
    let (number, step) = (round.number, round.step);
    let members = app.db.round_entries(id, number).await?;
    let asked = members.iter().filter(|member| member.verdict.is_none()).count();
    let answered = members.iter().filter(|member| member.screening.is_some() || member.failure.is_some()).count();
    let uncompared = app.db.unprinted(round.closes_at.unwrap_or(u64::MAX), 1000).await?.len();
    tracing::info!(
        competition = %id, round = number, %step, seconds, asked, answered, uncompared,
        "round {number} of {id} is {step}, its next step takes {seconds} s so far: {answered} of {asked} members have \
         answered, {uncompared} submissions wait to be compared"
    );
    Ok(())
}
