//! Why a call failed, in words that say what to do: a validator's own, a proxy's, or nobody's.

use super::address::{LOCAL, has_port};
use crate::paths::quoted;
use protocol::Digest;
use protocol::api::Problem;
use reqwest::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("reach the validator at {base}: {problem}; is it running? (`retort validator serve`)")]
    Unreachable {
        /// The address.
        base: String,
        /// Why, and what of this machine's settings may be in the way.
        problem: String,
    },
    /// The validator said no, and why.
    #[error("{} ({}): {}. {}", .0.title, .0.code, .0.detail, .0.hint)]
    Problem(Box<Problem>),
    /// Something that is no validator answered: a proxy in front of it, as a rule.
    #[error("{at} answered {status}, which is not what a validator says{}", meaning(*.status, *.sent_bytes))]
    Strange {
        /// The address asked, without what is secret in it.
        at: String,
        /// The HTTP status.
        status: u16,
        /// Bytes of the body that was sent, if one was.
        sent_bytes: Option<u64>,
    },
    /// Bytes that are not those that were promised.
    #[error("object {expected} arrived as {found}: the download is corrupt or the validator lies")]
    Corrupt {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A connection broke in the middle.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// An address that can't be understood.
    #[error("{0} is no address of a competition; write http://HOST:PORT/competitions/ID")]
    Address(String),
}

impl ClientError {
    /// Whether it may be over in a moment: a restart, or a proxy whose validator restarts.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken(_) | Self::Strange { status: 502..=504, .. })
            || matches!(self, Self::Problem(problem) if problem.status >= 500)
    }
}

/// What a status that no validator sent tells of the proxy that did.
fn meaning(status: u16, sent_bytes: Option<u64>) -> String {
    match (status, sent_bytes) {
        (413, Some(bytes)) => format!(
            ": a proxy in front of it refuses bodies of {bytes} bytes, and its operator has to let them through (nginx: \
             client_max_body_size)"
        ),
        (407, _) => ": a proxy on the way asks for a login".to_owned(),
        (502..=504, _) => ": a proxy in front of it can't reach it; try again later".to_owned(),
        (200..=299, _) => ": is it the address of a validator?".to_owned(),
        _ => String::new(),
    }
}

/// Why nobody answered: the last cause says it best, and a proxy in the environment is easily forgotten.
pub(super) fn unreachable(base: &str, error: &reqwest::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let proxy = PROXIES.into_iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let proxy = proxy.map_or(String::new(), |name| {
        format!(" (the environment's {name} sends requests through a proxy; no_proxy makes exceptions)")
    });
    let cause = cause.to_string();
    let problem = match base.split_once("://") {
        // TLS was begun with somebody who answered in plain text.
        Some(("https", host)) if cause.contains("InvalidContentType") => {
            format!("it speaks http, not https; write http://{host}")
        }
        Some((scheme, host)) if !has_port(base) => {
            let (name, path) =
                host.split_once('/').map_or((host, String::new()), |(name, path)| (name, format!("/{path}")));
            let tried = if scheme == "https" { 443 } else { 80 };
            format!(
                "{cause} (no port was written, so it was {tried}; a validator's own is 7070: http://{name}:7070{path})"
            )
        }
        _ => cause,
    };
    ClientError::Unreachable { base: base.to_owned(), problem: format!("{problem}{proxy}") }
}

/// An answer that no validator gave. Upload addresses hold tokens, and queries may.
pub(super) fn strange(url: &reqwest::Url, status: StatusCode, sent_bytes: Option<u64>) -> ClientError {
    let path = match url.path().split_once("/uploads/") {
        Some((before, _)) => format!("{before}/uploads/…"),
        None => url.path().to_owned(),
    };
    let at = format!("{}{path}", url.origin().ascii_serialization());
    ClientError::Strange { at, status: status.as_u16(), sent_bytes }
}

/// Commands that a validator's hints name and that ask a validator.
const ASKING: [&str; 4] = ["retort competitions", "retort submissions", "retort board", "retort miner "];

/// How a hint goes on that names a command, for programs that ask the API.
const FOR_PROGRAMS: &str = ", as GET /api/";

/// A validator's hint for whoever types commands: its address is in those that ask it, and what it says to programs is left out.
pub(super) fn typed_at(base: &str, hint: &str) -> String {
    let hint = match hint.split_once(FOR_PROGRAMS) {
        Some((before, after)) => format!("{before}{}", after.split_once(" does").map_or(".", |(_, more)| more)),
        None => hint.to_owned(),
    };
    let asks = |piece: &str| ASKING.iter().any(|command| piece.starts_with(command)) && !piece.contains("--validator");
    // Every other piece stands between backticks.
    let pieces =
        hint.split('`').enumerate().map(|(place, piece)| match base != LOCAL && place % 2 == 1 && asks(piece) {
            true => format!("{piece} --validator {}", quoted(base)),
            false => piece.to_owned(),
        });
    pieces.collect::<Vec<_>>().join("`")
}
