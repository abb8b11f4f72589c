//! The closed list of operators: what each takes, which attributes it has and what they may be. It knows no shapes.

use crate::refusal::{Code, Result};
use std::collections::BTreeMap;
use std::fmt;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// The bits of a float32.
    Float(u32),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// One of a few words.
    Text(&'static str),
}

/// Attributes by name. Those that are not there follow from the shapes, which the walk over the graph fills in.
pub type Attributes = BTreeMap<&'static str, Attribute>;

/// What an attribute may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A number of a range, and its default; none where it must be given or follows from shapes.
    Int(Option<i64>, i64, i64),
    /// A finite float and its default.
    Float(Option<f32>),
    /// Numbers of a range; what they are by default follows from shapes.
    Ints(i64, i64),
    /// One of these words; the first is the default.
    Text(&'static [&'static str]),
    /// A number or numbers that may only be this, which is the default.
    Only(i64),
    /// Words that may only be these, which are the default.
    OnlyTexts(&'static [&'static str]),
    /// Means nothing when a model is run.
    Ignored,
}

/// What is known of an operator beside its rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) inputs: (usize, usize),
    pub(crate) outputs: (usize, usize),
    pub(crate) attributes: &'static [(&'static str, Kind)],
    /// The opset of ai.onnx that has it in the form in which it is written.
    pub(crate) since: i64,
}

/// The opset that is written where no operator asks for a later one.
pub(crate) const OPSET: i64 = 18;
const MANY: usize = 64;
/// Sides of windows, steps and paddings.
const SIDE_MAX: i64 = 1_024;
const AXIS: (i64, i64) = (-8, 7);

use Kind::{Float, Ignored, Int, Ints, Only, OnlyTexts, Text};

