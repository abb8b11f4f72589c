//! How much of something each address holds.
//!
//! It holds those that hold something and nobody else, so it is never longer than there is of what is held. It does not
//! know what that is, nor in what it is counted.

use super::AddressBlock;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A count for each address, and for the wider networks that it lies in.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<AddressBlock, u64>);

impl Tally {
    /// Whether `client` may hold so much more, where an address may hold `each_max`.
    pub(super) fn has_room(&self, client: AddressBlock, more: u64, each_max: u64) -> bool {
        let held = |block| self.0.get(&block).copied().unwrap_or(0);
        client.widening().all(|(block, times)| held(block).saturating_add(more) <= each_max.saturating_mul(times))
    }

    /// Whether neither `client` nor anybody in its networks holds anything.
    pub(super) fn is_new(&self, client: AddressBlock) -> bool {
        client.widening().all(|(block, _)| !self.0.contains_key(&block))
    }

    /// `client` holds so much more.
    pub(super) fn add(&mut self, client: AddressBlock, more: u64) {
        for (block, _) in client.widening() {
            let held = self.0.entry(block).or_default();
            *held = held.saturating_add(more);
        }
    }

    /// `client` holds so much less.
    pub(super) fn remove(&mut self, client: AddressBlock, less: u64) {
        for (block, _) in client.widening() {
            if let Entry::Occupied(mut entry) = self.0.entry(block) {
                *entry.get_mut() = entry.get().saturating_sub(less);
                if *entry.get() == 0 {
                    entry.remove();
                }
            }
        }
    }

    /// How much each address holds, without the wider networks.
    pub(super) fn by_client(&self) -> HashMap<AddressBlock, u64> {
        self.0.iter().filter(|(block, _)| block.is_client()).map(|(block, held)| (*block, *held)).collect()
    }

    /// Whether nobody holds anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_four_times_what_one_of_its_customers_does() {
        let client = |text: String| AddressBlock::of(text.parse().unwrap());
        let (mut tally, mut held) = (Tally::default(), Vec::new());
        // A /48, of which each customer has a /64 of his own.
        for customer in 0..100 {
            let client = client(format!("2001:db8:1:{customer:x}00::1"));
            while tally.has_room(client, 1, 3) {
                tally.add(client, 1);
                held.push(client);
            }
        }
        assert_eq!(held.len(), 12);
        assert!(tally.has_room(client("2001:db8:2::1".into()), 1, 3), "another network isn't concerned");
        assert!(tally.has_room(client("192.0.2.1".into()), 1, 3));
        held.into_iter().for_each(|client| tally.remove(client, 1));
        assert!(tally.is_empty());
    }
}
