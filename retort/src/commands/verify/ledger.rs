//! The ledger's part of a round: its beacon, where the round is bound to the ledger, and the weights that were paid. The
//! validator sends its entries, which are verified one by one.
//!
//! It does not know whether others were shown the same ledger: that is what the public log's leaves `beacon` and `reward`
//! are compared for.

use super::checks::Checks;
use anyhow::{Context, Result};
use chain::Replica;
use datasets::hidden::Beacon;
use miner_template::client::Client;
use protocol::api::CompetitionView;
use protocol::{Digest, Hotkey};
use validator::rounds::RoundView;

/// The whole ledger of `owner`, verified.
pub(super) fn replica(client: &Client, owner: Hotkey) -> Result<Replica> {
    let mut replica = Replica::new(owner);
    loop {
        let lines = client.ledger(replica.next_height())?;
        if replica.take(&lines).context("verify the validator's ledger")? == 0 {
            return Ok(replica);
        }
    }
}

/// Holds a round's beacon and weights against the ledger.
pub(super) fn compare(checks: &mut Checks, client: &Client, view: &CompetitionView, round: &RoundView) -> Result<()> {
    let ledger = replica(client, view.validator)?;
    if ledger.next_height() == 0 {
        checks.unclear("ledger", "the validator shows no ledger of its own");
        return Ok(());
    }
    if let Some(Beacon::Ledger { height, hash }) = round.beacon {
        let holds = ledger.block_hash(height) == Some(Digest::from(hash))
            && ledger.marked_at(&Digest::from(round.commitment.root)) == Some(height);
        let problem = format!("entry {height} of the ledger isn't the mark of this round, or has another hash");
        checks.that("mark", holds, format!("entry {height} of the ledger marks this round's close"), problem);
    }
    let mut weights: Vec<_> = round.weights.iter().map(|weight| (weight.hotkey, weight.weight_ppm)).collect();
    weights.sort_unstable();
    let paid = round.epoch.and_then(|epoch| ledger.weights(epoch));
    let detail = format!("the ledger pays {} hotkeys what the round says", weights.len());
    checks.that("weights", paid == Some(&weights[..]), detail, "the ledger has other weights than the round");
    Ok(())
}
