//! The competition that hostile packages are sent to: small images, and limits that let the large cases through to the
//! check that must refuse them.

use protocol::architecture::Plan;
use protocol::competition::{InputSpec, Limits};
use protocol::package::{Admission, PackageConfig};

/// One architecture of each family, as small as it gets.
pub const FAMILIES: [(&str, &str); 5] = [
    ("mlp", r#"{"kind":"mlp","hidden":[2]}"#),
    ("resnet", r#"{"kind":"resnet","width":2,"blocks":[1,1]}"#),
    ("depthwise_cnn", r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":1,"blocks":[{"channels":3,"stride":2}]}"#),
    (
        "mobilenet_v2",
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":2,"channels":2,"repeats":1,"stride":1}],"head":3}"#,
    ),
    ("vit", r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":4}"#),
];

/// The multi-layer perceptron of [`FAMILIES`].
pub const MLP: &str = FAMILIES[0].1;

/// What the competition asks of a package.
#[derive(Clone, Debug)]
pub struct Rules {
    /// One grey image of 4 x 4 pixels.
    pub input: InputSpec,
    /// Three classes.
    pub labels: Vec<String>,
    /// At most 128 MiB of weights, 20 M parameters, 100 M multiply-accumulates and 1 MB of activations.
    pub limits: Limits,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            input: InputSpec { channels: 1, height: 4, width: 4, mean_ppm: vec![0], deviation_ppm: vec![1_000_000] },
            labels: ["a", "b", "c"].map(String::from).to_vec(),
            limits: Limits {
                size_bytes_max: 128 << 20,
                parameters_max: 20_000_000,
                macs_max: 100_000_000,
                activation_bytes_max: 1_000_000,
                submissions_per_day: 1,
                upload_seconds_max: 1,
                evaluation_seconds_max: 1,
            },
        }
    }
}

impl Rules {
    /// As the admission check takes them.
    pub fn admission(&self) -> Admission<'_> {
        Admission { input: &self.input, labels: &self.labels, limits: &self.limits }
    }
}

/// The `config.json` of an architecture for this competition.
pub fn config(architecture: &str) -> String {
    format!(
        r#"{{"format":"retort/1","architecture":{architecture},"input":{{"channels":1,"height":4,"width":4,"mean_ppm":[0],"deviation_ppm":[1000000]}},"labels":["a","b","c"]}}"#
    )
}

/// The plan of an architecture for this competition.
///
/// # Panics
/// When there is none, which is a bug in the caller: the corpus plans only what it wrote.
pub fn plan(architecture: &str) -> Plan {
    let config = PackageConfig::from_json(config(architecture).as_bytes());
    config.and_then(|config| config.plan()).expect("a plan, because the corpus wrote the description")
}
