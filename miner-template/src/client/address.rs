//! A validator's address as people write it. It asks nobody.

use std::net::Ipv6Addr;

/// Where a validator listens unless it is told otherwise, and who is asked unless somebody else is named.
pub const LOCAL: &str = "http://127.0.0.1:7070";

/// What addresses below a validator's own begin with: whoever copied one of those means the validator.
const BELOW: [&str; 14] = [
    "competitions",
    "submissions",
    "miners",
    "hf",
    "api",
    "copies",
    "operator",
    "log",
    "healthz",
    "readyz",
    "metrics",
    "openapi.json",
    "index.html",
    "assets",
];

/// A validator's address as people write it: with or without `http://`, with a page of it, a query or a slash behind it, an
/// IPv6 address with or without brackets. Nothing at all is [`LOCAL`].
///
/// # Errors
/// A sentence that says what to write.
pub fn address(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(LOCAL.to_owned());
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), text),
    };
    if !["http", "https"].contains(&scheme.as_str()) {
        return Err(format!("{text}: write http:// or https://; a validator speaks nothing else"));
    }
    for short in ["http:", "https:"] {
        if let Some(rest) = rest.strip_prefix(short).filter(|rest| !rest.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(format!("{text}: write {short}//{}", rest.trim_start_matches('/')));
        }
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = bracketed(host).map_err(|instead| format!("{text}: {instead}"))?;
    let base = [format!("{scheme}://{host}")].into_iter().chain(above(path).into_iter().map(str::to_owned));
    let base = base.collect::<Vec<_>>().join("/");
    match reqwest::Url::parse(&base) {
        Ok(_) => Ok(base),
        Err(error) => Err(format!("{text} is no address ({error}); write http://HOST:PORT")),
    }
}

/// A host as addresses have it: an IPv6 address has brackets there, so that its port can be told from it.
///
/// # Errors
/// Where the end may be either: what to write instead.
fn bracketed(host: &str) -> Result<String, String> {
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let port = host.rsplit_once(':').filter(|(before, port)| is_ipv6(before) && port.parse::<u16>().is_ok());
    match (is_ipv6(host), port) {
        (true, Some((before, port))) => {
            Err(format!("write [{before}]:{port}, or [{host}] if {port} is a part of the address and no port"))
        }
        (true, None) => Ok(format!("[{host}]")),
        (false, Some((before, port))) => Ok(format!("[{before}]:{port}")),
        (false, None) => Ok(host.to_owned()),
    }
}

/// What of a path is the validator's own, where a proxy serves it below one: all before what is below a validator.
fn above(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    while let Some(at) = parts.iter().rposition(|part| BELOW.contains(part)) {
        parts.truncate(at);
    }
    // Repositories of the Hub's: these names alone may be a proxy's.
    if let Some(at) =
        parts.iter().rposition(|part| ["arena", "teachers"].contains(part)).filter(|at| at + 1 < parts.len())
    {
        parts.truncate(at);
        if parts.last() == Some(&"datasets") {
            parts.pop();
        }
    }
    parts
}

/// Whether an address names a port.
pub(super) fn has_port(base: &str) -> bool {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}
