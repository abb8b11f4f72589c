//! The front check of safetensors: a strict reading of the header before any other parser sees the bytes.
//!
//! The safetensors crate accepts duplicate keys, zero-size and 2^63 shapes and 99 MB headers (13 s, 1.5 GB); this
//! reader does not. Whatever it accepts, the crate accepts too, but for `__metadata__` of other values than strings, which means
//! nothing: see [`for_library`].

use super::foreign;
use crate::strict::Object;
use crate::submission::{Code, Rejection};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
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
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => Some(1),
            "F16" | "BF16" | "I16" | "U16" => Some(2),
            "F32" | "I32" | "U32" => Some(4),
            "F64" | "I64" | "U64" | "C64" => Some(8),
            _ => None,
        }
    }
}

/// A header whose tensors tile the data without gap or overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// What `__metadata__` says in strings: where tensors are shared, `safetensors.torch.save_model` notes there which one
    /// stands for which.
    pub aliases: BTreeMap<String, String>,
    /// Whether `__metadata__` has nothing but strings, as the safetensors library wants it.
    pub is_plain: bool,
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
    let Entries { tensors, metadata: Metadata { strings: aliases, is_plain } } =
        serde_json::from_slice(unpadded(json)?).map_err(|error| invalid(error.to_string()))?;
    if tensors.is_empty() {
        return Err(invalid("there are no tensors".into()));
    }
    for (name, tensor) in &tensors {
        check_entry(name, tensor)?;
    }
    check_layout(&tensors, data.len() as u64)?;
    Ok(Header { tensors, aliases, is_plain, data_start: file.len().saturating_sub(data.len()) })
}

/// A file as the safetensors library reads it: that refuses `__metadata__` of anything but strings, so it gets a header without.
/// What isn't ours to read either stays as it is.
pub fn for_library(file: &[u8]) -> Cow<'_, [u8]> {
    let Ok(header) = read_header(file) else { return Cow::Borrowed(file) };
    if header.is_plain {
        return Cow::Borrowed(file);
    }
    let entry = |(name, TensorEntry { dtype, shape, data_offsets }): (&String, &TensorEntry)| {
        (name.clone(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": data_offsets}))
    };
    let json = serde_json::Value::Object(header.tensors.iter().map(entry).collect()).to_string();
    let data = file.get(header.data_start..).unwrap_or_default();
    Cow::Owned([&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat())
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
    let is_read = !counts(name);
    if is_read && tensor.shape.len() > RANK_MAX {
        return Err(Code::TensorShape.because(format!("`{name}` has {} axes, limit {RANK_MAX}", tensor.shape.len())));
    }
    let Some(element_bytes) = tensor.element_bytes() else {
        let shown: String = tensor.dtype.chars().take(16).collect();
        return Err(Code::TensorDtype.because(format!("`{name}` is {shown:?}; use F32, F16 or BF16")));
    };
    if let Some(axis) = tensor.shape.iter().find(|axis| is_read && !(1..=AXIS_MAX).contains(*axis)) {
        let detail = format!("`{name}` has an axis of {axis} entries, not 1 to {AXIS_MAX}");
        return Err(Code::TensorShape.because(detail));
    }
    // Rank 0 is one element.
    let elements = tensor.shape.iter().try_fold(1u64, |n, axis| n.checked_mul(*axis));
    let bytes = elements.and_then(|n| n.checked_mul(element_bytes));
    let [start, end] = tensor.data_offsets;
    if bytes.is_none() || end.checked_sub(start) != bytes {
        let detail = format!("`{name}` of shape {:?} can't lie at {:?}", tensor.shape, tensor.data_offsets);
        return Err(Code::TensorShape.because(detail));
    }
    Ok(())
}

/// Whether a tensor counts steps of the training, which no inference reads: PyTorch's counter beside each batch normalisation,
/// and that of `torch.optim.swa_utils.AveragedModel`. Shape and type of such a one mean nothing, whatever stands before its name.
pub(super) fn counts(name: &str) -> bool {
    name.ends_with("num_batches_tracked") || name.rsplit('.').next() == Some("n_averaged")
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
    metadata: Metadata,
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
                // Passed over without recursion, however deep it is.
                let value: &RawValue = map.next_value()?;
                if metadata.replace(Metadata::of(value).map_err(de::Error::custom)?).is_some() {
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

/// `__metadata__`: the strings of an object without duplicates. All else that JSON has means nothing there.
struct Metadata {
    strings: BTreeMap<String, String>,
    is_plain: bool,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { strings: BTreeMap::new(), is_plain: true }
    }
}

impl Metadata {
    fn of(value: &RawValue) -> Result<Self, serde_json::Error> {
        match value.get() {
            object if object.starts_with('{') => match serde_json::from_str(object) {
                // A key of half a surrogate, as Python writes a path that is no text: no alias.
                Err(error) if error.is_syntax() => Ok(Self { is_plain: false, ..Self::default() }),
                read => read,
            },
            other => Ok(Self { is_plain: other == "null", ..Self::default() }),
        }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MetadataVisitor;
        impl<'de> Visitor<'de> for MetadataVisitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut entries: BTreeMap<String, Option<String>> = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if entries.insert(key, serde_json::from_str(value.get()).ok()).is_some() {
                        return Err(de::Error::custom("the same metadata key twice"));
                    }
                }
                let is_plain = entries.values().all(Option::is_some);
                let strings = entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
                Ok(Metadata { strings, is_plain })
            }
        }
        deserializer.deserialize_map(MetadataVisitor)
    }
}
