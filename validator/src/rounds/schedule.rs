//! The scheduler: moves every competition's round on, one step at a time, and says once when one can't.

use super::{Advanced, advance};
use crate::app::App;
use crate::error::Chain;
use protocol::CompetitionId;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often rounds are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a round that failed is left alone, at first and at most: twice as long after each failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// Works until `stop`.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    let mut failing: HashMap<CompetitionId, BackOff> = HashMap::new();
    while !stop.is_cancelled() {
        let mut moved = false;
        match app.db.competitions().await {
            Ok(competitions) => {
                for stored in competitions {
                    let id = stored.competition.manifest.id;
                    moved |= tokio::select! {
                        moved = turn(&app, &id, &mut failing) => moved,
                        () = stop.cancelled() => return,
                    };
                }
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't see which rounds there are"),
        }
        if !moved {
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// When a competition whose round failed is looked at again.
struct BackOff {
    until: Instant,
    pause: Duration,
}

/// One step of one competition; whether it moved.
async fn turn(app: &App, id: &CompetitionId, failing: &mut HashMap<CompetitionId, BackOff>) -> bool {
    let now = Instant::now();
    if failing.get(id).is_some_and(|back_off| now < back_off.until) {
        return false;
    }
    match advance(app, id).await {
        Ok(advanced) => {
            failing.remove(id);
            matches!(advanced, Advanced::To(_))
        }
        Err(error) => {
            let (least, most) = BACK_OFF;
            let pause = failing.get(id).map_or(least, |before| (before.pause * 2).min(most));
            tracing::error!(competition = %id, pause_s = pause.as_secs(), error = %Chain(&error), "the round of {id} doesn't move on");
            failing.insert(id.clone(), BackOff { until: now + pause, pause });
            false
        }
    }
}
