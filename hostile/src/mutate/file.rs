//! A safetensors file taken apart: entries in order, names that may repeat, spans that may lie anywhere.

use super::values;
use crate::package::{Tensor, element_bytes, encode};
use rand::{Rng, RngExt};
use serde_json::{Value, json};

/// One member of the header.
#[derive(Clone)]
struct Member {
    name: String,
    entry: Value,
}

/// What a file will be written from.
#[derive(Clone)]
pub(super) struct File {
    members: Vec<Member>,
    data: Vec<u8>,
    /// Spaces behind the header.
    padding: usize,
    /// What the length says beyond the truth.
    lie: i64,
    /// What follows the data.
    tail: Vec<u8>,
}

impl File {
    pub(super) fn of(tensors: Vec<Tensor>) -> Self {
        let mut data = Vec::new();
        let members = tensors
            .into_iter()
            .map(|Tensor { name, dtype, shape, data: bytes }| {
                let start = data.len();
                data.extend(bytes);
                Member { name, entry: json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]}) }
            })
            .collect();
        Self { members, data, padding: 0, lie: 0, tail: Vec::new() }
    }

    /// Takes a file apart; members come sorted by name. `None` when its header is no object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let Ok(Value::Object(map)) = serde_json::from_slice(header) else { return None };
        let members: Vec<Member> = map.into_iter().map(|(name, entry)| Member { name, entry }).collect();
        let file = Self { members, data: data.to_vec(), padding: 0, lie: 0, tail: Vec::new() };
        (!file.members.is_empty()).then_some(file)
    }

    /// Changes one thing. The first few leave a good file good.
    pub(super) fn edit(&mut self, rng: &mut impl Rng) {
        let (a, b) = (self.any(rng), self.any(rng));
        match rng.random_range(0..24) {
            0..3 => self.members.swap(a, b),
            3 => self.members.insert(0, Member { name: "__metadata__".into(), entry: json!({"format": "pt"}) }),
            4 => self.padding = rng.random_range(0..40),
            5 => self.half(a),
            6 => self.add_counter(a, rng),
            7 | 8 => self.set_value(rng),
            9 => self.flip(rng),
            10 => self.members[a].name = values::word(rng),
            11 => drop(self.members.remove(a)),
            12 => self.members.push(self.members[a].clone()),
            13 => {
                let spans = [a, b].map(|index| self.members[index].entry["data_offsets"].clone());
                let [of_a, of_b] = spans;
                self.set(a, "data_offsets", of_b);
                self.set(b, "data_offsets", of_a);
            }
            14 => {
                let name = std::mem::take(&mut self.members[a].name);
                self.members[a].name = std::mem::replace(&mut self.members[b].name, name);
            }
            15 | 16 => super::json::edit(&mut self.members[a].entry, rng),
            17 => self.shift(a, rng),
            18 => self.set(a, "dtype", values::word(rng).into()),
            19 => self.reshape(a, rng),
            20 => self.lie = rng.random_range(-9..=9) * if rng.random_bool(0.2) { 1 << 40 } else { 1 },
            21 => self.tail = vec![rng.random(); rng.random_range(1..40)],
            22 => self.data.truncate(rng.random_range(0..=self.data.len())),
            _ => {
                let entry = values::json(rng);
                self.members.push(Member { name: values::word(rng), entry });
            }
        }
        if self.members.is_empty() {
            self.members.push(Member { name: values::word(rng), entry: values::json(rng) });
        }
    }

    pub(super) fn to_bytes(&self, rng: &mut impl Rng) -> Vec<u8> {
        let mut header = String::from("{");
        for (index, Member { name, entry }) in self.members.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Now and then a name is escaped, which is the same name.
            let name = match name.chars().next() {
                Some(first) if first.is_ascii_alphanumeric() && rng.random_bool(0.01) => {
                    format!("\"\\u{:04x}{}", first as u32, &Value::from(&name[1..]).to_string()[1..])
                }
                _ => Value::from(name.as_str()).to_string(),
            };
            header.push_str(&format!("{comma}{name}:{entry}"));
        }
        header.push('}');
        header.push_str(&" ".repeat(self.padding));
        let length = (header.len() as u64).wrapping_add_signed(self.lie);
        [&length.to_le_bytes(), header.as_bytes(), &self.data, &self.tail].concat()
    }

    fn any(&self, rng: &mut impl Rng) -> usize {
        rng.random_range(0..self.members.len())
    }

    /// Stores an F32 tensor as BF16, with its bytes cut to size and all that follows moved up.
    fn half(&mut self, index: usize) {
        let entry = &self.members[index].entry;
        let (Some("F32"), Some([start, end])) = (entry["dtype"].as_str(), self.span(index)) else { return };
        let Some(bytes) = self.data.get(start..end) else { return };
        let half: Vec<u8> = bytes.as_chunks::<4>().0.iter().flat_map(|[_, _, c, d]| [*c, *d]).collect();
        let saved = bytes.len() - half.len();
        self.data.splice(start..end, half);
        for at in 0..self.members.len() {
            if let Some(span) = self.span(at) {
                let moved = span.map(|offset| if offset >= end { offset - saved.min(offset) } else { offset });
                self.set(at, "data_offsets", json!(moved));
            }
        }
        self.set(index, "dtype", "BF16".into());
    }

    /// A counter beside a batch normalisation, as PyTorch writes it.
    fn add_counter(&mut self, index: usize, rng: &mut impl Rng) {
        let Some((norm, _)) = self.members[index].name.rsplit_once('.') else { return };
        let name = format!("{norm}.num_batches_tracked");
        let start = self.data.len();
        self.data.extend(rng.random::<u64>().to_le_bytes());
        self.members
            .push(Member { name, entry: json!({"dtype": "I64", "shape": [], "data_offsets": [start, start + 8]}) });
    }

    fn set_value(&mut self, rng: &mut impl Rng) {
        let index = self.any(rng);
        let Some([start, end]) = self.span(index) else { return };
        let dtype = self.members[index].entry["dtype"].as_str().unwrap_or("F32").to_owned();
        let width = element_bytes(&dtype).min(4);
        let count = end.saturating_sub(start) / width;
        if count > 0 && end <= self.data.len() {
            let at = start + width * rng.random_range(0..count);
            let bytes = encode(&dtype, values::float(rng));
            self.data[at..at + bytes.len().min(width)].copy_from_slice(&bytes[..bytes.len().min(width)]);
        }
    }

    fn flip(&mut self, rng: &mut impl Rng) {
        if !self.data.is_empty() {
            let at = rng.random_range(0..self.data.len());
            self.data[at] ^= 1 << rng.random_range(0..8);
        }
    }

    fn shift(&mut self, index: usize, rng: &mut impl Rng) {
        let Some([start, end]) = self.span(index) else { return };
        let by = [1, 2, 4, 8, 64, 1 << 32][rng.random_range(0..6)];
        let span = match rng.random_range(0..4) {
            0 => json!([start.wrapping_add(by), end.wrapping_add(by)]),
            1 => json!([start.saturating_sub(by), end.saturating_sub(by)]),
            2 => json!([start, end.wrapping_add(by)]),
            _ => json!([end, start]),
        };
        self.set(index, "data_offsets", span);
    }

    fn reshape(&mut self, index: usize, rng: &mut impl Rng) {
        let Some(shape) = self.members[index].entry.get_mut("shape").and_then(Value::as_array_mut) else { return };
        match rng.random_range(0..5) {
            0 => shape.reverse(),
            1 => shape.push(1.into()),
            2 => shape.insert(0, 1.into()),
            3 => shape.push(0.into()),
            _ => {
                let near = shape.first().and_then(Value::as_u64).unwrap_or(1);
                shape.truncate(7);
                shape.push(values::number(near, rng).into());
            }
        }
    }

    /// Sets a field of an entry, if the entry is still an object.
    fn set(&mut self, index: usize, field: &str, value: Value) {
        if let Some(entry) = self.members[index].entry.as_object_mut() {
            entry.insert(field.into(), value);
        }
    }

    fn span(&self, index: usize) -> Option<[usize; 2]> {
        let offset = |at: usize| self.members[index].entry["data_offsets"].get(at)?.as_u64().map(|at| at as usize);
        Some([offset(0)?, offset(1)?]).filter(|[start, end]| start <= end)
    }
}
