//! Files that want to hurt: each has its own code, and says where.

use crate::file::{Message, float_tensor, graph, int, int_tensor, model, node, port, tensor};
use crate::{LIMITS, floats, folder};
use program::{Code, Dtype, Port, Signature, onnx};
use std::slice::from_ref;

/// The files of `hostile/` (by name what they try) and the code of each.
const FILES: [(&str, Code); 41] = [
    ("axis_far", Code::Attribute),
    ("bomb_chain_concat", Code::OverLimit),
    ("bomb_expand_fold", Code::OverLimit),
    ("bomb_expand_overflow", Code::Shape),
    ("bomb_pad", Code::Shape),
    ("bomb_range", Code::Shape),
    ("bomb_runtime_tile", Code::OverLimit),
    ("conv_chan_mismatch", Code::Shape),
    ("conv_group0", Code::Attribute),
    ("conv_kernel_lie", Code::Shape),
    ("conv_stride0", Code::Attribute),
    ("custom_domain", Code::Domain),
    ("dec_deep", Code::ControlFlow),
    ("einsum_bad", Code::Operator),
    ("external_abs", Code::External),
    ("external_rel", Code::External),
    ("func_exponential", Code::Function),
    ("gather_neg", Code::Shape),
    ("gather_oob", Code::Shape),
    ("gathernd_oob", Code::Shape),
    ("if_nested_20", Code::ControlFlow),
    ("init_huge_dims", Code::Initialiser),
    ("init_long", Code::Initialiser),
    ("init_short", Code::Initialiser),
    ("init_string", Code::Dtype),
    ("input_dim_neg", Code::Input),
    ("input_shape_lie", Code::Input),
    ("lstm_lie", Code::Attribute),
    ("matmul_mismatch", Code::Shape),
    ("ms_domain", Code::Domain),
    ("no_inputs_concat", Code::Arity),
    ("opset_0", Code::Opset),
    ("opset_999", Code::Opset),
    ("pool_kernel0", Code::Attribute),
    ("pool_pad_huge", Code::Attribute),
    ("reshape_neg", Code::Shape),
    ("reshape_zero_div", Code::Shape),
    ("self_input", Code::Cycle),
    ("slice_step0", Code::Shape),
    ("split_bad", Code::Shape),
    ("topk_huge", Code::Shape),
];

/// The input that a file of `hostile/` has, so that nothing but what it tries is wrong with it.
fn expected(name: &str) -> Signature {
    match name {
        "lstm_lie" => floats(&[1, 1, 4], &[1, 4]),
        _ if name.starts_with("conv") || name.starts_with("pool") => floats(&[1, 3, 8, 8], &[1, 4]),
        _ => floats(&[1, 4], &[1, 4]),
    }
}

