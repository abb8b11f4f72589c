//! Rows 11 and 13: architectures over a limit, above all those that are small on disk and large to run. Nothing is
//! allocated for them.

use super::Group;
use crate::package::{Package, save, tensors};
use crate::rules::{MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    for (name, architecture) in [
        ("67 M parameters", r#"{"kind":"mlp","hidden":[8192,8192]}"#.to_owned()),
        ("256 layers of 8,192", format!(r#"{{"kind":"mlp","hidden":[{}]}}"#, ["8192"; 256].join(","))),
        ("a residual network of 256 blocks", r#"{"kind":"resnet","width":512,"blocks":[256]}"#.to_owned()),
        ("all of a residual network's stages", r#"{"kind":"resnet","width":1024,"blocks":[64,64,64,64]}"#.to_owned()),
        ("a transformer of 256 layers", r#"{"kind":"vit","patch":1,"width":8192,"depth":256,"heads":1,"mlp_width":8192}"#.to_owned()),
        ("7 M parameters of 16 uses each", r#"{"kind":"resnet","width":256,"blocks":[6]}"#.to_owned()),
        ("17 uses of each weight", r#"{"kind":"vit","patch":1,"width":768,"depth":2,"heads":1,"mlp_width":3072}"#.to_owned()),
        ("302 M parameters in two layers", r#"{"kind":"resnet","width":4096,"blocks":[1]}"#.to_owned()),
        ("a wide expansion", r#"{"kind":"mobilenet_v2","stem":1024,"stem_stride":1,"blocks":[{"expansion":8,"channels":1024,"repeats":1,"stride":1}],"head":1}"#.to_owned()),
        ("wide activations", r#"{"kind":"depthwise_cnn","stem":8192,"stem_stride":1,"blocks":[{"channels":1,"stride":1}]}"#.to_owned()),
        ("a head for each value", r#"{"kind":"vit","patch":1,"width":1024,"depth":1,"heads":1024,"mlp_width":1}"#.to_owned()),
    ] {
        // The weights are another model's: they are not looked at.
        group.refused(name, Code::OverLimit, Package::new(config(&architecture), save(&tensors(MLP, "F32"))));
    }
    let one_head = r#"{"kind":"vit","patch":1,"width":1024,"depth":1,"heads":1,"mlp_width":1}"#;
    let package = Package::new(config(one_head), save(&tensors(MLP, "F32")));
    group.refused("with one head it is within the limits", Code::TensorMissing, package);
}
