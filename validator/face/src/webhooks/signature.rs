//! The signatures of Standard Webhooks: HMAC-SHA256 with a key of the webhook's own.
//!
//! No such key is stored. It is the HMAC-SHA256, under a key that follows from the validator's hotkey, of the webhook's name
//! and a salt: whoever has the database alone can sign nothing, and a webhook's key says nothing about another's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::auth::Keypair;
use store::secret::{Secret, mac};

/// What a key begins with in text.
const PREFIX: &str = "whsec_";
/// What the validator's key is asked for.
const PURPOSE: &str = "retort/webhooks/1";

/// Something that no other webhook has.
pub(super) fn new_salt() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// The key of a webhook, as text.
pub(super) fn secret(validator: &Keypair, id: &str, salt: &str) -> Secret {
    let key = mac(&validator.key_for(PURPOSE), format!("{id}\n{salt}").as_bytes());
    Secret::from(format!("{PREFIX}{}", STANDARD.encode(key)).as_str())
}

/// The headers of a message.
pub(super) fn headers(id: &str, timestamp: u64, body: &str, secret: &str) -> [(&'static str, String); 3] {
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", format!("v1,{}", sign(id, timestamp, body, secret))),
    ]
}

fn sign(id: &str, timestamp: u64, body: &str, secret: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches(PREFIX)).unwrap_or_default();
    STANDARD.encode(mac(&key, format!("{id}.{timestamp}.{body}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the documentation of Standard Webhooks' own libraries.
    #[test]
    fn the_published_example_has_the_published_signature() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}", secret);
        assert_eq!(signed, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_follows_from_validator_name_and_salt_and_is_another_s_for_nobody() {
        let (ours, theirs) = (Keypair::from_seed(&[1; 32]), Keypair::from_seed(&[2; 32]));
        let key = |validator: &Keypair, id: &str, salt: &str| secret(validator, id, salt).expose().to_owned();
        let first = key(&ours, "wh_1", "aa");
        assert_eq!(first, key(&Keypair::from_seed(&[1; 32]), "wh_1", "aa"));
        assert_eq!(STANDARD.decode(&first[PREFIX.len()..]).unwrap().len(), 32);
        for other in [key(&theirs, "wh_1", "aa"), key(&ours, "wh_2", "aa"), key(&ours, "wh_1", "ab")] {
            assert_ne!(first, other);
        }
        assert_ne!(new_salt(), new_salt());
    }
}
