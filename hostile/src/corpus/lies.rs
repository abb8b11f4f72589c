//! Incidents E2, E3, E12 and E33: a configuration that describes another model than the weights are, a decoy beside the
//! real thing, weights packed as something else, archives that climb out of their folder.

use super::Group;
use crate::package::{Package, Tensor, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    for (claimed, architecture) in FAMILIES {
        for (real, other) in FAMILIES.into_iter().filter(|(real, _)| *real != claimed) {
            let package = Package::new(config(architecture), save(&tensors(other, "F32")));
            group.refused(format!("E3: says {claimed}, is {real}"), Code::TensorMissing, package);
        }
    }
    widths(group);
    packed(group);
    decoys(group);
}

/// Sizes that are claimed and not there, and the other way round.
fn widths(group: &mut Group<'_>) {
    for (claimed, real) in [
        (r#"{"kind":"mlp","hidden":[4]}"#, MLP),
        (MLP, r#"{"kind":"mlp","hidden":[4]}"#),
        (r#"{"kind":"mlp","hidden":[16]}"#, r#"{"kind":"mlp","hidden":[4]}"#),
        (r#"{"kind":"resnet","width":4,"blocks":[1,1]}"#, r#"{"kind":"resnet","width":2,"blocks":[1,1]}"#),
        (r#"{"kind":"vit","patch":2,"width":8,"depth":1,"heads":2,"mlp_width":4}"#, FAMILIES[4].1),
        (r#"{"kind":"vit","patch":1,"width":4,"depth":1,"heads":2,"mlp_width":4}"#, FAMILIES[4].1),
    ] {
        let package = Package::new(config(claimed), save(&tensors(real, "F32")));
        group.refused(format!("E3: says {claimed}, is {real}"), Code::TensorShape, package);
    }
    for (claimed, real, code) in [
        (r#"{"kind":"mlp","hidden":[2,2]}"#, MLP, Code::TensorShape),
        (MLP, r#"{"kind":"mlp","hidden":[2,2]}"#, Code::TensorShape),
        (r#"{"kind":"mlp","hidden":[3,3]}"#, r#"{"kind":"mlp","hidden":[3]}"#, Code::TensorMissing),
        (r#"{"kind":"mlp","hidden":[3]}"#, r#"{"kind":"mlp","hidden":[3,3]}"#, Code::TensorUnexpected),
        (
            r#"{"kind":"resnet","width":2,"blocks":[1]}"#,
            r#"{"kind":"resnet","width":2,"blocks":[2]}"#,
            Code::TensorUnexpected,
        ),
        (
            r#"{"kind":"resnet","width":2,"blocks":[2]}"#,
            r#"{"kind":"resnet","width":2,"blocks":[1]}"#,
            Code::TensorMissing,
        ),
    ] {
        let package = Package::new(config(claimed), save(&tensors(real, "F32")));
        group.refused(format!("E3: says {claimed}, has the layers of {real}"), code, package);
    }
}

/// Weights of 4 or 8 bits in the clothes of others.
fn packed(group: &mut Group<'_>) {
    for (name, dtype, shape, code) in [
        ("two weights of 4 bits in a byte, as NF4", "U8", vec![16, 1], Code::TensorDtype),
        ("two weights of 4 bits in a byte, in place", "U8", vec![2, 8], Code::TensorDtype),
        ("weights of 8 bits", "I8", vec![2, 16], Code::TensorDtype),
        ("weights of 8 bits as floats", "F8_E4M3", vec![2, 16], Code::TensorDtype),
        ("eight weights of 4 bits in an integer, as GPTQ", "I32", vec![2, 2], Code::TensorDtype),
        ("four weights of 8 bits in a BF16 pair", "BF16", vec![2, 8], Code::TensorShape),
        ("eight weights of 4 bits in an F32", "F32", vec![2, 2], Code::TensorShape),
    ] {
        let mut changed = tensors(MLP, "F32");
        changed[0] = Tensor::zeros("1.weight", dtype, &shape);
        // Types of one byte in place are dtypes.rs's.
        if shape != [2, 16] {
            group.refused(format!("E3: {name}"), code, Package::new(config(MLP), save(&changed)));
        }
        let mut scaled = changed;
        scaled.push(Tensor::zeros("1.weight_scale", "F32", &[2]));
        group.refused(format!("E3: {name}, with its scale"), code, Package::new(config(MLP), save(&scaled)));
    }
}

fn decoys(group: &mut Group<'_>) {
    // 624 bytes stood beside 72 GB of a teacher. Files beside ours are refused before a byte is sent
    // (validator/tests/bad_input.rs); inside the file there is no room for a second model.
    let mut decoy = tensors(MLP, "F32");
    decoy.extend(tensors(FAMILIES[1].1, "F32"));
    group.refused(
        "E2: another model in the same file",
        Code::TensorUnexpected,
        Package::new(config(MLP), save(&decoy)),
    );
    let nested =
        config(MLP).replace(r#""kind":"mlp""#, r#""kind":"mlp","text_config":{"num_experts":64,"hidden":[8192]}"#);
    group.refused(
        "E2: experts in a nested configuration",
        Code::ConfigInvalid,
        Package::new(nested, save(&tensors(MLP, "F32"))),
    );
    let mut padded = tensors(MLP, "F32");
    padded.push(Tensor::zeros("padding", "F32", &[4_096]));
    group.refused("E12: padded to another size", Code::TensorUnexpected, Package::new(config(MLP), save(&padded)));
    let weights = save(&tensors(MLP, "F32"));
    let spaced = [&weights[..], &[0; 4_096]].concat();
    group.refused("E12: padded with zeros at the end", Code::DataLength, Package::new(config(MLP), spaced));
    let mut tar = vec![0; 1_024];
    tar[..21].copy_from_slice(b"../../etc/cron.d/evil");
    tar[257..265].copy_from_slice(b"ustar\x0000");
    group.refused(
        "E33: an archive that climbs out of its folder",
        Code::NotSafetensors,
        Package::new(config(MLP), tar),
    );
}
