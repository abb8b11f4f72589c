//! What each operator makes of the types that reach it: the types that leave it, its multiply-accumulates, and the form
//! in which it is written. One file a family; all arithmetic is checked, since every number is a stranger's.

mod choose;
mod compute;
mod elementwise;
mod layout;
mod quantised;
mod recurrent;
mod reduce;
mod windows;

use crate::graph;
use crate::op::{Attribute, Attributes, Op};
use crate::refusal::{Code, Result};
use crate::tensor::{Constant, Dtype, Shape, TensorType};

/// What reaches an operator at one input.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'w> {
    pub(crate) ty: &'w TensorType,
    pub(crate) constant: Option<&'w Constant<'w>>,
}

/// An operator where it stands.
pub(crate) struct Site<'w> {
    pub(crate) op: Op,
    pub(crate) attributes: &'w Attributes,
    pub(crate) operands: Vec<Option<Operand<'w>>>,
    /// How many outputs the node has.
    pub(crate) outputs: usize,
}

/// An input of the form in which a node is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    /// What stood at that input.
    Given(usize),
    /// What follows from shapes.
    Made(Constant<'static>),
    /// Nothing.
    Missing,
}

/// What a rule finds.
pub(crate) enum Step {
    /// The output is the input of that number.
    Same(usize),
    /// The output is known.
    Known(Constant<'static>),
    /// An operation, in the form in which it is written.
    Run(Run),
}

/// An operation that stays.
pub(crate) struct Run {
    pub(crate) op: Op,
    pub(crate) attributes: Attributes,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<TensorType>,
    pub(crate) macs: u64,
}

impl Run {
    /// The operation with another attribute.
    fn with(mut self, name: &'static str, attribute: Attribute) -> Self {
        self.attributes.insert(name, attribute);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// The operation with an input that we made, in that place.
    fn with_input(mut self, index: usize, constant: Constant<'static>) -> Self {
        while self.inputs.len() <= index {
            self.inputs.push(Input::Missing);
        }
        if let Some(input) = self.inputs.get_mut(index) {
            *input = Input::Made(constant);
        }
        self
    }

    fn macs(self, macs: Option<u64>) -> Result<Self> {
        match macs {
            Some(macs) => Ok(Self { macs, ..self }),
            None => Code::OverLimit.err("more than 2^64 multiply-accumulates"),
        }
    }
}

impl<'w> Site<'w> {
    /// The operand at an input that must be there.
    fn operand(&self, index: usize) -> Result<Operand<'w>> {
        match self.operands.get(index).copied().flatten() {
            Some(operand) => Ok(operand),
            None => Code::Arity.err(format!("input {index} isn't given")),
        }
    }

    fn has(&self, index: usize) -> bool {
        self.operands.get(index).is_some_and(Option::is_some)
    }

    fn ty(&self, index: usize) -> Result<&'w TensorType> {
        Ok(self.operand(index)?.ty)
    }

