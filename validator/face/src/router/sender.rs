//! Whose address a request came from: the connection's, or the one that trusted proxies vouch for.
//!
//! `X-Forwarded-For` is written by whoever sends it. Each proxy appends the address that it was spoken to from, so the
//! list is read from its end and only as long as the speaker is a proxy of ours. It does not know which those are.

use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More hops are no chain of ours.
const HOPS_MAX: usize = 16;

/// Who sent a request, as far as it could be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender<'a> {
    /// The address that answers for it.
    pub(super) address: IpAddr,
    /// What a trusted proxy wrote and we can't read.
    pub(super) unread: Option<&'a str>,
}

/// The sender of a request that came on a connection from `peer`.
pub(super) fn sender(peer: IpAddr, headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> Sender<'_> {
    let mut sender = Sender { address: peer, unread: None };
    if !is_proxy(peer) {
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
        if !is_proxy(address) {
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
    use ipnet::IpNet;

    fn sent(peer: &str, forwarded: &[&'static str]) -> (String, Option<String>) {
        let proxies: Vec<IpNet> = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let Sender { address, unread } = sender(peer.parse().unwrap(), &headers, |address| {
            proxies.iter().any(|network| network.contains(&address.to_canonical()))
        });
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
}
