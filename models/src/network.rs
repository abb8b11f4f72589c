//! A [`Plan`] and its [`Weights`] as a burn module: one interpreter for every architecture of the catalogue.

mod export;

use burn::module::{Module, Param, ParamId, RunningState};
use burn::nn::{
    BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, PaddingConfig2d,
    conv::{Conv2d, Conv2dConfig},
};
use burn::tensor::{Device, Tensor, TensorData, activation};
use export::{export, transpose};
use protocol::architecture::{ATTENTION_PROJECTIONS, Activation, Op, Plan, epsilon, layer_norm_epsilon};
use std::cell::Cell;
use weights::{Array, Weights, WeightsError};

/// A model on a device: images in, logits out.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network holds tens of layers, once; their tensors dwarf them")]
enum Layer {
    Linear(Linear),
    Conv2d(Conv2d),
    BatchNorm(BatchNorm),
    LayerNorm(LayerNorm),
    Residual(Residual),
    Token(Param<Tensor<3>>),
    Position(Param<Tensor<3>>),
    SelfAttention(SelfAttention),
    Stateless(Stateless),
}

/// An operation without tensors.
#[derive(Module, Debug)]
struct Stateless {
    #[module(skip)]
    function: Function,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Relu,
    Relu6,
    Gelu,
    Silu,
    Flatten,
    GlobalAveragePool,
    ImageToTokens,
    FirstToken,
    MeanOfPatches,
}

#[derive(Module, Debug)]
struct Residual {
    body: Vec<Layer>,
    shortcut: Vec<Layer>,
}

#[derive(Module, Debug)]
struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

/// What flows between layers. Plans are consistent, so a layer always finds the rank that it needs.
enum Flow {
    Image(Tensor<4>),
    Tokens(Tensor<3>),
    Vector(Tensor<2>),
}

impl Network {
    /// Puts `weights` into the operations of `plan` on `device`. Use an autodiff device to train.
    ///
    /// # Errors
    /// When a tensor of the plan is missing from `weights`.
    pub fn new(plan: &Plan, weights: &Weights, device: &Device) -> Result<Self, WeightsError> {
        Ok(Self { layers: build(plan.ops(), &Source { weights, device, next_id: Cell::new(1) })? })
    }

    /// Logits `[batch, classes]` of images `[batch, channels, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match run(&self.layers, Flow::Image(images)) {
            Flow::Vector(logits) => logits,
            _ => unreachable!("a plan ends in a vector; this is a bug"),
        }
    }

    /// The same with a graph and batch statistics of its own, so that threads train on parts of a batch at once.
    #[must_use]
    pub fn replica(&self) -> Self {
        self.valid().train()
    }

    /// Takes the mean of what the batch normalisations of replicas saw, in their order: the same sum on every machine.
    pub fn take_statistics(&mut self, replicas: &[Self]) {
        let replicas: Vec<&[Layer]> = replicas.iter().map(|replica| replica.layers.as_slice()).collect();
        take_statistics(&mut self.layers, &replicas);
    }

    /// Reads the weights back under their `state_dict` names. `plan` must be the one that the network was made from.
    pub fn weights(&self, plan: &Plan) -> Weights {
        let mut weights = Weights::default();
        export(&self.layers, plan.ops(), &mut weights);
        weights
    }
}

fn take_statistics(layers: &mut [Layer], replicas: &[&[Layer]]) {
    for (index, layer) in layers.iter_mut().enumerate() {
        let same: Vec<&Layer> = replicas.iter().filter_map(|layers| layers.get(index)).collect();
        match layer {
            Layer::BatchNorm(norm) => {
                let norms: Vec<&BatchNorm> = same
                    .into_iter()
                    .filter_map(|layer| if let Layer::BatchNorm(norm) = layer { Some(norm) } else { None })
                    .collect();
                norm.running_mean = mean_of(norms.iter().map(|norm| &norm.running_mean));
                norm.running_var = mean_of(norms.iter().map(|norm| &norm.running_var));
            }
            Layer::Residual(residual) => {
                let residuals: Vec<&Residual> = same
                    .into_iter()
                    .filter_map(|layer| if let Layer::Residual(it) = layer { Some(it) } else { None })
                    .collect();
                let parts = |part: fn(&Residual) -> &[Layer]| residuals.iter().map(|it| part(it)).collect::<Vec<_>>();
                take_statistics(&mut residual.body, &parts(|it| &it.body));
                take_statistics(&mut residual.shortcut, &parts(|it| &it.shortcut));
            }
            _ => {}
        }
    }
}

