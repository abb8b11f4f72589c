//! Whose address a request came from: the connection's, or the one that trusted proxies vouch for.
//!
//! `X-Forwarded-For` is written by whoever sends it. Each proxy appends the address that it was spoken to from, so the
//! list is read from its end and only as long as the speaker is a proxy of ours.

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More hops are no chain of ours.
const HOPS_MAX: usize = 16;
/// Bits that an address of IPv4 has: each is somebody of its own.
const V4_BITS: u8 = 32;
/// Bits that the blocks of IPv6 have in common: what one customer is given, and two sizes of what others are given.
const V6_BITS: [u8; 3] = [64, 56, 48];
/// How many times as much as one customer's block the wider ones may have.
pub(crate) const WIDE_TIMES: u64 = 4;

/// The addresses that count as one: a single one of IPv4, a /64 of IPv6, which is what one customer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(IpNet);

impl AddressBlock {
    /// The block that `address` lies in.
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::with_bits(address, if address.is_ipv4() { V4_BITS } else { V6_BITS[0] })
    }

    /// This block and the wider ones that it lies in, each with how many times as much as this one it may have.
    pub(crate) fn widening(self) -> impl Iterator<Item = (Self, u64)> {
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
    networks.iter().any(|network| network.contains(&address))
}

/// Who sent a request, as far as it could be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender<'a> {
    /// The address that answers for it.
    pub(super) address: IpAddr,
    /// What a trusted proxy wrote and we can't read.
    pub(super) unread: Option<&'a str>,
}

/// The sender of a request that came on a connection from `peer`.
pub(super) fn sender<'a>(peer: IpAddr, headers: &'a HeaderMap, proxies: &[IpNet]) -> Sender<'a> {
    let mut sender = Sender { address: peer, unread: None };
    if !is_among(peer, proxies) {
        return sender;
    }
    let values: Vec<_> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim).take(HOPS_MAX);
    for hop in hops {
        let Some(address) = address(hop) else {
            // It was not written by a proxy that we know how to read: the last one that spoke answers for it.
            sender.unread = Some(hop);
            return sender;
        };
        sender.address = address;
        if !is_among(address, proxies) {
            return sender;
        }
    }
    sender
}

/// The address in what a proxy wrote: some add the port (Azure's, IIS), and brackets around IPv6.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn sent(peer: &str, forwarded: &[&'static str]) -> (String, Option<String>) {
        let proxies: Vec<IpNet> = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let Sender { address, unread } = sender(peer.parse().unwrap(), &headers, &proxies);
        (address.to_string(), unread.map(str::to_owned))
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
            ("::ffff:127.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
        ] {
            assert_eq!(sent(peer, forwarded), (expected.to_owned(), None), "{peer} {forwarded:?}");
        }
        let many: &'static str = Box::leak(vec!["10.0.0.1"; 100].join(",").into_boxed_str());
        assert_eq!(sent("127.0.0.1", &[many]).0, "10.0.0.1");
    }

    #[test]
    fn a_port_and_brackets_are_cut_off_and_what_is_no_address_is_told() {
        for (forwarded, expected) in [
            ("203.0.113.9:4711", "203.0.113.9"),
            ("1.1.1.1:80, 203.0.113.9:4711, 10.0.0.1:1", "203.0.113.9"),
            ("[2001:db8::5]:4711", "2001:db8::5"),
            ("[2001:db8::5]", "2001:db8::5"),
            ("2001:db8::5", "2001:db8::5"),
            ("203.0.113.9:4711, [fd00::2]:1", "203.0.113.9"),
        ] {
            assert_eq!(sent("127.0.0.1", &[forwarded]), (expected.to_owned(), None), "{forwarded}");
        }
        for (forwarded, unread) in [
            ("203.0.113.9, nonsense", "nonsense"),
            ("unknown", "unknown"),
            ("203.0.113.9:", "203.0.113.9:"),
            ("203.0.113.9:99999", "203.0.113.9:99999"),
            ("[203.0.113.9", "[203.0.113.9"),
            ("", ""),
        ] {
            assert_eq!(sent("127.0.0.1", &[forwarded]), ("127.0.0.1".to_owned(), Some(unread.to_owned())));
        }
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
