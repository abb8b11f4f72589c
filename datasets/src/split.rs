//! Which items are public and which stay hidden: a permutation that follows from a 32-byte key and nothing else.
//!
//! It does not know what the items are, who holds the key or when it is revealed.
//!
//! # The permutation, so that any auditor can write it again
//!
//! 1. Words: the keystream of ChaCha20 (20 rounds) with the 32-byte key, a nonce of zeros and a block counter from 0,
//!    cut into little-endian 32-bit words in order. (RFC 8439 with a zero nonce gives the same words.)
//! 2. `draw(bound)`, a uniform number below `bound`: let `usable = 2^32 - (2^32 mod bound)`; take the next word until
//!    it is below `usable`; the draw is that word modulo `bound`.
//! 3. Fisher-Yates: start from `0, 1, ..., n-1`; for `i` from `n-1` down to `1`, swap items `i` and `draw(i + 1)`.
//!
//! The README holds the same in some twenty-five lines of Python, which produced the golden values of the tests.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Public part of Fashion-MNIST's 10,000 test images; the other half is hidden.
pub const PUBLIC_COUNT_DEFAULT: u32 = 5_000;

/// The key that says which rows of data in one part are to train on.
const TRAINING_KEY: [u8; 32] = *b"retort: rows that are trained on";

/// Why a split does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// More public items than items.
    #[error("public part of {public_count} items is larger than the {count} items there are")]
    PublicTooLarge {
        /// Wanted public items.
        public_count: u32,
        /// All items.
        count: u32,
    },
}

/// A partition of `0..n`. Both parts are in the order of the permutation, so a prefix is itself a random sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The first items of the permutation.
    pub public: Vec<u32>,
    /// The rest.
    pub hidden: Vec<u32>,
}

impl Split {
    /// Splits `0..n` by `key` into `public_count` public items and the rest.
    pub fn new(key: &[u8; 32], n: u32, public_count: u32) -> Result<Split, SplitError> {
        if public_count > n {
            return Err(SplitError::PublicTooLarge { public_count, count: n });
        }
        let mut public = permutation(key, n);
        let hidden = public.split_off(public_count as usize);
        Ok(Split { public, hidden })
    }
}

/// Of `n` rows in one part those to train on, in their order, and `items` to take public and hidden ones from, in that of the permutation.
///
/// Everybody can tell which are which: training rows are published, and so whoever has the data knows the others anyway. Which of
/// those are hidden only the secret key says. With fewer items the same rows are to train on, and some more, so that
/// what a student learnt before a competition is published stays none of its items.
///
/// # Errors
/// [`SplitError`] when there are more items than rows.
pub fn training_part(n: u32, items: u32) -> Result<(Vec<u32>, Vec<u32>), SplitError> {
    let Split { public: items, hidden: mut training } = Split::new(&TRAINING_KEY, n, items)?;
    training.sort_unstable();
    Ok((training, items))
}

/// The permutation of `0..n` that belongs to `key`; see the head of this file for its definition.
pub fn permutation(key: &[u8; 32], n: u32) -> Vec<u32> {
    let mut words = ChaCha20Rng::from_seed(*key);
    let mut items: Vec<u32> = (0..n).collect();
    for last in (1..n).rev() {
        let chosen = draw(&mut words, last + 1);
        items.swap(last as usize, chosen as usize);
    }
    items
}

/// A uniform number below `bound`, which is at least 1.
pub(crate) fn draw(words: &mut ChaCha20Rng, bound: u32) -> u32 {
    let usable = (1u64 << 32) - (1u64 << 32) % u64::from(bound);
    loop {
        let word = words.next_u32();
        if u64::from(word) < usable {
            return word % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_published_chacha20_keystream() {
        // RFC 8439, appendix A.1, test vector 1: key, nonce and counter zero.
        let mut words = ChaCha20Rng::from_seed([0; 32]);
        let keystream: Vec<u8> = (0..4).flat_map(|_| words.next_u32().to_le_bytes()).collect();
        assert_eq!(hex::encode(keystream), "76b8e0ada0f13d90405d6ae55386bd28");
    }

    #[test]
    fn draw_skips_words_of_the_last_incomplete_cycle() {
        // For 2^31 + 1 only words up to 2^31 are usable: about half are skipped, and what is left is the word itself.
        let bound = (1 << 31) + 1;
        let (mut drawing, mut plain) = (ChaCha20Rng::from_seed([7; 32]), ChaCha20Rng::from_seed([7; 32]));
        let draws: Vec<u32> = (0..100).map(|_| draw(&mut drawing, bound)).collect();
        let expected: Vec<u32> =
            std::iter::repeat_with(|| plain.next_u32()).filter(|&word| word < bound).take(100).collect();
        assert_eq!(draws, expected);
    }
}
