//! `retort validator new`: a manifest made from what was seen of data and of a teacher, or of a teacher's answers. It does NOT look
//! at pictures itself (`own_data` does), trains no student (`reference` does) and measures none.

mod written;

use super::own_data::{looked_at, spec};
use super::predict::UNLIMITED;
use super::reference::{Lesson, distil_reference};
use crate::cli::{NewCompetition, PictureFit, at_home};
use crate::typed;
use anyhow::{Context, Result, bail, ensure};
use datasets::inspect::{Inspection, PartFound};
use miner_template::files::PackageFiles;
use protocol::architecture::Costs;
use protocol::competition::{Fit, InputSpec, PictureSpec, RowSpec, TeacherAnswers};
use protocol::package::{Admission, PackageConfig, admit};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use validator::config::DIR_DEFAULT;
use written::Draft;

/// What a student costs at least.
const SMALLEST: Costs = Costs { parameters: 1, macs: 1, activation_bytes_peak: 1, size_bytes: 1 };

/// Who teaches, and what its students take and say.
struct Taught<'a> {
    input: InputSpec,
    labels: Vec<String>,
    by: Teacher<'a>,
}

enum Teacher<'a> {
    Model { folder: &'a Path, config: PackageConfig, costs: Costs },
    Answers(TeacherAnswers),
}

/// Writes a manifest, and distils a reference student where there is none.
pub(crate) fn run_new(new: &NewCompetition) -> Result<()> {
    ensure!(!new.out.exists(), "{} is there already; choose another name with --out", new.out.display());
    let folder = new.out.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let model = new.teacher.as_deref().map(asked).transpose()?;
    let (table, found) = looked_at(&new.data)?;
    let used = table.training_and_evaluation(&spec(&new.data))?.map(|part| part.name.clone());
    let taught = match model {
        Some(taught) => taught,
        None => answered(new, &found, &used[0])?,
    };
    check_labels(&found, &taught.labels)?;
    let rows = RowSpec { pictures: pictures(new.fit, &taught.input, &found)?, ..spec(&new.data) };
    let counted = Counted::of(&found, &used)?;
    let rows = RowSpec { unreadable_max: counted.left_out, ..rows };
    let text = |reference: &Path, costs: &Costs| {
        let reference = (reference, costs);
        let text = Draft { new, rows: &rows, taught: &taught, reference, counted: &counted }.text();
        let read = protocol::competition::Manifest::from_toml(&text);
        read.context("no competition can be published with what was asked").map(|_| text)
    };
    let reference = match &new.reference {
        Some(folder) => folder.clone(),
        None => {
            let out = new.out.with_file_name("reference");
            // What the student will cost refuses nothing; all else does before one is trained.
            text(&out, &SMALLEST)?;
            let table = match &taught.by {
                Teacher::Model { .. } => table,
                Teacher::Answers(answers) => table.answered(answers, folder, taught.labels.len(), &used)?,
            };
            let [training, _] = table.training_and_evaluation(&rows)?;
            let lesson = Lesson {
                id: &new.id,
                input: &taught.input,
                labels: &taught.labels,
                teacher: taught.by.package(),
                teacher_costs: taught.by.costs(),
                table: &table,
                training,
                items: if used[0] == used[1] { counted.public + counted.hidden } else { 0 },
                rows: &rows,
            };
            distil_reference(&lesson, &new.student, &out)?;
            out
        }
    };
    let of_reference = reference_of(&reference, &taught)?;
    std::fs::write(&new.out, text(&reference, &of_reference)?)
        .with_context(|| format!("write {}", new.out.display()))?;
    println!("wrote {}; read it, then:", new.out.display());
    println!("  retort validator publish {} --check", typed::word(&new.out));
    println!("  retort validator publish {}", typed::word(&new.out));
    println!(
        "(for the validator in {DIR_DEFAULT}; --dir or RETORT_HOME names another, `retort validator init` makes one)"
    );
    Ok(())
}

/// What a model takes and says.
fn asked(folder: &Path) -> Result<Taught<'_>> {
    let (config, costs) = package(folder).with_context(|| format!("the teacher in {}", folder.display()))?;
    let (input, labels) = (config.input.clone(), config.labels.clone());
    Ok(Taught { input, labels, by: Teacher::Model { folder, config, costs } })
}

/// Of a teacher that is known by its answers only: what the reference takes and says, else what the data has.
fn answered<'a>(new: &'a NewCompetition, found: &Inspection, training: &str) -> Result<Taught<'a>> {
    let by = Teacher::Answers(answers(new)?);
    if let Some(folder) = &new.reference {
        let (config, _) = package(folder).with_context(|| format!("the reference in {}", folder.display()))?;
        return Ok(Taught { input: config.input, labels: config.labels, by });
    }
    let part =
        found.parts.iter().find(|part| part.name == training).context("the part was inspected; this is a bug")?;
    let numbers = 0..=part.by_label.keys().copied().max().unwrap_or(0);
    let labels = match found.classes.is_empty() {
        true => numbers.map(|label| label.to_string()).collect(),
        false => found.classes.clone(),
    };
    Ok(Taught { input: input_of(part)?, labels, by })
}

/// Pictures as most of a part are.
fn input_of(part: &PartFound) -> Result<InputSpec> {
    let size = part.by_size.iter().max_by_key(|(_, rows)| **rows).and_then(|(size, _)| size.split_once('x'));
    let (width, height) = size.with_context(|| format!("part `{}` has no pictures that can be read", part.name))?;
    let planes = if part.grey + part.unreadable == part.rows { 1 } else { 3 };
    let of = |ppm: [u32; 3], least: u32| ppm.into_iter().take(planes).map(|ppm| ppm.max(least)).collect();
    Ok(InputSpec {
        channels: planes as u32,
        height: height.parse()?,
        width: width.parse()?,
        mean_ppm: of(part.mean_ppm, 0),
        deviation_ppm: of(part.deviation_ppm, 1),
    })
}

