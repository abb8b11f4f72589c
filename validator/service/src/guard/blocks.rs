//! Whom the operator blocked, as the door needs it: asked by every connection and every request.
//!
//! It does not know who blocked them, nor why.

use super::client::AddressBlock;
use crate::refusal::{Meaning, Refusal};
use ipnet::IpNet;
use protocol::Hotkey;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

/// Bits before an address of IPv4 that is written as one of IPv6 (RFC 4291).
const MAPPED_BITS: u8 = 96;

/// Who can be blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A hotkey, wherever its requests come from.
    Hotkey(Hotkey),
    /// All addresses of a network.
    Network(IpNet),
}

/// A text that names nobody who can be blocked.
#[derive(Debug, thiserror::Error)]
pub enum WhomError {
    /// It is nobody's name.
    #[error("{0:?} is neither a hotkey nor a network like 203.0.113.0/24 or 2001:db8::/48")]
    Unknown(String),
    /// It is everybody, or this machine.
    #[error("{0:?} is everybody, or this machine itself: block a network like 203.0.113.0/24 or 2001:db8::/48")]
    Everybody(String),
}

impl FromStr for Whom {
    type Err = WhomError;

    /// A single address is itself, one of IPv6 its /64: nobody has fewer.
    fn from_str(text: &str) -> Result<Self, WhomError> {
        let text = text.trim();
        let unknown = || WhomError::Unknown(text.chars().take(64).collect());
        if let Ok(hotkey) = text.parse() {
            return Ok(Self::Hotkey(hotkey));
        }
        let network = match text.parse::<IpAddr>() {
            Ok(address) => match address.to_canonical() {
                IpAddr::V4(v4) => IpNet::new(v4.into(), 32),
                IpAddr::V6(v6) => IpNet::new(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(), 64),
            }
            .map_err(|_| unknown())?,
            Err(_) => no_longer_than_a_block(text.parse().map_err(|_| unknown())?),
        };
        // A whole internet is nobody's network, in either spelling, and neither is what this machine calls itself.
        let everybodys = [Ipv6Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()].map(IpAddr::V6);
        if network.prefix_len() == 0 || everybodys.iter().any(|address| network.contains(address)) {
            Err(WhomError::Everybody(text.chars().take(64).collect()))
        } else {
            Ok(Self::Network(network))
        }
    }
}

/// A network of IPv6 is at least a /64, as addresses are counted; one of IPv4's in IPv6 is IPv4's.
fn no_longer_than_a_block(network: IpNet) -> IpNet {
    if let (IpNet::V6(v6), Some(bits)) = (network, network.prefix_len().checked_sub(MAPPED_BITS))
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return IpNet::new(v4.into(), bits).unwrap_or(network).trunc();
    }
    let length = if network.addr().is_ipv6() { network.prefix_len().min(64) } else { network.prefix_len() };
    IpNet::new(network.addr(), length).unwrap_or(network).trunc()
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hotkey(hotkey) => hotkey.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// Whom the door knows to be blocked.
#[derive(Default)]
pub struct Blocks(RwLock<Arc<Known>>);

#[derive(Default, PartialEq, Eq)]
struct Known {
    hotkeys: HashSet<Hotkey>,
    networks: HashSet<IpNet>,
}

impl Blocks {
    /// Knows these from now on, and nobody else; whether that is a change.
    pub fn replace(&self, all: impl IntoIterator<Item = Whom>) -> bool {
        let mut known = Known::default();
        for whom in all {
            match whom {
                Whom::Hotkey(hotkey) => drop(known.hotkeys.insert(hotkey)),
                Whom::Network(network) => drop(known.networks.insert(network)),
            }
        }
        let mut before = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **before != known;
        *before = Arc::new(known);
        changed
    }

    /// Whether all of this address's block is in a blocked network.
    pub fn has_address(&self, client: AddressBlock) -> bool {
        let known = self.known();
        // However many there are: a look for each network that the block lies in, at most 64.
        !known.networks.is_empty() && supernets(client).any(|network| known.networks.contains(&network))
    }

    /// Refuses a hotkey that is blocked.
    pub fn admit(&self, hotkey: &Hotkey) -> Result<(), Refusal> {
        if self.known().hotkeys.contains(hotkey) { Err(blocked("this hotkey")) } else { Ok(()) }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A block and all networks that it lies in.
fn supernets(client: AddressBlock) -> impl Iterator<Item = IpNet> {
    let network = client.network();
    (1..=network.prefix_len())
        .rev()
        .filter_map(move |length| IpNet::new(network.addr(), length).ok().map(|net| net.trunc()))
}

/// What whoever is blocked is told.
pub fn blocked(whom: &str) -> Refusal {
    let hint = "The validator's public log says since when and why, under administration/blocked/: ask its operator.";
    Refusal::new(Meaning::Forbidden, "blocked", format!("the operator has blocked {whom}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(text: &str) -> Option<String> {
        text.parse::<Whom>().ok().map(|whom| whom.to_string())
    }

    #[test]
    fn a_hotkey_or_a_network_has_one_spelling() {
        for (text, spelt) in [
            ("203.0.113.7", Some("203.0.113.7/32")),
            (" 203.0.113.7/24 ", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.7", Some("203.0.113.7/32")),
            ("::ffff:203.0.113.9/120", Some("203.0.113.0/24")),
            ("2001:db8::7", Some("2001:db8::/64")),
            ("2001:db8:1:2::/48", Some("2001:db8:1::/48")),
            (
                "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
                Some("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
            ),
            ("2001:db8::7/128", Some("2001:db8::/64")),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("::ffff:203.0.0.0/95", None),
            ("::1", None),
            ("203.0.113.7/33", None),
            ("somebody", None),
            ("", None),
        ] {
            assert_eq!(whom(text).as_deref(), spelt, "{text}");
        }
        for (text, says) in
            [("0.0.0.0/0", "is everybody"), ("::1", "or this machine"), ("somebody", "neither a hotkey")]
        {
            let error = text.parse::<Whom>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn whoever_is_in_a_blocked_network_is_known_and_nobody_else() {
        let blocks = Blocks::default();
        let has = |text: &str| blocks.has_address(AddressBlock::of(text.parse().unwrap()));
        assert!(!has("203.0.113.7"));
        let all = ["203.0.113.0/24", "198.51.100.1", "2001:db8::/48"].map(|text| text.parse().unwrap());
        assert!(blocks.replace(all) && !blocks.replace(all));
        for inside in ["203.0.113.7", "::ffff:203.0.113.255", "198.51.100.1", "2001:db8:0:9::1"] {
            assert!(has(inside), "{inside}");
        }
        for outside in ["203.0.112.7", "198.51.100.2", "2001:db8:1::1", "127.0.0.1", "::1"] {
            assert!(!has(outside), "{outside}");
        }
        assert!(blocks.replace([]) && !has("203.0.113.7"));
    }
}
