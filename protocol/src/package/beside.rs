//! Fields of `config.json` that are not ours: those that `transformers` asks for and writes.
//!
//! Most mean nothing for what a model computes. Those that could say another function have to say ours, by name. None is kept.

use super::AutoMap;
use crate::architecture::{Activation, Architecture, Vit, layer_norm_epsilon};
use crate::competition::InputSpec;
use crate::strict::Object;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The class that `transformers` is given for our models.
const MODEL_CLASS: &str = "RetortForImageClassification";
/// What that file calls the type of model.
const MODEL_TYPE: &str = "retort";

/// What `transformers` 4 and 5 write into any config, or into a ViT's, and no inference of ours depends on: how it was trained
/// and what it is to return, and all that speaks of texts.
const MEANINGLESS: [&str; 68] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "drop_path_rate",
    "dropout",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_stride",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "initializer_factor",
    "initializer_range",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "pooler_act",
    "pooler_output_size",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "transformers_weights",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "use_mask_token",
    "loss_type",
];

/// The types that weights may have, as `transformers` writes them.
const DTYPES: [&str; 7] =
    ["float32", "float16", "bfloat16", "torch.float32", "torch.float16", "torch.bfloat16", "auto"];

/// What has to say what our own fields do.
const COMPARED: [&str; 24] = [
    "model_type",
    "auto_map",
    "architectures",
    "dtype",
    "torch_dtype",
    "problem_type",
    "num_labels",
    "id2label",
    "label2id",
    "image_size",
    "num_channels",
    "layer_norm_eps",
    "hidden_act",
    "qkv_bias",
    "patch_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "quantization_config",
    "pruned_heads",
    "is_decoder",
    "is_encoder_decoder",
    "add_cross_attention",
];

/// The fields that are not ours, none of them twice.
pub(super) struct Beside(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Beside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Beside;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Beside, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(de::Error::custom(format!("duplicate field `{name}`")));
                    }
                    fields.insert(name, value);
                }
                Ok(Beside(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A square's side, or height and width.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a side in pixels, or height and width")]
enum Sides {
    Square(u32),
    Pair([u32; 2]),
    Named { height: u32, width: u32 },
}

impl Sides {
    fn pair(self) -> [u32; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Pair(sides) => sides,
            Self::Named { height, width } => [height, width],
        }
    }
}

/// What our own fields say.
pub(super) struct Said<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) input: &'a InputSpec,
    pub(super) labels: &'a [String],
}

impl Beside {
    /// Whether all of them say the same as our own fields, or nothing.
    ///
    /// # Errors
    /// The first that doesn't, and what to do.
    pub(super) fn agree(&self, said: &Said<'_>) -> Result<(), String> {
        self.nothing_else()?;
        self.model_agrees(said.architecture)?;
        self.labels_agree(said.labels)?;
        self.sizes_agree(said.input)?;
        self.layers_agree(said.architecture)?;
        self.epsilon_agrees(said.architecture)
    }

