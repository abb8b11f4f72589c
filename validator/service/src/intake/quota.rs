//! How much a hotkey may enter: what is open, what is under way, and what it announced in the last day.
//!
//! A failure of ours costs nothing: it counts nowhere. Whoever is refused is told when to come again. It does not know
//! what a package is.

use crate::app::App;
use crate::guard::AddressBlock;
use crate::refusal::Refusal;
use crate::shares;
use protocol::Hotkey;
use protocol::competition::Manifest;
use store::config::ServiceLimits;
use store::db::competitions::StoredCompetition;
use store::db::origins::{Counted, Origin};
use store::db::quotas::{self, Pending};
use store::db::submissions;
use store::db::{DbError, Tx};

/// The window of quotas.
const DAY_SECONDS: u64 = 24 * 3_600;
/// When somebody whose submissions wait for us may ask again.
const ASK_AGAIN_SECONDS: u64 = 60;

/// A competition's manifest with the quotas of the round that runs. Asked for before a transaction begins: many that wait for
/// the write lock hold all connections that there are.
pub(super) async fn in_force(app: &App, stored: StoredCompetition) -> Result<Manifest, DbError> {
    let round = app.db.latest_round(&stored.published.id).await?.map_or(0, |round| round.number);
    Ok(stored.published.amended(&stored.amendments, round))
}

/// Whether the competition and the hotkey's quotas take one more; `manifest` is the one in force.
pub(super) async fn check(
    app: &App,
    manifest: &Manifest,
    tx: &mut Tx,
    hotkey: &Hotkey,
    now: u64,
    bytes: u64,
) -> Result<(), Refusal> {
    let limits = &app.config.limits;
    check_open(manifest, now)?;
    let since = now.saturating_sub(DAY_SECONDS);
    let quota = u64::from(manifest.limits.submissions_per_day);
    let entered = submissions::counted_since(tx, &manifest.id, hotkey, since).await?;
    // The quota is free again when the one that is `quota` back leaves the window.
    let oldest = entered.len().checked_sub(quota.max(1) as usize).and_then(|index| entered.get(index));
    if entered.len() as u64 >= quota {
        let hint = "Wait until an earlier one is 24 hours old; check packages with `retort miner check` first.";
        let detail = format!("{quota} submissions in 24 hours are the limit of {}", manifest.id);
        return Err(a_day_after(oldest.copied(), now, "quota_exhausted", detail, hint));
    }
    let quota = limits.hotkey_announcements_per_day_max;
    if let Some(oldest) = quotas::announced_before_last(tx, hotkey, quota, since).await? {
        let hint = "Wait until an earlier one is 24 hours old, and upload what you announce.";
        let detail = format!("{quota} announcements in 24 hours are the limit of a hotkey");
        return Err(a_day_after(Some(oldest), now, "announcements_exhausted", detail, hint));
    }
    under_way(quotas::pending_of(tx, hotkey).await?, bytes, limits, now)
}

/// Whether one more of a stranger from `origin` may wait for us, beside the others that do. Who waits already holds a place.
pub(super) async fn check_waiting(app: &App, tx: &mut Tx, hotkey: &Hotkey, origin: &Origin) -> Result<(), Refusal> {
    if submissions::is_waiting(tx, hotkey).await? {
        return Ok(());
    }
    let admitted = shares::admit(app, tx, Counted::Waiting, app.config.limits.pending_max, origin).await;
    admitted.map_err(|refused| refused.retry_after(ASK_AGAIN_SECONDS))
}

/// Counts what a hotkey that the ledger doesn't know announces from `client`, unless that address has brought enough for a
/// day: free keys are no more space than their address has.
pub(super) async fn charge(app: &App, tx: &mut Tx, client: AddressBlock, now: u64, bytes: u64) -> Result<(), Refusal> {
    for (block, times) in client.widening() {
        let address = shares::digest(app, block);
        let (brought, first) = quotas::announced_from(tx, &address, now.saturating_sub(DAY_SECONDS)).await?;
        let bytes_max = app.config.limits.address_bytes_per_day_max.saturating_mul(times);
        if brought > 0 && brought.saturating_add(bytes) > bytes_max {
            let hint = "Wait until what was announced earlier is 24 hours old, or register the hotkey.";
            let detail =
                format!("{bytes_max} bytes in 24 hours are the limit of {block}, by hotkeys that aren't registered");
            return Err(a_day_after(first, now, "address_bytes_exhausted", detail, hint));
        }
        quotas::count_from(tx, &address, now, bytes).await?;
    }
    Ok(())
}

/// Refuses what comes after the close.
pub fn check_open(manifest: &Manifest, now: u64) -> Result<(), Refusal> {
    if !manifest.is_closed(now) {
        return Ok(());
    }
    let detail = format!("{} takes no submissions any more", manifest.id);
    Err(Refusal::conflict(
        "competition_closed",
        detail,
        "`retort competitions` lists the open ones, as GET /api/v1/competitions does.",
    ))
}

/// A refusal until what was done at `oldest` is a day old.
fn a_day_after(oldest: Option<u64>, now: u64, code: &'static str, detail: String, hint: &'static str) -> Refusal {
    let free_at = oldest.map_or(now, |at| at.saturating_add(DAY_SECONDS));
    Refusal::too_many(code, detail, hint, free_at.saturating_sub(now))
}

/// Whether a hotkey with so much under way may enter `bytes` more.
fn under_way(pending: Pending, bytes: u64, limits: &ServiceLimits, now: u64) -> Result<(), Refusal> {
    let seconds = pending.upload_until.map_or(ASK_AGAIN_SECONDS, |until| until.saturating_sub(now));
    let hint = "Wait until one is done, or take one back: `retort submissions --hotkey` lists them, `retort miner withdraw` frees a place.";
    if pending.submissions >= limits.hotkey_pending_max {
        let detail = format!("{} submissions are under way, limit {}", pending.submissions, limits.hotkey_pending_max);
        return Err(Refusal::too_many("pending_exhausted", detail, hint, seconds));
    }
    let bytes_max = limits.hotkey_pending_bytes_max;
    if pending.submissions > 0 && pending.bytes.saturating_add(bytes) > bytes_max {
        let detail = format!("{} bytes are under way, {bytes} more pass the limit of {bytes_max}", pending.bytes);
        return Err(Refusal::too_many("pending_bytes_exhausted", detail, hint, seconds));
    }
    Ok(())
}
