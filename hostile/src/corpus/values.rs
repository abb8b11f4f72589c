//! Rows 6 and 7: values that are not numbers, have no end, or are too large; variances below zero; and denormals, which
//! are numbers like others and are admitted (the worker flushes them to zero).

use super::Group;
use crate::package::{Package, Tensor, element_bytes, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

/// Bits by type, low bytes as in the file.
const BITS: [(&str, &str, u32, Option<Code>); 44] = [
    ("F32", "a quiet NaN", 0x7fc0_0000, Some(Code::TensorNotFinite)),
    ("F32", "a signalling NaN", 0x7f80_0001, Some(Code::TensorNotFinite)),
    ("F32", "a negative NaN", 0xffc0_0000, Some(Code::TensorNotFinite)),
    ("F32", "a NaN with a payload", 0x7fde_adbe, Some(Code::TensorNotFinite)),
    ("F32", "all ones", 0xffff_ffff, Some(Code::TensorNotFinite)),
    ("F32", "infinity", 0x7f80_0000, Some(Code::TensorNotFinite)),
    ("F32", "minus infinity", 0xff80_0000, Some(Code::TensorNotFinite)),
    ("F32", "the largest number", 0x7f7f_ffff, Some(Code::TensorOutOfRange)),
    ("F32", "minus the largest number", 0xff7f_ffff, Some(Code::TensorOutOfRange)),
    ("F32", "the next after a million", 0x4974_2401, Some(Code::TensorOutOfRange)),
    ("F32", "the next before minus a million", 0xc974_2401, Some(Code::TensorOutOfRange)),
    ("F32", "a million", 0x4974_2400, None),
    ("F32", "minus a million", 0xc974_2400, None),
    ("F32", "the smallest denormal", 0x0000_0001, None),
    ("F32", "minus the largest denormal", 0x807f_ffff, None),
    ("F32", "minus zero", 0x8000_0000, None),
    ("F16", "a quiet NaN", 0x7e00, Some(Code::TensorNotFinite)),
    ("F16", "a signalling NaN", 0x7c01, Some(Code::TensorNotFinite)),
    ("F16", "a negative NaN", 0xfe00, Some(Code::TensorNotFinite)),
    ("F16", "all ones", 0xffff, Some(Code::TensorNotFinite)),
    ("F16", "infinity", 0x7c00, Some(Code::TensorNotFinite)),
    ("F16", "minus infinity", 0xfc00, Some(Code::TensorNotFinite)),
    ("F16", "the largest number", 0x7bff, None),
    ("F16", "minus the largest number", 0xfbff, None),
    ("F16", "the smallest denormal", 0x0001, None),
    ("F16", "minus the largest denormal", 0x83ff, None),
    ("F16", "minus zero", 0x8000, None),
    ("BF16", "a quiet NaN", 0x7fc0, Some(Code::TensorNotFinite)),
    ("BF16", "a signalling NaN", 0x7f81, Some(Code::TensorNotFinite)),
    ("BF16", "a negative NaN", 0xffc0, Some(Code::TensorNotFinite)),
    ("BF16", "all ones", 0xffff, Some(Code::TensorNotFinite)),
    ("BF16", "infinity", 0x7f80, Some(Code::TensorNotFinite)),
    ("BF16", "minus infinity", 0xff80, Some(Code::TensorNotFinite)),
    ("BF16", "the largest number", 0x7f7f, Some(Code::TensorOutOfRange)),
    ("BF16", "minus the largest number", 0xff7f, Some(Code::TensorOutOfRange)),
    ("BF16", "the first above a million", 0x4975, Some(Code::TensorOutOfRange)),
    ("BF16", "the last below a million", 0x4974, None),
    ("BF16", "the smallest denormal", 0x0001, None),
    ("BF16", "minus the largest denormal", 0x807f, None),
    ("BF16", "minus zero", 0x8000, None),
    ("F32", "GGUF", 0x4655_4747, None),
    ("F32", "a pickle's first bytes", 0x0000_0480, None),
    ("F32", "a zip entry's signature", 0x0403_4b50, None),
    ("F32", "a zip end's signature", 0x0605_4b50, None),
];

pub(super) fn fill(group: &mut Group<'_>) {
    for (dtype, name, bits, expected) in BITS {
        for place in ["first", "last"] {
            let mut changed = tensors(MLP, dtype);
            let index = if place == "first" { 0 } else { changed.len() - 1 };
            let at = if place == "first" { 0 } else { changed[index].elements() - 1 };
            set_bits(&mut changed[index], at, bits);
            let package = Package::new(config(MLP), save(&changed));
            let name = format!("{dtype}: the {place} value is {name}");
            match expected {
                Some(code) => group.refused(name, code, package),
                None => group.admitted(name, package),
            }
        }
    }
    everywhere(group);
    variances(group);
    group.large("NaN at the end of 50 MB", Code::TensorNotFinite, || {
        let architecture = r#"{"kind":"mlp","hidden":[8192,1500]}"#;
        let mut large = tensors(architecture, "F32");
        if let Some(last) = large.last_mut() {
            last.set(0, f32::NAN);
        }
        Package::new(config(architecture), save(&large))
    });
}

fn set_bits(tensor: &mut Tensor, index: usize, bits: u32) {
    let width = element_bytes(&tensor.dtype);
    tensor.data[index * width..(index + 1) * width].copy_from_slice(&bits.to_le_bytes()[..width]);
}

/// Each tensor of each family, so that none is forgotten.
fn everywhere(group: &mut Group<'_>) {
    for (family, architecture) in FAMILIES {
        for index in 0..tensors(architecture, "F32").len() {
            let mut changed = tensors(architecture, "F32");
            let tensor = &mut changed[index];
            tensor.set(tensor.elements() / 2, f32::NAN);
            let name = format!("{family}: NaN in `{}`", tensor.name);
            group.refused(name, Code::TensorNotFinite, Package::new(config(architecture), save(&changed)));
        }
    }
}

fn variances(group: &mut Group<'_>) {
    let (_, resnet) = FAMILIES[1];
    for dtype in ["F32", "F16", "BF16"] {
        for (name, value, expected) in [
            ("-1", -1.0, Some(Code::TensorOutOfRange)),
            ("the denormal below zero", -f32::from_bits(0x0001_0000), Some(Code::TensorOutOfRange)),
            ("zero", 0.0, None),
            ("minus zero", -0.0, None),
        ] {
            let mut changed = tensors(resnet, dtype);
            for tensor in changed.iter_mut().filter(|tensor| tensor.name.ends_with("running_var")) {
                tensor.set(0, value);
                if value.abs() < 1e-30 && value != 0.0 {
                    set_bits(tensor, 0, if dtype == "F32" { 0x8000_0001 } else { 0x8001 });
                }
            }
            let package = Package::new(config(resnet), save(&changed));
            let name = format!("{dtype}: a variance is {name}");
            match expected {
                Some(code) => group.refused(name, code, package),
                None => group.admitted(name, package),
            }
        }
    }
}
