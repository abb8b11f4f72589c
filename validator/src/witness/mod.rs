//! Witnesses of public logs (C2SP tlog-witness): `ask` asks those that the settings name to cosign this validator's log,
//! `serve` is one for anybody's.
//!
//! A witness and a validator share nothing but this room: whoever witnesses a log shouldn't be the one who writes it. What
//! has to be checked before anything is cosigned, and what a cosignature is, lies in `transparency`.

mod ask;
mod serve;
mod setting;

pub(crate) use ask::run;
pub use serve::serve;
pub use setting::WitnessSetting;

use crate::app::App;
use crate::db::DbError;
use crate::db::witnesses::WitnessState;

/// How it goes with each witness of the settings, in their order.
pub(crate) async fn states(app: &App) -> Result<Vec<(&WitnessSetting, WitnessState)>, DbError> {
    let mut states = Vec::new();
    for witness in &app.config.witnesses {
        states.push((witness, app.db.witness_state(&witness.key.to_string()).await?));
    }
    Ok(states)
}
