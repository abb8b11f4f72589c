//! Which engines this machine has, and whether the competitions that go on can be measured on theirs.
//!
//! It asks the evaluator and knows no engine.

use crate::app::App;
use protocol::CompetitionId;
use protocol::amendment::EngineInForce;
use protocol::backend::Backend;
use protocol::competition::{EngineName, OfficialEngine};
use store::causes::Chain;
use store::db::DbError;
use store::db::competitions::StoredCompetition;

/// Why nothing that a competition takes could be measured here.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Its engine isn't here.
    #[error("{competition} is measured on {engine}: {problem}")]
    Lacking {
        /// The competition.
        competition: CompetitionId,
        /// What its manifest names.
        engine: OfficialEngine,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What a competition's models are measured on now.
///
/// # Errors
/// When the database fails.
pub(crate) async fn in_force(app: &App, stored: &StoredCompetition) -> Result<OfficialEngine, DbError> {
    let round = app.db.latest_round(&stored.published.id).await?.map_or(0, |round| round.number);
    Ok(stored.engine_in(round).engine)
}

/// Checks that this machine has the engine that each competition that isn't closed is measured on now.
///
/// # Errors
/// The first one that it lacks.
pub async fn check(app: &App) -> Result<(), EngineError> {
    for stored in app.db.competitions().await? {
        let manifest = &stored.competition.manifest;
        if manifest.is_closed(app.clock.now()) {
            continue;
        }
        let engine = in_force(app, &stored).await?;
        let lacking = |problem| EngineError::Lacking { competition: manifest.id.clone(), engine, problem };
        app.evaluator.official(engine).await.map_err(lacking)?;
    }
    Ok(())
}

/// What is wrong with engines that competitions will be measured on.
async fn announced(app: &App) -> Result<Vec<String>, DbError> {
    let mut problems = Vec::new();
    for stored in app.db.competitions().await? {
        let manifest = &stored.competition.manifest;
        let last = stored.engine_in(u64::MAX);
        if manifest.is_closed(app.clock.now()) || in_force(app, &stored).await? == last.engine {
            continue;
        }
        if let Err(problem) = app.evaluator.official(last.engine).await {
            let (id, EngineInForce { engine, since }) = (&manifest.id, last);
            problems.push(format!("{id} is measured on {engine} from round {since} on: {problem}"));
        }
    }
    Ok(problems)
}

/// What there is with its versions, and what there isn't; the error of one that a competition needs.
pub(crate) async fn described(app: &App) -> Result<String, String> {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for name in EngineName::ALL {
        match app.evaluator.official(OfficialEngine::any(name)).await {
            Ok(engine) => here.push(engine.to_string()),
            Err(problem) => missing.push(problem),
        }
    }
    check(app).await.map_err(|error| Chain(&error).to_string())?;
    let problems = announced(app).await.map_err(|error| Chain(&error).to_string())?;
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let backends: Vec<&str> = app.evaluator.backends().await.into_iter().map(Backend::as_str).collect();
    let backends = (!backends.is_empty()).then(|| format!("backends: {}", backends.join(", ")));
    Ok([here.join(", ")].into_iter().chain(missing).chain(backends).collect::<Vec<_>>().join("; "))
}
