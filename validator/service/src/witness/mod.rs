//! Witnesses of public logs (C2SP tlog-witness): `ask` asks those that the settings name to cosign this validator's log;
//! the face has one that serves anybody's.
//!
//! A witness and a validator share nothing but this room: whoever witnesses a log shouldn't be the one who writes it. What
//! has to be checked before anything is cosigned, and what a cosignature is, lies in `transparency`.

mod ask;

pub use ask::run;

use crate::app::App;
use store::config::WitnessSetting;
use store::db::DbError;
use store::db::witnesses::WitnessState;

/// How it goes with each witness of the settings, in their order.
pub async fn states(app: &App) -> Result<Vec<(&WitnessSetting, WitnessState)>, DbError> {
    let mut states = Vec::new();
    for witness in &app.config.witnesses {
        states.push((witness, app.db.witness_state(&witness.key.to_string()).await?));
    }
    Ok(states)
}
