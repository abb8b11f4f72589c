//! Numbers that lie in a file beside the model, put into it: torch 2.9's `torch.onnx.export` writes them there unless it is
//! told not to. For the owner of the files alone: a package never has any, and the door refuses what names some.

use super::wire::{Fields, Message, Wire};
use crate::refusal::{Code, Result, shown};

/// Fields of a model, a graph and a tensor.
const GRAPH: u64 = 7;
const INITIALISER: u64 = 5;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;
/// What `DATA_LOCATION` says where numbers lie beside the model.
const EXTERNAL: u64 = 1;

/// Whether initialisers of a file lie beside it, and in which files, by their names there.
///
/// # Errors
/// When it is no ONNX.
pub fn beside(file: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each_initialiser(file, |tensor| {
        if let Some(External { location, .. }) = External::of(tensor)?
            && !names.contains(&location)
        {
            names.push(location);
        }
        Ok(())
    })?;
    Ok(names)
}

/// The file with those numbers in it; `find` gives the bytes of a file beside it.
///
/// # Errors
/// When it is no ONNX, or what it names isn't there.
pub fn inlined<'a>(file: &'a [u8], find: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Vec<u8>> {
    let mut model = Message::default();
    let mut fields = Fields::of(file);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (GRAPH, Wire::Bytes(graph)) => model.message(GRAPH, inlined_graph(graph, &find)?),
            (field, value) => copy(&mut model, field, value)?,
        }
    }
    Ok(model.into_bytes())
}

fn inlined_graph<'a>(graph: &'a [u8], find: &impl Fn(&str) -> Option<&'a [u8]>) -> Result<Message<'a>> {
    let mut written = Message::default();
    let mut fields = Fields::of(graph);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (INITIALISER, Wire::Bytes(tensor)) => match External::of(tensor)? {
                Some(external) => written.message(INITIALISER, external.put_into(tensor, find)?),
                None => written.bytes(INITIALISER, tensor),
            },
            (field, value) => copy(&mut written, field, value)?,
        }
    }
    Ok(written)
}

fn each_initialiser<'a>(file: &'a [u8], mut take: impl FnMut(&'a [u8]) -> Result<()>) -> Result<()> {
    let mut fields = Fields::of(file);
    while let Some((field, value)) = fields.next()? {
        let (GRAPH, Wire::Bytes(graph)) = (field, value) else { continue };
        let mut inner = Fields::of(graph);
        while let Some((field, value)) = inner.next()? {
            if let (INITIALISER, Wire::Bytes(tensor)) = (field, value) {
                take(tensor)?;
            }
        }
    }
    Ok(())
}

fn copy<'a>(into: &mut Message<'a>, field: u64, value: Wire<'a>) -> Result<()> {
    match value {
        Wire::Varint(value) => into.int(field, value.cast_signed()),
        Wire::Bytes(bytes) => into.bytes(field, bytes),
        Wire::Fixed32(bytes) => into.float(field, u32::from_le_bytes(bytes)),
        Wire::Fixed64 => return Code::UnknownField.err(format!("field {field} has eight bytes, as none of ONNX has")),
    }
    Ok(())
}

/// Where a tensor's numbers lie.
struct External {
    location: String,
    offset: usize,
    length: Option<usize>,
}

impl External {
    /// `None` where they are in the tensor.
    fn of(tensor: &[u8]) -> Result<Option<Self>> {
        let (mut external, mut is_external) = (Self { location: String::new(), offset: 0, length: None }, false);
        let mut fields = Fields::of(tensor);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (DATA_LOCATION, Wire::Varint(location)) => is_external = location == EXTERNAL,
                (EXTERNAL_DATA, Wire::Bytes(entry)) => external.entry(entry)?,
                _ => {}
            }
        }
        Ok(is_external.then_some(external))
    }

    fn entry(&mut self, entry: &[u8]) -> Result<()> {
        let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
        let mut fields = Fields::of(entry);
        while let Some((field, found)) = fields.next()? {
            match field {
                1 => key = found.bytes()?,
                2 => value = found.bytes()?,
                _ => {}
            }
        }
        let number = || {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| Code::External.because(format!("{} is no number of bytes", shown(value))))
        };
        match key {
            b"location" => self.location = String::from_utf8_lossy(value).into_owned(),
            b"offset" => self.offset = number()?,
            b"length" => self.length = Some(number()?),
            _ => {}
        }
        Ok(())
    }

    /// The tensor with its numbers in it.
    fn put_into<'a>(&self, tensor: &'a [u8], find: &impl Fn(&str) -> Option<&'a [u8]>) -> Result<Message<'a>> {
        let Self { location, offset, length } = self;
        let shown = shown(location.as_bytes());
        let Some(beside) = find(location) else {
            return Code::External.err(format!("{shown:?}, which has the numbers, isn't beside the model"));
        };
        let from = beside.get(*offset..);
        let Some(data) = from.and_then(|from| from.get(..length.unwrap_or(from.len()))) else {
            return Code::External.err(format!("{shown:?} is shorter than the model says"));
        };
        let mut written = Message::default();
        let mut fields = Fields::of(tensor);
        while let Some((field, value)) = fields.next()? {
            if !matches!(field, RAW_DATA | EXTERNAL_DATA | DATA_LOCATION) {
                copy(&mut written, field, value)?;
            }
        }
        written.bytes(RAW_DATA, data);
        Ok(written)
    }
}
