//! Who has requests under way now, by address: for the operator, who wants to know who holds the places.
//!
//! The table holds what is under way only, so it is never longer than there are connections. It decides nothing.

use super::AddressBlock;
use super::budget::Class;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;

/// What an address has under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Holder {
    /// The address, or its /64 of IPv6.
    pub address: String,
    /// Connections that are open. Those of trusted proxies are nobody's.
    pub connections: u64,
    /// Requests that only read.
    pub reads: u64,
    /// Requests that change something.
    pub writes: u64,
    /// Files that are coming.
    pub uploads: u64,
}

/// Requests under way by address and class.
#[derive(Clone, Default)]
pub struct Holders(Arc<Mutex<HashMap<(AddressBlock, Class), u64>>>);

/// A request that is counted until this is dropped.
pub struct Counted {
    of: Holders,
    key: (AddressBlock, Class),
}

impl Holders {
    /// Counts a request of `client`.
    pub fn enter(&self, client: AddressBlock, class: Class) -> Counted {
        let key = (client, class);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(0) += 1;
        Counted { of: self.clone(), key }
    }

    /// Those with the most under way, the first `count_max` of them; `connections` are open beside.
    pub(super) fn most(&self, connections: HashMap<AddressBlock, u64>, count_max: usize) -> Vec<Holder> {
        let mut all: HashMap<AddressBlock, Holder> = HashMap::new();
        for (client, connections) in connections {
            all.entry(client).or_default().connections = connections;
        }
        for ((client, class), count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let holder = all.entry(*client).or_default();
            match class {
                Class::Watch | Class::Read | Class::Stream => holder.reads += count,
                Class::Write => holder.writes += count,
                Class::Upload => holder.uploads += count,
            }
        }
        let named = |(client, holder): (AddressBlock, Holder)| Holder { address: client.to_string(), ..holder };
        let mut most: Vec<Holder> = all.into_iter().map(named).collect();
        let held = |holder: &Holder| holder.writes + holder.uploads + holder.reads;
        most.sort_by(|a, b| (held(b), b.connections, &a.address).cmp(&(held(a), a.connections, &b.address)));
        most.truncate(count_max);
        most
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_most_comes_first_and_nobody_stays_who_holds_nothing() {
        let holders = Holders::default();
        let block = |text: &str| AddressBlock::of(text.parse().unwrap());
        let (one, other) = (block("192.0.2.1"), block("2001:db8::1"));
        let held =
            (holders.enter(one, Class::Write), holders.enter(one, Class::Write), holders.enter(other, Class::Upload));
        let most = |max| holders.most(HashMap::from([(one, 3), (block("192.0.2.9"), 7)]), max);
        let first = Holder { address: "192.0.2.1".into(), connections: 3, writes: 2, ..Holder::default() };
        let second = Holder { address: "2001:db8::/64".into(), uploads: 1, ..Holder::default() };
        assert_eq!(most(2), [first, second]);
        assert_eq!(most(9).len(), 3);
        drop(held);
        assert!(holders.0.lock().unwrap().is_empty());
    }
}
