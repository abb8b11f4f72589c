//! Reads `models/fixtures`, which scripts/pytorch_fixtures.py made: packages saved by PyTorch with the logits that
//! PyTorch computes. It does NOT judge them.

use burn::tensor::{Device, Tensor, TensorData};
use models::{Network, Weights};
use protocol::architecture::{ImageShape, Plan};
use protocol::package::PackageConfig;
use safetensors::{Dtype, SafeTensors};
use std::{fs, path::PathBuf};

/// A fixture of every family, the 16-bit ones and the trained student.
pub(crate) const FIXTURES: [&str; 16] = [
    "mlp",
    "resnet",
    "depthwise_cnn",
    "mobilenet_v2",
    "vit",
    "resnet_f16",
    "resnet_bf16",
    "pytorch_student",
    "mlp_without_bias",
    "depthwise_silu",
    "resnet_silu",
    "vit_mean",
    "vit_timm",
    "vit_torch",
    "depthwise_same",
    "resnet_fused",
];

/// A package and what PyTorch makes of it.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    pub(crate) config: PackageConfig,
    pub(crate) config_json: Vec<u8>,
    pub(crate) plan: Plan,
    /// `model.safetensors` as PyTorch wrote it.
    pub(crate) bytes: Vec<u8>,
    /// Pixels of the expected images, item-major.
    pub(crate) pixels: Vec<u8>,
    /// PyTorch's logits for them.
    pub(crate) logits: Vec<f32>,
}

impl Fixture {
    pub(crate) fn load(name: &'static str) -> Self {
        let read = |file: &str| {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join(file);
            fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
        };
        let config_json = read("config.json");
        let bytes = read("model.safetensors");
        let config = PackageConfig::of_package(&config_json, &bytes).unwrap();
        let plan = config.plan().unwrap();
        let expected = read("expected.safetensors");
        let expected = SafeTensors::deserialize(&expected).unwrap();
        let (images, logits) = (expected.tensor("images").unwrap(), expected.tensor("logits").unwrap());
        assert_eq!((images.dtype(), images.shape()), (Dtype::U8, [16, 1, 28, 28].as_slice()));
        assert_eq!((logits.dtype(), logits.shape()), (Dtype::F32, [16, 10].as_slice()));
        let logits = logits.data().as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect();
        Self { name, config, config_json, plan, bytes, pixels: images.data().to_vec(), logits }
    }

    pub(crate) fn all() -> Vec<Self> {
        FIXTURES.map(Self::load).into()
    }

    pub(crate) fn weights(&self) -> Weights {
        Weights::from_safetensors(&self.bytes, &self.plan).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The model, as uploaded, on `device`.
    pub(crate) fn network(&self, device: &Device) -> Network {
        Network::new(&self.plan, &self.weights(), device).unwrap()
    }

    /// Logits of `pixels` in batches of `batch` images.
    pub(crate) fn infer(&self, network: &Network, pixels: &[u8], batch: usize, device: &Device) -> Vec<f32> {
        let ImageShape { channels, height, width } = self.plan.input();
        let image_bytes = (channels * height * width) as usize;
        let dims = [channels as usize, height as usize, width as usize];
        let run = |pixels: &[u8]| {
            let shape = [pixels.len() / image_bytes, dims[0], dims[1], dims[2]];
            let images: Tensor<4> = Tensor::from_data(TensorData::new(self.normalise(pixels), shape), device);
            network.forward(images).into_data().try_into_vec::<f32>().unwrap()
        };
        pixels.chunks(batch * image_bytes).flat_map(run).collect()
    }

    /// (pixel / 255 - mean) / deviation, as `config.json` asks; the fixtures are grey.
    fn normalise(&self, pixels: &[u8]) -> Vec<f32> {
        let part = |ppm: &[u32]| (f64::from(ppm[0]) / 1e6) as f32;
        let (mean, deviation) = (part(&self.config.input.mean_ppm), part(&self.config.input.deviation_ppm));
        pixels.iter().map(|pixel| (f32::from(*pixel) / 255.0 - mean) / deviation).collect()
    }
}

/// The largest difference between two sets of logits; infinite where one of them is no number.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many logits on both sides");
    let apart = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    a.iter().zip(b).map(apart).fold(0.0, f32::max)
}

/// The class of each row; the first of equals.
pub(crate) fn classes(logits: &[f32]) -> Vec<usize> {
    let best = |row: &[f32]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.chunks(10).map(best).collect()
}