/// The mean of states that other threads have updated.
fn mean_of<'a>(states: impl ExactSizeIterator<Item = &'a RunningState<Tensor<1>>>) -> RunningState<Tensor<1>> {
    let count = states.len().max(1) as f32;
    let values = states.map(|state| state.valid().value());
    let sum = values.reduce(|sum, value| sum + value);
    let sum = sum.expect("one replica at least, or nobody asks; this is a bug");
    RunningState::new(Tensor::from_inner(sum.div_scalar(count)))
}

/// Where layers take their tensors from and where they go.
struct Source<'a> {
    weights: &'a Weights,
    device: &'a Device,
    /// Parameters are numbered in plan order, so that an optimizer's saved state fits a network built anew.
    next_id: Cell<u64>,
}

impl Source<'_> {
    fn array(&self, name: &str) -> Result<&Array, WeightsError> {
        self.weights.get(name).ok_or_else(|| WeightsError::Missing(name.into()))
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>, WeightsError> {
        let array = self.array(name)?;
        let data = TensorData::new(array.values.clone(), array.shape.clone());
        Ok(Tensor::from_data(data, self.device))
    }

    fn param<const D: usize>(&self, name: &str) -> Result<Param<Tensor<D>>, WeightsError> {
        self.tensor(name).map(|tensor| self.number(tensor))
    }

    fn number<const D: usize>(&self, tensor: Tensor<D>) -> Param<Tensor<D>> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let tensor = if self.device.is_autodiff() { tensor.require_grad() } else { tensor };
        Param::initialized(ParamId::from(id), tensor)
    }

    /// Burn keeps linear weights as `[inputs, outputs]`, PyTorch as `[outputs, inputs]`.
    fn linear(&self, name: &str, bias: bool) -> Result<Linear, WeightsError> {
        let Array { shape, values } = self.array(&format!("{name}.weight"))?;
        let (outputs, inputs) = (shape[0], shape[1]);
        let data = TensorData::new(transpose(values, outputs, inputs), [inputs, outputs]);
        Ok(Linear {
            weight: self.number(Tensor::from_data(data, self.device)),
            bias: if bias { Some(self.param(&format!("{name}.bias"))?) } else { None },
        })
    }

    fn layer(&self, op: &Op) -> Result<Layer, WeightsError> {
        Ok(match op {
            Op::Linear { name, bias, .. } => Layer::Linear(self.linear(name, *bias)?),
            Op::Conv2d(conv) => Layer::Conv2d(self.conv2d(conv)?),
            Op::BatchNorm { name, channels, epsilon_ppb } => {
                Layer::BatchNorm(self.batch_norm(name, *channels as usize, epsilon(*epsilon_ppb))?)
            }
            Op::LayerNorm { name, width, epsilon_ppb } => {
                let config = LayerNormConfig::new(*width as usize).with_epsilon(layer_norm_epsilon(*epsilon_ppb));
                let mut norm = config.init(self.device);
                norm.gamma = self.param(&format!("{name}.weight"))?;
                norm.beta = Some(self.param(&format!("{name}.bias"))?);
                Layer::LayerNorm(norm)
            }
            Op::Residual { body, shortcut } => {
                Layer::Residual(Residual { body: build(body, self)?, shortcut: build(shortcut, self)? })
            }
            Op::ClassToken { name, .. } => Layer::Token(self.param(name)?),
            Op::PositionEmbedding { name, .. } => Layer::Position(self.param(name)?),
            Op::SelfAttention { name, heads, .. } => {
                let projection = |index: usize| self.linear(&format!("{name}.{}", ATTENTION_PROJECTIONS[index]), true);
                Layer::SelfAttention(SelfAttention {
                    query: projection(0)?,
                    key: projection(1)?,
                    value: projection(2)?,
                    output: projection(3)?,
                    heads: *heads as usize,
                })
            }
            Op::Activation(Activation::Relu) => stateless(Function::Relu),
            Op::Activation(Activation::Relu6) => stateless(Function::Relu6),
            Op::Activation(Activation::Gelu) => stateless(Function::Gelu),
            Op::Activation(Activation::Silu) => stateless(Function::Silu),
            Op::Flatten => stateless(Function::Flatten),
            Op::GlobalAveragePool => stateless(Function::GlobalAveragePool),
            Op::ImageToTokens => stateless(Function::ImageToTokens),
            Op::FirstToken => stateless(Function::FirstToken),
            Op::MeanOfPatches => stateless(Function::MeanOfPatches),
        })
    }

    fn conv2d(&self, conv: &protocol::architecture::Conv2d) -> Result<Conv2d, WeightsError> {
        let (stride, kernel) = (conv.stride as usize, conv.kernel as usize);
        let [top, left, bottom, right] =
            [conv.padding.top, conv.padding.left, conv.padding.bottom, conv.padding.right].map(|side| side as usize);
        let mut layer = Conv2dConfig::new([conv.inputs as usize, conv.outputs as usize], [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
            .with_groups(conv.groups as usize)
            .with_bias(false)
            .init(self.device);
        layer.weight = self.param(&format!("{}.weight", conv.name))?;
        layer.bias = if conv.bias { Some(self.param(&format!("{}.bias", conv.name))?) } else { None };
        Ok(layer)
    }

    fn batch_norm(&self, name: &str, channels: usize, epsilon: f64) -> Result<BatchNorm, WeightsError> {
        let mut norm = BatchNormConfig::new(channels).with_epsilon(epsilon).init(self.device);
        norm.gamma = self.param(&format!("{name}.weight"))?;
        norm.beta = self.param(&format!("{name}.bias"))?;
        norm.running_mean = RunningState::new(self.tensor(&format!("{name}.running_mean"))?);
        norm.running_var = RunningState::new(self.tensor(&format!("{name}.running_var"))?);
        Ok(norm)
    }
}

fn build(ops: &[Op], source: &Source<'_>) -> Result<Vec<Layer>, WeightsError> {
    ops.iter().map(|op| source.layer(op)).collect()
}

fn run(layers: &[Layer], input: Flow) -> Flow {
    layers.iter().fold(input, |flow, layer| layer.forward(flow))
}

impl Layer {
    fn forward(&self, flow: Flow) -> Flow {
        match (self, flow) {
            (Self::Linear(linear), Flow::Vector(x)) => Flow::Vector(linear.forward(x)),
            (Self::Linear(linear), Flow::Tokens(x)) => Flow::Tokens(linear.forward(x)),
            (Self::Conv2d(conv), Flow::Image(x)) => Flow::Image(conv.forward(x)),
            (Self::BatchNorm(norm), Flow::Image(x)) => Flow::Image(norm.forward(x)),
            (Self::LayerNorm(norm), Flow::Tokens(x)) => Flow::Tokens(norm.forward(x)),
            (Self::Residual(residual), x) => residual.forward(x),
            (Self::Token(token), Flow::Tokens(x)) => {
                let [batch, _, width] = x.dims();
                Flow::Tokens(Tensor::cat(vec![token.val().expand([batch, 1, width]), x], 1))
            }
            (Self::Position(position), Flow::Tokens(x)) => Flow::Tokens(x + position.val()),
            (Self::SelfAttention(attention), Flow::Tokens(x)) => Flow::Tokens(attention.forward(x)),
            (Self::Stateless(op), flow) => op.function.apply(flow),
            _ => unreachable!("plans are consistent; this is a bug"),
        }
    }
}

fn stateless(function: Function) -> Layer {
    Layer::Stateless(Stateless { function })
}

impl Function {
    fn apply(self, flow: Flow) -> Flow {
        match (self, flow) {
            (Self::Flatten, Flow::Image(x)) => Flow::Vector(x.flatten(1, 3)),
            (Self::GlobalAveragePool, Flow::Image(x)) => {
                let [batch, channels, _, _] = x.dims();
                Flow::Vector(x.reshape([batch as i32, channels as i32, -1]).mean_dim(2).reshape([batch, channels]))
            }
            (Self::ImageToTokens, Flow::Image(x)) => {
                let tokens: Tensor<3> = x.flatten(2, 3);
                Flow::Tokens(tokens.swap_dims(1, 2))
            }
            (Self::FirstToken, Flow::Tokens(x)) => {
                let [batch, _, width] = x.dims();
                Flow::Vector(x.narrow(1, 0, 1).reshape([batch, width]))
            }
            (Self::MeanOfPatches, Flow::Tokens(x)) => {
                let [batch, tokens, width] = x.dims();
                Flow::Vector(x.narrow(1, 1, tokens - 1).mean_dim(1).reshape([batch, width]))
            }
            (activation, Flow::Image(x)) => Flow::Image(activation.activate(x)),
            (activation, Flow::Tokens(x)) => Flow::Tokens(activation.activate(x)),
            (activation, Flow::Vector(x)) => Flow::Vector(activation.activate(x)),
        }
    }

    fn activate<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => activation::relu(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::Gelu => gelu(x),
            Self::Silu => activation::silu(x),
            _ => unreachable!("{self:?} is no activation; this is a bug"),
        }
    }
}

