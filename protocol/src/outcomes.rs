//! What judging needs of one evaluation, item by item and launch by launch, integers only.
//!
//! A [`Report`](crate::Report) holds sums; paired tests need to know on *which* items two models differ. The evaluation
//! engine fills this, the validator keeps it as an object in its binary form, and `referee::bout` compares two of
//! them. It does NOT know whose model it was, what is right, or any rule.
//!
//! # The binary form `RTOUT1`, all numbers little-endian
//!
//! ```text
//! 6 bytes   magic "RTOUT1"
//! 32 bytes  SHA-256 of the input images in evaluation order
//! u64       bytes of the model's weights
//! u32 u32   items, and how many of them, counted from the first, are public
//! u32       latency launches
//! ⌈items/8⌉ right answers, one bit an item, the lowest bit first; bits beyond the last item are 0
//! u32 each  Jensen-Shannon divergence to the teacher, millionths of a nat
//! i64 each  ln(candidate / reference) of a launch, billionths
//! ```

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::Digest;
use serde::{Deserialize, Serialize};

/// The first bytes of the binary form; the digit is its version.
pub const MAGIC: &[u8; 6] = b"RTOUT1";
/// The most items, so that a decoder knows what it may allocate: 4 MiB of divergences.
pub const ITEMS_MAX: usize = 1 << 20;
/// The most launches: ten times what the latency protocol ever asks for.
pub const LAUNCHES_MAX: usize = 320;
/// The largest Jensen-Shannon divergence, ln 2, rounded up.
pub const JS_MICRONATS_MAX: u32 = 693_148;
/// The largest magnitude of a log ratio: e^20, half a billion times the reference.
pub const LOG_RATIO_NANOS_MAX: i64 = 20_000_000_000;

const HEAD_BYTES: usize = 6 + 32 + 8 + 4 + 4 + 4;

/// The values of an evaluation that have been checked: lengths agree and everything is in range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OutcomeValues", into = "OutcomeValues")]
pub struct Outcomes(OutcomeValues);

/// The values as the engine collects them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeValues {
    /// SHA-256 over the input images in evaluation order: only outcomes on the same items can be compared.
    pub images_sha256: Digest,
    /// The size that is scored, as the report's cost has it.
    pub size_bytes: u64,
    /// How many items, counted from the first, are public.
    pub public_items: u32,
    /// Whether each answer was right, in evaluation order.
    pub right: Vec<bool>,
    /// Jensen-Shannon divergence between teacher and student on each item, millionths of a nat.
    pub js_micronats: Vec<u32>,
    /// ln(candidate / reference) of each latency launch, billionths; may be empty.
    pub log_ratio_nanos: Vec<i64>,
}

/// Values or bytes that are no outcomes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomesError {
    /// Not this format, or not this version of it.
    #[error("outcomes begin with RTOUT1")]
    Magic,
    /// Fewer or more bytes than the counts say.
    #[error("outcomes have {found} bytes where their counts need {expected}")]
    Length {
        /// Bytes that the head implies.
        expected: usize,
        /// Bytes that there are.
        found: usize,
    },
    /// No items or too many.
    #[error("outcomes have {0} items, not 1 to {ITEMS_MAX}")]
    Items(usize),
    /// Too many launches.
    #[error("outcomes have {0} launches, more than {LAUNCHES_MAX}")]
    Launches(usize),
    /// More public items than items.
    #[error("outcomes have {public} public items among {items}")]
    Public {
        /// Public items.
        public: u32,
        /// All items.
        items: usize,
    },
    /// Right answers and divergences are not equally many.
    #[error("outcomes have {right} answers and {js} divergences")]
    Uneven {
        /// Answers.
        right: usize,
        /// Divergences.
        js: usize,
    },
    /// A divergence above ln 2.
    #[error("divergence of item {item} is {micronats} micronats, more than {JS_MICRONATS_MAX}")]
    Divergence {
        /// Which item.
        item: usize,
        /// Its value.
        micronats: u32,
    },
    /// A log ratio that no machine gives.
    #[error("log ratio of launch {launch} is {nanos} nanos, beyond ±{LOG_RATIO_NANOS_MAX}")]
    LogRatio {
        /// Which launch.
        launch: usize,
        /// Its value.
        nanos: i64,
    },
    /// Bits beyond the last item are set, so equal outcomes would have unequal bytes.
    #[error("outcomes have bits set beyond the last item")]
    Padding,
}

