//! An ONNX file taken apart into its messages, so that one thing in it can be changed and everything around it still
//! fits.

use crate::file::Message;
use program::Op;
use rand::{Rng, RngExt};

/// Which fields of a message are messages, and which.
const MESSAGES: [(&str, u64, &str); 12] = [
    ("model", 7, "graph"),
    ("model", 8, "opset"),
    ("graph", 1, "node"),
    ("graph", 5, "tensor"),
    ("graph", 11, "port"),
    ("graph", 12, "port"),
    ("node", 5, "attribute"),
    ("attribute", 5, "tensor"),
    ("port", 2, "type"),
    ("type", 1, "sized"),
    ("sized", 2, "shape"),
    ("shape", 1, "dim"),
];

/// Numbers that are in somebody's way.
const NUMBERS: [i64; 14] = [0, 1, -1, 2, 3, 4, 7, 8, 9, 64, 1 << 16, 1 << 31, i64::MAX, i64::MIN];

#[derive(Clone)]
enum Part {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Tree),
    /// Four bytes.
    Float(Vec<u8>),
}

/// A message: its kind and its fields.
#[derive(Clone)]
pub(crate) struct Tree {
    kind: &'static str,
    fields: Vec<(u64, Part)>,
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

impl Tree {
    /// Takes apart a message that is none of a stranger's.
    pub(crate) fn of(mut bytes: &[u8], kind: &'static str) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let inner = MESSAGES.iter().find(|(outer, field, _)| *outer == kind && *field == tag >> 3);
            let part = match (tag & 7, inner) {
                (0, _) => Part::Number(varint(&mut bytes)),
                (5, _) => Part::Float(bytes.split_off(..4).unwrap().to_vec()),
                (_, inner) => {
                    let length = varint(&mut bytes) as usize;
                    let part = bytes.split_off(..length).unwrap();
                    match inner {
                        Some((_, _, kind)) => Part::Message(Self::of(part, kind)),
                        None => Part::Bytes(part.to_vec()),
                    }
                }
            };
            fields.push((tag >> 3, part));
        }
        Self { kind, fields }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let write = |message: Message, (field, part): &(u64, Part)| match part {
            Part::Number(number) => message.int(*field, number.cast_signed()),
            Part::Bytes(bytes) => message.bytes(*field, bytes),
            Part::Message(inner) => message.bytes(*field, &inner.bytes()),
            Part::Float(bytes) => message.four(*field, bytes),
        };
        self.fields.iter().fold(Message::default(), write).0
    }

    /// All messages below, this one among them, by where they are.
    fn paths(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for (at, (_, part)) in self.fields.iter().enumerate() {
            if let Part::Message(inner) = part {
                all.extend(inner.paths().into_iter().map(|path| [vec![at], path].concat()));
            }
        }
        all
    }

    fn at(&mut self, path: &[usize]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else { return self };
        let Part::Message(inner) = &mut self.fields[*first].1 else { panic!("a path leads to messages") };
        inner.at(rest)
    }

    /// The names of all values.
    fn names(&self) -> Vec<Vec<u8>> {
        let own = |(field, part): &(u64, Part)| match part {
            Part::Message(inner) => inner.names(),
            Part::Bytes(name) if self.kind == "node" && *field <= 2 => vec![name.clone()],
            _ => Vec::new(),
        };
        self.fields.iter().flat_map(own).collect()
    }

    /// The same graph with every list of it in the opposite order and every value called something else.
    pub(crate) fn disguised(&self) -> Self {
        let disguised = |(field, part): &(u64, Part)| {
            let part = match (part, self.kind, field) {
                (Part::Message(inner), ..) => Part::Message(inner.disguised()),
                (Part::Bytes(name), "node", 1 | 2)
                | (Part::Bytes(name), "port", 1)
                | (Part::Bytes(name), "tensor", 8)
                    if !name.is_empty() =>
                {
                    Part::Bytes([b"it's ", &name[..]].concat())
                }
                (part, ..) => part.clone(),
            };
            (*field, part)
        };
        let mut fields: Vec<_> = self.fields.iter().map(disguised).collect();
        if self.kind == "graph" {
            fields.reverse();
        }
        Self { kind: self.kind, fields }
    }

    /// One change in one message.
    pub(crate) fn change(&mut self, rng: &mut impl Rng) {
        let (paths, names) = (self.paths(), self.names());
        let path = &paths[rng.random_range(0..paths.len())];
        let message = self.at(path);
        if message.fields.is_empty() {
            return;
        }
        let (a, b) = (rng.random_range(0..message.fields.len()), rng.random_range(0..message.fields.len()));
        match rng.random_range(0..10) {
            0 => drop(message.fields.remove(a)),
            1 => message.fields.push(message.fields[a].clone()),
            2 => message.fields.swap(a, b),
            // The other's value under this one's number.
            3 => message.fields[a].1 = message.fields[b].1.clone(),
            _ => {
                let (kind, (field, part)) = (message.kind, &mut message.fields[a]);
                renew(part, (kind, *field), &names, rng);
            }
        }
    }
}

/// Another value of the same kind.
fn renew(part: &mut Part, place: (&str, u64), names: &[Vec<u8>], rng: &mut impl Rng) {
    let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
    match part {
        Part::Number(value) if rng.random_bool(0.5) => *value = number.cast_unsigned(),
        Part::Number(value) => *value = value.wrapping_add(rng.random_range(0..5)).wrapping_sub(2),
        Part::Float(bytes) => bytes[rng.random_range(0..4)] = rng.random(),
        Part::Bytes(bytes) => match place {
            ("node", 4) => *bytes = Op::ALL[rng.random_range(0..Op::ALL.len())].name().as_bytes().to_vec(),
            ("node", 1 | 2) => *bytes = names[rng.random_range(0..names.len())].clone(),
            // Shapes and axes that lie in tensors.
            ("tensor", 9) if bytes.len() % 8 == 0 && !bytes.is_empty() && bytes.len() <= 64 => {
                let at = rng.random_range(0..bytes.len() / 8) * 8;
                bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            _ if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = bytes[at].wrapping_add(rng.random_range(0..3)).wrapping_sub(1);
            }
            _ => {}
        },
        Part::Message(inner) => inner.fields.reverse(),
    }
}
