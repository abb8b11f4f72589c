//! A network's tensors as arrays, under the names and in the layout that packages have.

use super::{Layer, SelfAttention};
use burn::nn::Linear;
use burn::tensor::Tensor;
use protocol::architecture::Op;
use weights::{Array, Weights};

pub(super) fn export(layers: &[Layer], ops: &[Op], weights: &mut Weights) {
    for (layer, op) in layers.iter().zip(ops) {
        let names = op.tensors().into_iter().map(|tensor| tensor.name);
        let arrays = match layer {
            Layer::Linear(linear) => linear_arrays(linear),
            Layer::Conv2d(conv) => {
                let weight = array(conv.weight.val());
                std::iter::once(weight).chain(conv.bias.as_ref().map(|bias| array(bias.val()))).collect()
            }
            Layer::BatchNorm(norm) => {
                let (mean, variance) = (norm.running_mean.value_sync(), norm.running_var.value_sync());
                [norm.gamma.val(), norm.beta.val(), mean, variance].map(array).to_vec()
            }
            Layer::LayerNorm(norm) => {
                let beta = norm.beta.as_ref().map(|beta| array(beta.val()));
                std::iter::once(array(norm.gamma.val())).chain(beta).collect()
            }
            Layer::Token(tensor) | Layer::Position(tensor) => vec![array(tensor.val())],
            Layer::SelfAttention(SelfAttention { query, key, value, output, .. }) => {
                [query, key, value, output].into_iter().flat_map(linear_arrays).collect()
            }
            Layer::Residual(residual) => {
                if let Op::Residual { body, shortcut } = op {
                    export(&residual.body, body, weights);
                    export(&residual.shortcut, shortcut, weights);
                }
                continue;
            }
            Layer::Stateless(_) => Vec::new(),
        };
        names.zip(arrays).for_each(|(name, array)| weights.insert(name, array));
    }
}

fn linear_arrays(linear: &Linear) -> Vec<Array> {
    let Array { shape, values } = array(linear.weight.val());
    let weight = Array { values: transpose(&values, shape[0], shape[1]), shape: vec![shape[1], shape[0]] };
    std::iter::once(weight).chain(linear.bias.as_ref().map(|bias| array(bias.val()))).collect()
}

fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().convert::<f32>().try_into_vec();
    Array { shape, values: values.expect("converted to f32; anything else is a bug") }
}

/// Transposes a row-major matrix of `rows` times `columns`.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}
