//! What must hold for any package at all: a typed answer, and for what is accepted that other readers see the same.
//!
//! Violations come back as text. Panics are left to whoever runs this, since a panic is a finding by itself.

use crate::Rules;
use crate::package::Package;
use protocol::architecture::Plan;
use protocol::package::{
    Admitted, CanonicalWeights, Header, PackageConfig, admit, for_library, read_header, tensor_names,
};
use protocol::submission::Code;
use safetensors::{SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use weights::Weights;

/// A detail may have this many characters; a stranger's words in it are cut off.
pub const DETAIL_CHARS_MAX: usize = 1_002;

/// Runs a package through every door of the admission check. `None` means admitted.
///
/// # Errors
/// What should hold and doesn't.
pub fn examine(package: &Package, rules: &Rules) -> Result<Option<Code>, String> {
    let Package { config, weights } = package;
    let verdict = admit(config, weights, &rules.admission());
    if let Err(rejection) = &verdict {
        check_detail(&rejection.detail)?;
    }
    if let Ok(config) = PackageConfig::from_json(config) {
        reread_config(&config)?;
    }
    let header = read_header(weights);
    if let Ok(header) = &header {
        same_as_library(weights, header)?;
    }
    match verdict {
        Ok(admitted) => published(package, &admitted, rules).map(|()| None),
        Err(rejection) => Ok(Some(rejection.code)),
    }
}

/// Details go to logs, terminals and pages.
pub(crate) fn check_detail(detail: &str) -> Result<(), String> {
    if detail.chars().count() > DETAIL_CHARS_MAX {
        return Err(format!("a detail of {} characters", detail.chars().count()));
    }
    match detail.chars().find(|char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(char)) {
        Some(char) => Err(format!("a detail with {char:?}")),
        None => Ok(()),
    }
}

/// A configuration written again is the same one.
fn reread_config(config: &PackageConfig) -> Result<(), String> {
    let bytes =
        protocol::digest::canonical_json(config).map_err(|error| format!("a config that can't be written: {error}"))?;
    match PackageConfig::from_json(&bytes) {
        Ok(again) if again == *config => Ok(()),
        // Canonical JSON has no spaces but writes each field's name.
        Err(rejection) if rejection.code == Code::ConfigTooLarge => Ok(()),
        other => Err(format!("a config that changes when it is written: {other:?}")),
    }
}

/// Whatever our reader accepts, the safetensors library accepts (without metadata that means nothing), and sees the same tensors with the same bytes.
fn same_as_library(file: &[u8], header: &Header) -> Result<(), String> {
    let readable = for_library(file);
    let library = SafeTensors::deserialize(&readable).map_err(|error| format!("the library refuses it: {error}"))?;
    if library.len() != header.tensors.len() {
        return Err(format!("{} tensors, the library sees {}", header.tensors.len(), library.len()));
    }
    for (name, entry) in &header.tensors {
        let view = library.tensor(name).map_err(|error| format!("`{name}`: {error}"))?;
        let shape = view.shape().iter().map(|axis| *axis as u64);
        let same = view.dtype().to_string() == entry.dtype
            && shape.eq(entry.shape.iter().copied())
            && view.data() == header.data_of(file, entry);
        if !same {
            return Err(format!("the library reads `{name}` in another way"));
        }
    }
    Ok(())
}

/// What is published of an admitted package is the same model, in bytes that never change again.
fn published(package: &Package, admitted: &Admitted, rules: &Rules) -> Result<(), String> {
    let published = admitted.published(&package.weights).map_err(|error| format!("not published: {error}"))?;
    let weights = published.weights.to_bytes();
    if published.weights.size_bytes() != weights.len() as u64
        || published.weights.sha256() != protocol::Digest::of(&weights)
    {
        return Err("the canonical size or digest is another".into());
    }
    let again = canonical(&weights, &admitted.plan)?;
    if again != weights {
        return Err("canonical bytes change when they are made canonical".into());
    }
    if weights != by_library(&package.weights, &admitted.plan)? {
        return Err("the library writes other canonical bytes".into());
    }
    let read = |file: &[u8]| Weights::from_safetensors(file, &admitted.plan).map_err(|error| error.to_string());
    let (before, after) = (read(&package.weights)?, read(&weights)?);
    if !before.iter().map(bits).eq(after.iter().map(bits)) {
        return Err("the published weights are others".into());
    }
    let second = admit(&published.config_json, &weights, &rules.admission());
    match second {
        Ok(second) if second.costs == admitted.costs && second.config == admitted.config => Ok(()),
        other => Err(format!("what is published isn't admitted alike: {:?}", other.map(|second| second.costs))),
    }
}

fn canonical(file: &[u8], plan: &Plan) -> Result<Vec<u8>, String> {
    CanonicalWeights::new(file, plan).map(|weights| weights.to_bytes()).map_err(|error| error.to_string())
}

/// The same tensors as the safetensors library writes them.
fn by_library(file: &[u8], plan: &Plan) -> Result<Vec<u8>, String> {
    let readable = for_library(file);
    let library = SafeTensors::deserialize(&readable).map_err(|error| error.to_string())?;
    let names = tensor_names(file, plan).map_err(|error| error.to_string())?;
    let views: Vec<(String, TensorView<'_>)> = names
        .into_iter()
        .map(|(own, name)| library.tensor(&name).map(|view| (own, view)))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    safetensors::serialize(views, None::<HashMap<String, String>>).map_err(|error| error.to_string())
}

/// A tensor's name, shape and bits, of which NaN and the sign of zero are part.
fn bits<'a>((name, array): (&'a str, &'a weights::Array)) -> (&'a str, &'a [usize], Vec<u32>) {
    (name, &array.shape, array.values.iter().map(|value| value.to_bits()).collect())
}
