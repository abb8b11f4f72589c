//! Untrained models of every family, with normalisations that do something. It does NOT hold tests itself.

use protocol::architecture::Plan;
use protocol::competition::Manifest;
use protocol::nulls::Nulls;
use protocol::package::PackageConfig;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use weights::Weights;

pub(crate) const MLP: &str = r#"{"kind":"mlp","hidden":[24,16]}"#;
pub(crate) const RESNET: &str = r#"{"kind":"resnet","width":8,"blocks":[1,1]}"#;
pub(crate) const DEPTHWISE: &str = r#"{"kind":"depthwise_cnn","stem":8,"stem_stride":2,"blocks":[{"channels":16,"stride":1},{"channels":24,"stride":2}]}"#;
pub(crate) const MOBILENET: &str = r#"{"kind":"mobilenet_v2","stem":8,"stem_stride":2,"blocks":[{"expansion":1,"channels":8,"repeats":1,"stride":1},{"expansion":4,"channels":12,"repeats":2,"stride":2}],"head":24}"#;
pub(crate) const VIT: &str = r#"{"kind":"vit","patch":4,"width":16,"depth":1,"heads":2,"mlp_width":32}"#;
/// The families whose units can be matched.
pub(crate) const MATCHED: [&str; 4] = [MLP, RESNET, DEPTHWISE, MOBILENET];

/// What the built-in competition states.
pub(crate) fn nulls() -> Nulls {
    let text = include_str!("../../competitions/fashion-mnist/competition.toml");
    Manifest::from_toml(text).unwrap().nulls.unwrap()
}

pub(crate) struct Model {
    pub(crate) config_json: Vec<u8>,
    pub(crate) plan: Plan,
    pub(crate) weights: Weights,
}

impl Model {
    pub(crate) fn random(architecture: &str, seed: u64) -> Self {
        let config_json = format!(
            r#"{{"format":"retort/1","architecture":{architecture},"input":{{"channels":1,"height":12,"width":12,
            "mean_ppm":[286040],"deviation_ppm":[353020]}},"labels":["a","b","c","d"]}}"#
        )
        .into_bytes();
        let plan = PackageConfig::from_json(&config_json).unwrap().plan().unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut weights = Weights::random(&plan, &mut rng);
        let names: Vec<String> = weights.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let mut array = weights.get(&name).unwrap().clone();
            if array.shape.len() == 1 {
                array.values.iter_mut().for_each(|value| *value += rng.random_range(0.0..0.5));
                weights.insert(name, array);
            }
        }
        Self { config_json, plan, weights }
    }

    pub(crate) fn safetensors(&self) -> Vec<u8> {
        self.weights.to_safetensors().unwrap()
    }
}
