//! A published competition.

use super::{NOW, hotkey, id, object};
use protocol::Digest;
use protocol::api::CompetitionView;
use protocol::architecture::{Architecture, Resnet};
use protocol::competition::Manifest;
use protocol::package::PackageConfig;
use protocol::published::{Competition, PublishedModel, PublishedTeacher, Tables};

const MANIFEST: &str = r#"
format = "retort-competition/1"
id = "fashion-mnist-resnet18"
title = "Fashion-MNIST: distil a ResNet-18"
description = "Ten kinds of clothing in 28 × 28 grey pixels. The teacher is a ResNet-18 that a laptop's CPU runs in 22 ms; find the student that keeps its accuracy at a hundredth of the cost."
task = "image_classification"
closes_at = 1798761600
labels = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

[input]
channels = 1
height = 28
width = 28
mean_ppm = [286041]
deviation_ppm = [353024]

[data]
source = "fashion-mnist"
public_items = 5000
hidden_items = 5000

[teacher]
package = "teacher"

[reference]
package = "reference"

[limits]
size_bytes_max = 4000000
parameters_max = 1000000
macs_max = 100000000
activation_bytes_max = 16000000
submissions_per_day = 20

[rounds]
beacon = "drand"
"#;

/// A published competition.
pub fn competition() -> CompetitionView {
    let manifest = Manifest::from_toml(MANIFEST).unwrap();
    let model = |name: &str, width, size, correct| PublishedModel {
        config: PackageConfig {
            format: "retort/1".into(),
            architecture: Architecture::Resnet(Resnet {
                width,
                blocks: vec![2, 2, 2],
                stem_stride: 1,
                ..Resnet::default()
            }),
            input: manifest.input.clone(),
            labels: manifest.labels.clone(),
        },
        config_json: object(&format!("{name} config"), 512),
        weights: object(name, size),
        correct,
        items: 10_000,
    };
    let competition = Competition {
        teacher: PublishedTeacher::Model(model("teacher", 64, 44_700_000, 9_463)),
        reference: model("reference", 16, 315_000, 9_025),
        tables: Tables {
            training: object("training table", 31_000_000),
            evaluation: object("public table", 2_800_000),
        },
        hidden_root: Digest::of(b"hidden"),
        probes_sha256: Digest::of(b"probes"),
        published_at: NOW - 86_400 * 3,
        manifest,
    };
    let sha256 = Digest::of_json(&competition).unwrap();
    CompetitionView {
        sha256,
        validator: hotkey(77),
        competition,
        champion: Some(id(0)),
        amendments: Vec::new(),
        reward_changes: Vec::new(),
        probe_seed: None,
    }
}
