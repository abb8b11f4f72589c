//! Places: how much of something there may be at once, and how much of it one address may have.
//!
//! A place is taken only by what costs something, and only once all that is cheap to check was checked. While more than
//! half of the places are free anybody may take any number: many honest miners may sit behind one address. Beyond that
//! nobody may have more than a share, so that a few addresses never take everybody's. It does not know what the
//! places are for, nor who is exempt.

use super::AddressBlock;
use super::tally::Tally;
use std::sync::{Arc, Mutex, PoisonError};

/// An address may have one of so many parts of the places once they are scarce..
pub(super) const SHARES: u64 = 16;
/// .. and so many at least: whoever has few places has few clients.
const SHARE_MIN: u64 = 2;

pub use super::client::WIDE_TIMES;

/// Whether one more than `taken` would be more than half.
pub fn is_scarce(taken: u64, places_max: u64) -> bool {
    (taken + 1).saturating_mul(2) > places_max
}

/// What one address may have then.
pub fn share(places_max: u64) -> u64 {
    (places_max / SHARES).max(SHARE_MIN)
}

/// Places of one kind.
#[derive(Debug)]
pub struct Places(Arc<Kind>);

#[derive(Debug)]
struct Kind {
    places_max: u64,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_address: Tally,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Arc<Kind>,
    /// `None` where it counts to nobody's share.
    client: Option<AddressBlock>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// More than half are taken, and this address has its share.
    Share,
}

impl Places {
    /// So many places, all of them free.
    pub fn new(places_max: u64) -> Self {
        Self(Arc::new(Kind { places_max, taken: Mutex::default() }))
    }

    /// A place for somebody who comes from `client`.
    pub fn enter(&self, client: AddressBlock) -> Result<Place, NoPlace> {
        self.take(Some(client))
    }

    /// A place for somebody who has no share to keep to.
    pub fn enter_exempt(&self) -> Result<Place, NoPlace> {
        self.take(None)
    }

    /// How many there are.
    pub(super) fn places_max(&self) -> u64 {
        self.0.places_max
    }

    /// How many are taken.
    pub fn taken(&self) -> u64 {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    fn take(&self, client: Option<AddressBlock>) -> Result<Place, NoPlace> {
        let places_max = self.0.places_max;
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= places_max {
            return Err(NoPlace::Full);
        }
        if let Some(client) = client {
            if is_scarce(taken.all, places_max) && !taken.by_address.has_room(client, 1, share(places_max)) {
                return Err(NoPlace::Share);
            }
            taken.by_address.add(client, 1);
        }
        taken.all += 1;
        Ok(Place { of: Arc::clone(&self.0), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(client) = self.client {
            taken.by_address.remove(client, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(host: u8) -> AddressBlock {
        AddressBlock::of(std::net::Ipv4Addr::new(192, 0, 2, host).into())
    }

    /// As many places as this address is given.
    fn all_of(places: &Places, host: u8) -> (Vec<Place>, NoPlace) {
        let mut held = Vec::new();
        loop {
            match places.enter(client(host)) {
                Ok(place) => held.push(place),
                Err(why) => return (held, why),
            }
        }
    }

    #[test]
    fn half_is_for_anybody_and_of_the_rest_everybody_has_a_share() {
        let places = Places::new(64);
        let (first, why) = all_of(&places, 1);
        assert_eq!((first.len(), why), (32, NoPlace::Share));
        let (second, why) = all_of(&places, 2);
        assert_eq!((second.len(), why), (4, NoPlace::Share));
        let exempt = places.enter_exempt().unwrap();
        assert_eq!(places.taken(), 37);
        let others: Vec<_> = (3..).map(|host| all_of(&places, host)).take_while(|(held, _)| !held.is_empty()).collect();
        assert_eq!(others.len(), 7, "27 places are left for four at a time");
        assert_eq!(places.enter_exempt().unwrap_err(), NoPlace::Full);
        drop((first, second, exempt, others));
        assert_eq!(places.taken(), 0);
        assert!(places.0.taken.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn few_places_are_places_too() {
        let places = Places::new(1);
        let held = places.enter(client(1)).unwrap();
        assert_eq!(places.enter(client(2)).unwrap_err(), NoPlace::Full);
        drop(held);
        assert!(places.enter(client(2)).is_ok());
    }
}
