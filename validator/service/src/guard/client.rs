//! The addresses that count as one client's. It does not know which of them a request came from.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// Bits that an address of IPv4 has: each is somebody of its own.
const V4_BITS: u8 = 32;
/// Bits that the blocks of IPv6 have in common: what one customer is given, and two sizes of what others are given.
const V6_BITS: [u8; 3] = [64, 56, 48];
/// How many times as much as one customer's block the wider ones may have.
pub const WIDE_TIMES: u64 = 4;

/// The addresses that count as one: a single one of IPv4, a /64 of IPv6, which is what one customer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressBlock(IpNet);

impl AddressBlock {
    /// The block that `address` lies in.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::with_bits(address, if address.is_ipv4() { V4_BITS } else { V6_BITS[0] })
    }

    /// This block and the wider ones that it lies in, each with how many times as much as this one it may have.
    pub fn widening(self) -> impl Iterator<Item = (Self, u64)> {
        let wider: &[u8] = if matches!(self.0, IpNet::V4(_)) { &[] } else { &V6_BITS[1..] };
        let wider = wider.iter().map(move |bits| (Self::with_bits(self.0.addr(), *bits), WIDE_TIMES));
        std::iter::once((self, 1)).chain(wider)
    }

    /// Whether it is one customer's, and no wider network.
    pub(super) fn is_client(self) -> bool {
        [V4_BITS, V6_BITS[0]].contains(&self.0.prefix_len())
    }

    fn with_bits(address: IpAddr, bits: u8) -> Self {
        Self(IpNet::new(address, bits).map_or(IpNet::from(address), |block| block.trunc()))
    }

    /// The block as a network.
    pub(super) fn network(self) -> IpNet {
        self.0
    }
}

/// As networks are written, and a single address by itself.
impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpNet::V4(v4) => write!(f, "{}", v4.addr()),
            IpNet::V6(v6) => write!(f, "{v6}"),
        }
    }
}

/// Whether `address` lies in one of `networks`.
pub(super) fn is_among(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    // Who writes networks of IPv4 as IPv6's means them.
    let mapped = match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    networks.iter().any(|network| network.contains(&address) || network.contains(&mapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_mapped_address_is_its_own() {
        let block = |text: &str| AddressBlock::of(text.parse().unwrap());
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:0:0:2"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
        assert_eq!(block("::ffff:192.0.2.1"), block("192.0.2.1"));
        assert_eq!(
            (block("2001:db8::1").to_string(), block("192.0.2.1").to_string()),
            ("2001:db8::/64".into(), "192.0.2.1".into())
        );
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    }

    #[test]
    fn a_network_of_ipv4_is_known_in_either_spelling() {
        let networks = ["10.0.0.0/8", "::ffff:192.0.2.0/120"].map(|network| network.parse().unwrap());
        let is_in = |text: &str| is_among(text.parse().unwrap(), &networks);
        assert!(is_in("10.1.2.3") && is_in("::ffff:10.1.2.3") && is_in("192.0.2.7") && is_in("::ffff:192.0.2.7"));
        assert!(!is_in("192.0.3.7") && !is_in("::1"));
    }

    #[test]
    fn wider_networks_have_four_times_as_much() {
        let wide = |text: &str| -> Vec<(String, u64)> {
            let block = AddressBlock::of(text.parse().unwrap());
            block.widening().map(|(block, times)| (block.to_string(), times)).collect()
        };
        assert_eq!(wide("192.0.2.1"), [("192.0.2.1".to_owned(), 1)]);
        let of = |text: &str, times| (text.to_owned(), times);
        let blocks = [of("2001:db8:1:234::/64", 1), of("2001:db8:1:200::/56", 4), of("2001:db8:1::/48", 4)];
        assert_eq!(wide("2001:db8:1:234::5"), blocks);
    }
}
