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
