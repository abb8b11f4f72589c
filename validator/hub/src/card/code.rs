//! What makes a downloaded model run: the plan as Python, and what `transformers` asks of `config.json`.
//!
//! The plan is the one that admission worked out, so that no second implementation of an architecture can drift from
//! ours; a new family needs no line here unless it brings a new operation. It knows no repository.

use protocol::architecture::{Activation, Op, Plan, epsilon, layer_norm_epsilon};
use protocol::competition::{Fit, InputSpec, PictureSpec};
use protocol::package::PackageConfig;
use serde_json::{Value, json};

/// The network for whoever has PyTorch.
pub(crate) const NETWORK_FILE: &str = "retort_network.py";
const NETWORK: &str = include_str!("../python/retort_network.py");

/// The same for `transformers`, which wants its own classes around it.
pub(crate) const TRANSFORMERS_FILES: [(&str, &str); 3] = [
    ("configuration_retort.py", include_str!("../python/configuration_retort.py")),
    ("modeling_retort.py", include_str!("../python/modeling_retort.py")),
    ("processing_retort.py", include_str!("../python/processing_retort.py")),
];

/// What `transformers` makes inputs of pictures by.
pub(crate) const PROCESSOR_FILE: &str = "preprocessor_config.json";

/// What it says: the class beside it, and the size of the network's inputs.
pub(crate) fn processor_json(input: &InputSpec, pictures: PictureSpec) -> String {
    let shape = input.shape();
    store::db::to_json(&json!({
        "image_processor_type": "RetortImageProcessor",
        "auto_map": { "AutoImageProcessor": "processing_retort.RetortImageProcessor" },
        "channels": shape.channels,
        "height": shape.height,
        "width": shape.width,
        "fit": pictures.fit.unwrap_or(Fit::Pad),
        "shorter_side": pictures.shorter_side.unwrap_or(0),
    }))
}

/// `config.json` with the two fields that `transformers` can't do without; our own check ignores them.
pub(crate) fn config_json(config: &PackageConfig) -> String {
    let mut whole = serde_json::to_value(config).unwrap_or_default();
    whole["model_type"] = json!("retort");
    whole["auto_map"] = json!({
        "AutoConfig": "configuration_retort.RetortConfig",
        "AutoModelForImageClassification": "modeling_retort.RetortForImageClassification",
    });
    store::db::to_json(&whole)
}

/// The Python file that builds and runs a plan.
pub(crate) fn network(input: &InputSpec, plan: &Plan) -> String {
    let shape = input.shape();
    let millionths = |values: &[u32]| {
        let values: Vec<String> = values.iter().map(|value| format!("{value} / 1e6")).collect();
        format!("[{}]", values.join(", "))
    };
    let mut listed = String::from("[\n");
    list(plan.ops(), 1, &mut listed);
    listed.push(']');
    NETWORK
        .replace("INPUT = None", &format!("INPUT = ({}, {}, {})", shape.channels, shape.height, shape.width))
        .replace("MEAN = None", &format!("MEAN = {}", millionths(&input.mean_ppm)))
        .replace("DEVIATION = None", &format!("DEVIATION = {}", millionths(&input.deviation_ppm)))
        .replace("PLAN = None", &format!("PLAN = {listed}"))
}

/// Operations as Python literals, one a line.
fn list(ops: &[Op], depth: usize, into: &mut String) {
    let indent = "    ".repeat(depth);
    for op in ops {
        if let Op::Residual { body, shortcut } = op {
            into.push_str(&format!("{indent}[\"residual\", [\n"));
            list(body, depth + 1, into);
            into.push_str(&format!("{indent}], [\n"));
            list(shortcut, depth + 1, into);
            into.push_str(&format!("{indent}]],\n"));
        } else {
            into.push_str(&format!("{indent}{},\n", literal(op)));
        }
    }
}

fn literal(op: &Op) -> String {
    let whole = match op {
        Op::Linear { name, inputs, outputs, bias } => json!(["linear", name, inputs, outputs, bias]),
        Op::Conv2d(conv) => json!([
            "conv2d",
            conv.name,
            conv.inputs,
            conv.outputs,
            conv.kernel,
            conv.stride,
            [conv.padding.left, conv.padding.right, conv.padding.top, conv.padding.bottom],
            conv.groups,
            conv.bias
        ]),
        Op::BatchNorm { name, channels, epsilon_ppb } => json!(["batch_norm", name, channels, epsilon(*epsilon_ppb)]),
        Op::LayerNorm { name, width, epsilon_ppb } => {
            json!(["layer_norm", name, width, layer_norm_epsilon(*epsilon_ppb)])
        }
        Op::Activation(Activation::Relu) => json!(["relu"]),
        Op::Activation(Activation::Relu6) => json!(["relu6"]),
        Op::Activation(Activation::Gelu) => json!(["gelu"]),
        Op::Activation(Activation::Silu) => json!(["silu"]),
        Op::Flatten => json!(["flatten"]),
        Op::GlobalAveragePool => json!(["global_average_pool"]),
        Op::ImageToTokens => json!(["image_to_tokens"]),
        Op::ClassToken { name, width } => json!(["class_token", name, width]),
        Op::PositionEmbedding { name, tokens, width } => json!(["position_embedding", name, tokens, width]),
        Op::SelfAttention { name, width, heads } => json!(["self_attention", name, width, heads]),
        Op::FirstToken => json!(["first_token"]),
        Op::MeanOfPatches => json!(["mean_of_patches"]),
        // Listed by its parts.
        Op::Residual { .. } => Value::Null,
    };
    // Python writes them another way.
    whole.to_string().replace(",true]", ",True]").replace(",false]", ",False]").replace("\",", "\", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PackageConfig {
        let json = br#"{"format":"retort/1","architecture":{"kind":"resnet","width":4,"blocks":[1]},
            "input":{"channels":1,"height":8,"width":8,"mean_ppm":[300000],"deviation_ppm":[350000]},"labels":["a","b"]}"#;
        PackageConfig::from_json(json).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_plan_is_written_as_python_reads_it() {
        let config = config();
        let plan = config.plan().unwrap_or_else(|error| panic!("{error}"));
        let text = network(&config.input, &plan);
        for line in [
            "INPUT = (1, 8, 8)",
            "MEAN = [300000 / 1e6]",
            "    [\"conv2d\", \"conv1\", 1,4,3,1,[1,1,1,1],1,False],",
            "    [\"residual\", [",
            "    [\"linear\", \"fc\", 4,2,True],",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("None\n"), "{text}");
    }

    #[test]
    fn what_is_published_is_a_package_again() {
        let config = config();
        let again = PackageConfig::from_json(config_json(&config).as_bytes());
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), config);
    }
}
