//! What a validator's ledger says: the hashes that beacons are, who was ever paid, who owned what. The validator sends
//! its entries, which are verified one by one.
//!
//! It does not know whether others were shown the same ledger: that is what the public log's leaves `beacon` and `reward`
//! are compared for.

use anyhow::{Context, Result};
use audit::LedgerSeen;
use chain::Replica;
use miner_template::client::Client;
use protocol::Hotkey;

/// The ledger of `owner`; nothing where none is shown.
pub(super) fn seen(client: &Client, owner: Hotkey) -> Result<Option<LedgerSeen>> {
    let ledger = replica(client, owner)?;
    let hashes = (0..ledger.next_height()).filter_map(|height| Some((height, ledger.block_hash(height)?)));
    let seen = LedgerSeen {
        registrations: ledger.registered().to_vec(),
        weights: ledger.all_weights().map(|(epoch, weights)| (epoch, weights.to_vec())).collect(),
        hashes: hashes.collect(),
    };
    Ok((ledger.next_height() > 0).then_some(seen))
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
