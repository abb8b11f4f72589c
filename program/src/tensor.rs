//! Element types, shapes and constants. It knows no operator and no file format.

use crate::refusal::{Code, Result};
use std::borrow::Cow;
use std::fmt;

/// What a tensor's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I8,
    U8,
    Bool,
}

impl Dtype {
    /// Every type.
    pub const ALL: [Self; 8] = [Self::F32, Self::F16, Self::Bf16, Self::I64, Self::I32, Self::I8, Self::U8, Self::Bool];

    /// The type that ONNX gives this number; `None` for those that aren't read.
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.number() == number)
    }

    /// The number in ONNX.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::F32 => 1,
            Self::U8 => 2,
            Self::I8 => 3,
            Self::I32 => 6,
            Self::I64 => 7,
            Self::Bool => 9,
            Self::F16 => 10,
            Self::Bf16 => 16,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Whether it holds whole numbers.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::I64 | Self::I32 | Self::I8 | Self::U8)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
        })
    }
}

/// A tensor may have this many axes.
pub const RANK_MAX: usize = 8;
/// An axis may have this many entries.
pub const AXIS_MAX: u64 = 1 << 24;
/// A tensor may have this many elements, whatever the limits of a competition: what fits is summed without overflow.
const ELEMENTS_MAX: u64 = 1 << 40;
/// Constants of at most this many elements are computed with; a larger one is only passed on.
pub(crate) const FOLDED_ELEMENTS_MAX: u64 = 4_096;

/// The sizes of a tensor, outermost first: at most [`RANK_MAX`], none beyond [`AXIS_MAX`], and a product that is far
/// from any overflow. An axis of no entries is only a vector's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(Vec<u64>);

impl Shape {
    /// Takes `dims` as a shape.
    ///
    /// # Errors
    /// When there are too many axes or entries.
    pub fn new(dims: Vec<u64>) -> Result<Self> {
        if dims.len() > RANK_MAX {
            return Code::Shape.err(format!("a tensor has {} axes, limit {RANK_MAX}", dims.len()));
        }
        if let Some(dim) = dims.iter().find(|dim| **dim > AXIS_MAX || (**dim == 0 && dims.len() > 1)) {
            return Code::Shape.err(format!("an axis of {dims:?} has {dim} entries, not 1 to {AXIS_MAX}"));
        }
        match dims.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim)) {
            Some(elements) if elements <= ELEMENTS_MAX => Ok(Self(dims)),
            _ => Code::Shape.err(format!("a tensor of {dims:?} has more than {ELEMENTS_MAX} elements")),
        }
    }

    /// The sizes.
    pub fn dims(&self) -> &[u64] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements.
    pub fn elements(&self) -> u64 {
        self.0.iter().product()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorType {
    /// The element type.
    pub dtype: Dtype,
    /// The sizes.
    pub shape: Shape,
}

impl TensorType {
    /// A type of checked sizes.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn new(dtype: Dtype, dims: Vec<u64>) -> Result<Self> {
        Ok(Self { dtype, shape: Shape::new(dims)? })
    }

    /// The bytes that a value of it takes.
    pub fn bytes(&self) -> u64 {
        self.shape.elements().saturating_mul(self.dtype.bytes())
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// A tensor whose values are known: type and little-endian bytes, which are the file's own where they can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constant<'a> {
    ty: TensorType,
    data: Cow<'a, [u8]>,
}

/// The values of a small constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Of any integer type, and 0 or 1 for bool.
    Ints(Vec<i64>),
    /// Of float32.
    Floats(Vec<f32>),
}

impl<'a> Constant<'a> {
    /// A constant whose data has the length that its type says.
    ///
    /// # Errors
    /// When it hasn't, or a bool is neither 0 nor 1.
    pub fn new(ty: TensorType, data: Cow<'a, [u8]>) -> Result<Self> {
        if data.len() as u64 != ty.bytes() {
            return Code::Initialiser.err(format!("{ty} has {} bytes of data, not {}", data.len(), ty.bytes()));
        }
        if ty.dtype == Dtype::Bool && data.iter().any(|byte| *byte > 1) {
            return Code::Initialiser.err(format!("{ty} holds a bool that is neither 0 nor 1"));
        }
        Ok(Self { ty, data })
    }

    /// Its type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Whether its bytes are a file's own.
    pub(crate) fn is_borrowed(&self) -> bool {
        matches!(self.data, Cow::Borrowed(_))
    }

    /// Its values, little-endian.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The same values in another shape of as many elements.
    pub(crate) fn reshaped(self, shape: Shape) -> Result<Self> {
        Self::new(TensorType { dtype: self.ty.dtype, shape }, self.data)
    }

    /// A vector of int64, as operators take shapes and axes.
    pub(crate) fn of_ints(values: &[i64]) -> Result<Constant<'static>> {
        let ty = TensorType::new(Dtype::I64, vec![values.len() as u64])?;
        Constant::new(ty, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// A constant of these values; `None` where one isn't of the type.
    pub(crate) fn of(ty: TensorType, values: &Values) -> Option<Constant<'static>> {
        let data: Vec<u8> = match (values, ty.dtype) {
            (Values::Ints(ints), Dtype::I64) => ints.iter().flat_map(|int| int.to_le_bytes()).collect(),
            (Values::Ints(ints), Dtype::I32) => {
                let ints: Vec<i32> = ints.iter().map(|int| i32::try_from(*int).ok()).collect::<Option<_>>()?;
                ints.iter().flat_map(|int| int.to_le_bytes()).collect()
            }
            (Values::Ints(ints), Dtype::I8) => {
                let ints: Vec<i8> = ints.iter().map(|int| i8::try_from(*int).ok()).collect::<Option<_>>()?;
                ints.iter().flat_map(|int| int.to_le_bytes()).collect()
            }
            (Values::Ints(ints), Dtype::U8 | Dtype::Bool) => {
                ints.iter().map(|int| u8::try_from(*int).ok()).collect::<Option<_>>()?
            }
            (Values::Floats(floats), Dtype::F32) => floats.iter().flat_map(|float| float.to_le_bytes()).collect(),
            _ => return None,
        };
        Constant::new(ty, data.into()).ok()
    }

    /// The values, where they are few and of a type that is computed with.
    pub(crate) fn values(&self) -> Option<Values> {
        if self.ty.shape.elements() > FOLDED_ELEMENTS_MAX {
            return None;
        }
        Some(match self.ty.dtype {
            Dtype::I64 => Values::Ints(self.chunks().map(i64::from_le_bytes).collect()),
            Dtype::I32 => Values::Ints(self.chunks().map(|bytes| i32::from_le_bytes(bytes).into()).collect()),
            Dtype::I8 => Values::Ints(self.chunks().map(|bytes| i8::from_le_bytes(bytes).into()).collect()),
            Dtype::U8 | Dtype::Bool => Values::Ints(self.data.iter().map(|byte| i64::from(*byte)).collect()),
            Dtype::F32 => Values::Floats(self.chunks().map(f32::from_le_bytes).collect()),
            Dtype::F16 | Dtype::Bf16 => return None,
        })
    }

    /// The values of a small integer constant.
    pub(crate) fn ints(&self) -> Option<Vec<i64>> {
        match self.values()? {
            Values::Ints(ints) if self.ty.dtype != Dtype::Bool => Some(ints),
            _ => None,
        }
    }

    fn chunks<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> + '_ {
        self.data.as_chunks::<N>().0.iter().copied()
    }
}
