//! Names of tensors as frameworks write them: which tensor of a file is which of the plan's.
//!
//! A wrapper's prefix (`module.` of DataParallel, `_orig_mod.` of `torch.compile`, `model.` of Lightning, several of them),
//! the other spelling of transformers' ViT, and what `safetensors.torch.save_model` notes of shared tensors mean nothing to a
//! model, so they refuse none. It does NOT read values.

use super::front::{Header, TensorEntry, counts, read_header};
use crate::architecture::{Plan, TensorSpec};
use crate::submission::{Code, Rejection};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What transformers 5 calls the parts of a ViT's layer, beside what transformers 4 does.
const VIT_PARTS: [(&str, &str); 6] = [
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
];

type Spelling = fn(&str) -> String;

/// The spellings of a name that are known: its own first.
const SPELLINGS: [Spelling; 2] = [str::to_owned, in_transformers_5];

/// Prefixes that are looked at: a file has one.
const PREFIXES_MAX: usize = 16;

/// The header with the plan's tensors under the plan's names, and nothing else. Each is looked at by `fits` in the plan's
/// order.
///
/// # Errors
/// A [`Rejection`] that names the first tensor that is missing or doesn't fit, or else the first that nothing reads.
pub(super) fn resolve(
    header: Header,
    plan: &Plan,
    fits: impl Fn(&TensorSpec, &TensorEntry) -> Result<(), Rejection>,
) -> Result<Header, Rejection> {
    let names = assign(&header, plan, fits)?;
    let entry = |(own, name): (String, String)| Some((own, header.tensors.get(&name)?.clone()));
    Ok(Header { tensors: names.into_iter().filter_map(entry).collect(), ..header })
}

/// What each of the plan's tensors is called in a safetensors file, by the plan's name.
///
/// # Errors
/// As [`admit`](super::admit) says when it is no such file, lacks a tensor, or holds one that nothing reads.
pub fn tensor_names(file: &[u8], plan: &Plan) -> Result<BTreeMap<String, String>, Rejection> {
    assign(&read_header(file)?, plan, |_, _| Ok(()))
}

fn assign(
    header: &Header,
    plan: &Plan,
    fits: impl Fn(&TensorSpec, &TensorEntry) -> Result<(), Rejection>,
) -> Result<BTreeMap<String, String>, Rejection> {
    let implied = plan.tensors();
    let names: Vec<&str> = implied.iter().map(|tensor| tensor.name.as_str()).collect();
    let (prefix, spelling) = naming(header, &names);
    let spelt = |tensor: &TensorSpec| found(header, &format!("{prefix}{}", spelling(&tensor.name)));
    let read: BTreeSet<&str> = implied.iter().filter_map(spelt).map(|(name, _)| name).collect();
    let unread = unread(&prefix, &names);
    let is_stray = |name: &String| !read.contains(name.as_str()) && !unread.contains(name) && !counts(name);
    let stray = header.tensors.iter().find(|(name, _)| is_stray(name));
    let mut assigned = BTreeMap::new();
    for tensor in &implied {
        let Some((name, entry)) = spelt(tensor) else {
            let advice = advice(header, &names, read.len());
            return Err(Code::TensorMissing.because(told(tensor, &prefix, stray) + &advice));
        };
        fits(tensor, entry)?;
        assigned.insert(tensor.name.clone(), name.to_owned());
    }
    match stray {
        Some((name, entry)) => {
            Err(Code::TensorUnexpected.because(format!("`{}` of shape {:?}", shown(name), entry.shape)))
        }
        None => Ok(assigned),
    }
}

/// What frameworks save beside counters and no inference reads: the pooler of transformers' ViT, which classification leaves out.
fn unread(prefix: &str, names: &[&str]) -> BTreeSet<String> {
    let is_vit = names.contains(&"vit.layernorm.weight");
    ["weight", "bias"].iter().filter(|_| is_vit).map(|part| format!("{prefix}vit.pooler.dense.{part}")).collect()
}

/// The prefix that all names but those of counters have in common and the spelling under which the most tensors are found; of equals the shortest.
fn naming(header: &Header, names: &[&str]) -> (String, Spelling) {
    let common = |prefix: &&str| header.tensors.keys().all(|name| name.starts_with(*prefix) || counts(name));
    let mut best: Option<(usize, String, Spelling)> = None;
    for spelling in SPELLINGS {
        let first = names.first().map(|name| spelling(name)).unwrap_or_default();
        let listed = header.tensors.keys().chain(header.aliases.keys());
        let before = listed.filter_map(|name| name.strip_suffix(first.as_str())).filter(|prefix| prefix.ends_with('.'));
        // The first that all share, since a hostile file shall not have us try thousands.
        for prefix in [""].into_iter().chain(before.take(PREFIXES_MAX).find(common)) {
            let is_there = |name: &&&str| found(header, &format!("{prefix}{}", spelling(name))).is_some();
            let count = names.iter().filter(is_there).count();
            if best.as_ref().is_none_or(|(most, ..)| count > *most) {
                best = Some((count, prefix.to_owned(), spelling));
            }
        }
    }
    best.map_or((String::new(), SPELLINGS[0]), |(_, prefix, spelling)| (prefix, spelling))
}

