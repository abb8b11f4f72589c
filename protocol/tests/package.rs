//! The admission check, entered by its one public door with real safetensors bytes.

use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{InputSpec, Limits};
use protocol::package::{
    Admission, Admitted, CONFIG_BYTES_MAX, Expected, Format, ModelKind, PackageConfig, admit, for_library, read_header,
};
use protocol::pixels::Pixels;
use protocol::submission::{Code, Rejection};
use safetensors::{Dtype, tensor::TensorView};

const LABELS: [&str; 3] = ["a", "b", "c"];

fn input() -> InputSpec {
    InputSpec { channels: 1, height: 4, width: 4, mean_ppm: vec![0], deviation_ppm: vec![1_000_000] }
}

fn limits() -> Limits {
    Limits {
        size_bytes_max: 400_000,
        parameters_max: 1_000,
        macs_max: 10_000,
        activation_bytes_max: 10_000,
        submissions_per_day: 1,
        upload_seconds_max: 1,
        evaluation_seconds_max: 1,
    }
}

fn config(architecture: &str) -> String {
    format!(
        r#"{{"format":"retort/1","architecture":{architecture},"input":{{"channels":1,"height":4,"width":4,"mean_ppm":[0],"deviation_ppm":[1000000]}},"labels":["a","b","c"]}}"#
    )
}

const MLP: &str = r#"{"kind":"mlp","hidden":[2]}"#;

/// Name, shape, values.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// The tensors of `MLP`.
fn tensors() -> Vec<Tensor> {
    [("1.weight", vec![2, 16]), ("1.bias", vec![2]), ("3.weight", vec![3, 2]), ("3.bias", vec![3])]
        .map(|(name, shape)| (name.to_owned(), shape.clone(), vec![0.5; shape.iter().product()]))
        .to_vec()
}

fn save(tensors: &[Tensor], dtype: Dtype) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|value| match dtype {
                    Dtype::F16 => half::f16::from_f32(*value).to_le_bytes().to_vec(),
                    Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
                    _ => value.to_le_bytes().to_vec(),
                })
                .collect()
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn check(config: &str, weights: &[u8]) -> Result<Admitted, Rejection> {
    let (input, limits, labels) = (input(), limits(), LABELS.map(String::from));
    admit(config.as_bytes(), weights, &Admission { input: &input, labels: &labels, limits: &limits })
}

fn code(config: &str, weights: &[u8]) -> &'static str {
    check(config, weights).map_or_else(|rejection| rejection.code.as_str(), |_| "admitted")
}

/// A file with this header and as many data bytes.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(std::iter::repeat_n(0, data));
    bytes
}

#[test]
fn a_good_package_is_admitted_with_its_costs_and_digests() {
    let weights = save(&tensors(), Dtype::F32);
    let admitted = check(&config(MLP), &weights).unwrap();
    assert_eq!(admitted.costs.parameters, 2 * 16 + 2 + 3 * 2 + 3);
    assert_eq!(admitted.size_bytes, weights.len() as u64);
    assert_eq!(code(&config(MLP), &save(&tensors(), Dtype::F16)), "admitted");
}

#[test]
fn every_bad_tensor_set_has_its_code() {
    let change = |edit: &dyn Fn(&mut Vec<Tensor>)| {
        let mut changed = tensors();
        edit(&mut changed);
        code(&config(MLP), &save(&changed, Dtype::F32))
    };
    let cases: [(&str, &str); 7] = [
        ("missing", change(&|t| drop(t.pop()))),
        ("extra", change(&|t| t.push(("4.weight".into(), vec![1], vec![0.0])))),
        ("misnamed", change(&|t| t[0].0 = "2.weight".into())),
        ("shape", change(&|t| t[0].1 = vec![16, 2])),
        ("nan", change(&|t| t[0].2[3] = f32::NAN)),
        ("infinity", change(&|t| t[0].2[3] = f32::NEG_INFINITY)),
        ("huge", change(&|t| t[0].2[3] = 2e6)),
    ]
    .map(|(name, code)| (name, code));
    let expected = [
        ("missing", "tensor_missing"),
        ("extra", "tensor_unexpected"),
        ("misnamed", "tensor_missing"),
        ("shape", "tensor_shape"),
        ("nan", "tensor_not_finite"),
        ("infinity", "tensor_not_finite"),
        ("huge", "tensor_out_of_range"),
    ];
    assert_eq!(cases, expected);
    assert_eq!(code(&config(MLP), &save(&tensors(), Dtype::F64)), "tensor_dtype");
}

