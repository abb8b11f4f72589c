//! Before an upload: whether a package equals the teacher, the reference, a known package or somebody's entry, as far as
//! everybody may see. The validator compares errors on secret probes too, so it may find more; it never finds less.

use anyhow::{Context, Result};
use copies::{
    Fingerprint, OutputEvidence, Relation, Thresholds, Tier, compare, compare_outputs, relation, relation_to_entry,
};
use miner_template::client::{Client, ClientError};
use miner_template::files::PackageFiles;
use miner_template::source::public_part;
use protocol::api::{FileDeclaration, Leaderboard, PackageObjects};
use protocol::architecture::ImageShape;
use protocol::competition::{ObjectRef, TeacherDistance, keeps_teacher_distance};
use protocol::package::{Format, ONNX_FAMILY, PackageConfig};
use protocol::published::{Competition, PublishedModel};
use serde::Serialize;

/// Something that a package is not independent of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Likeness {
    /// `the teacher`, `the reference`, or a submission.
    pub(crate) of: String,
    /// What the validator's rules make of it, as far as it can be seen from here.
    pub(crate) relation: Relation,
}

/// What was compared, and what could not be.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Likenesses {
    /// All that the package isn't independent of.
    pub(crate) found: Vec<Likeness>,
    /// Entries whose weights were compared.
    pub(crate) compared: usize,
    /// Entries whose weights aren't public yet.
    pub(crate) not_public: usize,
}

impl Likenesses {
    /// Whether the validator would count it as somebody else's, or as an earlier one of its owner.
    pub(crate) fn has_copy(&self) -> bool {
        self.found.iter().any(|likeness| matches!(likeness.relation, Relation::Copy(_)))
    }
}

/// Compares a package with everything that is public in its competition; `logits` are its own on the public items. A graph's
/// weights are compared with those of graphs alone.
pub(crate) fn find(
    client: &Client,
    published: &Competition,
    board: &Leaderboard,
    files: &PackageFiles,
    logits: Option<&[f32]>,
) -> Result<Likenesses> {
    let ports = (published.manifest.input.shape(), published.manifest.labels.len());
    let ours = Fingerprint::of_package(&files.config_json, &files.weights, ports, None)?;
    let nulls = published.manifest.nulls.as_ref();
    let mut all = Likenesses::default();
    let mut note = |of: String, relation: Relation| {
        if relation != Relation::Independent {
            all.found.push(Likeness { of, relation });
        }
    };
    note("the teacher".into(), with_teacher(client, published, &ours, logits)?);
    let reference = fetched(client, &published.reference)?;
    let thresholds = Thresholds::between(nulls, reference.family(), ours.family());
    note("the reference".into(), relation_to_entry(&compare(&reference, &ours), &thresholds));
    let (mut compared, mut not_public) = (0, 0);
    for id in board.rows.iter().filter_map(|row| row.submission.as_ref()) {
        let status = client.status(id)?;
        let declared = if status.published.is_empty() { &status.files } else { &status.published };
        let Some(entry) = entry(client, declared, ports, ours.family())? else {
            not_public += 1;
            continue;
        };
        compared += 1;
        if let Some(theirs) = entry {
            let thresholds = Thresholds::between(nulls, theirs.family(), ours.family());
            note(id.to_string(), relation(&compare(&theirs, &ours), &thresholds));
        }
    }
    Ok(Likenesses { compared, not_public, ..all })
}

/// By its weights, and by what both say of the public items. Who keeps the least distance is compared with it no more; and a
/// teacher that is known by its answers only by those alone.
fn with_teacher(
    client: &Client,
    published: &Competition,
    ours: &Fingerprint,
    logits: Option<&[f32]>,
) -> Result<Relation> {
    let nulls = published.manifest.nulls.as_ref();
    let (by_weights, thresholds) = match published.teacher.model() {
        Some(teacher) if keeps_teacher_distance(&ours.costs()?, &teacher.config.plan()?.costs()?) => {
            return Ok(Relation::Independent);
        }
        Some(teacher) => {
            let teacher = fetched(client, teacher)?;
            let thresholds = Thresholds::between(nulls, teacher.family(), ours.family());
            (relation_to_entry(&compare(&teacher, ours), &thresholds), thresholds)
        }
        // Limits keep half the distance from what is stated of it.
        None if published.manifest.teacher_distance == TeacherDistance::Half => return Ok(Relation::Independent),
        None => (Relation::Independent, Thresholds::of_outputs(nulls)),
    };
    let Some(logits) = logits.filter(|_| !matches!(by_weights, Relation::Copy(_))) else { return Ok(by_weights) };
    let (_, said) = public_part(client, published)?;
    let OutputEvidence { unexplained_ppm, .. } = compare_outputs(logits, &said.values, &said.values, said.classes)?;
    let same = unexplained_ppm.is_some_and(|ppm| ppm < thresholds.entry_fresh_unexplained_ppm);
    Ok(if same { Relation::Copy(Tier::Outputs) } else { by_weights })
}

fn fetched(client: &Client, model: &PublishedModel) -> Result<Fingerprint> {
    Ok(Fingerprint::new(&client.object(&model.config_json)?, &client.object(&model.weights)?, None)?)
}

/// An entry's fingerprint; none inside where it is of another family, whose units can't be matched; nothing at all where
/// its files aren't public.
fn entry(
    client: &Client,
    declared: &[FileDeclaration],
    ports: (ImageShape, usize),
    family: &str,
) -> Result<Option<Option<Fingerprint>>> {
    let Some(files) = PackageObjects::among(declared) else { return Ok(None) };
    let public = |object: &ObjectRef| match client.object(object) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ClientError::Problem(problem)) if (400..500).contains(&problem.status) => Ok(None),
        Err(error) => Err(error).context("fetch an entry"),
    };
    let Some(config_json) = public(&files.config)? else { return Ok(None) };
    let theirs = match files.format {
        Format::Onnx => ONNX_FAMILY,
        Format::Catalogue => PackageConfig::from_json(&config_json)?.architecture.kind(),
    };
    if theirs != family {
        return Ok(Some(None));
    }
    let Some(model) = public(&files.model)? else { return Ok(None) };
    Ok(Some(Some(Fingerprint::of_package(&config_json, &model, ports, None)?)))
}
