//! What a copier does to a victim: the rows of docs/COPIES.md. It compares nothing.

use crate::bench::Student;
use anyhow::{Context, Result};
use copies::disguise::shape::{self, Filling, Reshaped};
use copies::disguise::{self, Encoding};
use models::Weights;
use protocol::architecture::Plan;
use protocol::package::PackageConfig;

/// A package: `config.json` and the weights' bytes.
pub(crate) type Package = (Vec<u8>, Vec<u8>);

/// Whom a copier copies, and what else he has.
pub(crate) struct Victim<'a> {
    pub(crate) student: &'a Student,
    pub(crate) other: &'a Student,
    pub(crate) seed: u64,
}

/// Changes of shape that keep the function.
pub(crate) const SHAPES: [&str; 4] = ["one unit split", "dead unit", "zero-padded width", "identity layer or block"];

/// The victim in another shape.
pub(crate) fn reshaped(victim: &Victim<'_>, shape: &str) -> Option<Reshaped> {
    let (config, weights) = (&victim.student.config, &victim.student.weights);
    match shape {
        "one unit split" => shape::widened(config, weights, Filling::Split, victim.seed),
        "dead unit" => shape::widened(config, weights, Filling::Dead, victim.seed),
        "zero-padded width" => shape::widened(config, weights, Filling::Zero, victim.seed),
        _ => shape::deepened(config, weights, victim.seed),
    }
}

/// What damages numbers a little, on top of a shape.
pub(crate) const DAMAGES: [&str; 5] = ["alone", "noise 1 %", "noise 5 %", "f16", "int8"];

pub(crate) fn damaged(plan: &Plan, weights: &Weights, damage: &str, seed: u64) -> Result<Vec<u8>> {
    Ok(match damage {
        "alone" => weights.to_safetensors()?,
        "noise 1 %" => disguise::noisy(plan, weights, 0.01, seed).to_safetensors()?,
        "noise 5 %" => disguise::noisy(plan, weights, 0.05, seed).to_safetensors()?,
        "f16" => disguise::encoded(weights, Encoding::F16)?,
        _ => disguise::through_int8(plan, weights).to_safetensors()?,
    })
}

/// A disguise of the victim; nothing where its family knows none.
pub(crate) type Disguise = Box<dyn Fn(&Victim<'_>) -> Result<Option<Package>>>;

/// Those that keep the shape, and those that need another model too.
pub(crate) fn others() -> Vec<(String, Disguise)> {
    let mut all: Vec<(String, Disguise)> = same_shape().into_iter().map(|(name, d)| (name.to_owned(), d)).collect();
    all.push((
        "off-distribution unit".into(),
        Box::new(|v| packed(shape::blinded(&v.student.config, &v.student.weights, v.seed))),
    ));
    all.push((
        "ensemble with a stranger's".into(),
        Box::new(|v| packed(shape::ensembled(&v.student.config, &v.student.weights, &v.other.weights))),
    ));
    all
}

fn same_shape() -> Vec<(&'static str, Disguise)> {
    fn changed(change: impl Fn(&Victim<'_>) -> Weights + 'static) -> Disguise {
        Box::new(move |victim| Ok(Some((victim.student.files.config_json.clone(), change(victim).to_safetensors()?))))
    }
    fn encoded(encoding: Encoding) -> Disguise {
        Box::new(move |victim| {
            let bytes = disguise::encoded(&victim.student.weights, encoding)?;
            Ok(Some((victim.student.files.config_json.clone(), bytes)))
        })
    }
    let noisy = |share| changed(move |v| disguise::noisy(&v.student.plan, &v.student.weights, share, v.seed));
    let permuted = |v: &Victim<'_>| disguise::permuted(&v.student.plan, &v.student.weights, v.seed);
    vec![
        (
            "exact",
            Box::new(|v: &Victim<'_>| Ok(Some((v.student.files.config_json.clone(), v.student.files.weights.clone())))),
        ),
        ("re-encoded f16", encoded(Encoding::F16)),
        ("re-encoded bf16", encoded(Encoding::Bf16)),
        ("permuted", changed(permuted)),
        ("rescaled", changed(|v| disguise::rescaled(&v.student.plan, &v.student.weights, v.seed))),
        (
            "permuted, rescaled, bf16",
            Box::new(move |v: &Victim<'_>| {
                let weights = disguise::rescaled(&v.student.plan, &permuted(v), v.seed);
                Ok(Some((v.student.files.config_json.clone(), disguise::encoded(&weights, Encoding::Bf16)?)))
            }),
        ),
        ("noise 1 %", noisy(0.01)),
        ("noise 10 %", noisy(0.1)),
        ("noise 30 %", noisy(0.3)),
        ("pruned 30 %", changed(|v| disguise::pruned(&v.student.plan, &v.student.weights, 0.3))),
        ("int8 round trip", changed(|v| disguise::through_int8(&v.student.plan, &v.student.weights))),
        (
            "permuted, noise 10 %, pruned 30 %",
            changed(move |v| {
                let noisy = disguise::noisy(&v.student.plan, &permuted(v), 0.1, v.seed);
                disguise::pruned(&v.student.plan, &noisy, 0.3)
            }),
        ),
        ("80 % + 20 % of another", changed(|v| disguise::averaged(&v.student.weights, &v.other.weights, 0.8))),
        ("50 % + 50 % of another", changed(|v| disguise::averaged(&v.student.weights, &v.other.weights, 0.5))),
    ]
}

fn packed(reshaped: Option<Reshaped>) -> Result<Option<Package>> {
    let pack = |Reshaped { config, weights }: Reshaped| Ok((config_json(&config)?, weights.to_safetensors()?));
    reshaped.map(pack).transpose()
}

pub(crate) fn config_json(config: &PackageConfig) -> Result<Vec<u8>> {
    serde_json::to_vec(config).context("write a configuration")
}