#[test]
fn every_bad_config_has_its_code() {
    let weights = save(&tensors(), Dtype::F32);
    let cases = [
        (config(r#"{"kind":"mlp","hidden":[2],"x":1}"#), "config_invalid"),
        (config(MLP).replace("retort/1", "retort/9"), "config_invalid"),
        (config(MLP).replace("\"labels\"", "\"extra\":1,\"labels\""), "config_invalid"),
        ("{".into(), "config_invalid"),
        (format!("{}{}", config(MLP), " ".repeat(CONFIG_BYTES_MAX as usize)), "config_too_large"),
        (config(MLP).replace("\"height\":4", "\"height\":5"), "input_mismatch"),
        (config(MLP).replace("[\"a\",\"b\"", "[\"b\",\"a\""), "labels_mismatch"),
        (config(r#"{"kind":"mlp","hidden":[0]}"#), "architecture_invalid"),
        (config(r#"{"kind":"mlp","hidden":[100]}"#), "over_limit"),
    ];
    let found: Vec<_> = cases.iter().map(|(config, _)| code(config, &weights)).collect();
    assert_eq!(found, cases.iter().map(|(_, code)| *code).collect::<Vec<_>>());
}

#[test]
fn what_transformers_asks_for_means_nothing_to_us_and_names_nobody_elses_code() {
    let with = |model_type: &str, config_class: &str| {
        let model = "modeling_retort.RetortForImageClassification";
        let classes = format!(r#"{{"AutoConfig":"{config_class}","AutoModelForImageClassification":"{model}"}}"#);
        let more = format!(r#""model_type":"{model_type}","auto_map":{classes},"labels""#);
        PackageConfig::from_json(config(MLP).replace("\"labels\"", &more).as_bytes())
    };
    let ours = with("retort", "configuration_retort.RetortConfig").unwrap();
    assert_eq!(ours, PackageConfig::from_json(config(MLP).as_bytes()).unwrap());
    assert!(!serde_json::to_string(&ours).unwrap().contains("model_type"));
    assert!(with("resnet", "configuration_retort.RetortConfig").is_err());
    assert!(with("retort", "evil--repo.Class").is_err());
}

/// `save_pretrained` writes them, and Windows' editors a mark before them.
#[test]
fn what_transformers_writes_means_nothing_as_long_as_it_agrees() {
    let with = |more: &str| {
        PackageConfig::from_json(config(MLP).replace("\"labels\"", &format!("{more},\"labels\"")).as_bytes())
    };
    let plain = PackageConfig::from_json(config(MLP).as_bytes()).unwrap();
    let ids: Vec<String> = LABELS.iter().enumerate().map(|(id, label)| format!("\"{id}\":\"{label}\"")).collect();
    let counts: Vec<String> = LABELS.iter().enumerate().map(|(id, label)| format!("\"{label}\":{id}")).collect();
    let (ids, counts) = (ids.join(","), counts.join(","));
    let written = format!(
        r#""architectures":["RetortForImageClassification"],"dtype":"float32","torch_dtype":"float16",
        "transformers_version":"5.23.0","id2label":{{{ids}}},"label2id":{{{counts}}}"#
    );
    assert_eq!(with(&written).unwrap(), plain);
    for (field, named) in [
        (r#""architectures":["ViTForImageClassification"]"#, "`architectures`"),
        (r#""id2label":{"0":"LABEL_0"}"#, "`id2label`"),
        (r#""label2id":{}"#, "`label2id`"),
        (r#""num_labels":2000"#, "`num_labels`"),
    ] {
        let refused = with(field).unwrap_err();
        assert!(refused.detail.contains(named), "{field}: {refused}");
    }
    const VIT: &str = r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":8}"#;
    const TIMM: &str =
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":8,"norm_epsilon_ppb":1000}"#;
    for (architecture, epsilon, told) in [
        (VIT, "1e-12", None),
        (TIMM, "0.000001", None),
        (TIMM, "9.999999974752427e-07", None),
        (VIT, "1e-6", Some("`layer_norm_eps` is 1e-6, but 1e-12 by the architecture: write `norm_epsilon_ppb` there")),
        (TIMM, "1e-12", Some("for 1e-12 leave it out")),
        (MLP, "1e-12", Some("`mlp` has none")),
    ] {
        let written = config(architecture).replace("\"labels\"", &format!("\"layer_norm_eps\":{epsilon},\"labels\""));
        match (PackageConfig::from_json(written.as_bytes()), told) {
            (Ok(read), None) => assert_eq!(read, PackageConfig::from_json(config(architecture).as_bytes()).unwrap()),
            (Err(refused), Some(told)) => assert!(refused.detail.contains(told), "{refused}"),
            (read, told) => panic!("{written}: {read:?} instead of {told:?}"),
        }
    }
    // What could say another function says ours, by name; all else means nothing.
    const RELU: &str = r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":8,"activation":"relu"}"#;
    let beside = |architecture: &str, fields: &str| {
        PackageConfig::from_json(config(architecture).replace("\"labels\"", &format!("{fields},\"labels\"")).as_bytes())
    };
    for (architecture, fields) in [
        (MLP, r#""image_size":4,"num_channels":1,"use_cache":true,"finetuning_task":"image-classification""#),
        (
            MLP,
            r#""image_size":[4,4],"dtype":"bfloat16","torch_dtype":null,"problem_type":"single_label_classification""#,
        ),
        (
            MLP,
            r#""image_size":{"height":4,"width":4},"problem_type":null,"quantization_config":null,"pruned_heads":{}"#,
        ),
        (
            MLP,
            r#""output_hidden_states":false,"return_dict":true,"tie_word_embeddings":true,"top_p":1.0,"is_decoder":false"#,
        ),
        (MLP, r#""_name_or_path":"","_commit_hash":null,"task_specific_params":{"a":[1,{"b":2}]},"id2label":null"#),
        (VIT, r#""hidden_size":4,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,"patch_size":2"#),
        (VIT, r#""model_type":"vit","architectures":["ViTForImageClassification"],"layer_norm_eps":1e-12"#),
        (
            VIT,
            r#""hidden_act":"gelu","qkv_bias":true,"hidden_dropout_prob":0.1,"encoder_stride":16,"pooler_act":"tanh""#,
        ),
        (
            RELU,
            r#""hidden_act":"relu","attention_probs_dropout_prob":0.0,"initializer_range":0.02,"layer_norm_eps":1e-12"#,
        ),
    ] {
        let read = beside(architecture, fields).unwrap_or_else(|refused| panic!("{fields}: {refused}"));
        assert_eq!(read, PackageConfig::from_json(config(architecture).as_bytes()).unwrap());
    }
    for (architecture, field, told) in [
        (MLP, r#""image_size":28"#, "`image_size` is 28 x 28, but `input` 4 x 4"),
        (MLP, r#""image_size":[4,5]"#, "`image_size` is 4 x 5"),
        (MLP, r#""image_size":"4""#, "`image_size`: a side in pixels"),
        (MLP, r#""num_channels":3"#, "`num_channels` is 3, but `input.channels` 1"),
        (MLP, r#""dtype":"int3""#, "`dtype` is \"int3\""),
        (MLP, r#""torch_dtype":"int8""#, "`torch_dtype` is \"int8\""),
        (MLP, r#""dtype":3"#, "`dtype`: "),
        (MLP, r#""problem_type":"regression""#, "`problem_type` is \"regression\""),
        (MLP, r#""problem_type":"multi_label_classification""#, "one label per image"),
        (MLP, r#""quantization_config":{"bits":4}"#, "`quantization_config`"),
        (MLP, r#""hidden_size":4"#, "`hidden_size` is of transformers, and `mlp` is none"),
        (MLP, r#""is_decoder":true"#, "`is_decoder` is true"),
        (MLP, r#""activation":"relu""#, "unknown field `activation`"),
        (MLP, r#""use_cache":true,"use_cache":false"#, "duplicate field `use_cache`"),
        (MLP, r#""model_type":"vit""#, "`model_type` is \"vit\", but `architecture.kind` \"mlp\"; leave it out"),
        (MLP, r#""architectures":["ViTForImageClassification"]"#, "`architectures` names ViTForImageClassification"),
        (VIT, r#""architectures":["ViTModel"]"#, "`architectures` names ViTModel"),
        (VIT, r#""model_type":"deit""#, "`model_type` is \"deit\""),
        (VIT, r#""hidden_size":8"#, "`hidden_size` is 8, but `architecture.width` 4"),
        (VIT, r#""patch_size":[2,4]"#, "`patch_size` is 4, but `architecture.patch` 2"),
        (VIT, r#""hidden_act":"relu""#, "`hidden_act` is \"relu\""),
        (VIT, r#""hidden_act":"gelu_new""#, "`hidden_act` is \"gelu_new\""),
        (VIT, r#""qkv_bias":false"#, "`qkv_bias` is false"),
        (VIT, r#""pruned_heads":{"0":[1]}"#, "`pruned_heads`"),
    ] {
        let refused = beside(architecture, field).unwrap_err();
        assert!(refused.detail.contains(told), "{field}: {refused}");
    }
    let marked = format!("\u{feff}{}", config(MLP));
    assert_eq!(PackageConfig::from_json(marked.as_bytes()).unwrap(), plain);
    let wide: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(PackageConfig::from_json(&wide).unwrap_err().detail.contains("save it as UTF-8"));
}

#[test]
fn an_epsilon_is_told_to_be_in_parts_per_billion() {
    let resnet = |epsilon: &str| {
        let architecture = format!(r#"{{"kind":"resnet","width":2,"blocks":[1],"norm_epsilon_ppb":{epsilon}}}"#);
        PackageConfig::from_json(config(&architecture).as_bytes()).map(|_| ()).map_err(|refused| refused.detail)
    };
    assert_eq!((resnet("10000"), resnet("null")), (Ok(()), Ok(())));
    for (written, told) in [
        ("1e-5", "it is in parts per billion, a whole number: write 10000 for 1e-5"),
        ("0.001", "write 1000000 for 1e-3"),
        ("\"1e-5\"", "write 10000 for 1e-5"),
        ("10000.0", "write 10000"),
        ("1e-12", "leave it out"),
        ("-1", "parts per billion"),
        ("5000000000", "parts per billion"),
        ("\"small\"", "parts per billion"),
        ("[1]", "parts per billion"),
    ] {
        let refused = resnet(written).unwrap_err();
        assert!(refused.contains("`norm_epsilon_ppb`") && refused.contains(told), "{written}: {refused}");
    }
    let vit = r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":8,"norm_epsilon_ppb":1e-6}"#;
    let refused = PackageConfig::from_json(config(vit).as_bytes()).unwrap_err();
    assert!(refused.detail.contains("write 1000 for 1e-6"), "{refused}");
}

#[test]
fn a_text_that_is_no_json_is_told_by_what_it_is() {
    let good = config(MLP);
    let wide = |bytes: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let text = |text: String| text.into_bytes();
    for (file, told) in [
        (vec![], "the file is empty"),
        (text(" \r\n\t".into()), "the file is empty"),
        (text("\u{feff}".into()), "the file is empty"),
        (wide(u16::to_le_bytes), "UTF-16 without a byte order mark: save it as UTF-8"),
        (wide(u16::to_be_bytes), "UTF-16 without a byte order mark: save it as UTF-8"),
        (good.bytes().map(|byte| if byte == b'b' { 0xe4 } else { byte }).collect(), "save it as UTF-8"),
        (text(format!("// mine\n{good}")), "JSON has no comments: take them out, at line 1 column 1"),
        (text(format!("# mine\n{good}")), "JSON has no comments"),
        (text(good.replacen(',', ", /* b */", 1)), "JSON has no comments"),
        (text(good.replacen(',', ",\n  // b\n", 1)), "JSON has no comments: take them out, at line 2 column 3"),
        (text(format!("{good} // end")), "JSON has no comments"),
        (text(format!("\u{a0}{good}")), "U+00A0"),
        (text(good.replacen(':', ":\u{a0}", 1)), "a space that JSON doesn't take (U+00A0"),
        (text(good.replacen(',', ",\u{3000}", 1)), "U+3000"),
        (text(good.replacen(',', ",\u{200b}", 1)), "U+200B"),
        (text(format!("\u{feff}\u{feff}{good}")), "a byte order mark (U+FEFF)"),
        (text(good.replacen('"', "\u{201c}", 1)), "JSON's quotes are"),
        (text(good.replace('"', "'")), "JSON's quotes are"),
        (text(good.replacen("\"retort/1\"", "None", 1)), "Python's True, False and None"),
        (text(good.replacen("\"retort/1\"", "NaN", 1)), "JSON has no NaN"),
        (text(good.replace("]}", "],}")), "trailing comma"),
    ] {
        let refused = PackageConfig::from_json(&file).unwrap_err();
        assert_eq!(refused.code, Code::ConfigInvalid);
        assert!(refused.detail.contains(told), "{told}: {refused}");
    }
    let crlf = good.replace(',', ",\r\n");
    assert!(PackageConfig::from_json(crlf.as_bytes()).is_ok());
}

/// The tensors of a plan in f32, under other names.
fn renamed(architecture: &str, name: impl Fn(&str) -> String) -> Vec<Tensor> {
    let plan = PackageConfig::from_json(config(architecture).as_bytes()).unwrap().plan().unwrap();
    let shape = |shape: Vec<u64>| shape.into_iter().map(|axis| axis as usize).collect::<Vec<_>>();
    let tensors = plan.tensors().into_iter().map(|tensor| (name(&tensor.name), shape(tensor.shape)));
    tensors.map(|(name, shape)| (name, shape.clone(), vec![0.5; shape.iter().product()])).collect()
}

#[test]
fn names_that_mean_nothing_refuse_no_package_and_are_not_published() {
    const RESNET: &str = r#"{"kind":"resnet","width":2,"blocks":[1,1]}"#;
    const VIT: &str = r#"{"kind":"vit","patch":2,"width":4,"depth":2,"heads":2,"mlp_width":8}"#;
    let published = |architecture: &str, weights: &[u8]| {
        let admitted = check(&config(architecture), weights).unwrap();
        admitted.published(weights).unwrap().weights.to_bytes()
    };
    for architecture in [MLP, RESNET, VIT] {
        let plain = save(&renamed(architecture, str::to_owned), Dtype::F32);
        let canonical = published(architecture, &plain);
        for prefix in ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.model.", "backbone."] {
            let spelt = save(&renamed(architecture, |name| format!("{prefix}{name}")), Dtype::F32);
            assert_eq!(published(architecture, &spelt), canonical, "{prefix}");
        }
    }
    let in_transformers_5 = |name: &str| {
        let name = name.replace("vit.encoder.layer.", "vit.layers.");
        let name = name.replace(".attention.output.dense.", ".attention.o_proj.");
        let name = ["query", "key", "value"].iter().fold(name, |name, part| {
            name.replace(&format!(".attention.attention.{part}."), &format!(".attention.{}_proj.", &part[..1]))
        });
        name.replace(".intermediate.dense.", ".mlp.fc1.").replace(".output.dense.", ".mlp.fc2.")
    };
    let canonical = published(VIT, &save(&renamed(VIT, str::to_owned), Dtype::F32));
    for prefix in ["", "module."] {
        let mut spelt = renamed(VIT, |name| format!("{prefix}{}", in_transformers_5(name)));
        assert!(spelt.iter().any(|(name, ..)| name.ends_with("vit.layers.1.attention.q_proj.weight")), "{spelt:?}");
        assert_eq!(published(VIT, &save(&spelt, Dtype::F32)), canonical);
        // The pooler that classification leaves out.
        spelt.push((format!("{prefix}vit.pooler.dense.weight"), vec![4, 4], vec![1.0; 16]));
        assert_eq!(published(VIT, &save(&spelt, Dtype::F32)), canonical);
    }

    // Shared layers: the one is noted to stand for the other.
    let mut shared = renamed(VIT, str::to_owned);
    let dropped = |name: &str| name.starts_with("vit.encoder.layer.1.");
    let notes = shared.iter().map(|(name, ..)| name.clone()).filter(|name| dropped(name));
    let notes = notes.map(|name| (name.clone(), name.replace("layer.1.", "layer.0."))).collect();
    shared.retain(|(name, ..)| !dropped(name));
    let bytes: Vec<Vec<u8>> =
        shared.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = shared.iter().zip(&bytes);
    let views =
        views.map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    assert_eq!(published(VIT, &safetensors::serialize(views, Some(notes)).unwrap()), canonical);
}

#[test]
fn names_that_fit_nowhere_are_told_beside_those_that_are_missing() {
    let refused = |tensors: &[Tensor]| check(&config(MLP), &save(tensors, Dtype::F32)).unwrap_err().detail;
    let mut foreign = tensors();
    foreign.iter_mut().for_each(|tensor| tensor.0 = format!("trunk-output.{}", tensor.0.replace("weight", "kernel")));
    let told = refused(&foreign);
    assert!(told.contains("2 of its 4 tensors are there behind the prefix `trunk-output.`"), "{told}");
    foreign.iter_mut().for_each(|tensor| tensor.0 = tensor.0.replace("bias", "beta"));
    let told = refused(&foreign);
    assert!(told.contains("`1.weight`") && told.contains("`trunk-output.1.beta` of shape"), "{told}");
    assert!(told.contains("0 of its 4 tensors are there, so that it may be an architecture that the catalogue lacks"));
    foreign[0].0 = "blocks.0.attn.qkv.weight".into();
    let told = refused(&foreign);
    assert!(told.contains("these are timm's names: `retort_miner.from_timm`"), "{told}");
    // As torchvision has it.
    let resnet = r#"{"kind":"resnet","width":2,"blocks":[1]}"#;
    let mut stem = renamed(resnet, str::to_owned);
    let first = stem.iter_mut().find(|(name, ..)| name == "conv1.weight").unwrap();
    (first.1, first.2) = (vec![2, 1, 7, 7], vec![0.5; 98]);
    let told = check(&config(resnet), &save(&stem, Dtype::F32)).unwrap_err();
    assert_eq!(told.code, Code::TensorShape);
    assert!(told.detail.contains("begin with 3 x 3 and don't pool"), "{told}");
    let mut prefixed = tensors();
    prefixed.iter_mut().for_each(|tensor| tensor.0 = format!("module.{}", tensor.0));
    prefixed.pop();
    let told = refused(&prefixed);
    assert!(told.contains("under the prefix `module.`"), "{told}");
    assert!(!told.contains("catalogue"), "{told}");
    // Two prefixes, one of which some tensors lack, and one that a stranger lacks.
    let mut halves = tensors();
    for (index, tensor) in halves.iter_mut().enumerate() {
        tensor.0 = format!("{}{}", ["module.", "model."][index % 2], tensor.0);
    }
    let told = refused(&halves);
    assert!(
        told.contains(
            "4 of its 4 tensors are there, but prefixes are mixed: behind `model.` (2), behind `module.` (2)"
        ),
        "{told}"
    );
    let mut halves = tensors();
    halves[0].0 = format!("module.{}", halves[0].0);
    let told = refused(&halves);
    assert!(told.contains("mixed: without a prefix (3), behind `module.` (1); give all of them the same"), "{told}");
    let mut stranger = tensors();
    stranger.iter_mut().for_each(|tensor| tensor.0 = format!("module.{}", tensor.0));
    stranger.push(("criterion.weight".into(), vec![1], vec![1.0]));
    let told = refused(&stranger);
    assert!(told.contains("behind the prefix `module.`, which `criterion.weight` doesn't have"), "{told}");
    assert!(!told.contains("catalogue"), "{told}");
}

#[test]
fn every_bad_file_has_its_code() {
    let good = save(&tensors(), Dtype::F32);
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let long = |bytes: usize| format!(r#"{{"a":{entry}{}}}"#, " ".repeat(bytes));
    let cases: Vec<(&str, Vec<u8>, Code)> = vec![
        ("empty", vec![], Code::NotSafetensors),
        ("zip", b"PK\x03\x04 and more".to_vec(), Code::NotSafetensors),
        ("pickle", b"\x80\x02}q\x00 and more".to_vec(), Code::NotSafetensors),
        ("gguf", b"GGUF\x03\0\0\0\0\0\0\0".to_vec(), Code::NotSafetensors),
        ("header length over the file", 200u64.to_le_bytes().to_vec(), Code::HeaderInvalid),
        ("header length 2^64-1", u64::MAX.to_le_bytes().to_vec(), Code::HeaderTooLarge),
        ("a header of 300 KB", file(&long(300_000), 4), Code::HeaderTooLarge),
        ("leading space", file(&format!(" {{\"a\":{entry}}}"), 4), Code::NotSafetensors),
        ("no tensors", file("{}", 0), Code::HeaderInvalid),
        ("duplicate tensor", file(&format!("{{\"a\":{entry},\"a\":{entry}}}"), 4), Code::HeaderInvalid),
        (
            "unknown field",
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, 4),
            Code::HeaderInvalid,
        ),
        ("path as a name", file(&format!("{{\"../../etc/passwd\":{entry}}}"), 4), Code::TensorMissing),
        ("zero-size axis", file(r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#, 0), Code::TensorShape),
        ("a byte order mark", [&b"\xef\xbb\xbf"[..], &good].concat(), Code::NotSafetensors),
        (
            "shape of 2^63",
            file(r#"{"a":{"dtype":"F32","shape":[9223372036854775808,2],"data_offsets":[0,4]}}"#, 4),
            Code::TensorShape,
        ),
        (
            "nine axes",
            file(r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4),
            Code::TensorShape,
        ),
        (
            "ends before it begins",
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4),
            Code::TensorShape,
        ),
        ("a gap", file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8), Code::HeaderInvalid),
        ("booleans", file(r#"{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}"#, 4), Code::TensorMissing),
        ("four bits", file(r#"{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}"#, 4), Code::TensorDtype),
        ("cut off", good[..good.len() - 1].to_vec(), Code::DataLength),
        ("trailing byte", [&good[..], &[0]].concat(), Code::DataLength),
        ("over the limit", vec![0; 400_001], Code::FileTooLarge),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(_, bytes, expected)| code(&config(MLP), bytes) != expected.as_str())
        .map(|(name, bytes, expected)| format!("{name}: {} instead of {expected}", code(&config(MLP), bytes)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_model_that_is_too_large_is_told_of_parameters_and_not_of_the_bytes_that_they_take() {
    let large = config(r#"{"kind":"mlp","hidden":[4096]}"#);
    assert_eq!(code(&large, &[0; 400_001]), Code::OverLimit.as_str());
}

#[test]
fn pytorch_counters_are_tolerated_and_nothing_else_is() {
    let resnet = r#"{"kind":"resnet","width":2,"blocks":[1]}"#;
    let plan = PackageConfig::from_json(config(resnet).as_bytes()).unwrap().plan().unwrap();
    let mut header = serde_json::Map::new();
    let mut end = 0u64;
    for tensor in plan.tensors() {
        let bytes = 4 * tensor.shape.iter().product::<u64>();
        let entry = serde_json::json!({"dtype":"F32","shape":tensor.shape,"data_offsets":[end, end + bytes]});
        header.insert(tensor.name, entry);
        end += bytes;
    }
    let with = |name: &str, dtype: &str, shape: &[u64], bytes: u64| {
        let mut header = header.clone();
        let entry = serde_json::json!({"dtype":dtype,"shape":shape,"data_offsets":[end, end + bytes]});
        header.insert(name.into(), entry);
        code(&config(resnet), &file(&serde_json::Value::Object(header).to_string(), (end + bytes) as usize))
    };
    // Of whatever type and shape: `half()` of all, PyTorch 0.4, round trips through JAX, MLX and ONNX.
    for (dtype, shape, bytes) in [
        ("I64", &[][..], 8),
        ("F16", &[], 2),
        ("BF16", &[1], 2),
        ("I64", &[1], 8),
        ("I32", &[], 4),
        ("F32", &[1, 1], 4),
        ("U8", &[], 1),
        ("F64", &[], 8),
        ("C64", &[], 8),
        ("F8_E8M0", &[], 1),
        ("BOOL", &[1], 1),
        ("I64", &[0], 0),
        ("I64", &[3, 0], 0),
        ("U8", &[1; 9], 1),
    ] {
        // Beside what nothing normalises, and where a wrapper renamed counters alone.
        for prefix in ["bn1.", "module.bn1.", "conv1.", "_orig_mod.layer9.7.bn2.", ""] {
            let name = format!("{prefix}num_batches_tracked");
            assert_eq!(with(&name, dtype, shape, bytes), "admitted", "{name} {dtype} {shape:?}");
        }
    }
    assert_eq!(with("n_averaged", "I64", &[], 8), "admitted", "as `AveragedModel` counts");
    for name in ["num_batches_tracked.weight", "bn1.weights", "averaged"] {
        assert_eq!(with(name, "I64", &[], 8), "tensor_unexpected", "{name}");
    }
    assert_eq!(with("bn1.other", "I64", &[0], 0), "tensor_shape");
}

/// A wrapper was taken off the counters alone, or `AveragedModel` put its own beside.
#[test]
fn a_prefix_that_all_but_the_counters_have_is_none() {
    let resnet = r#"{"kind":"resnet","width":2,"blocks":[1]}"#;
    for prefix in ["", "module.", "module._orig_mod."] {
        let mut all = renamed(resnet, |name| format!("{prefix}{name}"));
        for counter in ["bn1.num_batches_tracked", "layer1.0.bn2.num_batches_tracked", "n_averaged"] {
            all.push((counter.to_owned(), vec![1], vec![7.0]));
        }
        assert_eq!(check(&config(resnet), &save(&all, Dtype::F32)).map(|_| ()), Ok(()), "{prefix}");
    }
}

/// Whatever frameworks note in a header, as long as the header is small.
#[test]
fn metadata_means_nothing_whatever_it_is() {
    let good = save(&tensors(), Dtype::F32);
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&good[8..8 + length]).unwrap();
    for metadata in [
        serde_json::json!({"training_args": "x".repeat(3_000), "format": "pt"}),
        serde_json::json!({"leer": "", "\u{e4}": "\u{1f600}\n"}),
        serde_json::json!({}),
        serde_json::Value::Null,
        serde_json::json!({"a": {"b": 1}}),
        serde_json::json!({"step": 3, "loss": 0.25, "done": true, "best": null, "tags": ["a", {}], "format": "pt"}),
        serde_json::json!([1, 2]),
        serde_json::json!("pt"),
        serde_json::json!(true),
        serde_json::json!(-1.5),
    ] {
        let mut noted = header.clone();
        noted["__metadata__"] = metadata.clone();
        let noted = [&file(&noted.to_string(), 0)[..], &good[8 + length..]].concat();
        let admitted = check(&config(MLP), &noted).unwrap_or_else(|refused| panic!("{metadata}: {refused}"));
        assert_eq!(admitted.published(&noted).unwrap().weights.to_bytes(), good, "{metadata}");
        // The library is given what it reads: the same tensors.
        let readable = for_library(&noted);
        let library = safetensors::SafeTensors::deserialize(&readable).unwrap();
        let ours = read_header(&noted).unwrap();
        assert_eq!(library.len(), ours.tensors.len());
        for (name, entry) in &ours.tensors {
            assert_eq!(library.tensor(name).unwrap().data(), ours.data_of(&noted, entry), "{name}");
        }
    }
    let with = |metadata: &str| {
        let text = format!("{{\"__metadata__\":{metadata},{}", &header.to_string()[1..]);
        code(&config(MLP), &[&file(&text, 0)[..], &good[8 + length..]].concat())
    };
    // Passed over without recursion, however deep; and a number that no float holds.
    for depth in [127, 128, 100_000] {
        assert_eq!(with(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))), "admitted", "{depth}");
        assert_eq!(with(&format!("{}1{}", r#"{"a":"#.repeat(depth / 3), "}".repeat(depth / 3))), "admitted", "{depth}");
    }
    for odd in [r#"{"a":1e400}"#, r#"{"a":"\ud800"}"#, r#"{"\udc80":"a"}"#, r#""\ud800""#] {
        assert_eq!(with(odd), "admitted", "{odd}");
    }
    for broken in [r#"{"a":}"#, "pt", r#"{"a":"1","a":"2"}"#, "[1", "NaN", r#"{"a":"\x61"}"#] {
        assert_eq!(with(broken), "header_invalid", "{broken}");
    }
}

/// Told what to do: they aren't read.
#[test]
fn quantised_weights_are_told_how_to_be_saved() {
    let header = |dtype: &str| {
        let tensors = tensors().into_iter().scan(0, |end, (name, shape, values)| {
            let bytes = values.len();
            let entry = serde_json::json!({"dtype":dtype,"shape":shape,"data_offsets":[*end, *end + bytes]});
            *end += bytes;
            Some((name, entry))
        });
        serde_json::Value::Object(tensors.collect()).to_string()
    };
    for dtype in ["I8", "U8"] {
        let refused = check(&config(MLP), &file(&header(dtype), 43)).unwrap_err();
        assert_eq!(refused.code, Code::TensorDtype, "{dtype}");
        assert!(refused.detail.contains("save each as F16"), "{refused}");
    }
}

#[test]
fn a_variance_below_zero_is_refused() {
    let resnet = r#"{"kind":"resnet","width":1,"blocks":[1]}"#;
    let plan = PackageConfig::from_json(config(resnet).as_bytes()).unwrap().plan().unwrap();
    let build = |variance: f32| {
        let tensors: Vec<_> = plan
            .tensors()
            .into_iter()
            .map(|tensor| {
                let shape: Vec<usize> = tensor.shape.iter().map(|d| *d as usize).collect();
                let value = if tensor.name == "bn1.running_var" { variance } else { 0.5 };
                let count = shape.iter().product();
                (tensor.name, shape, vec![value; count])
            })
            .collect();
        code(&config(resnet), &save(&tensors, Dtype::F32))
    };
    assert_eq!((build(1.0), build(-0.0), build(-1.0)), ("admitted", "admitted", "tensor_out_of_range"));
}

#[test]
fn what_is_published_is_the_same_model_in_our_own_bytes() {
    let plain = save(&tensors(), Dtype::F32);
    // The same tensors in another order, with metadata, a space and padding.
    let length = u64::from_le_bytes(std::array::from_fn(|index| plain[index])) as usize;
    let header = std::str::from_utf8(&plain[8..8 + length]).unwrap().trim_end();
    let spelt = header.replacen('{', r#"{"__metadata__":{"by":"somebody"}, "#, 1);
    let dressed = [&file(&format!("{spelt}     "), 0), &plain[8 + length..]].concat();
    let admitted = check(&config(MLP), &dressed).unwrap();
    let published = admitted.published(&dressed).unwrap();
    assert_ne!(admitted.package_sha256(), published.package_sha256());
    assert_eq!(published.weights.to_bytes(), plain, "the library writes it like this");
    let again = check(std::str::from_utf8(&published.config_json).unwrap(), &plain).unwrap();
    assert_eq!(again.package_sha256(), published.package_sha256());
    assert_eq!(again.published(&plain).unwrap(), published, "publishing again changes nothing");
}

#[test]
fn counters_are_not_published_and_larger_types_come_first() {
    let resnet = r#"{"kind":"resnet","width":2,"blocks":[1]}"#;
    let plan = PackageConfig::from_json(config(resnet).as_bytes()).unwrap().plan().unwrap();
    let zeros = vec![0; 4096];
    let mut views: Vec<(String, TensorView<'_>)> = plan
        .tensors()
        .into_iter()
        .map(|tensor| {
            let dtype = if tensor.name.ends_with("weight") { Dtype::BF16 } else { Dtype::F32 };
            let shape: Vec<usize> = tensor.shape.iter().map(|axis| *axis as usize).collect();
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (tensor.name, TensorView::new(dtype, shape, &zeros[..bytes]).unwrap())
        })
        .collect();
    let expected = safetensors::serialize(views.clone(), None).unwrap();
    views.push(("bn1.num_batches_tracked".into(), TensorView::new(Dtype::I64, vec![], &[9; 8]).unwrap()));
    let uploaded = safetensors::serialize(views, None).unwrap();
    let admitted = check(&config(resnet), &uploaded).unwrap();
    let published = admitted.published(&uploaded).unwrap().weights;
    assert_eq!(published.to_bytes(), expected);
    assert_eq!(published.sha256(), protocol::Digest::of(&expected));
    assert_eq!(published.size_bytes(), expected.len() as u64);
}

proptest::proptest! {
    #[test]
    fn whatever_the_front_check_accepts_the_crate_accepts(flips in proptest::collection::vec((0usize..400, 0u8..=255), 0..6)) {
        let mut bytes = save(&tensors(), Dtype::F32);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if read_header(&bytes).is_ok() {
            proptest::prop_assert!(safetensors::SafeTensors::deserialize(&for_library(&bytes)).is_ok());
        }
    }
}

/// Answers to images, or to the first items where there are none.
fn answers(images: Option<&[u8]>, logits: &[f32], items: usize) -> Vec<u8> {
    let values: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut views = vec![("logits", TensorView::new(Dtype::F32, vec![items, logits.len() / items], &values).unwrap())];
    if let Some(pixels) = images {
        views.push(("images", TensorView::new(Dtype::U8, vec![items, 1, 1, 2], pixels).unwrap()));
    }
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn what_a_package_answers_is_held_against_the_engine_item_by_item() {
    let input = ImageShape { channels: 1, height: 1, width: 2 };
    let read = |file: &[u8]| Expected::read(file, input, 2);
    // Three public items of two pixels, and what the engine answers.
    let (pixels, logits) = (Pixels::from(vec![1, 2, 3, 4, 5, 6]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let first = read(&answers(None, &[0.0, 1.0, 2.0, 3.0], 2)).unwrap();
    // The engine is asked what the file has answers to, and nothing else.
    let held = |expected: &Expected, is_half_precision: bool| {
        let asked = expected.asks(&pixels).unwrap();
        let answers: Vec<f32> = asked.iter().flat_map(|asked| &logits[2 * asked.place..][..2]).copied().collect();
        expected.compare(&asked, &answers, is_half_precision).map(|()| asked.len())
    };
    assert_eq!(held(&first, false), Ok(2));
    // By its pixels the first is the last public item; nobody published the second.
    let found = read(&answers(Some(&[5, 6, 9, 9]), &[4.0, 5.0, 7.0, 7.0], 2)).unwrap();
    assert_eq!(held(&found, false), Ok(1));
    // A thousandth of the range of 3 is allowed, a hundredth where weights are rough.
    let near = read(&answers(None, &[0.0, 1.0, 2.0, 3.02], 2)).unwrap();
    assert_eq!(held(&near, true), Ok(2));
    let differs = held(&near, false).unwrap_err();
    assert_eq!(differs.code, Code::ExpectedDiffers);
    assert!(
        differs.detail.starts_with("public item 1, class 1: the engine answers 3, the package expects 3.02"),
        "{differs}"
    );
    assert!(near.compare(&near.asks(&pixels).unwrap(), &[f32::NAN; 4], true).is_err());
    for (name, file) in [
        ("no answers", save(&tensors(), Dtype::F32)),
        ("another number of classes", answers(None, &[0.0; 6], 2)),
        ("too many", answers(None, &[0.0; 34], 17)),
        ("not finite", answers(None, &[f32::INFINITY, 0.0], 1)),
        ("no safetensors", b"no".to_vec()),
    ] {
        assert!(read(&file).is_err(), "{name}");
    }
}

#[test]
fn a_package_is_named_by_its_format_and_its_files() {
    let [config, model] = [&b"config"[..], b"model"].map(Digest::of);
    let named = |format: Format| format.package_sha256(&config, &model).to_string();
    assert_eq!(named(Format::Catalogue), "8a454dd815ada9cd8e8bdf26d358182b2df03a4cf0a3de26df0bcc1ab215030d");
    assert_eq!(named(Format::Onnx), "43c9d1dda4735c16413a2df00374f0dbb927533d9439c6aa072cc34ee32bae68");
    for format in Format::ALL {
        assert_eq!(Format::named_by(&format.package_sha256(&config, &model), &config, &model), Some(format));
        assert_eq!(Format::of_file(format.file()), Some(format));
    }
    assert_eq!(Format::named_by(&config, &config, &model), None);
    for (text, format) in [
        (r#"{"format":"retort/2"}"#, Format::Onnx),
        ("\u{feff}{\"kind\":\"onnx\",\"format\":\"retort/2\"}", Format::Onnx),
        (r#"{"format":"retort/2","format":"retort/2"}"#, Format::Catalogue),
        (r#"{"format":"retort/1"}"#, Format::Catalogue),
        ("", Format::Catalogue),
    ] {
        assert_eq!(Format::of_config(text.as_bytes()), format, "{text}");
    }
    let error = PackageConfig::from_json(br#"{"format":"retort/2","kind":"onnx"}"#).unwrap_err();
    assert!(error.code == Code::ConfigInvalid && error.detail.contains("retort/2"), "{error}");
}

#[test]
fn what_a_model_is_reads_as_it_is_written_whichever_kind_it_is_of() {
    let graph = format!(
        r#"{{"kind":"onnx","operators":{{"Conv":2}},"graph_bytes":9,"canonical_sha256":"{}"}}"#,
        Digest::of(b"")
    );
    for (json, kind) in [(graph.as_str(), "onnx"), (r#"{"kind":"mlp","hidden":[8]}"#, "mlp")] {
        let model: ModelKind = serde_json::from_str(json).unwrap();
        assert_eq!((model.kind(), serde_json::to_string(&model).unwrap().as_str()), (kind, json));
    }
    assert!(serde_json::from_str::<ModelKind>(r#"{"kind":"gpt"}"#).is_err());
}
