//! The canonical bytes of admitted weights: what is published for download is written by us, not by the uploader.
//!
//! Same tensors, same values, one file: no metadata, no ignored counters, no padding or spelling of the uploader's. The
//! form is the one that the safetensors library writes without metadata (larger element types first, then by name, a
//! header padded with spaces to 8 bytes), so that anyone can make it again. It does NOT change a value or a type, and
//! does NOT replace the uploaded bytes as what receipts name.

use super::foreign;
use super::front::{Header, TensorEntry, read_header};
use super::names;
use crate::Digest;
use crate::architecture::Plan;
use crate::submission::{Code, Rejection};
use std::fmt::Write as _;

/// The data begins at a multiple of this.
const ALIGNMENT_BYTES: usize = 8;

/// Weights in canonical form: our header, and the tensors where they lie in the uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalWeights<'a> {
    /// The length and the header, with its padding.
    head: Vec<u8>,
    tensors: Vec<&'a [u8]>,
}

impl<'a> CanonicalWeights<'a> {
    /// Puts the tensors that `plan` implies into canonical form. Nothing is copied but the header.
    ///
    /// # Errors
    /// A [`Rejection`] when `file` is no safetensors file, lacks a tensor, or would be an archive as well in this order.
    /// Values are the business of [`admit`](super::admit), which says yes only to files that have a canonical form.
    pub fn new(file: &'a [u8], plan: &Plan) -> Result<Self, Rejection> {
        Self::of(&names::resolve(read_header(file)?, plan, |_, _| Ok(()))?, file, plan)
    }

    pub(super) fn of(header: &Header, file: &'a [u8], plan: &Plan) -> Result<Self, Rejection> {
        let mut entries = Vec::new();
        for tensor in plan.tensors() {
            let Some(entry) = header.tensors.get(&tensor.name) else {
                return Err(Code::TensorMissing.because(format!("`{}` of shape {:?}", tensor.name, tensor.shape)));
            };
            entries.push((order(&entry.dtype), tensor.name, entry));
        }
        entries.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let tensors: Vec<&[u8]> = entries.iter().map(|(_, _, entry)| header.data_of(file, entry)).collect();
        let head =
            write_head(entries.iter().zip(&tensors).map(|((_, name, entry), data)| (&**name, *entry, data.len())));
        let canonical = Self { head, tensors };
        match foreign::hides_zip(&canonical.parts().collect::<Vec<_>>()) {
            true => Err(Code::NotSafetensors.because("the weights are a zip archive as well".to_owned())),
            false => Ok(canonical),
        }
    }

    /// The bytes of the file in pieces, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&*self.head).chain(self.tensors.iter().copied())
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> u64 {
        self.parts().fold(0, |sum, part| sum.saturating_add(part.len() as u64))
    }

    /// SHA-256 of the file: the name that it is published under.
    pub fn sha256(&self) -> Digest {
        Digest::of_parts(self.parts())
    }

    /// The file in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.parts().collect::<Vec<_>>().concat()
    }
}

/// The place of an element type, as the safetensors library orders them.
fn order(dtype: &str) -> u8 {
    match dtype {
        "F32" => 0,
        "BF16" => 1,
        _ => 2,
    }
}

/// The length and the header of tensors that lie one after the other: names, entries and bytes.
fn write_head<'a>(tensors: impl Iterator<Item = (&'a str, &'a TensorEntry, usize)>) -> Vec<u8> {
    let mut json = String::from("{");
    let mut start = 0usize;
    for (name, TensorEntry { dtype, shape, .. }, bytes) in tensors {
        let comma = if start == 0 { "" } else { "," };
        let axes = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let end = start.saturating_add(bytes);
        // Names and types were checked: none holds what JSON would escape. Writing to a string can't fail.
        let _ =
            write!(json, r#"{comma}"{name}":{{"dtype":"{dtype}","shape":[{axes}],"data_offsets":[{start},{end}]}}"#);
        start = end;
    }
    json.push('}');
    while !json.len().is_multiple_of(ALIGNMENT_BYTES) {
        json.push(' ');
    }
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}
