//! What a validator's ledger says of its rounds: the hashes of their beacons, who was paid, who owns what. The validator sends
//! its entries, which are verified one by one.
//!
//! It does not know whether others were shown the same ledger: that is what the public log's leaves `beacon` and `reward`
//! are compared for.

use anyhow::{Context, Result};
use chain::Replica;
use miner_template::client::Client;
use protocol::{CompetitionId, Hotkey};
use validator::audit::{LedgerSeen, Statements};

/// The ledger of `owner`, as far as a competition's rounds rest on it; nothing where none is shown.
pub(super) fn seen(
    client: &Client,
    owner: Hotkey,
    competition: &CompetitionId,
    log: &Statements,
) -> Result<Option<LedgerSeen>> {
    let ledger = replica(client, owner)?;
    if ledger.next_height() == 0 {
        return Ok(None);
    }
    let (epochs, heights) = log.on_ledger(competition);
    let weights = epochs.iter().filter_map(|epoch| Some((*epoch, ledger.weights(*epoch)?.to_vec())));
    let hashes = heights.iter().filter_map(|height| Some((*height, ledger.block_hash(*height)?)));
    Ok(Some(LedgerSeen {
        registrations: ledger.registrations().to_vec(),
        weights: weights.collect(),
        hashes: hashes.collect(),
    }))
}

/// The whole ledger of `owner`, verified.
fn replica(client: &Client, owner: Hotkey) -> Result<Replica> {
    let mut replica = Replica::new(owner);
    loop {
        let lines = client.ledger(replica.next_height())?;
        if replica.take(&lines).context("verify the validator's ledger")? == 0 {
            return Ok(replica);
        }
    }
}