    fn dims(&self, index: usize) -> Result<&'w [u64]> {
        Ok(self.ty(index)?.shape.dims())
    }

    fn dtype(&self, index: usize) -> Result<Dtype> {
        Ok(self.ty(index)?.dtype)
    }

    /// The first input's type and that it is of floats which are computed with.
    fn float(&self, index: usize) -> Result<&'w TensorType> {
        let ty = self.ty(index)?;
        match ty.dtype {
            Dtype::F32 | Dtype::F16 => Ok(ty),
            _ => Code::Dtype.err(format!("input {index} is {}, not float32", ty.dtype)),
        }
    }

    /// That all inputs from `first` on which are there have the type of input 0.
    fn same_dtypes(&self, first: usize) -> Result<()> {
        let expected = self.dtype(0)?;
        for (index, operand) in self.operands.iter().enumerate().skip(first) {
            if let Some(operand) = operand.filter(|operand| operand.ty.dtype != expected) {
                return Code::Dtype.err(format!("input {index} is {}, not {expected} as input 0", operand.ty.dtype));
            }
        }
        Ok(())
    }

    /// That an input, if it is there, has exactly this shape.
    fn expect(&self, index: usize, dims: &[u64]) -> Result<()> {
        match self.operands.get(index).copied().flatten() {
            Some(operand) if operand.ty.shape.dims() != dims => {
                Code::Shape.err(format!("input {index} is {}, not {dims:?}", operand.ty.shape))
            }
            _ => Ok(()),
        }
    }

    /// The whole numbers of an input that shapes follow from; `None` where it isn't given.
    fn ints(&self, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(operand) = self.operands.get(index).copied().flatten() else { return Ok(None) };
        let Some(constant) = operand.constant else {
            return Code::DynamicShape.err(format!("input {index} isn't known before the model is run"));
        };
        match constant.ints().filter(|_| constant.ty().shape.rank() <= 1) {
            Some(ints) => Ok(Some(ints)),
            None => Code::Shape.err(format!("input {index} is {}, not a few whole numbers", constant.ty())),
        }
    }

    fn required_ints(&self, index: usize) -> Result<Vec<i64>> {
        match self.ints(index)? {
            Some(ints) => Ok(ints),
            None => Code::Arity.err(format!("input {index} isn't given")),
        }
    }

    /// A whole-number attribute that must be there.
    fn int(&self, name: &str) -> Result<i64> {
        match graph::int(self.attributes, name) {
            Some(int) => Ok(int),
            None => Code::Attribute.err(format!("attribute `{name}` isn't given")),
        }
    }

    fn flag(&self, name: &str) -> bool {
        graph::int(self.attributes, name) == Some(1)
    }

    fn int_list(&self, name: &str) -> Option<&'w [i64]> {
        match self.attributes.get(name)? {
            Attribute::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> &'static str {
        match self.attributes.get(name) {
            Some(Attribute::Text(text)) => text,
            _ => "",
        }
    }

    /// An attribute that counts axes from either end, as an axis of `rank`.
    fn axis(&self, name: &str, rank: usize) -> Result<usize> {
        axis(self.int(name)?, rank)
    }

    /// The operation as it stands, with these types at its outputs.
    fn run(&self, outputs: Vec<TensorType>) -> Run {
        let input = |(index, operand): (usize, &Option<Operand<'_>>)| match operand {
            Some(_) => Input::Given(index),
            None => Input::Missing,
        };
        let mut inputs: Vec<Input> = self.operands.iter().enumerate().map(input).collect();
        while inputs.last() == Some(&Input::Missing) {
            inputs.pop();
        }
        Run { op: self.op, attributes: self.attributes.clone(), inputs, outputs, macs: 0 }
    }
}

/// An axis that may be counted from the end.
fn axis(axis: i64, rank: usize) -> Result<usize> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    match from_start.and_then(|axis| usize::try_from(axis).ok()) {
        Some(axis) if axis < rank => Ok(axis),
        _ => Code::Shape.err(format!("there is no axis {axis} of {rank}")),
    }
}

