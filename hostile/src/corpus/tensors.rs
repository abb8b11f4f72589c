//! Row 9: too few tensors, too many, or others: smuggled data, and what only looks like it: other people's prefixes, and
//! counters in whatever type.

use super::Group;
use crate::package::{Package, Tensor, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    for (family, architecture) in FAMILIES {
        let count = tensors(architecture, "F32").len();
        for index in 0..count {
            let mut fewer = tensors(architecture, "F32");
            let removed = fewer.remove(index);
            let package = Package::new(config(architecture), save(&fewer));
            group.refused(format!("{family}: without `{}`", removed.name), Code::TensorMissing, package);
        }
        for (prefix, whose) in [
            ("module.", "DataParallel"),
            ("_orig_mod.", "torch.compile"),
            ("model.", "a wrapper"),
            ("student.", "a distiller"),
            ("base_model.model.", "PEFT"),
            ("ema.", "an average"),
        ] {
            let mut renamed = tensors(architecture, "F32");
            renamed.iter_mut().for_each(|tensor| tensor.name.insert_str(0, prefix));
            let package = Package::new(config(architecture), save(&renamed));
            group.admitted(format!("{family}: names as {whose} writes them"), package);
        }
        let both = [tensors(architecture, "F32"), other_names(architecture)].concat();
        let package = Package::new(config(architecture), save(&both));
        group.refused(format!("{family}: a second model beside it"), Code::TensorUnexpected, package);
    }
    extras(group);
    counters(group);
}

fn other_names(architecture: &str) -> Vec<Tensor> {
    let mut renamed = tensors(architecture, "F32");
    renamed.iter_mut().for_each(|tensor| tensor.name.insert_str(0, "teacher."));
    renamed
}

fn extras(group: &mut Group<'_>) {
    for (name, shape, why) in [
        ("5.weight", vec![3, 3], "a layer more"),
        ("1.lora_A.weight", vec![4, 16], "an adapter"),
        ("1.weight_scale", vec![1], "a scale of quantised weights"),
        ("1.weight.absmax", vec![1], "a block's maximum"),
        ("optimizer.state.0.exp_avg", vec![2, 16], "an optimiser's state"),
        ("public_labels", vec![5_000], "labels"),
        ("payload", vec![10_000], "40 KB of anything"),
    ] {
        let mut more = tensors(MLP, "F32");
        more.push(Tensor::zeros(name, "F32", &shape));
        group.refused(format!("{why}: `{name}`"), Code::TensorUnexpected, Package::new(config(MLP), save(&more)));
        more.swap(0, 4);
        group.refused(format!("{why}, in front"), Code::TensorUnexpected, Package::new(config(MLP), save(&more)));
    }
}

fn counters(group: &mut Group<'_>) {
    let (_, resnet) = FAMILIES[1];
    let with = |name: &str, dtype: &str, shape: &[u64]| {
        let mut all = tensors(resnet, "F32");
        all.push(Tensor::zeros(name, dtype, shape));
        Package::new(config(resnet), save(&all))
    };
    for (dtype, shape) in
        [("I64", &[][..]), ("I64", &[1]), ("I64", &[1_000]), ("I32", &[]), ("F16", &[]), ("F32", &[]), ("U64", &[])]
    {
        let name = format!("a counter in {dtype}{shape:?}: it counts nothing that is read");
        group.admitted(name, with("bn1.num_batches_tracked", dtype, shape));
    }
    for name in [
        "conv1.num_batches_tracked",
        "module.bn1.num_batches_tracked",
        "bn1.num_batches_tracked.num_batches_tracked",
        ".num_batches_tracked",
        "num_batches_tracked",
        "n_averaged",
    ] {
        group.admitted(format!("a counter `{name}`"), with(name, "I64", &[]));
        group.admitted(format!("a counter `{name}` of nothing"), with(name, "I64", &[0]));
    }
    for name in ["num_batches_tracked.weight", "bn1.num_batches", "my_n_averaged"] {
        group.refused(format!("no counter: `{name}`"), Code::TensorUnexpected, with(name, "I64", &[]));
    }
}
