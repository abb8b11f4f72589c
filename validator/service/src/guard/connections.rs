//! How many connections an address has open.
//!
//! The table holds open connections only, so it is never longer than there are places for connections. It does not know
//! what goes over them.

use super::AddressBlock;
use super::tally::Tally;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Open connections by address.
#[derive(Clone)]
pub struct Connections {
    per_address_max: u64,
    open: Arc<Mutex<Tally>>,
}

/// A connection that is counted until this is dropped.
pub struct Counted {
    of: Connections,
    /// `None` for a trusted proxy, which stands for many.
    address: Option<AddressBlock>,
}

impl Connections {
    /// Nobody is connected; each address may open `per_address_max`.
    pub fn new(per_address_max: u64) -> Self {
        Self { per_address_max, open: Arc::default() }
    }

    /// Counts a connection of `address`, unless it has enough.
    pub fn enter(&self, address: AddressBlock) -> Option<Counted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.has_room(address, 1, self.per_address_max) {
            return None;
        }
        open.add(address, 1);
        Some(Counted { of: self.clone(), address: Some(address) })
    }

    /// Who has how many open.
    pub(super) fn open(&self) -> HashMap<AddressBlock, u64> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_client()
    }

    /// A connection that has no limit of its own.
    pub fn enter_uncounted(&self) -> Counted {
        Counted { of: self.clone(), address: None }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        self.of.open.lock().unwrap_or_else(PoisonError::into_inner).remove(address, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_is_open_and_nothing_else() {
        let connections = Connections::new(2);
        let address = |text: &str| AddressBlock::of(text.parse().unwrap());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let held =
            (connections.enter(one).unwrap(), connections.enter(one).unwrap(), connections.enter(other).unwrap());
        assert!(connections.enter(one).is_none() && connections.enter(other).is_some());
        let proxy: Vec<Counted> = (0..10).map(|_| connections.enter_uncounted()).collect();
        drop((held, proxy));
        assert!(connections.open.lock().unwrap().is_empty());
        assert!(connections.enter(one).is_some());
    }
}
