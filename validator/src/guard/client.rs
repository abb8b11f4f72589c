//! Whose address a request came from: the connection's, or the one that trusted proxies vouch for.
//!
//! `X-Forwarded-For` is written by whoever sends it. Each proxy appends the address that it was spoken to from, so the
//! list is read from its end and only as long as the speaker is a proxy of ours.

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More hops are no chain of ours.
const HOPS_MAX: usize = 16;

/// The addresses that count as one: a single one of IPv4, a /64 of IPv6, which is what one customer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(IpAddr);

impl AddressBlock {
    /// The block that `address` lies in.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
            v4 => v4,
        })
    }

    /// The block as a network.
    pub(super) fn network(self) -> IpNet {
        let length = if self.0.is_ipv4() { 32 } else { 64 };
        IpNet::new_assert(self.0, length)
    }
}

/// As networks are written, and a single address by itself.
impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Whether `address` lies in one of `networks`.
pub(super) fn is_among(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The sender of a request that came on a connection from `peer`.
pub(super) fn sender(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    if !is_among(peer, proxies) {
        return peer;
    }
    let values: Vec<_> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim).take(HOPS_MAX);
    let mut sender = peer;
    for hop in hops {
        // What can't be read was not written by a proxy of ours: the last one that spoke answers for it.
        let Ok(address) = hop.parse() else { return sender };
        sender = address;
        if !is_among(address, proxies) {
            return address;
        }
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn sent(peer: &str, forwarded: &[&'static str]) -> String {
        let proxies: Vec<IpNet> = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        sender(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_wrote() {
        for (peer, forwarded, expected) in [
            ("198.51.100.7", &["203.0.113.9"][..], "198.51.100.7"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["1.1.1.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
            ("127.0.0.1", &["10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", &["203.0.113.9, nonsense"], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("::ffff:127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
        ] {
            assert_eq!(sent(peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        let many: &'static str = Box::leak(vec!["10.0.0.1"; 100].join(",").into_boxed_str());
        assert_eq!(sent("127.0.0.1", &[many]), "10.0.0.1");
    }

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
}