#[test]
fn every_hostile_file_is_refused_for_what_it_tries() {
    let mut wrong = Vec::new();
    for (name, code) in FILES {
        let file = std::fs::read(folder("hostile").join(format!("{name}.onnx"))).unwrap();
        match onnx::read(&file, &expected(name), &LIMITS) {
            Err(refusal) if refusal.code == code => {}
            other => wrong.push(format!("{name}: {:?}", other.map(|_| "admitted"))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(std::fs::read_dir(folder("hostile")).unwrap().count(), FILES.len());
}

fn relu() -> Message {
    node("Relu", &["x"], &["y"])
}

/// What a file of one input and output `[1, 4]` is refused for.
fn refused(file: &Message) -> (Code, String) {
    let refusal = onnx::read(&file.0, &floats(&[1, 4], &[1, 4]), &LIMITS).unwrap_err();
    (refusal.code, refusal.detail)
}

fn of_nodes(nodes: &[Message], initialisers: &[Message]) -> Message {
    model(&graph(nodes, initialisers, &[1, 4], &[1, 4]))
}

#[test]
fn each_kind_of_fault_has_its_code() {
    let plain = graph(&[relu()], &[], &[1, 4], &[1, 4]);
    assert!(onnx::read(&model(&plain).0, &floats(&[1, 4], &[1, 4]), &LIMITS).is_ok());
    let empty = Message::default();
    let weight = || float_tensor("w", &[1, 4], 1.0);
    let add = node("Add", &["x", "w"], &["y"]);
    let sub = |graph: &Message| {
        of_nodes(&[relu().message(5, &empty.clone().text(1, "body").message(6, graph).int(20, 5))], &[])
    };
    let cases = [
        (model(&plain).int(99, 1), Code::UnknownField, "field 99 of a model"),
        (model(&plain.clone().bytes(77, b"")), Code::UnknownField, "field 77 of a graph"),
        (of_nodes(&[relu().int(12, 1)], &[]), Code::UnknownField, "field 12 of a node"),
        (model(&plain).message(20, &empty), Code::Training, "training_info"),
        (model(&plain).message(25, &empty), Code::Function, "functions"),
        (model(&plain).message(7, &plain), Code::Unreadable, "twice"),
        (model(&plain.clone().message(15, &empty)), Code::Sparse, "sparse"),
        (sub(&plain), Code::ControlFlow, "`body` is a graph"),
        (of_nodes(&[node("Scan", &["x"], &["y"])], &[]), Code::ControlFlow, "Scan"),
        (of_nodes(&[relu().text(7, "evil.example")], &[]), Code::Domain, "evil.example"),
        (of_nodes(&[node("NonZero", &["x"], &["y"])], &[]), Code::Operator, "NonZero"),
        (of_nodes(from_ref(&add), &[weight().message(13, &empty)]), Code::External, "`w`"),
        (of_nodes(from_ref(&add), &[weight().int(14, 1)]), Code::External, "`w`"),
        (of_nodes(from_ref(&add), &[tensor("w", 8, &[1], b"")]), Code::Dtype, "type 8"),
        (of_nodes(from_ref(&add), &[tensor("w", 14, &[1], &[0; 8])]), Code::Dtype, "type 14"),
        (of_nodes(from_ref(&add), &[weight(), weight()]), Code::DuplicateName, "`w`"),
        (of_nodes(&[relu(), node("Abs", &["x"], &["y"])], &[]), Code::DuplicateName, "`y`"),
        (of_nodes(&[relu()], &[weight()]), Code::UnusedInitialiser, "`w`"),
        (of_nodes(&[relu(), node("Abs", &["x"], &["z"])], &[]), Code::Unreachable, "`z`"),
        (of_nodes(&[node("Add", &["x", "nowhere"], &["y"])], &[]), Code::Undefined, "`nowhere`"),
        (of_nodes(&[node("Add", &["x", "b"], &["y"]), node("Abs", &["y"], &["b"])], &[]), Code::Cycle, "needs itself"),
        (of_nodes(&[node("Relu", &["x\u{7}"], &["y"])], &[]), Code::Name, "\\u{7}"),
        (of_nodes(&[node("Relu", &["x"], &["y", "z"])], &[]), Code::Arity, "2 outputs"),
        (of_nodes(&[node("Add", &["x"], &["y"])], &[]), Code::Arity, "1 inputs"),
        (of_nodes(&[node("Not", &["x"], &["y"])], &[]), Code::Dtype, "not bool"),
        (of_nodes(&[node("Identity", &["w"], &["y"])], &[weight()]), Code::Output, "depends on no input"),
        (of_nodes(&[node("Flatten", &["x"], &["y"])], &[]), Code::Output, "is an input"),
        (of_nodes(&[node("Transpose", &["x"], &["y"])], &[]), Code::Output, "float32[4, 1], not float32[1, 4]"),
        (model(&graph(&[relu()], &[], &[2, 4], &[1, 4])), Code::Input, "axis 0 of `x` has 2 entries, not 1"),
        (model(&plain.message(11, &port("other", 1, &[1]))), Code::Input, "`x`, `other`"),
        (Message(b"PK\x03\x04".to_vec()), Code::UnknownField, "field 10 of a model"),
        (Message(b"\x08\x08\x3a\x7f".to_vec()), Code::Unreadable, "ends within"),
        (empty.clone(), Code::Unreadable, "no IR version"),
    ];
    for (file, code, words) in cases {
        let (found, detail) = refused(&file);
        assert!(found == code && detail.contains(words), "{code} {words:?}: {found} {detail:?}");
    }
}

#[test]
fn versions_outside_the_range_are_refused() {
    let of = |ir: i64, opsets: &[i64]| {
        let message = Message::default().int(1, ir).message(7, &graph(&[relu()], &[], &[1, 4], &[1, 4]));
        let opset = |version: &i64| Message::default().text(1, "").int(2, *version);
        message.all(8, &opsets.iter().map(opset).collect::<Vec<_>>())
    };
    for (ir, opsets, code) in [
        (6, &[18][..], Code::IrVersion),
        (14, &[18], Code::IrVersion),
        (-1, &[18], Code::IrVersion),
        (8, &[12], Code::Opset),
        (8, &[25], Code::Opset),
        (8, &[], Code::Opset),
        (8, &[18, 18], Code::Opset),
    ] {
        assert_eq!(refused(&of(ir, opsets)).0, code, "{ir} {opsets:?}");
    }
    let groups = node("GroupNormalization", &["x", "s", "s"], &["y"]).message(5, &int("num_groups", 2));
    let (code, detail) = refused(&of_nodes(&[groups], &[float_tensor("s", &[4], 1.0)]));
    assert!(code == Code::Opset && detail.contains("opset 21"), "{code} {detail}");
}

#[test]
fn what_is_listed_without_end_is_counted_while_it_is_read() {
    let many = |count: usize, one: &dyn Fn(usize) -> Message| (0..count).map(one).collect::<Vec<_>>();
    let chain = |at: usize| node("Relu", &[&format!("t{at}")], &[&format!("t{}", at + 1)]);
    let long = Message::default().text(1, "axes").bytes(8, &[1; 65]).int(20, 7);
    for (file, words) in [
        (of_nodes(&many(4_097, &chain), &[]), "4096 nodes"),
        (of_nodes(&[relu()], &many(4_097, &|at| float_tensor(&format!("w{at}"), &[1], 0.0))), "4096 initialisers"),
        (of_nodes(&[node("Concat", &["x"; 65], &["y"])], &[]), "64 inputs"),
        (of_nodes(&[relu().message(5, &long)], &[]), "64 numbers"),
        (of_nodes(&[relu().all(5, &many(17, &|at| int(&format!("a{at}"), 1)))], &[]), "16 attributes"),
        (of_nodes(&[relu()], &[tensor("w", 1, &[1; 9], &[0; 4])]), "axes of a tensor"),
    ] {
        let (code, detail) = refused(&file);
        assert!(code == Code::TooMany && detail.contains(words), "{words}: {code} {detail}");
    }
}

#[test]
fn a_graph_may_not_be_the_weights() {
    // Numbers by which nodes are built are no parameters; so there may be few of them. Here 64 sizes tell what a byte
    // would.
    let pieces: Vec<String> = (0..64).map(|at| format!("p{at}")).collect();
    let (mut nodes, mut sizes) = (Vec::new(), Vec::new());
    for at in 0..20 {
        let names: Vec<String> = pieces.iter().map(|piece| format!("{piece}_{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut parts = vec![1; 64];
        (parts[at], parts[at + 1]) = (30, 42 - at as i64);
        parts[63] += at as i64;
        sizes.push(int_tensor(&format!("s{at}"), &parts));
        let from = if at == 0 { "x".to_owned() } else { format!("t{at}") };
        let to = if at == 19 { "y".to_owned() } else { format!("t{}", at + 1) };
        nodes.push(node("Split", &[&from, &format!("s{at}")], &names).message(5, &int("axis", 1)));
        nodes.push(node("Concat", &names, &[&to]).message(5, &int("axis", 1)));
    }
    let file = model(&graph(&nodes, &sizes, &[1, 134], &[1, 134])).0;
    let refusal = onnx::read(&file, &floats(&[1, 134], &[1, 134]), &LIMITS).unwrap_err();
    assert_eq!(refusal.code, Code::GraphTooLarge, "{refusal}");
}

#[test]
fn folding_is_counted() {
    // Each node stretches one bool to 4,096, and all of them are joined.
    let (mut nodes, mut names) = (Vec::new(), Vec::new());
    for at in 0..1_024 {
        let name = format!("e{at}");
        nodes.push(node("Expand", &["b", "s"], &[&name]));
        names.push(name);
    }
    let mut round = 0;
    while names.len() > 1 {
        let joined = |(at, names): (usize, &[String])| {
            let (to, names) = (format!("j{round}_{at}"), names.iter().map(String::as_str).collect::<Vec<_>>());
            (node("Concat", &names, &[&to]).message(5, &int("axis", 0)), to)
        };
        let (joins, left): (Vec<_>, Vec<_>) = names.chunks(64).enumerate().map(joined).unzip();
        nodes.extend(joins);
        names = left;
        round += 1;
    }
    nodes.push(node("Where", &[&names[0], "x", "x"], &["y"]));
    let initialisers = [tensor("b", 9, &[1], &[1]), int_tensor("s", &[4_096])];
    let (code, detail) = refused(&of_nodes(&nodes, &initialisers));
    assert!(code == Code::TooMany && detail.contains("fold to more"), "{code} {detail}");
}

#[test]
fn a_long_chain_takes_no_stack() {
    let step = |at: usize| {
        let name = |at: usize| {
            if at == 0 {
                "x".to_owned()
            } else if at == 4_096 {
                "y".to_owned()
            } else {
                format!("t{at}")
            }
        };
        node("Relu", &[&name(at)], &[&name(at + 1)])
    };
    // In the wrong order, too: files needn't be sorted.
    let nodes: Vec<_> = (0..4_096).rev().map(step).collect();
    let file = of_nodes(&nodes, &[]);
    let read = std::thread::Builder::new()
        .stack_size(96 * 1_024)
        .spawn(move || onnx::read(&file.0, &floats(&[1, 4], &[1, 4]), &LIMITS).map(|read| read[0].graph.nodes.len()));
    assert_eq!(read.unwrap().join().unwrap(), Ok(4_096));
}

#[test]
fn ports_are_matched_by_name() {
    let ids = |name: &str| Port::fixed(name, Dtype::F32, &[1, 4]);
    let two = |a: &str, b: &str| Signature { inputs: vec![ids(a), ids(b)], outputs: vec![ids("y")] };
    let graph = graph(&[node("Sub", &["x", "z"], &["y"])], &[], &[1, 4], &[1, 4]).message(11, &port("z", 1, &[1, 4]));
    let file = model(&graph).0;
    let [forward, backward] = [two("x", "z"), two("z", "x")]
        .map(|signature| onnx::read(&file, &signature, &LIMITS).unwrap()[0].graph.nodes[0].inputs.clone());
    assert_eq!((forward, backward), (vec![Some(0), Some(1)], vec![Some(1), Some(0)]));
    let refusal = onnx::read(&file, &two("x", "q"), &LIMITS).unwrap_err();
    assert_eq!((refusal.code, refusal.detail.as_str()), (Code::Input, "`x`, `z`, not `x`, `q`"));
}

#[test]
fn every_code_has_a_hint() {
    for code in Code::ALL {
        assert!(code.hint().len() > 30 && code.hint().ends_with('.'), "{code}");
        assert!(code.as_str().starts_with("onnx_") || *code == Code::OverLimit, "{code}");
    }
}
