//! Which engines this machine has, and whether the competitions that go on can be measured on theirs, and on this hardware.
//!
//! It asks the evaluator and knows no engine.

use crate::app::App;
use crate::evaluator::Evaluator;
use protocol::CompetitionId;
use protocol::amendment::EngineInForce;
use protocol::backend::Backend;
use protocol::competition::{EngineName, Manifest, OfficialEngine};
use protocol::hardware::HardwareClass;
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
    /// It is measured on other hardware.
    #[error(
        "{competition} is measured on machines of the class {named}, and this one is {here}: serve it on one of those"
    )]
    OtherHardware {
        /// The competition.
        competition: CompetitionId,
        /// What its manifest names.
        named: HardwareClass,
        /// What this machine is.
        here: String,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The class of hardware that a manifest names and the one that this machine is, where they differ. Who measures nothing is of none.
pub fn other_hardware(evaluator: &dyn Evaluator, manifest: &Manifest) -> Option<(HardwareClass, String)> {
    let here = evaluator.class()?;
    Some((manifest.hardware.filter(|named| !named.is_of(&here))?, here))
}

/// What a competition's models are measured on now.
///
/// # Errors
/// When the database fails.
pub(crate) async fn in_force(app: &App, stored: &StoredCompetition) -> Result<OfficialEngine, DbError> {
    let round = app.db.latest_round(&stored.published.id).await?.map_or(0, |round| round.number);
    Ok(stored.engine_in(round).engine)
}

/// Checks that this machine has the engine that each competition that isn't closed is measured on now, and is of its class.
///
/// # Errors
/// The first one that it lacks.
pub async fn check(app: &App) -> Result<(), EngineError> {
    for stored in app.db.competitions().await? {
        let manifest = &stored.competition.manifest;
        if manifest.is_closed(app.clock.now()) {
            continue;
        }
        if let Some((named, here)) = other_hardware(&*app.evaluator, manifest) {
            return Err(EngineError::OtherHardware { competition: manifest.id.clone(), named, here });
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

/// What there is with its versions, on what, and what there isn't; the error of one that a competition needs.
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
    let class = app.evaluator.class().map(|class| format!("hardware of the class {class}"));
    Ok([here.join(", ")].into_iter().chain(class).chain(missing).chain(backends).collect::<Vec<_>>().join("; "))
}
