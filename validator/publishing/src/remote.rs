//! Models that a manifest takes from a Hub: `hf://org/name@revision`, pinned so that nobody can exchange them.
//!
//! A revision is a commit of 40 digits; or any revision, with `#sha256:` and the digest of the package behind it. What
//! was fetched and isn't that package is refused. The client is `hf-hub`, behind the feature `hub`; without it a manifest
//! that names a Hub is an error that says so. It does not know what is done with a package.

use crate::error::{PublishError, RemoteProblem};
use crate::source::Fetched;
use protocol::Digest;
use protocol::competition::ModelSource;
use protocol::package::package_digest;
use store::config::Config;

/// What such a source begins with.
const SCHEME: &str = "hf://";
/// Digits of a commit.
const COMMIT_DIGITS: usize = 40;

/// A pinned model of a Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remote {
    namespace: String,
    name: String,
    revision: String,
    package_sha256: Option<Digest>,
}

impl Remote {
    /// Reads what stands behind [`SCHEME`].
    fn parse(text: &str) -> Result<Self, RemoteProblem> {
        let (place, pin) = match text.split_once("#sha256:") {
            Some((place, pin)) => (place, Some(pin.parse().map_err(|_| RemoteProblem::Form)?)),
            None => (text, None),
        };
        let (repository, revision) = place.split_once('@').ok_or(RemoteProblem::Form)?;
        let (namespace, name) = repository.split_once('/').ok_or(RemoteProblem::Form)?;
        let plain = |part: &str| !part.is_empty() && !part.contains(['/', '#', '?', ' ', '\\']);
        if ![namespace, name].into_iter().all(plain) || revision.is_empty() {
            return Err(RemoteProblem::Form);
        }
        let is_commit = revision.len() == COMMIT_DIGITS && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit && pin.is_none() {
            return Err(RemoteProblem::NotPinned { revision: revision.to_owned() });
        }
        let [namespace, name, revision] = [namespace, name, revision].map(str::to_owned);
        Ok(Self { namespace, name, revision, package_sha256: pin })
    }

    /// Whether what was fetched is what was pinned.
    fn check(&self, [config_json, weights]: &Fetched) -> Result<(), RemoteProblem> {
        let found = package_digest(&Digest::of(config_json), &Digest::of(weights));
        match self.package_sha256 {
            Some(expected) if expected != found => Err(RemoteProblem::Exchanged { expected, found }),
            _ => Ok(()),
        }
    }
}

/// The package of a source, if that is in a Hub and not in a folder.
pub(crate) async fn fetched(
    role: &'static str,
    source: &ModelSource,
    config: &Config,
) -> Result<Option<Fetched>, PublishError> {
    let Some(text) = source.package.strip_prefix(SCHEME) else { return Ok(None) };
    let fetched = async {
        let remote = Remote::parse(text)?;
        let fetched = fetch(&remote, &config.hub_endpoint).await?;
        remote.check(&fetched)?;
        Ok(fetched)
    };
    let failed = |problem| PublishError::Remote { role, uri: source.package.clone(), problem: Box::new(problem) };
    fetched.await.map(Some).map_err(failed)
}

#[cfg(not(feature = "hub"))]
async fn fetch(_: &Remote, _: &str) -> Result<Fetched, RemoteProblem> {
    Err(RemoteProblem::NotBuilt)
}

#[cfg(feature = "hub")]
use with_client::fetch;

#[cfg(feature = "hub")]
mod with_client {
    //! The client itself.

    use super::{Remote, RemoteProblem};
    use crate::source::{Fetched, TEACHER_BYTES_MAX};
    use futures::StreamExt;
    use hf_hub::{HFClient, HFError};
    use protocol::package::{CONFIG_BYTES_MAX, CONFIG_FILE, WEIGHTS_FILE};

    /// Both files of one commit, into memory; a cache of ours would be one more thing that could be exchanged.
    pub(crate) async fn fetch(remote: &Remote, endpoint: &str) -> Result<Fetched, RemoteProblem> {
        let client = HFClient::builder().cache_enabled(false).user_agent("retort");
        let client = if endpoint.is_empty() { client } else { client.endpoint(endpoint) };
        let client = client.build().map_err(|error| failed(format!("the Hub {endpoint:?}"), &error))?;
        let model = client.model(&remote.namespace, &remote.name);
        let info = model.info().revision(&remote.revision).send().await.map_err(|error| not_shown(remote, &error))?;
        let commit = info.sha.ok_or_else(|| {
            let what = format!("revision {}", remote.revision);
            RemoteProblem::Fetch { what, reason: "the Hub names no commit".into() }
        })?;
        let mut files = Fetched::default();
        let named = [(CONFIG_FILE, CONFIG_BYTES_MAX), (WEIGHTS_FILE, TEACHER_BYTES_MAX)];
        for ((path, bytes_max), bytes) in named.into_iter().zip(&mut files) {
            let failed = |error| failed(format!("{path} at {commit}"), &error);
            let sent = model.download_file_stream().filename(path).revision(&commit).send().await;
            let (_, mut stream) = sent.map_err(failed)?;
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk.map_err(failed)?);
                if bytes.len() as u64 > bytes_max {
                    return Err(RemoteProblem::TooLarge { path, bytes_max });
                }
            }
        }
        Ok(files)
    }

    fn failed(what: String, error: &HFError) -> RemoteProblem {
        RemoteProblem::Fetch { what, reason: error.to_string() }
    }

    /// Without a token, "sign in" is what huggingface.co answers to a misspelt name.
    fn not_shown(remote: &Remote, error: &HFError) -> RemoteProblem {
        let what = format!("{}/{} at revision {}", remote.namespace, remote.name, remote.revision);
        let hidden = matches!(
            error,
            HFError::AuthRequired { .. }
                | HFError::Forbidden { .. }
                | HFError::RepoNotFound { .. }
                | HFError::RevisionNotFound { .. }
        );
        if !hidden {
            return failed(what, error);
        }
        RemoteProblem::NotShown { what, reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_t_move_is_a_source() {
        let commit = "ab".repeat(20);
        let pin = Digest::of(b"x");
        let remote = Remote::parse(&format!("org/name@{commit}")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((remote.revision, remote.package_sha256), (commit, None));
        let remote = Remote::parse(&format!("org/name@main#sha256:{pin}")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((remote.revision.as_str(), remote.package_sha256), ("main", Some(pin)));
        assert!(matches!(Remote::parse("org/name@main"), Err(RemoteProblem::NotPinned { .. })));
        for text in ["", "name", "org/name", "org/name@", "/name@main", "org/a/b@main", "org/name@main#sha256:00"] {
            assert!(matches!(Remote::parse(text), Err(RemoteProblem::Form)), "{text}");
        }
    }

    #[test]
    fn an_exchanged_package_is_noticed() {
        let fetched = [b"config".to_vec(), b"weights".to_vec()];
        let pin = package_digest(&Digest::of(b"config"), &Digest::of(b"weights"));
        let parse =
            |pin| Remote::parse(&format!("org/name@main#sha256:{pin}")).unwrap_or_else(|error| panic!("{error}"));
        assert!(parse(pin).check(&fetched).is_ok());
        let problem = parse(Digest::of(b"other")).check(&fetched);
        assert!(matches!(problem, Err(RemoteProblem::Exchanged { .. })), "{problem:?}");
    }
}
