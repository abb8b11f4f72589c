//! The front check of safetensors: a strict reading of the header before any other parser sees the bytes.
//!
//! The safetensors crate accepts duplicate keys, zero-size and 2^63 shapes and 99 MB headers (13 s, 1.5 GB); this
//! reader does not. Whatever it accepts, the crate accepts too.

use super::foreign;
use crate::strict::Object;
use crate::submission::{Code, Rejection};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// A header may have this many bytes: 4,096 tensors of 60 bytes.
pub const HEADER_BYTES_MAX: u64 = 256 * 1024;
/// A file may have this many tensors.
pub const TENSORS_MAX: usize = 4_096;
/// A name may have this many bytes.
const NAME_BYTES_MAX: usize = 256;
/// A tensor may have this many axes.
const RANK_MAX: usize = 8;

/// An axis may have this many entries. No tensor that fits a limit comes near it; readers that count in 32 bits must not
/// be led past it.
const AXIS_MAX: u64 = 1 << 31;

/// One tensor of a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// The element type as spelt in the file.
    pub dtype: String,
    /// Sizes, outermost first.
    pub shape: Vec<u64>,
    /// First byte and the byte after the last, relative to the end of the header.
    pub data_offsets: [u64; 2],
}

impl TensorEntry {
    /// Bytes of one element; `None` for types of less than a byte, and for what is no type. Weights may have few of them,
    /// what an inference doesn't read any.
    pub fn element_bytes(&self) -> Option<u64> {
        match self.dtype.as_str() {
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => Some(1),
            "F16" | "BF16" | "I16" | "U16" => Some(2),
            "F32" | "I32" | "U32" => Some(4),
            "F64" | "I64" | "U64" => Some(8),
            _ => None,
        }
    }
}

/// A header whose tensors tile the data without gap or overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// What `__metadata__` says: where tensors are shared, `safetensors.torch.save_model` notes there which one stands for
    /// which.
    pub aliases: BTreeMap<String, String>,
    /// Where the data begins in the file.
    pub data_start: usize,
}

impl Header {
    /// The bytes of a tensor of this header in its file; nothing for another file's.
    pub fn data_of<'a>(&self, file: &'a [u8], tensor: &TensorEntry) -> &'a [u8] {
        let [start, end] = tensor.data_offsets.map(|offset| usize::try_from(offset).ok());
        let data = file.get(self.data_start..);
        data.zip(start.zip(end)).and_then(|(data, (start, end))| data.get(start..end)).unwrap_or_default()
    }
}

/// Reads the header of a whole safetensors file.
///
/// # Errors
/// A [`Rejection`] that says what is wrong and where.
pub fn read_header(file: &[u8]) -> Result<Header, Rejection> {
    let invalid = |detail: String| Code::HeaderInvalid.because(detail);
    let foreign = |otherwise: String| Code::NotSafetensors.because(foreign::describe(file).unwrap_or(otherwise));
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(foreign(format!("{} bytes are too few", file.len())));
    };
    let length = u64::from_le_bytes(*length);
    // The first eight bytes of other formats make a length that no header has.
    if length > HEADER_BYTES_MAX {
        return Err(match foreign::describe(file) {
            Some(name) => Code::NotSafetensors.because(name),
            None => Code::HeaderTooLarge.because(format!("{length} bytes, limit {HEADER_BYTES_MAX}")),
        });
    }
    let Some((json, data)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
        return Err(invalid(format!("the header claims {length} bytes, the file has {}", rest.len())));
    };
    if json.first() != Some(&b'{') {
        return Err(foreign("the header doesn't begin with `{`".to_owned()));
    }
    let Entries { tensors, metadata } =
        serde_json::from_slice(unpadded(json)?).map_err(|error| invalid(error.to_string()))?;
    if tensors.is_empty() {
        return Err(invalid("there are no tensors".into()));
    }
    for (name, tensor) in &tensors {
        check_entry(name, tensor)?;
    }
    check_layout(&tensors, data.len() as u64)?;
    Ok(Header { tensors, aliases: metadata, data_start: file.len().saturating_sub(data.len()) })
}

