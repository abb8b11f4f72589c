//! Space that uploads under way may still need: how much of what is free anybody may have.
//!
//! It is shared as places are. Strangers together have three quarters, so that whoever is registered finds some whatever
//! they hold; and once more than half is reserved an address that holds some may have a share at most. It knows bytes and
//! addresses, no disk.

use super::AddressBlock;
use super::places::SHARES;
use super::tally::Tally;
use std::sync::{Arc, Mutex, PoisonError};

/// What is reserved.
#[derive(Clone, Debug, Default)]
pub struct Reservations(Arc<Mutex<Reserved>>);

#[derive(Debug, Default)]
struct Reserved {
    all: u64,
    /// By hotkeys that the ledger doesn't know.
    by_strangers: u64,
    by_address: Tally,
}

/// Space that is reserved until this is dropped.
#[derive(Debug)]
pub struct Space {
    of: Reservations,
    bytes: u64,
    stranger: Option<AddressBlock>,
}

/// Why no space is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// There is none, whoever asks.
    Full,
    /// What is left is for those who are registered.
    Strangers,
    /// More than half is reserved, and this address has its share.
    Share,
}

impl Reservations {
    /// Reserves so many of `free` bytes, for a stranger who comes from `stranger` or for somebody who is registered.
    pub fn reserve(&self, free: u64, bytes: u64, stranger: Option<AddressBlock>) -> Result<Space, NoSpace> {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = reserved.all.saturating_add(bytes);
        if all > free {
            return Err(NoSpace::Full);
        }
        if let Some(client) = stranger {
            // Whatever its size, one may come: otherwise a nearly full disk would take nothing of anybody.
            if reserved.by_strangers > 0 && reserved.by_strangers.saturating_add(bytes) > free - free / 4 {
                return Err(NoSpace::Strangers);
            }
            let is_scarce = all.saturating_mul(2) > free;
            let has_room =
                reserved.by_address.is_new(client) || reserved.by_address.has_room(client, bytes, free / SHARES);
            if is_scarce && !has_room {
                return Err(NoSpace::Share);
            }
            reserved.by_strangers += bytes;
            reserved.by_address.add(client, bytes);
        }
        reserved.all = all;
        Ok(Space { of: self.clone(), bytes, stranger })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut reserved = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.all -= self.bytes;
        if let Some(client) = self.stranger {
            reserved.by_strangers -= self.bytes;
            reserved.by_address.remove(client, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn client(text: &str) -> AddressBlock {
        AddressBlock::of(text.parse().unwrap())
    }

    /// As many uploads of 8 MiB as this address is given of 320 MiB.
    fn all_of(reservations: &Reservations, address: &str) -> (Vec<Space>, NoSpace) {
        let mut held = Vec::new();
        loop {
            match reservations.reserve(320 * MIB, 8 * MIB, Some(client(address))) {
                Ok(space) => held.push(space),
                Err(why) => return (held, why),
            }
        }
    }

    #[test]
    fn four_addresses_take_neither_everybodys_space_nor_that_of_the_registered() {
        let reservations = Reservations::default();
        let few: Vec<_> = (1..=4).map(|host| all_of(&reservations, &format!("192.0.2.{host}"))).collect();
        let counts: Vec<usize> = few.iter().map(|(held, _)| held.len()).collect();
        assert_eq!((counts, few[0].1), (vec![20, 2, 2, 2], NoSpace::Share));
        let honest = reservations.reserve(320 * MIB, 8 * MIB, Some(client("198.51.100.1")));
        assert!(honest.is_ok(), "another address has its own");
        let many: Vec<_> = (10..40).map(|host| all_of(&reservations, &format!("192.0.2.{host}"))).collect();
        assert_eq!(many.last().unwrap().1, NoSpace::Strangers);
        let registered: Vec<_> = std::iter::from_fn(|| reservations.reserve(320 * MIB, 8 * MIB, None).ok()).collect();
        assert_eq!(registered.len(), 10, "a quarter is theirs");
        assert_eq!(reservations.reserve(320 * MIB, 8 * MIB, None).unwrap_err(), NoSpace::Full);
        drop((few, honest, many, registered));
        let left = reservations.0.lock().unwrap();
        assert!(left.all == 0 && left.by_strangers == 0 && left.by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_no_crowd_of_newcomers() {
        let reservations = Reservations::default();
        let (_half, _) = all_of(&reservations, "192.0.2.1");
        let customers = (0..100).map(|customer| all_of(&reservations, &format!("2001:db8:1:{customer:x}00::1")).0);
        let held: Vec<Vec<Space>> = customers.collect();
        assert_eq!(held.iter().map(Vec::len).sum::<usize>(), 10, "four shares of 20 MiB");
    }

    #[test]
    fn what_is_larger_than_any_share_may_come_alone() {
        let reservations = Reservations::default();
        let large = reservations.reserve(320 * MIB, 300 * MIB, Some(client("192.0.2.1"))).unwrap();
        let again = reservations.reserve(320 * MIB, 8 * MIB, Some(client("192.0.2.1")));
        assert_eq!(again.unwrap_err(), NoSpace::Strangers);
        drop(large);
        assert_eq!(reservations.reserve(MIB, 2 * MIB, None).unwrap_err(), NoSpace::Full);
    }
}
