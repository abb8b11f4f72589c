//! What the document says of the API as a whole: its name, its words about everything, its tags, and who may do what.

use utoipa::Modify;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

/// The scheme of requests that a hotkey signs.
pub(super) const SIGNED: &str = "btauth";
/// The scheme of the operator.
pub(super) const OPERATOR: &str = "operator";
/// The scheme of clients that can't sign.
const TOKEN: &str = "token";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Retort validator",
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        description = "Publish, submit, measure, rank. Timestamps are Unix seconds; quantities are integers with their \
            unit in the name (ppm: parts per million). Errors are problem documents (RFC 9457) with a stable code and a \
            hint. Lists come in pages with a Link to the next one. Reads have an ETag; what is asked for again with \
            If-None-Match and hasn't changed is 304.",
    ),
    tags(
        (name = "competitions", description = "What there is to win, and who leads."),
        (name = "submissions", description = "Entering a model and asking after it."),
        (name = "miners", description = "What a hotkey has done."),
        (name = "events", description = "What happens, as it happens."),
        (name = "files", description = "Bytes, under their digests."),
        (name = "log", description = "The public log: an append-only Merkle tree in C2SP formats."),
        (name = "badges", description = "Pictures for the README files of others."),
        (name = "operator", description = "For whoever runs the validator."),
        (name = "fleet", description = "For workers on other machines: orders out, answers back."),
        (name = "health", description = "For whoever watches over the process."),
        (name = "tokens", description = "For clients that can't sign: tokens that submit for a hotkey, made and ended by \
            signed requests."),
        (name = "hub", description = "The Hugging Face Hub's protocol, for its unmodified clients: set HF_ENDPOINT to \
            this server. docs/HUB.md says what they do with it."),
    ),
    modifiers(&Schemes),
)]
struct Head;

/// A document without routes.
pub(super) fn document() -> OpenApi {
    let mut document = Head::openapi();
    document.servers = None;
    document
}

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let header = ApiKeyValue::with_description(
            "X-Bittensor-Signature",
            "btauth/1: the headers X-Bittensor-Version, -Hotkey, -Receiver (this validator's hotkey), -Nonce (Unix \
             nanoseconds), optionally -Crypto, and -Signature over method, target and the body's SHA-256. Failures are \
             401 with code malformed_auth, wrong_receiver, stale_request, bad_signature or replayed_request.",
        );
        components.add_security_scheme(SIGNED, SecurityScheme::ApiKey(ApiKey::Header(header)));
        components.add_security_scheme(
            OPERATOR,
            bearer("The operator's token: `retort validator operator` prints it in a link."),
        );
        let token = "A token of POST /api/v1/tokens, as HF_TOKEN: it submits for its hotkey. Failures are 403 (401 \
                     outside of /api/models) with code token_missing, token_unknown or token_expired.";
        components.add_security_scheme(TOKEN, bearer(token));
    }
}

fn bearer(description: &str) -> SecurityScheme {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.description = Some(description.to_owned());
    SecurityScheme::Http(http)
}
