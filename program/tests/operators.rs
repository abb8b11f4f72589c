//! Shapes, multiply-accumulates and refusals of single operators, by hand.

use crate::file::{Message, float_tensor, graph, int, int_tensor, ints, model, node, tensor, word};
use crate::{LIMITS, floats};
use program::{Code, Costs, Graph, Op, onnx};
use std::slice::from_ref;

/// One node from `x` to `y` with further inputs as initialisers.
struct Case {
    x: &'static [u32],
    node: Message,
    initialisers: Vec<Message>,
}

fn case(x: &'static [u32], node: Message, initialisers: &[Message]) -> Case {
    Case { x, node, initialisers: initialisers.to_vec() }
}

fn signed(dims: &[u32]) -> Vec<i64> {
    dims.iter().copied().map(i64::from).collect()
}

impl Case {
    fn file(&self, y: &[u32]) -> Vec<u8> {
        model(&graph(from_ref(&self.node), &self.initialisers, &signed(self.x), &signed(y))).0
    }

    /// Reads it and gives what was made of it to `check`.
    fn makes(&self, y: &[u32], check: impl FnOnce(&Graph<'_>, &Costs)) {
        let file = self.file(y);
        let read = onnx::read(&file, &floats(self.x, y), &LIMITS).unwrap_or_else(|refusal| panic!("{y:?}: {refusal}"));
        check(&read[0].graph, &read[0].costs);
    }

    /// The code and the words with which it is refused.
    fn refused(&self) -> (Code, String) {
        let refusal = onnx::read(&self.file(&[1]), &floats(self.x, &[1]), &LIMITS).unwrap_err();
        (refusal.code, refusal.detail)
    }
}

fn with(message: Message, attributes: &[Message]) -> Message {
    message.all(5, attributes)
}

#[test]
fn convolutions_know_windows_groups_and_padding() {
    let weights = float_tensor("w", &[8, 2, 3, 3], 0.5);
    let conv = |attributes: &[Message]| with(node("Conv", &["x", "w"], &["y"]), attributes);
    let image = &[1, 4, 9, 7];
    let groups = int("group", 2);
    case(image, conv(from_ref(&groups)), from_ref(&weights)).makes(&[1, 8, 7, 5], |graph, costs| {
        assert_eq!(costs.macs, 8 * 7 * 5 * 2 * 9);
        let names: Vec<_> = graph.nodes[0].attributes.keys().copied().collect();
        assert_eq!(names, ["dilations", "group", "kernel_shape", "pads", "strides"]);
    });
    let same = [groups.clone(), word("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])];
    case(image, conv(&same), from_ref(&weights)).makes(&[1, 8, 5, 4], |graph, _| {
        let pads = &graph.nodes[0].attributes["pads"];
        assert_eq!(*pads, program::op::Attribute::Ints(vec![1, 1, 1, 1]));
    });
    let dilated = [groups.clone(), ints("dilations", &[3, 2]), ints("pads", &[0, 1, 2, 3])];
    case(image, conv(&dilated), from_ref(&weights)).makes(&[1, 8, 5, 7], |_, _| {});
    let wrong = [
        (conv(&[]), Code::Shape),
        (conv(&[int("group", 3)]), Code::Shape),
        (conv(&[groups.clone(), ints("kernel_shape", &[3, 2])]), Code::Shape),
        (conv(&[groups.clone(), ints("strides", &[1])]), Code::Attribute),
        (conv(&[groups.clone(), ints("strides", &[0, 1])]), Code::Attribute),
        (conv(&[groups.clone(), ints("dilations", &[9, 9])]), Code::Shape),
        (conv(&[groups.clone(), int("unheard_of", 1)]), Code::Attribute),
        (conv(&[groups.clone(), groups]), Code::Attribute),
    ];
    for (at, (node, code)) in wrong.into_iter().enumerate() {
        assert_eq!(case(image, node, from_ref(&weights)).refused().0, code, "{at}");
    }
}

#[test]
fn transposed_convolutions_are_as_large_as_pytorch_makes_them() {
    // torch.nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)(torch.zeros(1, 4, 5, 6)).shape
    let attributes =
        [int("group", 2), ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1]), ints("output_padding", &[1, 1])];
    let node = with(node("ConvTranspose", &["x", "w"], &["y"]), &attributes);
    case(&[1, 4, 5, 6], node, &[float_tensor("w", &[4, 3, 3, 3], 1.0)]).makes(&[1, 6, 10, 12], |_, costs| {
        assert_eq!(costs.macs, 4 * 5 * 6 * 3 * 9);
    });
}

#[test]
fn a_pool_that_rounds_up_is_written_as_one_that_is_padded() {
    // torch.nn.MaxPool2d(3, stride=2, ceil_mode=True)(torch.zeros(1, 1, 6, 7)).shape
    let node = |extra: &[Message]| {
        let window = [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
        with(node("MaxPool", &["x"], &["y"]), &[&window, extra].concat())
    };
    case(&[1, 1, 6, 7], node(&[int("ceil_mode", 1)]), &[]).makes(&[1, 1, 3, 3], |graph, _| {
        let attributes = &graph.nodes[0].attributes;
        assert_eq!(attributes["pads"], program::op::Attribute::Ints(vec![0, 0, 1, 0]));
        assert_eq!(attributes["ceil_mode"], program::op::Attribute::Int(0));
    });
    case(&[1, 1, 6, 7], node(&[]), &[]).makes(&[1, 1, 2, 3], |_, _| {});
    assert_eq!(case(&[1, 1, 6, 7], node(&[ints("pads", &[3, 0, 0, 0])]), &[]).refused().0, Code::Shape);
}

#[test]
fn products_and_broadcasts_are_numpys() {
    let product = |w: &[i64]| case(&[2, 1, 3, 4], node("MatMul", &["x", "w"], &["y"]), &[float_tensor("w", w, 1.0)]);
    product(&[5, 4, 6]).makes(&[2, 5, 3, 6], |_, costs| assert_eq!(costs.macs, 2 * 5 * 3 * 6 * 4));
    product(&[4]).makes(&[2, 1, 3], |_, costs| assert_eq!(costs.macs, 2 * 3 * 4));
    assert_eq!(product(&[3, 6]).refused().0, Code::Shape);
    let sum = |w: &[i64]| case(&[2, 1, 3], node("Add", &["x", "w"], &["y"]), &[float_tensor("w", w, 1.0)]);
    sum(&[4, 1]).makes(&[2, 4, 3], |_, _| {});
    sum(&[]).makes(&[2, 1, 3], |_, _| {});
    assert_eq!(sum(&[2]).refused().0, Code::Shape);
}

#[test]
fn slices_are_numpys() {
    let slice = |bounds: [&[i64]; 4]| {
        let [starts, ends, axes, steps] = bounds;
        let given = [int_tensor("s", starts), int_tensor("e", ends), int_tensor("a", axes), int_tensor("t", steps)];
        case(&[1, 10, 6], node("Slice", &["x", "s", "e", "a", "t"], &["y"]), &given)
    };
    // numpy.zeros((1, 10, 6))[:, 2:9:3, ::-1].shape
    slice([&[2, -1], &[9, i64::MIN], &[1, -1], &[3, -1]]).makes(&[1, 3, 6], |_, _| {});
    // [:, -3:100], [:, 8:2:-4], [:, 20:3:-1]
    slice([&[-3], &[100], &[1], &[1]]).makes(&[1, 3, 6], |_, _| {});
    slice([&[8], &[2], &[1], &[-4]]).makes(&[1, 2, 6], |_, _| {});
    slice([&[20], &[3], &[1], &[-1]]).makes(&[1, 6, 6], |_, _| {});
    for (bounds, code) in [
        ([&[0][..], &[3][..], &[1][..], &[0][..]], Code::Shape),
        ([&[5], &[5], &[1], &[1]], Code::Shape),
        ([&[0], &[3], &[3], &[1]], Code::Shape),
        ([&[0, 0], &[3, 3], &[1, 1], &[1, 1]], Code::Shape),
        ([&[0, 0], &[3], &[1], &[1]], Code::Shape),
    ] {
        assert_eq!(slice(bounds).refused().0, code, "{bounds:?}");
    }
}

#[test]
fn a_written_slice_that_runs_backwards_is_read_as_the_same() {
    let given = [int_tensor("s", &[3]), int_tensor("e", &[-100]), int_tensor("a", &[0]), int_tensor("t", &[-1])];
    let case = case(&[5], node("Slice", &["x", "s", "e", "a", "t"], &["y"]), &given);
    case.makes(&[4], |graph, _| {
        let written = onnx::write(graph);
        assert_eq!(onnx::read(&written, &floats(&[5], &[4]), &LIMITS).unwrap()[0].graph, *graph);
    });
}

#[test]
fn reshapes_copy_guess_and_vanish() {
    let reshape = |to: &[i64]| case(&[2, 3, 4], node("Reshape", &["x", "s"], &["y"]), &[int_tensor("s", to)]);
    reshape(&[0, -1]).makes(&[2, 12], |graph, _| assert_eq!(graph.nodes.len(), 1));
    reshape(&[4, 3, 2]).makes(&[4, 3, 2], |_, _| {});
    for to in [&[5, -1][..], &[-1, -1], &[2, 3, 5], &[0, 0, 0, 0], &[-2, 12], &[i64::MAX, i64::MAX, 2]] {
        assert_eq!(reshape(to).refused().0, Code::Shape, "{to:?}");
    }
    // The input itself, which nothing computes.
    assert_eq!(reshape(&[2, 3, 4]).refused().0, Code::Output);
}

#[test]
fn what_depends_on_values_has_no_shape() {
    let cast = node("Cast", &["x"], &["n"]).message(5, &int("to", 7));
    let nodes = [cast, node("Reshape", &["x", "n"], &["y"])];
    let file = model(&graph(&nodes, &[], &[4], &[4])).0;
    let refusal = onnx::read(&file, &floats(&[4], &[4]), &LIMITS).unwrap_err();
    assert_eq!(refusal.code, Code::DynamicShape);
    assert!(refusal.detail.contains("Reshape that makes `y`"), "{refusal}");
}

#[test]
fn older_reductions_and_newer_ones_are_the_same_graph() {
    let newer =
        model(&graph(&[node("ReduceMean", &["x", "a"], &["y"])], &[int_tensor("a", &[-1])], &[2, 3], &[2, 1])).0;
    let older = graph(&[node("ReduceMean", &["x"], &["y"]).message(5, &ints("axes", &[1]))], &[], &[2, 3], &[2, 1]);
    let older = Message::default().int(1, 7).message(8, &Message::default().int(2, 13)).message(7, &older).0;
    let [newer, older] = [newer, older].map(|file| {
        let read = onnx::read(&file, &floats(&[2, 3], &[2, 1]), &LIMITS).unwrap();
        onnx::write(&read[0].graph)
    });
    assert_eq!(newer, older);
}

#[test]
fn batch_normalisation_after_a_convolution_costs_a_bias() {
    let weights = [("s", 1.5), ("b", 0.5), ("m", 0.1), ("v", 2.0)].map(|(name, value)| float_tensor(name, &[8], value));
    let initialisers = [&weights[..], &[float_tensor("w", &[8, 4, 1, 1], 1.0)]].concat();
    let norm = |of: &'static str| node("BatchNormalization", &[of, "s", "b", "m", "v"], &["y"]);
    let nodes = [node("Conv", &["x", "w"], &["c"]), norm("c")];
    let file = model(&graph(&nodes, &initialisers, &[1, 4, 5, 5], &[1, 8, 5, 5])).0;
    let read = onnx::read(&file, &floats(&[1, 4, 5, 5], &[1, 8, 5, 5]), &LIMITS).unwrap();
    assert_eq!((read[0].costs.size_bytes, read[0].costs.parameters), ((32 + 8) * 2, 32 + 4 * 8));
    // Alone it keeps all four.
    case(&[1, 8, 5, 5], norm("x"), &weights).makes(&[1, 8, 5, 5], |_, costs| assert_eq!(costs.size_bytes, 4 * 8 * 2));
}

#[test]
fn sizes_count_floats_at_two_bytes_and_whole_numbers_as_they_are() {
    let nodes = [
        node("DequantizeLinear", &["q", "s"], &["w"]).message(5, &int("axis", 1)),
        node("MatMul", &["x", "w"], &["m"]),
        node("Add", &["m", "h"], &["y"]),
    ];
    let weights = [tensor("q", 3, &[4, 6], &[1; 24]), float_tensor("s", &[6], 0.1), float_tensor("h", &[1, 6], 0.2)];
    let file = model(&graph(&nodes, &weights, &[1, 4], &[1, 6])).0;
    let costs = onnx::read(&file, &floats(&[1, 4], &[1, 6]), &LIMITS).unwrap()[0].costs;
    assert_eq!((costs.size_bytes, costs.parameters, costs.macs), (24 + 6 * 2 + 6 * 2, 36, 24));
    // The input, the weights as floats, the product, the sum: at most three at once.
    assert_eq!(costs.activation_bytes_peak, 4 * (4 + 24 + 6));
}

#[test]
fn every_operator_has_its_own_rule() {
    // A node of floats alone: whatever an operator says to it, nothing panics and nothing is taken for another
    // operator.
    for op in Op::ALL {
        for count in 0..4 {
            let inputs = ["x", "a", "b"];
            let initialisers: Vec<_> =
                inputs.iter().skip(1).take(count).map(|name| float_tensor(name, &[1, 2, 4, 4], 1.0)).collect();
            let given: Vec<&str> = inputs.iter().copied().take(1 + count.min(2)).collect();
            let case = case(&[1, 2, 4, 4], node(op.name(), &given, &["y"]), &initialisers);
            let (code, detail) = match onnx::read(&case.file(&[1]), &floats(case.x, &[1]), &LIMITS) {
                Err(refusal) => (refusal.code, refusal.detail),
                Ok(_) => panic!("{op} makes one number"),
            };
            assert!(!detail.is_empty() && code != Code::Operator, "{op}: {code}");
        }
    }
}

#[test]
fn the_words_of_older_opsets_are_those_of_today() {
    let places = float_tensor("g", &[1, 3, 5, 2], 0.5);
    let sample = |mode: &str| with(node("GridSample", &["x", "g"], &["y"]), &[word("mode", mode)]);
    // Opset 18 says bilinear where 20 says linear.
    case(&[1, 2, 4, 4], sample("bilinear"), from_ref(&places)).makes(&[1, 2, 3, 5], |graph, _| {
        assert_eq!(graph.nodes[0].attributes["mode"], program::op::Attribute::Text("linear"));
        let written = onnx::write(graph);
        let again = onnx::read(&written, &floats(&[1, 2, 4, 4], &[1, 2, 3, 5]), &LIMITS).unwrap();
        assert_eq!(again[0].graph, *graph);
    });
    let refused = case(&[1, 2, 4, 4], sample("trilinear"), from_ref(&places)).refused();
    assert!(refused.0 == Code::Attribute && refused.1.contains("isn't one of linear"), "{refused:?}");
}