const NONE: &[(&str, Kind)] = &[];
const WINDOW: Kind = Ints(1, SIDE_MAX);
const PADS: Kind = Ints(0, SIDE_MAX);
const AUTO_PAD: Kind = Text(&["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]);
const CHANNELS: Kind = Int(Some(1), 1, 1 << 20);

const fn flag(default: i64) -> Kind {
    Int(Some(default), 0, 1)
}

const fn axis(default: i64) -> Kind {
    Int(Some(default), AXIS.0, AXIS.1)
}

const CONV: &[(&str, Kind)] = &[
    ("auto_pad", AUTO_PAD),
    ("dilations", WINDOW),
    ("group", CHANNELS),
    ("kernel_shape", WINDOW),
    ("pads", PADS),
    ("strides", WINDOW),
];
const REDUCE: &[(&str, Kind)] = &[("keepdims", flag(1)), ("noop_with_empty_axes", flag(0))];
const RECURRENT_DIRECTIONS: Kind = Text(&["forward", "reverse", "bidirectional"]);

macro_rules! operators {
    ($($name:ident $inputs:expr, $outputs:expr, $since:expr, $attributes:expr;)*) => {
        /// An operator of ai.onnx that a graph may have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the names are ONNX's, and so is what they mean")]
        pub enum Op { $($name,)* }

        impl Op {
            /// Every operator.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in ONNX.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            pub(crate) fn signature(self) -> Signature {
                match self {
                    $(Self::$name => const {
                        Signature { inputs: $inputs, outputs: $outputs, since: $since, attributes: $attributes }
                    },)*
                }
            }
        }
    };
}

operators! {
    // Compute.
    Conv (2, 3), (1, 1), OPSET, CONV;
    ConvTranspose (2, 3), (1, 1), OPSET, &[
        ("auto_pad", Text(&["NOTSET"])), ("dilations", WINDOW), ("group", CHANNELS), ("kernel_shape", WINDOW),
        ("output_padding", PADS), ("pads", PADS), ("strides", WINDOW),
    ];
    Gemm (2, 3), (1, 1), OPSET, &[
        ("alpha", Float(Some(1.0))), ("beta", Float(Some(1.0))), ("transA", flag(0)), ("transB", flag(0)),
    ];
    MatMul (2, 2), (1, 1), OPSET, NONE;
    MaxPool (1, 1), (1, 1), OPSET, &[
        ("auto_pad", AUTO_PAD), ("ceil_mode", flag(0)), ("dilations", WINDOW), ("kernel_shape", WINDOW),
        ("pads", PADS), ("storage_order", Only(0)), ("strides", WINDOW),
    ];
    AveragePool (1, 1), (1, 1), OPSET, &[
        ("auto_pad", AUTO_PAD), ("ceil_mode", flag(0)), ("count_include_pad", flag(0)), ("dilations", Only(1)),
        ("kernel_shape", WINDOW), ("pads", PADS), ("strides", WINDOW),
    ];
    GlobalAveragePool (1, 1), (1, 1), OPSET, NONE;
    GlobalMaxPool (1, 1), (1, 1), OPSET, NONE;
    BatchNormalization (5, 5), (1, 1), OPSET, &[
        ("epsilon", Float(Some(1e-5))), ("momentum", Ignored), ("training_mode", Only(0)),
    ];
    LayerNormalization (2, 3), (1, 1), OPSET, &[
        ("axis", axis(-1)), ("epsilon", Float(Some(1e-5))), ("stash_type", Only(1)),
    ];
    InstanceNormalization (3, 3), (1, 1), OPSET, &[("epsilon", Float(Some(1e-5)))];
    GroupNormalization (3, 3), (1, 1), 21, &[
        ("epsilon", Float(Some(1e-5))), ("num_groups", Int(None, 1, 1 << 24)), ("stash_type", Only(1)),
    ];
    RMSNormalization (2, 2), (1, 1), 23, &[
        ("axis", axis(-1)), ("epsilon", Float(Some(1e-5))), ("stash_type", Only(1)),
    ];
    LSTM (3, 7), (1, 3), OPSET, &[
        ("activations", OnlyTexts(&["Sigmoid", "Tanh", "Tanh"])), ("direction", RECURRENT_DIRECTIONS),
        ("hidden_size", Int(None, 1, 1 << 20)), ("input_forget", Only(0)), ("layout", Only(0)),
    ];
    GRU (3, 6), (1, 2), OPSET, &[
        ("activations", OnlyTexts(&["Sigmoid", "Tanh"])), ("direction", RECURRENT_DIRECTIONS),
        ("hidden_size", Int(None, 1, 1 << 20)), ("layout", Only(0)), ("linear_before_reset", flag(0)),
    ];
    Softmax (1, 1), (1, 1), OPSET, &[("axis", axis(-1))];
    LogSoftmax (1, 1), (1, 1), OPSET, &[("axis", axis(-1))];

    // Element by element.
    Add (2, 2), (1, 1), OPSET, NONE;
    Sub (2, 2), (1, 1), OPSET, NONE;
    Mul (2, 2), (1, 1), OPSET, NONE;
    Div (2, 2), (1, 1), OPSET, NONE;
    Pow (2, 2), (1, 1), OPSET, NONE;
    Mod (2, 2), (1, 1), OPSET, &[("fmod", flag(0))];
    Min (1, MANY), (1, 1), OPSET, NONE;
    Max (1, MANY), (1, 1), OPSET, NONE;
    PRelu (2, 2), (1, 1), OPSET, NONE;
    And (2, 2), (1, 1), OPSET, NONE;
    Or (2, 2), (1, 1), OPSET, NONE;
    Equal (2, 2), (1, 1), OPSET, NONE;
    Less (2, 2), (1, 1), OPSET, NONE;
    Greater (2, 2), (1, 1), OPSET, NONE;
    LessOrEqual (2, 2), (1, 1), OPSET, NONE;
    GreaterOrEqual (2, 2), (1, 1), OPSET, NONE;
    Where (3, 3), (1, 1), OPSET, NONE;
    Not (1, 1), (1, 1), OPSET, NONE;
    IsNaN (1, 1), (1, 1), OPSET, NONE;
    Sqrt (1, 1), (1, 1), OPSET, NONE;
    Reciprocal (1, 1), (1, 1), OPSET, NONE;
    Exp (1, 1), (1, 1), OPSET, NONE;
    Log (1, 1), (1, 1), OPSET, NONE;
    Abs (1, 1), (1, 1), OPSET, NONE;
    Neg (1, 1), (1, 1), OPSET, NONE;
    Erf (1, 1), (1, 1), OPSET, NONE;
    Relu (1, 1), (1, 1), OPSET, NONE;
    LeakyRelu (1, 1), (1, 1), OPSET, &[("alpha", Float(Some(0.01)))];
    Elu (1, 1), (1, 1), OPSET, &[("alpha", Float(Some(1.0)))];
    Gelu (1, 1), (1, 1), 20, &[("approximate", Text(&["none", "tanh"]))];
    Sigmoid (1, 1), (1, 1), OPSET, NONE;
    HardSigmoid (1, 1), (1, 1), OPSET, &[("alpha", Float(Some(0.2))), ("beta", Float(Some(0.5)))];
    HardSwish (1, 1), (1, 1), OPSET, NONE;
    Tanh (1, 1), (1, 1), OPSET, NONE;
    Softplus (1, 1), (1, 1), OPSET, NONE;
    Floor (1, 1), (1, 1), OPSET, NONE;
    Ceil (1, 1), (1, 1), OPSET, NONE;
    Round (1, 1), (1, 1), OPSET, NONE;
    Sin (1, 1), (1, 1), OPSET, NONE;
    Cos (1, 1), (1, 1), OPSET, NONE;
    Clip (1, 3), (1, 1), OPSET, NONE;
    Cast (1, 1), (1, 1), OPSET, &[("saturate", Ignored), ("to", Int(None, 1, 16))];

    // Reductions.
    ReduceMean (1, 2), (1, 1), OPSET, REDUCE;
    ReduceSum (1, 2), (1, 1), OPSET, REDUCE;
    ReduceMax (1, 2), (1, 1), OPSET, REDUCE;
    ReduceMin (1, 2), (1, 1), OPSET, REDUCE;
    ReduceProd (1, 2), (1, 1), OPSET, REDUCE;
    ReduceL2 (1, 2), (1, 1), OPSET, REDUCE;
    ArgMax (1, 1), (1, 1), OPSET, &[("axis", axis(0)), ("keepdims", flag(1)), ("select_last_index", flag(0))];
    TopK (2, 2), (1, 2), OPSET, &[("axis", axis(-1)), ("largest", flag(1)), ("sorted", flag(1))];
    CumSum (2, 2), (1, 1), OPSET, &[("exclusive", flag(0)), ("reverse", flag(0))];

    // Layout.
    Reshape (2, 2), (1, 1), OPSET, &[("allowzero", flag(0))];
    Flatten (1, 1), (1, 1), OPSET, &[("axis", Int(Some(1), -8, 8))];
    Squeeze (1, 2), (1, 1), OPSET, NONE;
    Unsqueeze (2, 2), (1, 1), OPSET, NONE;
    Identity (1, 1), (1, 1), OPSET, NONE;
    Transpose (1, 1), (1, 1), OPSET, &[("perm", Ints(0, 7))];
    Concat (1, MANY), (1, 1), OPSET, &[("axis", Int(None, AXIS.0, AXIS.1))];
    Split (1, 2), (1, MANY), OPSET, &[("axis", axis(0)), ("num_outputs", Int(None, 1, 64))];
    Slice (3, 5), (1, 1), OPSET, NONE;
    Gather (2, 2), (1, 1), OPSET, &[("axis", axis(0))];
    GatherElements (2, 2), (1, 1), OPSET, &[("axis", axis(0))];
    GatherND (2, 2), (1, 1), OPSET, &[("batch_dims", Int(Some(0), 0, 7))];
    ScatterElements (3, 3), (1, 1), OPSET, &[("axis", axis(0)), ("reduction", Text(&["none"]))];
    Pad (2, 4), (1, 1), OPSET, &[("mode", Text(&["constant", "reflect", "edge"]))];
    Tile (2, 2), (1, 1), OPSET, NONE;
    Expand (2, 2), (1, 1), OPSET, NONE;
    Resize (1, 4), (1, 1), OPSET, &[
        ("antialias", flag(0)),
        ("coordinate_transformation_mode", Text(&["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])),
        ("cubic_coeff_a", Float(Some(-0.75))), ("exclude_outside", flag(0)), ("extrapolation_value", Ignored),
        ("keep_aspect_ratio_policy", Text(&["stretch"])), ("mode", Text(&["nearest", "linear", "cubic"])),
        ("nearest_mode", Text(&["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])),
    ];
    GridSample (2, 2), (1, 1), 20, &[
        ("align_corners", flag(0)), ("mode", Text(&["linear", "nearest", "cubic"])),
        ("padding_mode", Text(&["zeros", "border", "reflection"])),
    ];
    DepthToSpace (1, 1), (1, 1), OPSET, &[("blocksize", Int(None, 1, SIDE_MAX)), ("mode", Text(&["DCR", "CRD"]))];
    SpaceToDepth (1, 1), (1, 1), OPSET, &[("blocksize", Int(None, 1, SIDE_MAX))];
    OneHot (3, 3), (1, 1), OPSET, &[("axis", axis(-1))];
    Shape (1, 1), (1, 1), OPSET, &[("end", Int(None, -64, 64)), ("start", Int(Some(0), -64, 64))];
    Size (1, 1), (1, 1), OPSET, NONE;
    Range (3, 3), (1, 1), OPSET, NONE;
    ConstantOfShape (1, 2), (1, 1), OPSET, NONE;

    // Quantised.
    QuantizeLinear (2, 3), (1, 1), OPSET, &[
        ("axis", axis(1)), ("block_size", Only(0)), ("output_dtype", Only(0)), ("precision", Only(0)),
        ("saturate", Ignored),
    ];
    DequantizeLinear (2, 3), (1, 1), OPSET, &[("axis", axis(1)), ("block_size", Only(0)), ("output_dtype", Only(0))];
    DynamicQuantizeLinear (1, 1), (3, 3), OPSET, NONE;
    MatMulInteger (2, 4), (1, 1), OPSET, NONE;
    ConvInteger (2, 4), (1, 1), OPSET, CONV;
    QLinearConv (8, 9), (1, 1), OPSET, CONV;
    QLinearMatMul (8, 8), (1, 1), OPSET, NONE;
}

impl Op {
    /// The operator of that name; `None` for what isn't on the list.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// Whether the input of that number says how the node is built: shapes, axes, counts.
    pub(crate) fn is_built_by(self, input: usize) -> bool {
        match self {
            Self::Slice | Self::Resize => input > 0,
            Self::Reshape | Self::Expand | Self::Split | Self::TopK | Self::CumSum | Self::Pad | Self::Tile => {
                input == 1
            }
            Self::OneHot => input == 1,
            _ => self.is_reduction() && input == 1,
        }
    }

    /// Whether it reduces axes, which older opsets list in an attribute.
    pub(crate) fn is_reduction(self) -> bool {
        use Op::{ReduceL2, ReduceMax, ReduceMean, ReduceMin, ReduceProd, ReduceSum};
        matches!(self, ReduceMean | ReduceSum | ReduceMax | ReduceMin | ReduceProd | ReduceL2)
    }

    /// The word of today for one of an older opset.
    pub(crate) fn renamed<'a>(self, attribute: &str, word: &'a [u8], opset: i64) -> &'a [u8] {
        match (self, attribute, word) {
            (Self::GridSample, "mode", b"bilinear") if opset < 20 => b"linear",
            (Self::GridSample, "mode", b"bicubic") if opset < 20 => b"cubic",
            _ => word,
        }
    }

    /// Whether files of that opset have it in a form that is read: `GridSample` only had other words.
    pub(crate) fn is_in(self, opset: i64) -> bool {
        let since = self.signature().since;
        since <= opset.max(OPSET) || self == Self::GridSample
    }

    /// Whether outputs beside the first may be left out.
    pub(crate) fn has_optional_outputs(self) -> bool {
        matches!(self, Self::LSTM | Self::GRU)
    }

    /// Checks the attributes that a file gives and completes them with defaults.
    pub(crate) fn attributes(self, given: &BTreeMap<&str, Given>) -> Result<Attributes> {
        let known = self.signature().attributes;
        if let Some(name) = given.keys().find(|name| !known.iter().any(|(known, _)| known == *name)) {
            return Code::Attribute.err(format!("{self} has no attribute `{name}`"));
        }
        let mut attributes = Attributes::new();
        for (name, kind) in known {
            if let Some(attribute) = kind.read(given.get(name)).map_err(|why| wrong(self, name, &why))? {
                attributes.insert(name, attribute);
            }
        }
        Ok(attributes)
    }
}

fn wrong(op: Op, name: &str, why: &str) -> crate::refusal::Refusal {
    Code::Attribute.because(format!("{op}'s attribute `{name}` {why}"))
}

/// An attribute as a file gives it.
#[derive(Clone, Debug)]
pub(crate) enum Given<'a> {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'a [u8]),
    Texts(Vec<&'a [u8]>),
}

impl Kind {
    /// The attribute's value; none where it means nothing or follows from shapes.
    fn read(self, given: Option<&Given<'_>>) -> std::result::Result<Option<Attribute>, String> {
        let Some(given) = given else { return Ok(self.default()) };
        match (self, given) {
            (Int(_, low, high), Given::Int(int)) if (low..=high).contains(int) => Ok(Some(Attribute::Int(*int))),
            (Int(_, low, high), Given::Int(int)) => Err(format!("is {int}, not {low} to {high}")),
            (Float(_), Given::Float(float)) if float.is_finite() => Ok(Some(Attribute::Float(float.to_bits()))),
            (Ints(low, high), Given::Ints(ints)) => match ints.iter().find(|int| !(low..=high).contains(int)) {
                Some(int) => Err(format!("has {int}, not {low} to {high}")),
                None => Ok(Some(Attribute::Ints(ints.clone()))),
            },
            (Text(words), Given::Text(text)) => match words.iter().find(|word| word.as_bytes() == *text) {
                Some(word) => Ok(Some(Attribute::Text(word))),
                None => Err(format!("isn't one of {}", words.join(", "))),
            },
            (Only(only), Given::Int(int)) if *int == only => Ok(None),
            (Only(only), Given::Ints(ints)) if ints.iter().all(|int| *int == only) => Ok(None),
            (Only(only), Given::Int(_) | Given::Ints(_)) => Err(format!("may only be {only}")),
            // Two directions name each word twice.
            (OnlyTexts(words), Given::Texts(texts)) => {
                let differs = |(text, word): (&&[u8], &&str)| *text != word.as_bytes();
                match texts.iter().zip(words.iter().cycle()).any(differs) || !texts.len().is_multiple_of(words.len()) {
                    true => Err(format!("may only be {}", words.join(", "))),
                    false => Ok(None),
                }
            }
            (Ignored, _) => Ok(None),
            _ => Err("has another type, or isn't finite".to_owned()),
        }
    }

    fn default(self) -> Option<Attribute> {
        match self {
            Int(default, ..) => default.map(Attribute::Int),
            Float(default) => default.map(|float| Attribute::Float(float.to_bits())),
            Text(words) => words.first().map(|word| Attribute::Text(word)),
            Ints(..) | Only(_) | OnlyTexts(_) | Ignored => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