impl Outcomes {
    /// Checks the values.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn new(values: OutcomeValues) -> Result<Self, OutcomesError> {
        let items = values.right.len();
        check_counts(items, values.public_items, values.log_ratio_nanos.len())?;
        if values.js_micronats.len() != items {
            return Err(OutcomesError::Uneven { right: items, js: values.js_micronats.len() });
        }
        if let Some((item, &micronats)) = find(&values.js_micronats, |&js| js > JS_MICRONATS_MAX) {
            return Err(OutcomesError::Divergence { item, micronats });
        }
        let beyond = |nanos: &i64| !(-LOG_RATIO_NANOS_MAX..=LOG_RATIO_NANOS_MAX).contains(nanos);
        if let Some((launch, &nanos)) = find(&values.log_ratio_nanos, beyond) {
            return Err(OutcomesError::LogRatio { launch, nanos });
        }
        Ok(Self(values))
    }

    /// The checked values.
    pub fn values(&self) -> &OutcomeValues {
        &self.0
    }

    /// The binary form; equal outcomes have equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let values = &self.0;
        let mut bytes = Vec::with_capacity(length(values.right.len(), values.log_ratio_nanos.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(values.images_sha256.as_bytes());
        bytes.extend_from_slice(&values.size_bytes.to_le_bytes());
        // Counts fit: they were checked against limits far below 2^32.
        for count in [values.right.len() as u32, values.public_items, values.log_ratio_nanos.len() as u32] {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        let pack = |bits: &[bool]| bits.iter().rev().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
        bytes.extend(values.right.chunks(8).map(pack));
        bytes.extend(values.js_micronats.iter().flat_map(|js| js.to_le_bytes()));
        bytes.extend(values.log_ratio_nanos.iter().flat_map(|ratio| ratio.to_le_bytes()));
        bytes
    }

    /// Reads the binary form. Allocates no more than the bytes given imply.
    ///
    /// # Errors
    /// When the bytes are not exactly one value of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OutcomesError> {
        if !bytes.starts_with(MAGIC) {
            return Err(OutcomesError::Magic);
        }
        let mut reader = Reader { bytes, at: MAGIC.len() };
        let images_sha256 = Digest::from(reader.take()?);
        let size_bytes = u64::from_le_bytes(reader.take()?);
        let [items, public_items, launches] = [reader.take()?, reader.take()?, reader.take()?].map(u32::from_le_bytes);
        let (items, launches) = (items as usize, launches as usize);
        check_counts(items, public_items, launches)?;
        let expected = length(items, launches);
        if bytes.len() != expected {
            return Err(OutcomesError::Length { expected, found: bytes.len() });
        }
        let right = reader.bits(items)?;
        let js_micronats = (0..items).map(|_| reader.take().map(u32::from_le_bytes)).collect::<Result<_, _>>()?;
        let log_ratio_nanos = (0..launches).map(|_| reader.take().map(i64::from_le_bytes)).collect::<Result<_, _>>()?;
        Self::new(OutcomeValues { images_sha256, size_bytes, public_items, right, js_micronats, log_ratio_nanos })
    }
}

impl TryFrom<OutcomeValues> for Outcomes {
    type Error = OutcomesError;

    fn try_from(values: OutcomeValues) -> Result<Self, OutcomesError> {
        Self::new(values)
    }
}

impl From<Outcomes> for OutcomeValues {
    fn from(outcomes: Outcomes) -> Self {
        outcomes.0
    }
}

fn check_counts(items: usize, public: u32, launches: usize) -> Result<(), OutcomesError> {
    if !(1..=ITEMS_MAX).contains(&items) {
        return Err(OutcomesError::Items(items));
    }
    if public as usize > items {
        return Err(OutcomesError::Public { public, items });
    }
    if launches > LAUNCHES_MAX {
        return Err(OutcomesError::Launches(launches));
    }
    Ok(())
}

/// Bytes of the binary form.
fn length(items: usize, launches: usize) -> usize {
    let of_items = items.saturating_mul(4).saturating_add(items.div_ceil(8));
    HEAD_BYTES.saturating_add(of_items).saturating_add(launches.saturating_mul(8))
}

fn find<T>(values: &[T], holds: impl Fn(&T) -> bool) -> Option<(usize, &T)> {
    values.iter().enumerate().find(|(_, value)| holds(value))
}

/// Takes fixed-size pieces from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], OutcomesError> {
        let end = self.at.saturating_add(N);
        let piece = self.bytes.get(self.at..end).and_then(|piece| piece.try_into().ok());
        self.at = end;
        piece.ok_or(OutcomesError::Length { expected: end.max(HEAD_BYTES), found: self.bytes.len() })
    }

    fn bits(&mut self, count: usize) -> Result<Vec<bool>, OutcomesError> {
        let mut bits = Vec::with_capacity(count.next_multiple_of(8));
        for _ in 0..count.div_ceil(8) {
            let [byte] = self.take()?;
            bits.extend((0..8).map(|bit| byte >> bit & 1 == 1));
        }
        if bits.drain(count..).any(|bit| bit) {
            return Err(OutcomesError::Padding);
        }
        Ok(bits)
    }
}
