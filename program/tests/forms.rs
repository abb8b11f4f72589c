//! Other forms of a graph, and its random twin.

use crate::{FIXTURES, LIMITS, fixture, signature};
use program::{Constant, Dtype, Graph, Op, onnx};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

fn read(name: &str, check: impl FnOnce(&Graph<'_>)) {
    let file = fixture(name);
    let read = onnx::read(&file, &signature(name), &LIMITS).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    check(&read[0].graph);
}

fn count(graph: &Graph<'_>, op: Op) -> usize {
    graph.nodes.iter().filter(|node| node.op == op).count()
}

#[test]
fn a_softmax_is_written_out_as_five_operators_and_nothing_else_changes() {
    for name in ["vit-script", "text-script"] {
        read(name, |graph| {
            let softmaxes = count(graph, Op::Softmax);
            assert!(softmaxes > 0, "{name}");
            let written = graph.with_softmax_written_out().unwrap();
            assert_eq!(count(&written, Op::Softmax), 0);
            assert_eq!(written.nodes.len(), graph.nodes.len() + 4 * softmaxes);
            for op in [Op::ReduceMax, Op::Exp, Op::ReduceSum] {
                assert_eq!(count(&written, op), count(graph, op) + softmaxes, "{name}: {op}");
            }
            assert_eq!((&written.inputs, &written.outputs.len()), (&graph.inputs, &graph.outputs.len()));
            let file = onnx::write(&written);
            assert_eq!(onnx::read(&file, &signature(name), &LIMITS).unwrap()[0].graph, written, "{name}");
        });
    }
}

#[test]
fn a_graph_that_is_in_a_form_already_stays_what_it_is() {
    for name in FIXTURES {
        read(name, |graph| {
            let wide = graph.with_float32_alone().unwrap();
            assert_eq!(onnx::digest(&wide), onnx::digest(graph), "{name}");
            let written = graph.with_softmax_written_out().unwrap();
            let again = written.with_softmax_written_out().unwrap();
            assert_eq!(onnx::digest(&again), onnx::digest(&written), "{name}");
        });
    }
}

fn floats(constant: &Constant<'_>) -> Vec<f32> {
    constant.data().as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()
}

#[test]
fn a_random_twin_computes_the_same_over_other_numbers() {
    for name in FIXTURES {
        read(name, |graph| {
            let twin = |seed| graph.random_twin(&mut ChaCha20Rng::seed_from_u64(seed)).unwrap();
            let (one, again, other) = (twin(1), twin(1), twin(2));
            assert_eq!(one, again, "{name}: a seed says all of it");
            assert_ne!(one.initialisers, other.initialisers, "{name}");
            assert_eq!((&one.nodes, &one.made, &one.outputs), (&graph.nodes, &graph.made, &graph.outputs), "{name}");
            assert_eq!(one.costs().unwrap(), graph.costs().unwrap(), "{name}");
            let pairs = one.initialisers.iter().zip(&graph.initialisers);
            for (twin, original) in pairs.filter(|(_, original)| original.ty().dtype == Dtype::F32) {
                let (twin, original) = (floats(twin), floats(original));
                assert!(twin.iter().all(|value| value.is_normal() || original.contains(value)), "{name}");
                if original.iter().all(|value| *value > 0.0) {
                    assert!(twin.iter().all(|value| *value > 0.0), "{name}: variances and scales keep their sign");
                }
            }
        });
    }
}

#[test]
fn numbers_that_slow_a_processor_down_are_none_of_the_twins() {
    read("mlp-script", |graph| {
        let mut slow = graph.clone();
        for constant in &mut slow.initialisers {
            let ty = constant.ty().clone();
            if ty.dtype == Dtype::F32 {
                let denormal = f32::from_bits(1).to_le_bytes().repeat(ty.shape.elements() as usize);
                *constant = Constant::new(ty, denormal.into()).unwrap();
            }
        }
        let twin = slow.random_twin(&mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        let values: Vec<f32> =
            twin.initialisers.iter().filter(|c| c.ty().dtype == Dtype::F32).flat_map(floats).collect();
        assert!(values.len() > 100 && values.iter().all(|value| value.is_normal()));
    });
}
