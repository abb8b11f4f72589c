//! Row 3: tensors that overlap, leave gaps, lie outside the file, or share their bytes.

use super::Group;
use crate::package::{Package, Tensor, entry, framed, named, save, tensors};
use crate::rules::{MLP, config};
use protocol::submission::Code;

pub(super) fn fill(group: &mut Group<'_>) {
    let good = tensors(MLP, "F32");
    let mut reversed = good.clone();
    reversed.reverse();
    group.admitted("in another order", Package::new(config(MLP), save(&reversed)));
    group.admitted("named in another order than they lie", laid(&good, |spans| spans.to_vec()));
    moves(group);
    aliases(group);
}

/// The good tensors, in reverse order of names, over spans that `change` makes of the right ones.
fn laid(tensors: &[Tensor], change: impl Fn(&[[u64; 2]]) -> Vec<[u64; 2]>) -> Package {
    let mut end = 0;
    let spans: Vec<[u64; 2]> = tensors
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.data.len() as u64;
            [start, end]
        })
        .collect();
    let members = tensors
        .iter()
        .zip(change(&spans))
        .rev()
        .map(|(tensor, [start, end])| named(&tensor.name, &entry(&tensor.dtype, &tensor.shape, start, end)));
    let header = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    let data: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.data.iter().copied()).collect();
    Package::new(config(MLP), framed(header, &data))
}

/// A change of the spans of four tensors: 0..128, 128..136, 136..160, 160..172.
type Change = fn(&mut Vec<[u64; 2]>);

fn moves(group: &mut Group<'_>) {
    let shifted = |by: u64, from: usize| {
        move |spans: &[[u64; 2]]| {
            spans
                .iter()
                .enumerate()
                .map(|(index, span)| if index >= from { span.map(|at| at + by) } else { *span })
                .collect()
        }
    };
    let good = tensors(MLP, "F32");
    for from in 0..4 {
        for by in [1, 4, 8] {
            let name = format!("a gap of {by} bytes before tensor {from}");
            group.refused(name, Code::HeaderInvalid, laid(&good, shifted(by, from)));
        }
    }
    let invalid = Code::HeaderInvalid;
    let cases: [(&str, Code, Change); 14] = [
        ("one byte of overlap", invalid, |spans| spans[1] = [127, 135]),
        ("one value of overlap", invalid, |spans| spans[1] = [124, 132]),
        ("one inside another", invalid, |spans| spans[1] = [0, 8]),
        ("the last inside the first", invalid, |spans| spans[3] = [16, 28]),
        ("all at the start", invalid, |spans| spans.iter_mut().for_each(|span| *span = [0, span[1] - span[0]])),
        ("everything 2^63 further", invalid, |spans| spans.iter_mut().flatten().for_each(|at| *at += 1 << 63)),
        ("the last at the end of 64 bits", invalid, |spans| spans[3] = [u64::MAX - 12, u64::MAX]),
        ("the last behind the end of the file", invalid, |spans| spans[3] = [172, 184]),
        ("the end before the start", Code::TensorShape, |spans| spans[1] = [136, 128]),
        ("the end at the start", Code::TensorShape, |spans| spans[1] = [128, 128]),
        ("the end at 0", Code::TensorShape, |spans| spans[3] = [160, 0]),
        ("the end at 2^64 - 1", Code::TensorShape, |spans| spans[3] = [160, u64::MAX]),
        ("a span that is too long", Code::TensorShape, |spans| spans[3] = [160, 176]),
        ("a span that is too short", Code::TensorShape, |spans| spans[3] = [160, 168]),
    ];
    for (name, code, change) in cases {
        let package = laid(&good, |spans| {
            let mut spans = spans.to_vec();
            change(&mut spans);
            spans
        });
        group.refused(name, code, package);
    }
}

/// Tensors of one shape that share their bytes: cheap on the wire, whole in memory.
fn aliases(group: &mut Group<'_>) {
    let alias = |count: usize| {
        let members: Vec<String> =
            (0..count).map(|index| named(&format!("t{index}"), &entry("F32", &[64], 0, 256))).collect();
        Package::new(config(MLP), framed(format!("{{{}}}", members.join(",")), &[0; 256]))
    };
    for count in [2, 100, 3_000] {
        group.refused(format!("{count} tensors over the same bytes"), Code::HeaderInvalid, alias(count));
    }
    let steps: Vec<String> =
        (0..3_000u64).map(|index| named(&format!("t{index}"), &entry("F32", &[64], index, index + 256))).collect();
    let staircase = framed(format!("{{{}}}", steps.join(",")), &[0; 4_096]);
    group.refused("3,000 tensors one byte apart", Code::HeaderInvalid, Package::new(config(MLP), staircase));
}
