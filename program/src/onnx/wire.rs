//! The protobuf wire format: fields of a message, read without copying or recursion, and written. It knows no message.

use crate::refusal::{Code, Result};
use std::borrow::Cow;

/// The value of a field as it lies in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    /// Eight bytes, which no field of ONNX has.
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Wire<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Code::Unreadable.err("a number stands where bytes are expected"),
        }
    }

    /// A signed number, as protobuf writes int32 and int64.
    pub(super) fn int(self) -> Result<i64> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Code::Unreadable.err("something else stands where a number is expected"),
        }
    }

    pub(super) fn float(self) -> Result<f32> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Code::Unreadable.err("something else stands where a float is expected"),
        }
    }

    /// One signed number, or several packed into bytes: both stand for repeated ones.
    pub(super) fn each_int(self, mut take: impl FnMut(i64) -> Result<()>) -> Result<()> {
        let Self::Bytes(mut packed) = self else { return take(self.int()?) };
        while !packed.is_empty() {
            let (value, rest) = varint(packed)?;
            take(value.cast_signed())?;
            packed = rest;
        }
        Ok(())
    }

    /// The bytes of one float, or of several that are packed.
    pub(super) fn packed_floats(&self) -> Result<&[u8]> {
        match self {
            Self::Bytes(packed) if packed.len().is_multiple_of(4) => Ok(packed),
            Self::Fixed32(bytes) => Ok(bytes),
            _ => Code::Unreadable.err("something else stands where floats are expected"),
        }
    }
}

/// The fields of a message, in the file's order. After an error nothing follows.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number of the next field and its value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, rest) = varint(self.rest)?;
        let (value, rest) = match tag & 7 {
            0 => varint(rest).map(|(value, rest)| (Wire::Varint(value), rest))?,
            1 => chunk::<8>(rest).map(|(_, rest)| (Wire::Fixed64, rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
                let Some((bytes, rest)) = split else { return cut_off() };
                (Wire::Bytes(bytes), rest)
            }
            5 => chunk(rest).map(|(bytes, rest)| (Wire::Fixed32(bytes), rest))?,
            other => return Code::Unreadable.err(format!("protobuf has no wire type {other} for a field of ONNX")),
        };
        self.rest = rest;
        Ok(Some((tag >> 3, value)))
    }
}

/// A number of up to ten bytes, seven bits each, and what follows it.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        let shift = u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(7);
        if index == 9 && part > 1 {
            break;
        }
        value |= part.checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(index.saturating_add(1)..).unwrap_or_default()));
        }
    }
    if bytes.len() < 10 { cut_off() } else { Code::Unreadable.err("a number has more than 64 bits") }
}

fn chunk<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8])> {
    match bytes.split_first_chunk::<N>() {
        Some((chunk, rest)) => Ok((*chunk, rest)),
        None => cut_off(),
    }
}

fn cut_off<T>() -> Result<T> {
    Code::Unreadable.err("the file ends within a field")
}

/// A message in the making: parts that were written here, and larger ones that lie elsewhere and are not copied before
/// the whole is.
#[derive(Default)]
pub(super) struct Message<'g> {
    parts: Vec<Cow<'g, [u8]>>,
    length: usize,
}

/// From this many bytes on, data is not copied.
const LARGE_BYTES: usize = 256;

impl<'g> Message<'g> {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        for part in self.parts {
            bytes.extend_from_slice(&part);
        }
        bytes
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| &**part)
    }

    pub(super) fn bytes_len(&self) -> u64 {
        self.length as u64
    }

    fn push(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len());
        match self.parts.last_mut() {
            Some(Cow::Owned(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Cow::Owned(bytes.to_vec())),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(&[u8::try_from(value & 0x7f).unwrap_or_default() | 0x80]);
            value >>= 7;
        }
        self.push(&[u8::try_from(value).unwrap_or_default()]);
    }

    fn tag(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    pub(super) fn int(&mut self, field: u64, value: i64) {
        self.tag(field, 0);
        self.varint(value.cast_unsigned());
    }

    pub(super) fn float(&mut self, field: u64, bits: u32) {
        self.tag(field, 5);
        self.push(&bits.to_le_bytes());
    }

    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.tag(field, 2);
        self.varint(text.len() as u64);
        self.push(text.as_bytes());
    }

    pub(super) fn bytes(&mut self, field: u64, bytes: &'g [u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        if bytes.len() < LARGE_BYTES {
            self.push(bytes);
        } else {
            self.length = self.length.saturating_add(bytes.len());
            self.parts.push(Cow::Borrowed(bytes));
        }
    }

    pub(super) fn message(&mut self, field: u64, inner: Message<'g>) {
        self.tag(field, 2);
        self.varint(inner.bytes_len());
        for part in inner.parts {
            match part {
                Cow::Owned(bytes) => self.push(&bytes),
                Cow::Borrowed(_) => {
                    self.length = self.length.saturating_add(part.len());
                    self.parts.push(part);
                }
            }
        }
    }

    /// Numbers, each under the same tag: ONNX's own definition packs none of those that are written here, and not every
    /// reader takes packed ones.
    pub(super) fn ints(&mut self, field: u64, values: impl IntoIterator<Item = i64>) {
        values.into_iter().for_each(|value| self.int(field, value));
    }
}
