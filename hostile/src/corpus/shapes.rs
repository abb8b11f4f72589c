//! Row 5: shapes whose product overflows, vanishes or wraps around to the right size, and ranks without end.

use super::Group;
use crate::package::{Package, entry, framed, named, save, tensors};
use crate::rules::{FAMILIES, MLP, config};
use protocol::submission::Code;

const WRONG: Code = Code::TensorShape;
const MAX: u64 = u64::MAX;

pub(super) fn fill(group: &mut Group<'_>) {
    // One tensor that claims a shape over these many bytes.
    for (name, shape, bytes) in [
        ("no entries", vec![0], 0),
        ("no rows", vec![0, 16], 0),
        ("no columns", vec![16, 0], 0),
        ("no entries, but bytes", vec![0], 4),
        ("2^63 times nothing", vec![1 << 63, 0], 0),
        ("nothing times 2^63 times 2^63", vec![0, 1 << 63, 1 << 63], 0),
        ("2^31 + 1", vec![(1 << 31) + 1], 4),
        ("2^31", vec![1 << 31], 4),
        ("2^32", vec![1 << 32], 4),
        ("2^62", vec![1 << 62], 4),
        ("2^63", vec![1 << 63], 4),
        ("2^64 - 1", vec![MAX], 4),
        ("2^63 times 2", vec![1 << 63, 2], 4),
        ("2^32 times 2^32", vec![1 << 32, 1 << 32], 4),
        ("2^31 times 2^31 times 4", vec![1 << 31, 1 << 31, 4], 4),
        ("2^62 values of 4 bytes", vec![1 << 31, 1 << 31], 0),
        ("(2^64 + 4) / 4 values", vec![(1 << 31), (1 << 31), 1], 4),
        ("3 times an inverse of 3", vec![3, 0xaaaa_aaaa_aaaa_aaab], 4),
        ("eight axes of 2^31", vec![1 << 31; 8], 4),
        ("nine axes of one", vec![1; 9], 4),
        ("9 axes that vanish", vec![0; 9], 0),
        ("1,000 axes", vec![1; 1_000], 4),
        ("100,000 axes", vec![1; 100_000], 4),
        ("one value too many", vec![2], 4),
        ("one value too few", vec![1], 8),
        ("bytes that are no whole value", vec![1], 3),
        ("bytes, and one more", vec![1], 5),
    ] {
        let text = format!("{{{}}}", named("a", &entry("F32", &shape, 0, bytes)).replace(", ", ","));
        group.refused(
            format!("a shape of {name}"),
            WRONG,
            Package::new(config(MLP), framed(text, &vec![0; bytes as usize])),
        );
    }
    claimed(group);
}

/// The right bytes under another shape.
fn claimed(group: &mut Group<'_>) {
    for (name, shape) in [
        ("turned", vec![16, 2]),
        ("flat", vec![32]),
        ("with an axis in front", vec![1, 2, 16]),
        ("split", vec![2, 4, 4]),
        ("of eight axes", vec![2, 2, 2, 2, 2, 1, 1, 1]),
    ] {
        let mut changed = tensors(MLP, "F32");
        changed[0].shape = shape;
        group.refused(format!("the first weight {name}"), WRONG, Package::new(config(MLP), save(&changed)));
    }
    for (family, architecture) in FAMILIES {
        let count = tensors(architecture, "F32").len();
        for index in [0, count / 2, count - 1] {
            let mut changed = tensors(architecture, "F32");
            changed[index].shape.push(1);
            let name = changed[index].name.clone();
            group.refused(
                format!("{family}: `{name}` with an axis more"),
                WRONG,
                Package::new(config(architecture), save(&changed)),
            );
            let mut changed = tensors(architecture, "F32");
            let row = changed[index].data.len() / changed[index].shape[0] as usize;
            changed[index].shape[0] += 1;
            changed[index].data.extend(vec![0; row]);
            group.refused(
                format!("{family}: `{name}` with a row more"),
                WRONG,
                Package::new(config(architecture), save(&changed)),
            );
        }
    }
}