/// Distinct axes, sorted.
fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut found = given.iter().map(|given| axis(*given, rank)).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    match found.windows(2).any(|pair| pair.first() == pair.last()) {
        true => Code::Shape.err(format!("an axis is twice in {given:?}")),
        false => Ok(found),
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn signed_axis(axis: usize) -> Attribute {
    Attribute::Int(i64::try_from(axis).unwrap_or(i64::MAX))
}

fn signed_dims(dims: &[u64]) -> Vec<i64> {
    dims.iter().copied().map(signed).collect()
}

fn product(dims: &[u64]) -> u64 {
    dims.iter().fold(1u64, |product, dim| product.saturating_mul(*dim))
}

/// The shape that two shapes are stretched to, axis by axis from the last.
pub(crate) fn broadcast(a: &[u64], b: &[u64]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let at = |dims: &[u64], index: usize| {
        index.saturating_add(dims.len()).checked_sub(rank).and_then(|index| dims.get(index).copied()).unwrap_or(1)
    };
    let stretched = |index| match (at(a, index), at(b, index)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Code::Shape.err(format!("{a:?} and {b:?} don't fit together")),
    };
    Shape::new((0..rank).map(stretched).collect::<Result<_>>()?)
}

/// Applies the rule of an operator.
pub(crate) fn apply(site: &Site<'_>) -> Result<Step> {
    use Op::*;
    match site.op {
        Conv => windows::conv(site),
        ConvTranspose => windows::conv_transpose(site),
        MaxPool | AveragePool => windows::pool(site),
        GlobalAveragePool | GlobalMaxPool => windows::global_pool(site),
        Gemm => compute::gemm(site),
        MatMul => compute::matmul(site),
        BatchNormalization => compute::batch_norm(site),
        LayerNormalization | RMSNormalization => compute::layer_norm(site),
        InstanceNormalization => compute::instance_norm(site),
        GroupNormalization => compute::group_norm(site),
        Softmax | LogSoftmax => compute::softmax(site),
        LSTM => recurrent::lstm(site),
        GRU => recurrent::gru(site),
        Add | Sub | Mul | Div | Mod | Min | Max => elementwise::arithmetic(site),
        Pow => elementwise::pow(site),
        PRelu => elementwise::prelu(site),
        And | Or => elementwise::logical(site),
        Equal | Less | Greater | LessOrEqual | GreaterOrEqual => elementwise::comparison(site),
        Where => elementwise::choice(site),
        Not => elementwise::not(site),
        IsNaN => elementwise::is_nan(site),
        Abs | Neg | Relu => elementwise::signed(site),
        Sqrt | Reciprocal | Exp | Log | Erf | LeakyRelu | Elu | Gelu | Sigmoid | HardSigmoid | HardSwish | Tanh
        | Softplus | Floor | Ceil | Round | Sin | Cos => elementwise::function(site),
        Clip => elementwise::clip(site),
        Cast => elementwise::cast(site),
        ReduceMean | ReduceSum | ReduceMax | ReduceMin | ReduceProd | ReduceL2 => reduce::reduce(site),
        ArgMax => reduce::arg_max(site),
        TopK => reduce::top_k(site),
        CumSum => reduce::cum_sum(site),
        Reshape => layout::reshape(site),
        Flatten => layout::flatten(site),
        Squeeze => layout::squeeze(site),
        Unsqueeze => layout::unsqueeze(site),
        Identity => Ok(Step::Same(0)),
        Transpose => layout::transpose(site),
        Concat => layout::concat(site),
        Split => layout::split(site),
        Slice => layout::slice(site),
        Gather => choose::gather(site),
        GatherElements => choose::gather_elements(site),
        GatherND => choose::gather_nd(site),
        ScatterElements => choose::scatter_elements(site),
        Pad => layout::pad(site),
        Tile => layout::tile(site),
        Expand => layout::expand(site),
        Resize => windows::resize(site),
        GridSample => windows::grid_sample(site),
        DepthToSpace => layout::depth_to_space(site),
        SpaceToDepth => layout::space_to_depth(site),
        OneHot => choose::one_hot(site),
        Shape => layout::shape(site),
        Size => layout::size(site),
        Range => layout::range(site),
        ConstantOfShape => layout::constant_of_shape(site),
        QuantizeLinear => quantised::quantise(site),
        DequantizeLinear => quantised::dequantise(site),
        DynamicQuantizeLinear => quantised::dynamic(site),
        MatMulInteger => quantised::matmul_integer(site),
        ConvInteger => quantised::conv_integer(site),
        QLinearConv => quantised::qlinear_conv(site),
        QLinearMatMul => quantised::qlinear_matmul(site),
    }
}
