//! Packages for the gallery: every family of the catalogue in many sizes, with random weights that the admission check
//! takes. It trains nothing and knows no HTTP.

use crate::package::Package;
use protocol::architecture::{
    Architecture, DepthwiseBlock, DepthwiseCnn, InvertedResidual, Mlp, MobilenetV2, Resnet, Vit,
};
use protocol::competition::Manifest;
use protocol::package::{CONFIG_FILE, PackageConfig, README_FILE, WEIGHTS_FILE};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

/// A multi-layer perceptron of this width is one that the engine never finishes with.
pub(crate) const ENDLESS: u32 = 97;

struct Tensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The `n`-th model: families take turns, and each of their members is another one.
pub(crate) fn architecture(n: u64) -> Architecture {
    let lap = (n / 5) as u32;
    let block = |channels, stride| DepthwiseBlock { channels, stride };
    match n % 5 {
        0 => Architecture::Mlp(Mlp::of(match lap % 3 {
            0 => vec![96 + 24 * lap],
            1 => vec![160 + 16 * lap, 64],
            _ => vec![48 + 8 * lap],
        })),
        1 => Architecture::Resnet(Resnet {
            width: 8 + 2 * (lap % 8),
            blocks: [vec![1, 1, 1], vec![1, 1], vec![2, 1, 1]][(lap % 3) as usize].clone(),
            stem_stride: 1 + lap % 2,
            ..Resnet::default()
        }),
        2 => Architecture::DepthwiseCnn(DepthwiseCnn {
            stem: 12 + 4 * (lap % 5),
            stem_stride: 1 + lap % 2,
            blocks: vec![block(24 + 8 * (lap % 4), 1), block(48 + 8 * (lap % 6), 2), block(96, 1 + lap % 2)],
            ..DepthwiseCnn::default()
        }),
        3 => Architecture::MobilenetV2(MobilenetV2 {
            stem: 8 + 4 * (lap % 4),
            stem_stride: 1 + (lap + 1) % 2,
            blocks: vec![
                InvertedResidual { expansion: 1, channels: 12, repeats: 1, stride: 1 },
                InvertedResidual { expansion: 3 + lap % 3, channels: 20 + 4 * (lap % 4), repeats: 2, stride: 2 },
                InvertedResidual { expansion: 4, channels: 40, repeats: 1 + lap % 2, stride: 2 },
            ],
            head: 96 + 32 * (lap % 4),
            ..MobilenetV2::default()
        }),
        _ => Architecture::Vit(Vit {
            patch: 7,
            width: 32 + 16 * (lap % 4),
            depth: 2 + lap % 3,
            heads: 4,
            mlp_width: 64 + 32 * (lap % 4),
            ..Vit::default()
        }),
    }
}

/// A perceptron of one hidden layer.
pub(crate) fn architecture_of_width(width: u32) -> Architecture {
    Architecture::Mlp(Mlp::of(vec![width]))
}

impl Package {
    /// A package for the competition whose weights only `seed` has.
    pub(crate) fn new(manifest: &Manifest, architecture: &Architecture, seed: u64) -> Self {
        let (config, tensors) = tensors(manifest, architecture, seed);
        Self::of(&config, &tensors)
    }

    /// The same model as [`Package::new`] with the units of its first hidden layer in another order. For perceptrons
    /// of one hidden layer.
    pub(crate) fn disguised(manifest: &Manifest, architecture: &Architecture, seed: u64) -> Self {
        let (config, mut tensors) = tensors(manifest, architecture, seed);
        for tensor in &mut tensors {
            let (rows, columns) = (tensor.shape[0], tensor.values.len() / tensor.shape[0]);
            let first = tensor.name.starts_with("1.");
            tensor.values = if first {
                (0..rows).rev().flat_map(|row| tensor.values[row * columns..][..columns].to_vec()).collect()
            } else if tensor.shape.len() == 2 {
                let flipped = |row: usize| tensor.values[row * columns..][..columns].iter().rev().copied();
                (0..rows).flat_map(flipped).collect()
            } else {
                std::mem::take(&mut tensor.values)
            };
        }
        Self::of(&config, &tensors)
    }

    /// The same without one of its tensors.
    pub(crate) fn torn(manifest: &Manifest, architecture: &Architecture, seed: u64) -> Self {
        let (config, mut tensors) = tensors(manifest, architecture, seed);
        tensors.pop();
        Self::of(&config, &tensors)
    }

    fn of(config: &serde_json::Value, tensors: &[Tensor]) -> Self {
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            (tensor.name.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
        });
        let weights = safetensors::serialize(views, None).unwrap();
        let readme =
            b"# A student from the gallery\n\nRandom weights: it shows how pages look, not how models think.\n";
        let file = |path: &str, bytes: Vec<u8>| (path.to_owned(), bytes);
        Self {
            files: vec![
                file(CONFIG_FILE, config.to_string().into_bytes()),
                file(WEIGHTS_FILE, weights),
                file(README_FILE, readme.to_vec()),
            ],
        }
    }
}

fn tensors(manifest: &Manifest, architecture: &Architecture, seed: u64) -> (serde_json::Value, Vec<Tensor>) {
    let config = json!({
        "format": "retort/1", "architecture": architecture, "input": manifest.input, "labels": manifest.labels,
    });
    let plan = PackageConfig::from_json(config.to_string().as_bytes()).unwrap().plan().unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        // xorshift64: numbers that differ are all that is wanted.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let tensors = plan.tensors().into_iter().map(|spec| {
        let count: u64 = spec.shape.iter().product();
        // A variance must be positive.
        let positive = spec.name.ends_with("running_var");
        let values = (0..count).map(|_| if positive { 0.5 + random() } else { random() - 0.5 }).collect();
        Tensor { shape: spec.shape.iter().map(|size| *size as usize).collect(), values, name: spec.name }
    });
    let tensors = tensors.collect();
    (config, tensors)
}
