//! Who sent this: hotkeys, the keypairs behind them, Bittensor wallet files and signed requests.
//!
//! Everything here is a function of its arguments: the time, the seed of a new key and the bytes of a file are passed
//! in. The one exception is inside `schnorrkel`, which takes fresh entropy from the operating system for every sr25519
//! signature, so two signatures over the same message differ and are compared by verifying them.
//!
//! It does NOT know where a key file lives or who may read it (that is `chain::keyfile`), which hotkeys are registered,
//! or what a request asks for.

mod btauth;
mod foreign;
mod hotkey;
mod keypair;
mod nonce_window;
mod wallet;

pub use btauth::{
    AdmittedClaim, AuthError, Claim, HEADER_CRYPTO, HEADER_HOTKEY, HEADER_NONCE, HEADER_RECEIVER, HEADER_SIGNATURE,
    HEADER_VERSION, MalformedAuth, OutgoingRequest, Policy, RequestParts, SignedText, VerifiedRequest, sign_request,
    signing_payload, verify,
};
pub use hotkey::{Hotkey, HotkeyError};
pub use keypair::{BadSignature, Keypair, KeypairError, Scheme, Signature, SignatureFormatError};
pub use nonce_window::NonceWindow;
pub use wallet::{WALLET_FILE_BYTES_MAX, WalletError, WalletFile};
