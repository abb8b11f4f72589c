//! Who may submit at all: by the settings everybody, whoever was invited, or whoever the ledger has registered.
//!
//! It knows neither packages nor quotas.

use crate::app::App;
use crate::refusal::{Meaning, Refusal};
use protocol::Hotkey;
use std::sync::Arc;
use store::config::Registration;
use store::db::{Tx, invites};

/// Whether a hotkey may submit, with the code that it shows if it has one; if so, whether the ledger knows it. A code is used
/// with the transaction: a request that is refused for another reason leaves it good.
pub(super) async fn check(app: &App, tx: &mut Tx, hotkey: &Hotkey, code: Option<&str>) -> Result<bool, Refusal> {
    if is_registered(app, *hotkey).await? {
        return Ok(true);
    }
    match app.config.registration {
        Registration::Unset | Registration::Open => return Ok(false),
        Registration::Invite => {}
        Registration::Required => {
            let hint = "Ask the operator for `retort validator register HOTKEY`, which this machine's ledger has after some seconds; \
                        then send the same again.";
            return Err(refused(
                "not_registered",
                format!("{hotkey} is not registered in this validator's ledger"),
                hint,
            ));
        }
    }
    if invites::is_invited(tx, hotkey).await? {
        return Ok(false);
    }
    let Some(code) = code else {
        let hint = "Ask the operator for a code and send it once: retort miner submit --invite CODE. Registered hotkeys need none.";
        return Err(refused("not_invited", format!("{hotkey} is neither registered nor invited"), hint));
    };
    match invites::redeem(tx, code, hotkey, app.clock.now()).await? {
        true => Ok(false),
        false => {
            let hint = "Each code lets one hotkey in: ask the operator for another one.";
            Err(refused("invite_invalid", "this code was never given or is used".into(), hint))
        }
    }
}

fn refused(code: &'static str, detail: String, hint: &'static str) -> Refusal {
    Refusal::new(Meaning::Forbidden, code, detail, hint)
}

async fn is_registered(app: &App, hotkey: Hotkey) -> Result<bool, Refusal> {
    let ledger = Arc::clone(&app.ledger);
    let registrations = tokio::task::spawn_blocking(move || ledger.registrations())
        .await
        .map_err(|error| Refusal::internal(&error))?
        .map_err(|error| Refusal::internal(&error))?;
    Ok(registrations.iter().any(|registration| registration.hotkey == hotkey))
}