/// Answers as the command line names them.
fn answers(new: &NewCompetition) -> Result<TeacherAnswers> {
    let given = &new.answers;
    let mut files = BTreeMap::new();
    let mut columns = Vec::new();
    for named in &given.answers {
        match named.split_once('=') {
            Some((part, file)) => {
                let file = seen_from(&new.out, &at_home(file).map_err(anyhow::Error::msg)?);
                files.insert(part.to_owned(), file.display().to_string());
            }
            None => columns.push(named.clone()),
        }
    }
    ensure!(
        columns.len() + usize::from(!files.is_empty()) == 1,
        "--answers is one column of the data's Parquet, or PART=FILE once for each part that is used"
    );
    Ok(TeacherAnswers {
        column: columns.pop(),
        files,
        model: given.made_by.clone().unwrap_or_default(),
        license: given.license.clone().unwrap_or_default(),
        link: given.link.clone().unwrap_or_default(),
        parameters: given.parameters,
        macs: given.macs,
    })
}

/// A path as a file at `out` names it: what stands in a manifest is looked for from its folder.
fn seen_from(out: &Path, path: &Path) -> PathBuf {
    let folder = out.parent().unwrap_or(Path::new(""));
    if path.is_absolute() || folder.as_os_str().is_empty() {
        return path.to_owned();
    }
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned());
    let (folder, path) = (whole(folder), whole(path));
    let shared = folder.components().zip(path.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

impl Teacher<'_> {
    fn package(&self) -> Option<(&Path, &PackageConfig)> {
        match self {
            Self::Model { folder, config, .. } => Some((folder, config)),
            Self::Answers(_) => None,
        }
    }

    /// Parameters and multiply-accumulates, as far as they are known.
    fn costs(&self) -> Option<(u64, u64)> {
        match self {
            Self::Model { costs, .. } => Some((costs.parameters, costs.macs)),
            Self::Answers(answers) => answers.costs(),
        }
    }
}

/// What the reference costs, if it does the teacher's task.
fn reference_of(folder: &Path, taught: &Taught<'_>) -> Result<Costs> {
    let (reference, costs) = package(folder).with_context(|| format!("the reference in {}", folder.display()))?;
    let [theirs, ours] = [&reference.input, &taught.input]
        .map(|input| format!("{} x {} x {}", input.channels, input.height, input.width));
    ensure!(
        theirs == ours,
        "the teacher takes inputs of {ours} values, the reference of {theirs}: they have to be the same"
    );
    ensure!(
        reference.input == taught.input,
        "teacher and reference scale their inputs differently: mean_ppm and deviation_ppm in both config.json have to be the same"
    );
    ensure!(reference.labels == taught.labels, "teacher and reference have other labels, or in another order");
    Ok(costs)
}

fn package(folder: &Path) -> Result<(PackageConfig, Costs)> {
    let files = PackageFiles::read(folder)?;
    let config = PackageConfig::from_json(&files.config_json)?;
    let any = Admission { input: &config.input, labels: &config.labels, limits: &UNLIMITED };
    let costs = admit(&files.config_json, &files.weights, &any)?.costs;
    Ok((config, costs))
}

/// Classes are labels by their names, in whatever order.
fn check_labels(found: &Inspection, labels: &[String]) -> Result<()> {
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    if found.classes.is_empty() || sorted(&found.classes) == sorted(labels) {
        return Ok(());
    }
    bail!(
        "the teacher's labels are {}; the data's classes are {}; the names have to be the same",
        labels.join(", "),
        found.classes.join(", ")
    )
}

/// What becomes of pictures: nothing where all have the teacher's size.
fn pictures(fit: Option<PictureFit>, input: &InputSpec, found: &Inspection) -> Result<PictureSpec> {
    let (width, height) = (input.width, input.height);
    let size = format!("{width}x{height}");
    let fit = fit.map(|fit| match fit {
        PictureFit::Crop => Fit::Crop,
        PictureFit::Pad => Fit::Pad,
        PictureFit::Stretch => Fit::Stretch,
    });
    let others = found.parts.iter().flat_map(|part| &part.by_size).filter(|(found, _)| **found != size);
    let others: u64 = others.map(|(_, rows)| rows).sum();
    ensure!(
        fit.is_some() || others == 0,
        "{} {width} x {height} as the teacher takes them; --fit crop, pad or stretch says what becomes of them",
        if others == 1 { "1 picture isn't".to_owned() } else { format!("{others} pictures aren't") }
    );
    Ok(PictureSpec { fit: fit.filter(|_| others > 0), shorter_side: None })
}

/// How many items there are for what.
struct Counted {
    public: u32,
    hidden: u32,
    left_out: u32,
}

impl Counted {
    /// Half of the evaluation part is public, the other half hidden; of a source in one part a third is for evaluation.
    fn of(found: &Inspection, [training, evaluation]: &[String; 2]) -> Result<Self> {
        let part = found
            .parts
            .iter()
            .find(|part| part.name == *evaluation)
            .context("the part was inspected; this is a bug")?;
        let readable = u32::try_from(part.rows - part.unreadable).unwrap_or(u32::MAX);
        let items = if training == evaluation { readable / 3 } else { readable };
        ensure!(items >= 20, "part `{evaluation}` has {readable} rows that can be read: too few to judge anybody by");
        let unreadable = found.parts.iter().map(|part| part.unreadable).max().unwrap_or(0);
        Ok(Self { public: items / 2, hidden: items / 2, left_out: u32::try_from(unreadable).unwrap_or(u32::MAX) })
    }
}