/// GELU, x Φ(x), without branches: the engine's own takes longer for some inputs than for others, so that a model's time
/// would depend on what it says, and the check of repeated items accused honest transformers. Φ's tail is Abramowitz and
/// Stegun's 7.1.26 (Handbook of Mathematical Functions, 1964), whose error is at most 1.5e-7.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const TERMS: [f64; 5] = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let away = x.clone().abs();
    let t = (away.clone() * (0.327_591_1 * std::f64::consts::FRAC_1_SQRT_2) + 1.0).recip();
    let [first, rest @ ..] = TERMS;
    let sum = rest.into_iter().fold(t.clone() * first, |sum, term| (sum + term) * t.clone());
    let tail = sum * (x.clone() * x.clone() * -0.5).exp() * 0.5;
    activation::relu(x) - away * tail
}

impl Residual {
    fn forward(&self, input: Flow) -> Flow {
        let copy = match &input {
            Flow::Image(x) => Flow::Image(x.clone()),
            Flow::Tokens(x) => Flow::Tokens(x.clone()),
            Flow::Vector(x) => Flow::Vector(x.clone()),
        };
        match (run(&self.body, input), run(&self.shortcut, copy)) {
            (Flow::Image(a), Flow::Image(b)) => Flow::Image(a + b),
            (Flow::Tokens(a), Flow::Tokens(b)) => Flow::Tokens(a + b),
            (Flow::Vector(a), Flow::Vector(b)) => Flow::Vector(a + b),
            _ => unreachable!("a residual's paths end alike; this is a bug"),
        }
    }
}

impl SelfAttention {
    /// softmax(Q Kᵀ / sqrt(d)) V per head (Vaswani et al. 2017).
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, width] = x.dims();
        let size = width / self.heads;
        let split = |x: Tensor<3>| x.reshape([batch, tokens, self.heads, size]).swap_dims(1, 2);
        let query = split(self.query.forward(x.clone()));
        let key = split(self.key.forward(x.clone()));
        let value = split(self.value.forward(x));
        let scores = query.matmul(key.transpose()).mul_scalar(1.0 / (size as f64).sqrt());
        let mixed = activation::softmax(scores, 3).matmul(value);
        self.output.forward(mixed.swap_dims(1, 2).reshape([batch, tokens, width]))
    }
}
