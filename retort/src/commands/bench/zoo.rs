//! Honest models of every family and size, so that what accuses one of them is wrong.
//!
//! Their weights are random, at three spreads: how long an inference takes must not depend on them, and where a function
//! has branches (the error function of GELU does) this is where it would show. It knows nothing of what is measured.

use super::subject::Subject;
use crate::cli::Family;
use crate::commands::built_in::MANIFEST;
use anyhow::{Context, Result};
use models::Weights;
use protocol::architecture::{
    Architecture, DepthwiseBlock, DepthwiseCnn, InvertedResidual, Mlp, MobilenetV2, Plan, Resnet, Vit,
};
use protocol::competition::Manifest;
use protocol::evaluation::PackageBytes;
use protocol::package::PackageConfig;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Factors on random weights: as they are drawn, strong, faint.
pub(super) const SPREADS: [f32; 3] = [1.0, 4.0, 0.25];

/// Widths that are tried for a size. The largest makes a perceptron of 2 MB.
const WIDTHS: std::ops::RangeInclusive<u32> = 1..=680;

/// Seeds of the random weights are this plus the place of the spread.
const SEED: u64 = 20;

impl Family {
    /// The member of this family of a `width`.
    fn member(self, width: u32) -> Architecture {
        match self {
            Self::Mlp => Architecture::Mlp(Mlp::of(vec![width])),
            Self::Resnet => {
                Architecture::Resnet(Resnet { width, blocks: vec![1, 1], stem_stride: 2, ..Resnet::default() })
            }
            Self::Depthwise => {
                let block = |channels, stride| DepthwiseBlock { channels, stride };
                let blocks = vec![block(2 * width, 1), block(4 * width, 2), block(4 * width, 1)];
                Architecture::DepthwiseCnn(DepthwiseCnn {
                    stem: width,
                    stem_stride: 2,
                    blocks,
                    ..DepthwiseCnn::default()
                })
            }
            Self::Mobilenet => {
                let row = |expansion, channels, stride| InvertedResidual { expansion, channels, repeats: 1, stride };
                let blocks = vec![row(1, width, 1), row(4, width, 2), row(4, 2 * width, 2)];
                Architecture::MobilenetV2(MobilenetV2 {
                    stem: width,
                    stem_stride: 2,
                    blocks,
                    head: 4 * width,
                    ..MobilenetV2::default()
                })
            }
            // Two heads divide any even width.
            Self::Vit => Architecture::Vit(Vit {
                patch: 7,
                width: 2 * width,
                depth: 2,
                heads: 2,
                mlp_width: 4 * width,
                ..Vit::default()
            }),
        }
    }

    /// The member whose weights come nearest to `bytes` in f32.
    fn of_size(self, bytes: u64, manifest: &Manifest) -> Result<Architecture> {
        let cost = |width: u32| {
            let plan = self.member(width).plan(manifest.input.shape(), manifest.labels.len() as u32).ok()?;
            Some((weights_bytes(&plan)?.abs_diff(bytes), width))
        };
        let (_, width) = WIDTHS.filter_map(cost).min().context("no width of this family makes a model")?;
        Ok(self.member(width))
    }
}

fn weights_bytes(plan: &Plan) -> Option<u64> {
    Some(4 * plan.costs().ok()?.parameters)
}

/// An untrained model for each family, size and spread; sizes in thousands of bytes. Spreads of one model follow each
/// other in the order of [`SPREADS`].
pub(super) fn untrained(families: &[Family], sizes_kb: &[u32]) -> Result<Vec<[Subject; SPREADS.len()]>> {
    let manifest = Manifest::from_toml(MANIFEST)?;
    let mut all = Vec::new();
    for (family, size_kb) in families.iter().flat_map(|family| sizes_kb.iter().map(move |size| (*family, *size))) {
        let config = PackageConfig {
            format: "retort/1".into(),
            architecture: family.of_size(1_000 * u64::from(size_kb), &manifest)?,
            input: manifest.input.clone(),
            labels: manifest.labels.clone(),
        };
        let name = format!("{} {size_kb} kB", config.architecture.kind());
        let mut spreads = Vec::new();
        for (place, spread) in SPREADS.into_iter().enumerate() {
            let package = package(&config, SEED + place as u64, spread)?;
            spreads.push(Subject { name: name.clone(), package });
        }
        all.push(spreads.try_into().map_err(|_| anyhow::anyhow!("a spread is missing; this is a bug"))?);
    }
    Ok(all)
}

/// Random weights; those of matrices and filters times `spread`.
pub(super) fn package(config: &PackageConfig, seed: u64, spread: f32) -> Result<PackageBytes> {
    let plan = config.plan()?;
    let mut weights = Weights::random(&plan, &mut StdRng::seed_from_u64(seed));
    let matrices: Vec<String> =
        weights.iter().filter(|(_, array)| array.shape.len() > 1).map(|(name, _)| name.to_owned()).collect();
    for name in matrices {
        let mut array = weights.take(&name).context("a tensor has vanished; this is a bug")?;
        array.values.iter_mut().for_each(|value| *value *= spread);
        weights.insert(name, array);
    }
    Ok(PackageBytes { config_json: serde_json::to_vec(config)?.into(), weights: weights.to_safetensors()?.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_family_has_a_model_near_each_size() {
        let manifest = Manifest::from_toml(MANIFEST).unwrap();
        for family in Family::value_variants() {
            for bytes in [20_000, 200_000, 2_000_000] {
                let architecture = family.of_size(bytes, &manifest).unwrap();
                let plan = architecture.plan(manifest.input.shape(), manifest.labels.len() as u32).unwrap();
                let found = weights_bytes(&plan).unwrap();
                assert!(found < 2 * bytes && 2 * found > bytes, "{architecture:?} has {found} bytes, not {bytes}");
            }
        }
    }
}