/// The header without what pads it: spaces, as the format says, and no other white space.
fn unpadded(json: &[u8]) -> Result<&[u8], Rejection> {
    let spaces = json.iter().rev().take_while(|byte| **byte == b' ').count();
    let json = json.get(..json.len().saturating_sub(spaces)).unwrap_or_default();
    match json.last() {
        Some(b'}') => Ok(json),
        _ => Err(Code::HeaderInvalid.because("the header doesn't end in `}` and spaces".to_owned())),
    }
}

fn check_entry(name: &str, tensor: &TensorEntry) -> Result<(), Rejection> {
    // What frameworks use: dots, TensorFlow's slashes and colons, torchvision's hyphens. None is ever a path here.
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(named) {
        let shown: String = name.chars().take(40).collect();
        let detail = format!("{shown:?} is no tensor name ([A-Za-z0-9_.:/-], at most {NAME_BYTES_MAX})");
        return Err(Code::HeaderInvalid.because(detail));
    }
    if tensor.shape.len() > RANK_MAX {
        return Err(Code::TensorShape.because(format!("`{name}` has {} axes, limit {RANK_MAX}", tensor.shape.len())));
    }
    let Some(element_bytes) = tensor.element_bytes() else {
        let shown: String = tensor.dtype.chars().take(16).collect();
        return Err(Code::TensorDtype.because(format!("`{name}` is {shown:?}; use F32, F16 or BF16")));
    };
    if let Some(axis) = tensor.shape.iter().find(|axis| !(1..=AXIS_MAX).contains(*axis)) {
        let detail = format!("`{name}` has an axis of {axis} entries, not 1 to {AXIS_MAX}");
        return Err(Code::TensorShape.because(detail));
    }
    // `num_batches_tracked` is a scalar: rank 0 is one element.
    let elements = tensor.shape.iter().try_fold(1u64, |n, axis| n.checked_mul(*axis));
    let bytes = elements.and_then(|n| n.checked_mul(element_bytes));
    let [start, end] = tensor.data_offsets;
    if bytes.is_none() || end.checked_sub(start) != bytes {
        let detail = format!("`{name}` of shape {:?} can't lie at {:?}", tensor.shape, tensor.data_offsets);
        return Err(Code::TensorShape.because(detail));
    }
    Ok(())
}

/// Tensors must tile the data: begin at 0, leave no gap, overlap nowhere, end with the file.
fn check_layout(tensors: &BTreeMap<String, TensorEntry>, data_bytes: u64) -> Result<(), Rejection> {
    let mut spans: Vec<[u64; 2]> = tensors.values().map(|tensor| tensor.data_offsets).collect();
    spans.sort_unstable();
    let mut next = 0;
    for [start, end] in spans {
        if start != next {
            return Err(Code::HeaderInvalid.because(format!("tensor data has a gap or an overlap at byte {next}")));
        }
        next = end;
    }
    if next != data_bytes {
        return Err(Code::DataLength.because(format!("the tensors need {next} bytes, the file holds {data_bytes}")));
    }
    Ok(())
}

/// The header's map, refusing duplicates that a plain map would swallow.
struct Entries {
    tensors: BTreeMap<String, TensorEntry>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from tensor names to entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut tensors = BTreeMap::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                let value: Option<Metadata> = map.next_value()?;
                if metadata.replace(value.map(|Metadata(entries)| entries).unwrap_or_default()).is_some() {
                    return Err(de::Error::custom("`__metadata__` twice"));
                }
            } else if tensors.len() == TENSORS_MAX {
                return Err(de::Error::custom(format!("more than {TENSORS_MAX} tensors")));
            } else {
                let Object(entry) = map.next_value()?;
                if tensors.insert(name, entry).is_some() {
                    return Err(de::Error::custom("the same tensor name twice"));
                }
            }
        }
        Ok(Entries { tensors, metadata: metadata.unwrap_or_default() })
    }
}

/// `__metadata__`: strings without duplicates, bounded by the header's own limit.
struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if entries.insert(key, value).is_some() {
                        return Err(de::Error::custom("the same metadata key twice"));
                    }
                }
                Ok(Metadata(entries))
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}
