//! Typed buffers that go into sessions and come out of them. They know no engine.

use program::{Dtype, Shape, TensorType};

/// A tensor's values, row by row.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Values {
    F32(Vec<f32>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

/// A shape and as many values as it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    values: Values,
}

impl Values {
    /// No values of a type; `None` for types that nothing is computed with from outside.
    pub fn none(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F32 => Self::F32(Vec::new()),
            Dtype::I64 => Self::I64(Vec::new()),
            Dtype::I32 => Self::I32(Vec::new()),
            Dtype::I8 => Self::I8(Vec::new()),
            Dtype::U8 => Self::U8(Vec::new()),
            Dtype::Bool => Self::Bool(Vec::new()),
            Dtype::F16 | Dtype::Bf16 => return None,
        })
    }

    /// What they are.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I64(_) => Dtype::I64,
            Self::I32(_) => Dtype::I32,
            Self::I8(_) => Dtype::I8,
            Self::U8(_) => Dtype::U8,
            Self::Bool(_) => Dtype::Bool,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces them by those in little-endian bytes, in the same memory. Bytes after the last whole value are left out.
    fn read(&mut self, bytes: &[u8]) {
        fn read<const N: usize, T>(values: &mut Vec<T>, bytes: &[u8], value: fn([u8; N]) -> T) {
            values.clear();
            values.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)));
        }
        match self {
            Self::F32(values) => read(values, bytes, f32::from_le_bytes),
            Self::I64(values) => read(values, bytes, i64::from_le_bytes),
            Self::I32(values) => read(values, bytes, i32::from_le_bytes),
            Self::I8(values) => read(values, bytes, i8::from_le_bytes),
            Self::U8(values) => read(values, bytes, u8::from_le_bytes),
            Self::Bool(values) => read(values, bytes, |[byte]| byte != 0),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I8(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::U8(values) => bytes.extend_from_slice(values),
            Self::Bool(values) => bytes.extend(values.iter().map(|value| u8::from(*value))),
        }
    }
}

impl Tensor {
    /// A tensor of these values; `None` where they are more or fewer than the shape says.
    pub fn new(shape: Shape, values: Values) -> Option<Self> {
        (shape.elements() == values.len() as u64).then_some(Self { shape, values })
    }

    /// A tensor of little-endian bytes; `None` where they are more or fewer than the type says, or it is a type that nothing
    /// is computed with from outside.
    pub fn of_bytes(ty: &TensorType, bytes: &[u8]) -> Option<Self> {
        let mut tensor = Self { shape: ty.shape.clone(), values: Values::none(ty.dtype)? };
        tensor.fill(bytes).then_some(tensor)
    }

    /// A tensor that holds a small number everywhere; `None` as for [`Tensor::of_bytes`].
    pub fn filled(ty: &TensorType, value: u8) -> Option<Self> {
        let count = usize::try_from(ty.shape.elements()).ok()?;
        let values = match ty.dtype {
            Dtype::F32 => Values::F32(vec![value.into(); count]),
            Dtype::I64 => Values::I64(vec![value.into(); count]),
            Dtype::I32 => Values::I32(vec![value.into(); count]),
            Dtype::I8 => Values::I8(vec![i8::try_from(value).ok()?; count]),
            Dtype::U8 => Values::U8(vec![value; count]),
            Dtype::Bool => Values::Bool(vec![value != 0; count]),
            Dtype::F16 | Dtype::Bf16 => return None,
        };
        Self::new(ty.shape.clone(), values)
    }

    /// Replaces the values by those in little-endian bytes, in the same memory; says whether they are as many as there have to
    /// be.
    pub fn fill(&mut self, bytes: &[u8]) -> bool {
        let expected = self.shape.elements().saturating_mul(self.values.dtype().bytes());
        let fits = expected == bytes.len() as u64;
        if fits {
            self.values.read(bytes);
        }
        fits
    }

    /// Its sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its values.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// What it is.
    pub fn ty(&self) -> TensorType {
        TensorType { dtype: self.values.dtype(), shape: self.shape.clone() }
    }

    /// Whether it is that.
    pub fn is(&self, ty: &TensorType) -> bool {
        self.values.dtype() == ty.dtype && self.shape == ty.shape
    }

    /// Appends its values, little-endian.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        self.values.write(bytes);
    }

    /// The values of a float32 tensor.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(values) => Some(values),
            _ => None,
        }
    }
}
