//! Rows 11, 12 and 14: `config.json` that is no configuration, one of other tools, or one that two readers read
//! differently.

use super::Group;
use crate::package::{Package, save, tensors};
use crate::rules::{MLP, config};
use protocol::package::CONFIG_BYTES_MAX;
use protocol::submission::Code;

const INVALID: Code = Code::ConfigInvalid;
const BAD_ARCHITECTURE: Code = Code::ArchitectureInvalid;

pub(super) fn fill(group: &mut Group<'_>) {
    texts(group);
    fields(group);
    lists(group);
    numbers(group);
    mismatches(group);
    architectures(group);
}

fn package(config: impl Into<Vec<u8>>) -> Package {
    Package::new(config, save(&tensors(MLP, "F32")))
}

fn texts(group: &mut Group<'_>) {
    let good = config(MLP);
    group.admitted("after a byte order mark, as Windows writes it", package(format!("\u{feff}{good}")));
    group.admitted("with white space", package(good.replace(',', " ,\n\t")));
    let spaces = |bytes: u64| format!("{good}{}", " ".repeat(bytes as usize - good.len()));
    group.admitted("as long as it may be", package(spaces(CONFIG_BYTES_MAX)));
    group.refused("too long by one", Code::ConfigTooLarge, package(spaces(CONFIG_BYTES_MAX + 1)));
    group.refused("a megabyte of brackets", Code::ConfigInvalid, package(vec![b'['; 1 << 20]));
    group.refused("two megabytes", Code::ConfigTooLarge, package(vec![b'['; 2 << 20]));
    for (name, text) in [
        ("empty", String::new()),
        ("a space", " ".into()),
        ("null", "null".into()),
        ("a list", "[]".into()),
        ("text", "\"retort/1\"".into()),
        ("an empty object", "{}".into()),
        ("not closed", good[..good.len() - 1].into()),
        ("closed twice", format!("{good}}}")),
        ("twice", format!("{good}{good}")),
        ("followed by a NUL", format!("{good}\0")),
        ("after two byte order marks", format!("\u{feff}\u{feff}{good}")),
        ("with a comment", format!("// mine\n{good}")),
        ("with a comma at the end", good.replace("]}", "],}")),
        ("in YAML", "format: retort/1\narchitecture:\n  kind: mlp\n".into()),
        ("in TOML", "format = \"retort/1\"\n".into()),
        ("in Python", "import os; os.system('id')".into()),
        ("16,000 lists deep", "[".repeat(16_000)),
        ("objects 2,000 deep", r#"{"a":"#.repeat(2_000)),
        (
            "a name that grows sixfold when it is shown",
            good.replace("\"format\"", &format!("\"{}\"", "\u{7f}".repeat(300))),
        ),
        ("64,000 lists deep", "[".repeat(64_000)),
        ("an architecture 200 lists deep", good.replace(MLP, &format!("{}{}", "[".repeat(200), "]".repeat(200)))),
        ("hidden 200 lists deep", good.replace("[2]", &format!("{}{}", "[".repeat(200), "]".repeat(200)))),
    ] {
        group.refused(name, INVALID, package(text));
    }
    group.refused(
        "no UTF-8",
        INVALID,
        package(
            good.replace("\"c\"", "\"?\"")
                .into_bytes()
                .iter()
                .map(|b| if *b == b'?' { 0xff } else { *b })
                .collect::<Vec<_>>(),
        ),
    );
    group.refused("in UTF-16", INVALID, package(good.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<_>>()));
}

fn fields(group: &mut Group<'_>) {
    let good = config(MLP);
    for field in [
        r#""auto_map":{"AutoModel":"modeling.Evil"}"#,
        r#""trust_remote_code":true"#,
        r#""quantization_config":{"load_in_4bit":true}"#,
        r#""tokenizer":{"normalizer":{"type":"Replace"}}"#,
        r#""chat_template":"{{ cycler.__init__.__globals__ }}""#,
        r#""architectures":["EvilForImageClassification"]"#,
        r#""id2label":{"0":"x"}"#,
        r#""num_labels":64"#,
        r#""layer_norm_eps":1e-6"#,
        r#""num_local_experts":64"#,
        r#""text_config":{"num_hidden_layers":100}"#,
        r#""parameters":1"#,
        r#""score":1000000"#,
        r#""Format":"retort/1""#,
        r#""__proto__":{}"#,
        r#""":1"#,
    ] {
        let name = format!("an unknown field {field}");
        group.refused(&name, INVALID, package(good.replacen('{', &format!("{{{field},"), 1)));
        let inside = good.replace(r#""kind":"mlp""#, &format!(r#""kind":"mlp",{field}"#));
        group.refused(format!("{name} in the architecture"), INVALID, package(inside));
    }
    for (what, text) in [
        ("format", r#""format":"retort/1","#),
        ("labels", r#","labels":["a","b","c"]"#),
        ("kind", r#""kind":"mlp","#),
        ("hidden", r#","hidden":[2]"#),
        ("channels", r#""channels":1,"#),
        ("mean_ppm", r#""mean_ppm":[0],"#),
    ] {
        group.refused(format!("no {what}"), INVALID, package(good.replace(text, "")));
        let twice = text.trim_matches(',');
        group.refused(format!("{what} twice"), INVALID, package(good.replace(twice, &format!("{twice},{twice}"))));
        let capital = text.replacen(what, &what.to_uppercase(), 1);
        group.refused(format!("{what} in capitals"), INVALID, package(good.replace(text, &capital)));
    }
    // The field's name reaches a message: it must not steer a terminal (tests/corpus.rs looks at every detail).
    let steering = good.replace("\"labels\"", "\"\\u001b[2J\\u001b]0;x\\u0007\\u202e\\nerror: all is lost\"");
    group.refused("a field that steers a terminal", INVALID, package(steering));
    let long = good.replace("\"labels\"", &format!("\"{}\"", "x".repeat(15_000)));
    group.refused("a field of 15 KB", INVALID, package(long));
}

/// Objects written as lists, which serde's derived readers take and others don't.
fn lists(group: &mut Group<'_>) {
    let good = config(MLP);
    let input = r#"{"channels":1,"height":4,"width":4,"mean_ppm":[0],"deviation_ppm":[1000000]}"#;
    group.refused("all of it as a list", INVALID, package(format!(r#"["retort/1",{MLP},{input},["a","b","c"]]"#)));
    group.refused("the input as a list", INVALID, package(good.replace(input, "[1,4,4,[0],[1000000]]")));
    group.refused("the architecture as a list", INVALID, package(good.replace(MLP, r#"["mlp",[2]]"#)));
    group.refused(
        "the architecture as a list with an object",
        INVALID,
        package(good.replace(MLP, r#"["mlp",{"hidden":[2]}]"#)),
    );
    group.refused("the architecture under its name", INVALID, package(good.replace(MLP, r#"{"mlp":{"hidden":[2]}}"#)));
    let blocks = r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":1,"blocks":[[3,2]]}"#;
    group.refused("a block as a list", INVALID, package(config(blocks)));
    let blocks = r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[[2,2,1,1]],"head":3}"#;
    group.refused("an inverted residual as a list", INVALID, package(config(blocks)));
}

fn numbers(group: &mut Group<'_>) {
    for number in [
        "-1",
        "-0",
        "0.5",
        "2.0",
        "2e0",
        "1e3",
        "1e400",
        "4294967296",
        "18446744073709551616",
        "\"2\"",
        "null",
        "true",
        "[2]",
        "{}",
        "NaN",
        "Infinity",
        "0x2",
        "02",
        "+2",
        "2_000",
        "",
    ] {
        let text = config(&format!(r#"{{"kind":"mlp","hidden":[{number}]}}"#));
        // An empty list is a list; a network without hidden layers is none.
        let code = if number.is_empty() { BAD_ARCHITECTURE } else { INVALID };
        group.refused(format!("a width of {number:?}"), code, package(text));
    }
    for value in ["null", "1", "\"mlp\"", "true", "[]", "{}"] {
        group.refused(format!("an architecture that is {value}"), INVALID, package(config(value)));
    }
    for value in ["null", "1", "{}", "[2,null]", "\"2\""] {
        let text = config(&format!(r#"{{"kind":"mlp","hidden":{value}}}"#));
        group.refused(format!("hidden layers that are {value}"), INVALID, package(text));
    }
    for kind in ["onnx", "python", "custom", "MLP", "mlp ", "", "../mlp", "gpt2", "\\u0000", "resnet18"] {
        let text = config(&format!(r#"{{"kind":"{kind}","hidden":[2]}}"#));
        group.refused(format!("an architecture of kind {kind:?}"), INVALID, package(text));
    }
    for format in ["retort/2", "retort/1 ", "Retort/1", "", "1", "retort/1\\n"] {
        let text = config(MLP).replace("retort/1", format);
        group.refused(format!("format {format:?}"), INVALID, package(text));
    }
}

fn mismatches(group: &mut Group<'_>) {
    for (from, to) in [
        ("\"channels\":1", "\"channels\":3"),
        ("\"channels\":1", "\"channels\":0"),
        ("\"height\":4", "\"height\":5"),
        ("\"width\":4", "\"width\":4294967295"),
        ("\"mean_ppm\":[0]", "\"mean_ppm\":[1]"),
        ("\"mean_ppm\":[0]", "\"mean_ppm\":[0,0]"),
        ("\"mean_ppm\":[0]", "\"mean_ppm\":[]"),
        ("\"deviation_ppm\":[1000000]", "\"deviation_ppm\":[0]"),
    ] {
        group.refused(format!("input with {to}"), Code::InputMismatch, package(config(MLP).replace(from, to)));
    }
    for labels in [
        r#"["b","a","c"]"#,
        r#"["a","b"]"#,
        r#"["a","b","c","d"]"#,
        r#"["a","a","c"]"#,
        r#"["A","b","c"]"#,
        r#"["a ","b","c"]"#,
        r#"["\u0430","b","c"]"#,
        r#"["a\u0000","b","c"]"#,
        r#"["a","b","<script>"]"#,
        "[]",
    ] {
        let text = config(MLP).replace(r#"["a","b","c"]"#, labels);
        group.refused(format!("labels {labels}"), Code::LabelsMismatch, package(text));
    }
    let many = format!("[{}]", ["\"a\""; 3_900].join(","));
    group.refused("3,900 labels", Code::LabelsMismatch, package(config(MLP).replace(r#"["a","b","c"]"#, &many)));
}

fn architectures(group: &mut Group<'_>) {
    for text in [
        r#"{"kind":"mlp","hidden":[0]}"#,
        r#"{"kind":"mlp","hidden":[2,0,2]}"#,
        r#"{"kind":"mlp","hidden":[8193]}"#,
        r#"{"kind":"mlp","hidden":[4294967295]}"#,
        r#"{"kind":"resnet","width":0,"blocks":[1]}"#,
        r#"{"kind":"resnet","width":8193,"blocks":[1]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[0]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[257]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[4294967295]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[200,200]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"#,
        r#"{"kind":"resnet","width":8192,"blocks":[1,1]}"#,
        r#"{"kind":"resnet","width":2,"blocks":[1],"stem_stride":0}"#,
        r#"{"kind":"resnet","width":2,"blocks":[1],"stem_stride":3}"#,
        r#"{"kind":"depthwise_cnn","stem":0,"stem_stride":1,"blocks":[{"channels":2,"stride":1}]}"#,
        r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":0,"blocks":[{"channels":2,"stride":1}]}"#,
        r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":1,"blocks":[]}"#,
        r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":1,"blocks":[{"channels":0,"stride":1}]}"#,
        r#"{"kind":"depthwise_cnn","stem":2,"stem_stride":1,"blocks":[{"channels":2,"stride":4294967295}]}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":0,"channels":2,"repeats":1,"stride":1}],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":4294967295,"channels":2,"repeats":1,"stride":1}],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":8192,"stem_stride":1,"blocks":[{"expansion":8192,"channels":2,"repeats":1,"stride":1}],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":1,"channels":2,"repeats":0,"stride":1}],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":1,"channels":2,"repeats":4294967295,"stride":1}],"head":2}"#,
        r#"{"kind":"mobilenet_v2","stem":2,"stem_stride":1,"blocks":[{"expansion":1,"channels":2,"repeats":1,"stride":1}],"head":0}"#,
        r#"{"kind":"vit","patch":0,"width":4,"depth":1,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":3,"width":4,"depth":1,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":8,"width":4,"depth":1,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":0,"depth":1,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":0,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":257,"heads":2,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":0,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":3,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":8,"mlp_width":4}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":0}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":4,"norm_epsilon_ppb":0}"#,
        r#"{"kind":"vit","patch":2,"width":4,"depth":1,"heads":2,"mlp_width":4,"norm_epsilon_ppb":1000000001}"#,
    ] {
        group.refused(text, BAD_ARCHITECTURE, package(config(text)));
    }
    let layers = ["1"; 257].join(",");
    group.refused("257 layers", BAD_ARCHITECTURE, package(config(&format!(r#"{{"kind":"mlp","hidden":[{layers}]}}"#))));
    let stages = ["1"; 7_000].join(",");
    let text = format!(r#"{{"kind":"resnet","width":1,"blocks":[{stages}]}}"#);
    group.refused("7,000 stages", BAD_ARCHITECTURE, package(config(&text)));
}
