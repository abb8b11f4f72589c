//! Writing to addresses that strangers name, without being led to our own machines.
//!
//! A name is resolved by us, and only public addresses are connected to: what a name means when it is looked at is what is
//! connected to. Redirects are answers, not ways to go on. Where the settings allow private addresses, as in a closed
//! network, all of that is off.

use http::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Longer addresses are none.
const URL_BYTES_MAX: usize = 1_024;

/// Why a message wasn't heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// Whatever else.
    #[error("{0}")]
    Failed(String),
}

/// Sends to the outside.
pub struct Outside {
    client: reqwest::Client,
    private: bool,
}

impl Outside {
    /// With `private`, addresses of this machine and its networks are allowed, and plain HTTP.
    pub fn new(private: bool) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .https_only(!private)
            .user_agent(concat!("retort/", env!("CARGO_PKG_VERSION")));
        let client = if private { client } else { client.dns_resolver(Arc::new(PublicOnly)) };
        Ok(Self { client: client.build()?, private })
    }

    /// An address that may be written to, in its one spelling.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &str) -> Result<String, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("it has more than {URL_BYTES_MAX} bytes"));
        }
        let url = Url::parse(text).map_err(|error| format!("it is no address: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a name or a password in it".into());
        }
        if url.scheme() != "https" && !(self.private && url.scheme() == "http") {
            return Err("it isn't https".into());
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            // Other names are looked up when they are written to.
            Some(Host::Domain(name)) if leads_home(name) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(Host::Domain(_)) => None,
            None => return Err("it names no host".into()),
        };
        // The client resolves no literals, so they are looked at here.
        if !self.private && literal.is_some_and(|address| !is_public(address)) {
            return Err("it is no public address".into());
        }
        Ok(url.into())
    }

    /// Posts JSON; the status and the beginning of the answer, all of it within `budget`.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
        budget: Duration,
    ) -> Result<(StatusCode, String), PostError> {
        let url = self.check(url).map_err(PostError::Failed)?;
        let request = self.client.post(url).timeout(budget);
        let mut request = request.header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        // An error's own words may hold what the name was resolved to.
        let failed = |error: reqwest::Error| match error {
            error if error.is_timeout() => PostError::Late,
            error if error.is_connect() => PostError::Failed("no connection, or no public address".to_owned()),
            _ => PostError::Failed("the connection broke".to_owned()),
        };
        let mut answer = request.send().await.map_err(failed)?;
        let mut read = Vec::new();
        while read.len() < ANSWER_BYTES_MAX {
            match answer.chunk().await.map_err(failed)? {
                Some(chunk) => read.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - read.len())]),
                None => break,
            }
        }
        Ok((answer.status(), String::from_utf8_lossy(&read).into_owned()))
    }
}

/// Resolves names to public addresses only.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the name has no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether a name is this machine's by definition (RFC 6761).
fn leads_home(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an address is one of the internet's: none of this machine, of its networks, or kept for something else
/// (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared by carriers; protocol assignments; 6to4 relays; benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 is given out; inside it Teredo and the like, documentation and 6to4 lead elsewhere.
    (0x2000..0x4000).contains(&segments[0])
        && !(segments[0] == 0x2001 && segments[1] < 0x0200)
        && !(segments[0] == 0x2001 && segments[1] == 0x0db8)
        && segments[0] != 0x2002
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn addresses_are_read_strictly() {
        let outside = Outside::new(false).unwrap();
        assert_eq!(outside.check("https://hooks.example/a?b=c").unwrap(), "https://hooks.example/a?b=c");
        for wrong in [
            "http://hooks.example/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user:word@hooks.example/",
            "ftp://hooks.example/",
            "hooks.example",
            "https://169.254.169.254/latest",
            "https://localhost/",
            "https://a.LOCALHOST./",
        ] {
            assert!(outside.check(wrong).is_err(), "{wrong}");
        }
        assert!(Outside::new(true).unwrap().check("http://127.0.0.1:8080/").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_followed() {
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        let error = resolved.err().unwrap().to_string();
        assert!(error.contains("no public address"), "{error}");
    }
}
