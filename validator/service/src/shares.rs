//! Shares of what the database counts: as [`Places`](crate::guard::places::Places), for what outlives a restart.
//!
//! While more than half of it is free anybody may have any number; beyond that an address has a share, and its wider
//! networks four times as much. Whom the ledger knows isn't counted against: free keys never stop it. It does not know
//! what is counted, nor what whoever is refused wanted.

use crate::app::App;
use crate::guard::AddressBlock;
use crate::guard::places::{NoPlace, WIDE_TIMES, is_scarce, share};
use crate::refusal::Refusal;
use store::db::origins::{self, Counted, Held, Origin};
use store::db::{DbError, Tx};
use store::secret::mac;

/// What a keyed digest of an address is asked for.
const ADDRESSES: &str = "retort/addresses/1";
/// Bytes of such a digest that are kept: none is met twice by chance.
const DIGEST_BYTES: usize = 16;

/// Where a request came from, as it may be remembered.
pub fn origin(app: &App, client: AddressBlock) -> Origin {
    let digests: Vec<String> = client.widening().map(|(block, _)| digest(app, block)).collect();
    let wide = |index: usize| digests.get(index).or(digests.first()).cloned().unwrap_or_default();
    Origin { address: wide(0), network_56: wide(1), network_48: wide(2) }
}

/// A digest that is equal where the block is, and of which nobody without the validator's key can find the block.
pub fn digest(app: &App, block: AddressBlock) -> String {
    let digest = mac(&app.keypair.key_for(ADDRESSES), block.to_string().as_bytes());
    hex::encode(&digest[..DIGEST_BYTES])
}

/// Whether a stranger from `origin` may have one more of what there may be `places_max` of.
pub async fn admit(app: &App, tx: &mut Tx, what: Counted, places_max: u64, origin: &Origin) -> Result<(), Refusal> {
    let all = origins::all(tx, what).await?;
    if all >= places_max {
        return Err(app.guard.no_place(NoPlace::Full));
    }
    if is_scarce(all, places_max) {
        let Held { address, network } = origins::held(tx, what, origin).await?;
        let share = share(places_max);
        if address >= share || network >= share.saturating_mul(WIDE_TIMES) {
            return Err(app.guard.no_place(NoPlace::Share));
        }
    }
    Ok(())
}

/// Whether strangers have shares of it now.
pub async fn are_scarce(tx: &mut Tx, what: Counted, places_max: u64) -> Result<bool, DbError> {
    Ok(is_scarce(origins::all(tx, what).await?, places_max))
}