    /// A field, if it has a value.
    fn field<'de, T: Deserialize<'de>>(&'de self, name: &str) -> Result<Option<T>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| format!("`{name}`: {error}")),
        }
    }

    fn nothing_else(&self) -> Result<(), String> {
        let is_known = |name: &str| MEANINGLESS.contains(&name) || COMPARED.contains(&name);
        if let Some(name) = self.0.keys().find(|name| !is_known(name)) {
            return Err(format!("unknown field `{name}`: leave out what is neither ours nor written by transformers"));
        }
        self.field::<Object<AutoMap>>("auto_map")?;
        if self.field::<Value>("quantization_config")?.is_some() {
            return Err(
                "`quantization_config`: quantised weights aren't read; save them as F16 and leave it out".into()
            );
        }
        if self.field::<BTreeMap<String, Value>>("pruned_heads")?.is_some_and(|heads| !heads.is_empty()) {
            return Err("`pruned_heads`: the catalogue's attention has all of its heads".into());
        }
        for field in ["is_decoder", "is_encoder_decoder", "add_cross_attention"] {
            if self.field(field)? == Some(true) {
                return Err(format!("`{field}` is true, but models here are encoders alone"));
            }
        }
        for field in ["dtype", "torch_dtype"] {
            if let Some(dtype) = self.field::<String>(field)?.filter(|dtype| !DTYPES.contains(&dtype.as_str())) {
                return Err(format!(
                    "`{field}` is {dtype:?}; weights are float32, float16 or bfloat16, and say it themselves: leave it out"
                ));
            }
        }
        match self.field::<String>("problem_type")?.as_deref() {
            None | Some("single_label_classification") => Ok(()),
            Some(other) => Err(format!(
                "`problem_type` is {other:?}; models here give one label per image: single_label_classification, or leave it out"
            )),
        }
    }

    /// What transformers calls the model is ours, or the one of its own that the catalogue's `vit` is.
    fn model_agrees(&self, architecture: &Architecture) -> Result<(), String> {
        let is_vit = matches!(architecture, Architecture::Vit(_));
        let is_it = |name: &str, ours: &str, its: &str| name == ours || is_vit && name == its;
        let kind = architecture.kind();
        if let Some(other) = self.field::<String>("model_type")?.filter(|name| !is_it(name, MODEL_TYPE, "vit")) {
            return Err(format!("`model_type` is {other:?}, but `architecture.kind` {kind:?}; leave it out"));
        }
        let named = self.field::<Vec<String>>("architectures")?.unwrap_or_default();
        match named.iter().find(|name| !is_it(name, MODEL_CLASS, "ViTForImageClassification")) {
            Some(other) => {
                Err(format!("`architectures` names {other}, but `architecture.kind` is {kind:?}; leave it out"))
            }
            None => Ok(()),
        }
    }

    fn labels_agree(&self, labels: &[String]) -> Result<(), String> {
        let classes = labels.len();
        let listed =
            |map: &BTreeMap<usize, String>| map.iter().map(|(id, label)| (*id, label)).eq(labels.iter().enumerate());
        let counted = |map: &BTreeMap<String, usize>| {
            map.len() == classes && labels.iter().enumerate().all(|(id, label)| map.get(label) == Some(&id))
        };
        let checks = [
            (
                self.field::<usize>("num_labels")?.is_none_or(|count| count == classes),
                "`num_labels` isn't how many `labels` there are",
            ),
            (self.field("id2label")?.is_none_or(|map| listed(&map)), "`id2label` says otherwise than `labels`"),
            (self.field("label2id")?.is_none_or(|map| counted(&map)), "`label2id` says otherwise than `labels`"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, problem)| Err(problem.to_owned()))
    }

    fn sizes_agree(&self, input: &InputSpec) -> Result<(), String> {
        let InputSpec { channels, height, width, .. } = *input;
        let image_size = self.field("image_size")?.map(Sides::pair);
        if let Some([rows, columns]) = image_size.filter(|sides| *sides != [height, width]) {
            return Err(format!("`image_size` is {rows} x {columns}, but `input` {height} x {width}"));
        }
        match self.field::<u32>("num_channels")?.filter(|count| *count != channels) {
            Some(count) => Err(format!("`num_channels` is {count}, but `input.channels` {channels}")),
            None => Ok(()),
        }
    }

    /// What describes a ViT's layers is of a ViT, and says what its architecture does.
    fn layers_agree(&self, architecture: &Architecture) -> Result<(), String> {
        let patch_size = self.field("patch_size")?.map(Sides::pair);
        let (hidden_act, qkv_bias) = (self.field::<String>("hidden_act")?, self.field::<bool>("qkv_bias")?);
        let fields = [
            ("patch_size", patch_size.map(|[rows, _]| rows)),
            ("patch_size", patch_size.map(|[_, columns]| columns)),
            ("hidden_size", self.field("hidden_size")?),
            ("num_hidden_layers", self.field("num_hidden_layers")?),
            ("num_attention_heads", self.field("num_attention_heads")?),
            ("intermediate_size", self.field("intermediate_size")?),
        ];
        let Architecture::Vit(Vit { patch, width, depth, heads, mlp_width, activation, .. }) = architecture else {
            let others = [("hidden_act", hidden_act.is_some()), ("qkv_bias", qkv_bias.is_some())];
            let given = fields.map(|(field, value)| (field, value.is_some()));
            return match given.into_iter().chain(others).find(|(_, is_given)| *is_given) {
                Some((field, _)) => Err(format!("`{field}` is of transformers, and `{}` is none", architecture.kind())),
                None => Ok(()),
            };
        };
        let ours = [
            ("patch", patch),
            ("patch", patch),
            ("width", width),
            ("depth", depth),
            ("heads", heads),
            ("mlp_width", mlp_width),
        ];
        for ((field, theirs), (own, ours)) in fields.into_iter().zip(ours) {
            if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
                return Err(format!("`{field}` is {theirs}, but `architecture.{own}` {ours}"));
            }
        }
        if qkv_bias == Some(false) {
            return Err("`qkv_bias` is false, but the catalogue's attention has biases".into());
        }
        let activation = activation.unwrap_or(Activation::Gelu);
        match hidden_act.as_deref() {
            Some(theirs) if activation_of(theirs) != Some(activation) => Err(format!(
                "`hidden_act` is {theirs:?}, which `architecture.activation` doesn't say; it is one of relu, relu6, gelu and silu, \
                 and gelu where it is left out"
            )),
            _ => Ok(()),
        }
    }

    fn epsilon_agrees(&self, architecture: &Architecture) -> Result<(), String> {
        let Some(theirs) = self.field::<f64>("layer_norm_eps")? else { return Ok(()) };
        match architecture.layer_norm_epsilon() {
            // Some frameworks write the nearest f32.
            Some(ours) if (ours - theirs).abs() <= ours * 1e-6 => Ok(()),
            Some(ours) => Err(format!(
                "`layer_norm_eps` is {theirs:e}, but {ours:e} by the architecture: write `norm_epsilon_ppb` there, in parts per \
                 billion, and for {:e} leave it out",
                layer_norm_epsilon(None)
            )),
            None => Err(format!("`layer_norm_eps` is of layer normalisations, and `{}` has none", architecture.kind())),
        }
    }
}

/// What `transformers` calls an activation, where the catalogue has it.
fn activation_of(theirs: &str) -> Option<Activation> {
    match theirs {
        "relu" => Some(Activation::Relu),
        "relu6" => Some(Activation::Relu6),
        "gelu" | "gelu_python" => Some(Activation::Gelu),
        "silu" | "swish" => Some(Activation::Silu),
        _ => None,
    }
}
