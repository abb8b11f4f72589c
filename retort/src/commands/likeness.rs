//! Before an upload: whether a package equals the teacher, the reference, a known package or somebody's entry, as far as
//! everybody may see. The validator compares errors on secret probes too, so it may find more; it never finds less.
//!
//! Units of a graph are matched with nobody's: what it answers to public items is held against what entries answer to them.

use super::answer::Model;
use crate::progress::Phases;
use anyhow::{Context, Result};
use copies::{
    Evidence, Fingerprint, OutputEvidence, Relation, Thresholds, Tier, compare, compare_outputs, relation,
    relation_to_entry,
};
use datasets::Images;
use miner_template::client::{Client, ClientError};
use miner_template::files::PackageFiles;
use miner_template::source::public_part;
use models::DeviceKind;
use protocol::Digest;
use protocol::api::{Leaderboard, PackageObjects, SubmissionStatus};
use protocol::competition::{ObjectRef, TeacherDistance, keeps_teacher_distance};
use protocol::package::{Format, ONNX_FAMILY, PackageConfig};
use protocol::published::{Competition, PublishedModel};
use serde::Serialize;

/// Public items that are put to an entry: enough to know a function again, and a few seconds of it.
const ITEMS_MAX: u32 = 300;

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

/// Compares a package with everything that is public in its competition; `logits` are its own on the public items.
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
    let said = logits.map(|logits| Said::of(client, published, logits)).transpose()?;
    let ours = Ours { fingerprint: ours, file: Digest::of(&files.weights), said };
    let (mut compared, mut not_public) = (0, 0);
    let entries: Vec<_> = board.rows.iter().filter_map(|row| row.submission.as_ref()).collect();
    let phases = Phases::on_terminal("compare");
    for (place, id) in entries.iter().enumerate() {
        phases.at("public entries", place as u64, entries.len() as u64);
        match with_entry(client, published, &client.status(id)?, &ours)? {
            Some(relation) => {
                compared += 1;
                note(id.to_string(), relation);
            }
            None => not_public += 1,
        }
    }
    phases.finish();
    Ok(Likenesses { compared, not_public, ..all })
}

/// A package that entries are compared with.
struct Ours {
    fingerprint: Fingerprint,
    /// The digest of its model's file.
    file: Digest,
    /// Nothing where it wasn't run.
    said: Option<Said>,
}

/// The first public items, and what is said of them.
struct Said {
    images: Images,
    ours: Vec<f32>,
    teachers: Vec<f32>,
}

impl Said {
    fn of(client: &Client, published: &Competition, logits: &[f32]) -> Result<Self> {
        let (items, teacher) = public_part(client, published)?;
        let images = items.part(0..items.count().min(ITEMS_MAX) as usize).held()?;
        let first = |logits: &[f32]| logits.iter().take(images.len() * teacher.classes as usize).copied().collect();
        Ok(Self { ours: first(logits), teachers: first(&teacher.values), images })
    }
}

/// What a package is to an entry; nothing where that isn't public.
fn with_entry(
    client: &Client,
    published: &Competition,
    entry: &SubmissionStatus,
    ours: &Ours,
) -> Result<Option<Relation>> {
    if entry.forms.iter().any(|form| form.object.sha256 == ours.file) {
        return Ok(Some(Relation::Copy(Tier::Canonical)));
    }
    let declared = if entry.published.is_empty() { &entry.files } else { &entry.published };
    let Some(package) = PackageObjects::among(declared) else { return Ok(None) };
    let Some(config_json) = public(client, &package.config)? else { return Ok(None) };
    let theirs = match package.format {
        Format::Onnx => ONNX_FAMILY,
        Format::Catalogue => PackageConfig::from_json(&config_json)?.architecture.kind(),
    };
    let family = ours.fingerprint.family();
    let by_outputs = ours.said.as_ref().filter(|_| [theirs, family].contains(&ONNX_FAMILY));
    // Of two families of the catalogue no units can be matched.
    if theirs != family && by_outputs.is_none() {
        return Ok(Some(Relation::Independent));
    }
    let Some(model) = public(client, &package.model)? else { return Ok(None) };
    let manifest = &published.manifest;
    let ports = (manifest.input.shape(), manifest.labels.len());
    let fingerprint = Fingerprint::of_package(&config_json, &model, ports, None)?;
    let mut evidence = compare(&fingerprint, &ours.fingerprint);
    if let Some(said) = by_outputs {
        let entry = Model::of((&config_json, model), manifest.input.clone(), manifest.labels.clone())?;
        evidence = said.beside(&entry, evidence)?;
    }
    Ok(Some(relation(&evidence, &Thresholds::between(manifest.nulls.as_ref(), theirs, family))))
}

impl Said {
    /// The evidence with how far errors are an entry's, too, on public items in place of a round's fresh ones.
    fn beside(&self, entry: &Model, evidence: Evidence) -> Result<Evidence> {
        let theirs = entry.logits(&self.images, DeviceKind::Flex)?;
        let said = compare_outputs(&self.ours, &theirs, &self.teachers, entry.labels.len() as u32)?;
        Ok(Evidence { fresh_residual_correlation_ppm: said.residual_correlation_ppm, ..evidence })
    }
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

/// An object, where everybody may have it.
fn public(client: &Client, object: &ObjectRef) -> Result<Option<Vec<u8>>> {
    match client.object(object) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ClientError::Problem(problem)) if (400..500).contains(&problem.status) => Ok(None),
        Err(error) => Err(error).context("fetch an entry"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasets::FashionMnist;
    use protocol::competition::Manifest;
    use std::fs;
    use std::path::Path;

    /// PyTorch's export of a student beside the student itself: no unit can be matched.
    #[test]
    fn a_graph_that_answers_like_an_entry_is_its_copy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let manifest = fs::read_to_string(root.join("competitions/fashion-mnist/competition.toml")).unwrap();
        let Manifest { input, labels, .. } = Manifest::from_toml(&manifest).unwrap();
        let open = |name: &str, file: &str| {
            let read = |file: &str| fs::read(root.join("models/fixtures").join(name).join(file)).unwrap();
            Model::of((&read("config.json"), read(file)), input.clone(), labels.clone()).unwrap()
        };
        let images = FashionMnist::load_test().unwrap().select(&(0..60).collect::<Vec<_>>());
        let said = |model: &Model| model.logits(&images, DeviceKind::Flex).unwrap();
        let teachers = said(&open("mlp", "model.safetensors"));
        let beside = |ours: &Model| {
            let said = Said { ours: said(ours), teachers: teachers.clone(), images: images.clone() };
            let evidence = said.beside(&open("pytorch_student", "model.safetensors"), Evidence::of_outputs(1_000_000));
            relation(&evidence.unwrap(), &Thresholds::between(None, "resnet", ONNX_FAMILY))
        };
        assert_eq!(beside(&open("onnx/resnet", "model.onnx")), Relation::Copy(Tier::Function));
        assert_eq!(beside(&open("onnx/mlp", "model.onnx")), Relation::Independent);
    }
}
