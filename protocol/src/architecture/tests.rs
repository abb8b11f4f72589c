//! Costs and tensor sets against figures computed by hand or taken from the papers.

use super::*;

const IMAGE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

fn parse(json: &str) -> Architecture {
    serde_json::from_str(json).expect("a test's own description")
}

#[test]
fn an_mlp_counts_what_paper_and_pencil_count() {
    let plan = parse(r#"{"kind":"mlp","hidden":[256]}"#).plan(IMAGE, 10).unwrap();
    let costs = plan.costs().unwrap();
    assert_eq!(costs.parameters, 784 * 256 + 256 + 256 * 10 + 10);
    assert_eq!(costs.macs, 784 * 256 + 256 * 10);
    assert_eq!(costs.size_bytes, 2 * costs.parameters, "nothing folds, and a float is two bytes");
    assert_eq!(costs.activation_bytes_peak, 4 * (784 + 784), "flattening holds the image twice");
    assert_eq!(plan.tensors()[0].name, "1.weight");
}

#[test]
fn resnet_8_on_cifar_has_the_published_size() {
    let rgb = ImageShape { channels: 3, height: 32, width: 32 };
    let plan = parse(r#"{"kind":"resnet","width":16,"blocks":[1,1,1]}"#).plan(rgb, 10).unwrap();
    let costs = plan.costs().unwrap();
    // MLPerf Tiny's ResNet-8: about 78 K parameters and 12.5 M MACs.
    assert_eq!(costs.parameters, 77_754 + 288);
    assert!((12_400_000..12_600_000).contains(&costs.macs), "{}", costs.macs);
    // Nine normalisations, of 16 channels (three), 32 (three) and 64 (three): a scale each is folded away.
    assert_eq!(costs.size_bytes, 2 * (costs.parameters - 3 * (16 + 32 + 64)));
}

#[test]
fn every_bad_dimension_is_named() {
    let cases = [
        (r#"{"kind":"mlp","hidden":[]}"#, "hidden is 0"),
        (r#"{"kind":"mlp","hidden":[0]}"#, "hidden is 0"),
        (r#"{"kind":"mlp","hidden":[4294967295]}"#, "hidden is 4294967295"),
        (r#"{"kind":"resnet","width":8192,"blocks":[1,1]}"#, "width is 16384"),
        (r#"{"kind":"resnet","width":8,"blocks":[4294967295]}"#, "blocks is 4294967295"),
        (r#"{"kind":"resnet","width":8,"blocks":[1],"stem_stride":3}"#, "stem_stride is 3"),
        (r#"{"kind":"vit","patch":5,"width":8,"depth":1,"heads":1,"mlp_width":8}"#, "patch 5 doesn't divide"),
        (r#"{"kind":"vit","patch":4,"width":8,"depth":1,"heads":3,"mlp_width":8}"#, "3 heads don't divide"),
        (
            r#"{"kind":"vit","patch":4,"width":8,"depth":1,"heads":1,"mlp_width":8,"norm_epsilon_ppb":0}"#,
            "norm_epsilon_ppb is 0",
        ),
    ];
    for (json, expected) in cases {
        let error = parse(json).plan(IMAGE, 10).expect_err(json).to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn unknown_kinds_and_fields_are_refused() {
    for json in [r#"{"kind":"gan"}"#, r#"{"kind":"mlp","hidden":[8],"secret":1}"#, r#"{"hidden":[8]}"#] {
        assert!(serde_json::from_str::<Architecture>(json).is_err(), "{json}");
    }
}

#[test]
fn the_largest_description_is_costed_without_overflow_or_panic() {
    let json = r#"{"kind":"vit","patch":1,"width":8192,"depth":256,"heads":8,"mlp_width":8192}"#;
    assert!(parse(json).plan(IMAGE, 8192).unwrap().costs().is_ok());
}

#[test]
fn the_scores_of_attention_count_as_activations() {
    let peak = |heads: u32| {
        let json = format!(r#"{{"kind":"vit","patch":1,"width":64,"depth":1,"heads":{heads},"mlp_width":1}}"#);
        parse(&json).plan(IMAGE, 10).unwrap().costs().unwrap()
    };
    // 785 tokens of 64 values: input, output and what the residual holds, then queries, keys and values, then for each
    // head 785 times 785 scores before and after softmax.
    let (values, scores) = (785 * 64, 785 * 785);
    assert_eq!(peak(1).activation_bytes_peak, 4 * (6 * values + 2 * scores));
    assert_eq!(peak(64).activation_bytes_peak, 4 * (6 * values + 64 * 2 * scores), "316 MB, with 17 K parameters");
    assert_eq!(peak(1).macs, peak(64).macs, "which no other cost shows");
}

#[test]
fn tensorflow_puts_the_odd_zero_behind() {
    let json = r#"{"kind":"depthwise_cnn","stem":8,"stem_stride":2,"padding":"same","blocks":[{"channels":16,"stride":2},{"channels":16,"stride":2}]}"#;
    let wide = ImageShape { channels: 1, height: 28, width: 26 };
    let plan = parse(json).plan(wide, 10).unwrap();
    let of = |plan: &Plan, name: &str| {
        plan.ops().iter().find_map(|op| match op {
            Op::Conv2d(conv) if conv.name == name => Some(conv.padding),
            _ => None,
        })
    };
    let margins = |name: &str| of(&plan, name);
    let behind = Margins { top: 0, left: 0, bottom: 1, right: 1 };
    assert_eq!(margins("features.0.0"), Some(behind), "28 x 26 to 14 x 13");
    assert_eq!(margins("features.1.0"), Some(Margins { left: 1, ..behind }), "14 x 13 to 7 x 7");
    assert_eq!(margins("features.2.0"), Some(Margins::all(1)), "7 x 7 to 4 x 4");
    assert_eq!(margins("features.1.3"), Some(Margins::default()), "one pixel to one");
    let keras = parse(&json.replace("same", "keras")).plan(wide, 10).unwrap();
    assert_eq!(of(&keras, "features.2.0"), Some(behind), "7 x 7 to 3 x 3, as Keras's MobileNet has it");
    let symmetric = parse(&json.replace("same", "symmetric")).plan(wide, 10).unwrap();
    assert_eq!(symmetric.costs().unwrap(), plan.costs().unwrap());
    assert_eq!(symmetric, parse(&json.replace(r#""padding":"same","#, "")).plan(wide, 10).unwrap());
}

#[test]
fn what_was_fused_beforehand_is_no_smaller() {
    for json in [
        r#"{"kind":"resnet","width":8,"blocks":[1,1]}"#,
        r#"{"kind":"depthwise_cnn","stem":8,"stem_stride":2,"blocks":[{"channels":16,"stride":2}]}"#,
        r#"{"kind":"mobilenet_v2","stem":8,"stem_stride":2,"head":16,"blocks":[{"expansion":4,"channels":8,"repeats":2,"stride":2}]}"#,
    ] {
        let whole = parse(json);
        let fused = whole.other_form().unwrap();
        let costs = |architecture: &Architecture| architecture.plan(IMAGE, 10).unwrap().costs().unwrap();
        assert_eq!(costs(&whole).size_bytes, costs(&fused).size_bytes, "{json}");
        assert_eq!(costs(&whole).macs, costs(&fused).macs);
        assert_eq!(fused.other_form(), Some(whole));
    }
    let both = r#"{"kind":"resnet","width":8,"blocks":[1],"batch_norm_fused":true,"norm_epsilon_ppb":1000}"#;
    assert!(parse(both).plan(IMAGE, 10).unwrap_err().to_string().contains("none are left"));
}

#[test]
fn the_epsilon_of_a_transformer_reaches_each_of_its_normalisations() {
    const PLAIN: &str = r#"{"kind":"vit","patch":4,"width":8,"depth":2,"heads":1,"mlp_width":8}"#;
    fn norms(ops: &[Op], into: &mut Vec<f64>) {
        for op in ops {
            match op {
                Op::LayerNorm { epsilon_ppb, .. } => into.push(layer_norm_epsilon(*epsilon_ppb)),
                Op::Residual { body, .. } => norms(body, into),
                _ => {}
            }
        }
    }
    let epsilons = |json: &str| {
        let mut found = Vec::new();
        norms(parse(json).plan(IMAGE, 10).unwrap().ops(), &mut found);
        found
    };
    assert_eq!(epsilons(PLAIN), [1e-12; 5]);
    for (ppb, epsilon) in [(1, 1e-9), (1_000, 1e-6), (10_000, 1e-5)] {
        let said = PLAIN.replace(r#""mlp_width":8"#, &format!(r#""mlp_width":8,"norm_epsilon_ppb":{ppb}"#));
        assert_eq!(epsilons(&said), [epsilon; 5], "to the last bit");
        assert!(parse(&said).assumed().iter().all(|(field, _)| *field != "norm_epsilon_ppb"));
        assert_eq!(serde_json::to_string(&parse(&said)).unwrap(), said);
    }
    // What was published before there was the field keeps its digest.
    assert_eq!(serde_json::to_string(&parse(PLAIN)).unwrap(), PLAIN);
    assert!(parse(PLAIN).assumed().contains(&("norm_epsilon_ppb", "left out (1e-12)".to_owned())));
}
