//! The seed of a measurement: nobody chooses it, and everybody can find it again.
//!
//! `seed = the first 8 bytes of SHA-256("retort/attempt/1" || secret || number as u64 || submission), modulo 2^53`; all
//! numbers are little endian, and JSON holds 53 bits exactly. The secret is that of the competition's newest round, which was committed to when the round opened and is opened with
//! it; where no round was ever opened, the digest of the competition stands in its place. Before a measurement begins,
//! the public log has its number and [`commitment`] to its seed; numbers have no gaps. So whoever measures again
//! until the result pleases is seen to, and a seed that was picked isn't the one that follows.
//!
//! A miner can't tune a package to its seed: the package was announced before its submission had a name.
//!
//! It does NOT know what is measured, where secrets are kept, or what a seed is used for.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::{Digest, SubmissionId};

const SEED_DOMAIN: &[u8] = b"retort/attempt/1";
/// The largest seed: reports are JSON, which holds larger numbers only roughly.
pub(crate) const SEED_MAX: u64 = (1 << 53) - 1;
const COMMITMENT_DOMAIN: &[u8] = b"retort/attempt-seed/1";

/// The seed of the measurement `number` of a submission, from 1 upwards.
pub fn seed(secret: &[u8; 32], submission: &SubmissionId, number: u64) -> u64 {
    let name = submission.to_string();
    let digest = Digest::of_parts([SEED_DOMAIN, secret, &number.to_le_bytes(), name.as_bytes()]);
    let mut first = [0; 8];
    first.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first) & SEED_MAX
}

/// What the public log says of a seed before it is used: `SHA-256("retort/attempt-seed/1" || seed as u64 || number as u64
/// || submission)`.
pub fn commitment(seed: u64, submission: &SubmissionId, number: u64) -> Digest {
    let name = submission.to_string();
    Digest::of_parts([COMMITMENT_DOMAIN, &seed.to_le_bytes(), &number.to_le_bytes(), name.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn submission(entropy: u128) -> SubmissionId {
        SubmissionId::new(1_800_000_000_000, entropy)
    }

    #[test]
    fn a_seed_follows_from_secret_submission_and_number() {
        let mut seeds = BTreeSet::new();
        for secret in [[0; 32], [1; 32]] {
            for entropy in [0, 1] {
                for number in [1, 2, 256] {
                    let seed = seed(&secret, &submission(entropy), number);
                    assert!(seeds.insert(seed), "a seed came twice");
                    let stated = commitment(seed, &submission(entropy), number);
                    assert_ne!(stated, commitment(seed ^ 1, &submission(entropy), number));
                    assert_ne!(stated, commitment(seed, &submission(entropy), number + 1));
                }
            }
        }
    }

    /// So that anybody can write it again: Python's hashlib says the same.
    #[test]
    fn a_seed_is_the_documented_one() {
        let id: SubmissionId = "01K9M4T0Q8ZJ5R6V7W8X9Y0ABC".parse().expect("an id");
        assert_eq!(seed(&[7; 32], &id, 3), SEED);
        assert_eq!(commitment(SEED, &id, 3).to_string(), COMMITMENT);
    }

    const SEED: u64 = 4_956_554_044_351_043;
    const COMMITMENT: &str = "9fdbd2197fdad7ff5adb6f8a2f9811ff874848f03cc134bae4e8f887bd1a5e7f";
}