/// A tensor of the file, or the one that it shares its values with.
fn found<'a>(header: &'a Header, name: &str) -> Option<(&'a str, &'a TensorEntry)> {
    let named = |name: &str| header.tensors.get_key_value(name).map(|(name, entry)| (name.as_str(), entry));
    named(name).or_else(|| named(header.aliases.get(name)?))
}

fn in_transformers_5(name: &str) -> String {
    let Some(rest) = name.strip_prefix("vit.encoder.layer.") else { return name.to_owned() };
    let part = VIT_PARTS.iter().find(|(old, _)| rest.contains(old));
    let rest = part.map_or_else(|| rest.to_owned(), |(old, new)| rest.replacen(old, new, 1));
    format!("vit.layers.{rest}")
}

/// The first that is missing beside the first that fits nowhere.
fn told(missing: &TensorSpec, prefix: &str, stray: Option<(&String, &TensorEntry)>) -> String {
    let beside = match stray {
        Some((name, entry)) => format!("; `{}` of shape {:?} fits nowhere", shown(name), entry.shape),
        None => String::new(),
    };
    let under = if prefix.is_empty() { String::new() } else { format!(" under the prefix `{}`", shown(prefix)) };
    format!("`{}` of shape {:?}{under}{beside}", missing.name, missing.shape)
}

/// What else to try where so many of the plan's `names` are there: a renaming that exists, or another architecture.
fn advice(header: &Header, names: &[&str], found: usize) -> String {
    let is_of_timm = |name: &String| name.contains(".attn.qkv.") || name.ends_with("conv_stem.weight");
    if header.tensors.keys().any(is_of_timm) {
        return "; these are timm's names: `retort_miner.from_timm` gives them the catalogue's, or says what the catalogue lacks"
            .into();
    }
    let prefixes = prefixes(header, names);
    let prefixed: usize = prefixes.values().sum();
    let implied = names.len();
    if prefixed > found && prefixed.saturating_mul(2) >= implied {
        return mixed(header, &prefixes, prefixed, implied);
    }
    match found.saturating_mul(2) < implied {
        true => format!(
            "; {found} of its {implied} tensors are there, so that it may be an architecture that the catalogue lacks: it has \
             mlp, resnet, depthwise_cnn, mobilenet_v2 and vit"
        ),
        false => String::new(),
    }
}

/// How many of the plan's `names` stand in the file behind which prefix; each counts once.
fn prefixes<'a>(header: &'a Header, names: &[&str]) -> BTreeMap<&'a str, usize> {
    let known: HashSet<String> =
        SPELLINGS.iter().flat_map(|spelling| names.iter().map(|name| spelling(name))).collect();
    let mut met = HashSet::new();
    let mut prefixes = BTreeMap::new();
    for name in header.tensors.keys() {
        let starts = [0].into_iter().chain(name.match_indices('.').map(|(dot, _)| dot.saturating_add(1)));
        let mut splits = starts.filter_map(|start| name.split_at_checked(start));
        if let Some((prefix, own)) = splits.find(|(_, own)| known.contains(*own))
            && met.insert(own)
        {
            let count: &mut usize = prefixes.entry(prefix).or_default();
            *count = count.saturating_add(1);
        }
    }
    prefixes
}

/// Says which prefixes are mixed, those of the most tensors first, or what lacks the one that there is.
fn mixed(header: &Header, prefixes: &BTreeMap<&str, usize>, prefixed: usize, implied: usize) -> String {
    const SHOWN: usize = 4;
    let mut most: Vec<(&str, usize)> = prefixes.iter().map(|(prefix, count)| (*prefix, *count)).collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let there = format!("; {prefixed} of its {implied} tensors are there");
    if let [(prefix, _)] = most.as_slice() {
        let other = header.tensors.keys().find(|name| !name.starts_with(prefix) && !counts(name));
        let lacks = other.map_or_else(String::new, |name| {
            format!(", which `{}` doesn't have: take it off the others, or that one out", shown(name))
        });
        return format!("{there} behind the prefix `{}`{lacks}", shown(prefix));
    }
    let told = |(prefix, count): &(&str, usize)| match *prefix {
        "" => format!("without a prefix ({count})"),
        _ => format!("behind `{}` ({count})", shown(prefix)),
    };
    let listed: Vec<String> = most.iter().take(SHOWN).map(told).collect();
    let more = if most.len() > SHOWN { " and others" } else { "" };
    format!("{there}, but prefixes are mixed: {}{more}; give all of them the same, or none", listed.join(", "))
}

/// A file's own name, no longer than a message bears.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}
