//! Row 8: element types that no package may use, with data of the right length for them.

use super::Group;
use crate::package::{Package, Tensor, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    for dtype in ["F32", "F16", "BF16"] {
        // The first family in F32 is the control of framing.rs.
        for (family, architecture) in FAMILIES.into_iter().skip(usize::from(dtype == "F32")) {
            let package = Package::new(config(architecture), save(&tensors(architecture, dtype)));
            group.admitted(format!("a {family} in {dtype}"), package);
        }
    }
    let mut mixed = tensors(MLP, "F16");
    mixed[1] = tensors(MLP, "F32").swap_remove(1);
    mixed[2] = tensors(MLP, "BF16").swap_remove(2);
    group.admitted("three types in one file", Package::new(config(MLP), save(&mixed)));
    for dtype in [
        "F64",
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "F8_E5M2",
        "F8_E4M3",
        "F8_E8M0",
        "I8",
        "U8",
        "I16",
        "U16",
        "I32",
        "U32",
        "U64",
        "BOOL",
        "C64",
        "f32",
        "F32 ",
        " F32",
        "FLOAT",
        "float32",
        "torch.float32",
        "F32\0",
        "F3\u{200b}2",
        "<f4",
        "NF4",
        "Q4_0",
        "",
        "\u{1b}[31mF32",
    ] {
        for index in [0, 3] {
            let mut changed = tensors(MLP, "F32");
            let Tensor { name, shape, .. } = changed[index].clone();
            changed[index] = Tensor::zeros(&name, dtype, &shape);
            let package = Package::new(config(MLP), save(&changed));
            group.refused(format!("`{name}` in {dtype:?}"), Code::TensorDtype, package);
        }
    }
    let mut changed = tensors(MLP, "F32");
    changed[0] = Tensor::zeros("1.weight", "I64", &[2, 16]);
    group.refused("weights in I64, which counters have", Code::TensorDtype, Package::new(config(MLP), save(&changed)));
    let mut long = tensors(MLP, "F32");
    long[0].dtype = "F".repeat(100_000);
    group.refused("a type of 100 KB", Code::TensorDtype, Package::new(config(MLP), save(&long)));
    // A type of another size under the same bytes: the shape can't lie there.
    for (dtype, name) in [("F16", "half"), ("BF16", "half"), ("I64", "twice")] {
        let mut changed = tensors(MLP, "F32");
        changed[0].dtype = dtype.into();
        group.refused(
            format!("{dtype} of {name} the size"),
            Code::TensorShape,
            Package::new(config(MLP), save(&changed)),
        );
    }
}
