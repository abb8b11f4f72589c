//! `retort validator new`: a manifest made from what was seen of data and of a teacher, or of a teacher's answers. It does NOT look
//! at pictures itself (`own_data` does), trains no student (`reference` does) and measures none.

use super::own_data::{looked_at, spec};
use super::predict::UNLIMITED;
use super::reference::{Lesson, distil_reference};
use crate::cli::{NewCompetition, PictureFit, at_home};
use crate::typed;
use anyhow::{Context, Result, bail, ensure};
use datasets::inspect::{Inspection, PartFound, error_bar_ppm};
use datasets::source::Source;
use eval::Library;
use miner_template::files::PackageFiles;
use protocol::architecture::Costs;
use protocol::competition::{EngineName, Fit, InputSpec, OfficialEngine, PictureSpec, RowSpec, TeacherAnswers};
use protocol::package::{Admission, PackageConfig, admit};
use protocol::round::RoundRules;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use validator::config::DIR_DEFAULT;

/// Rounds that a private pool should last for, where it is large enough.
const PRIVATE_ROUNDS: u32 = 10;
/// What students may cost beside the reference, where little or nothing is known of the teacher's costs.
const TIMES_THE_REFERENCE: u64 = 10;

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
        let text = manifest(new, &rows, &taught, (reference, costs), &counted);
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

fn manifest(
    new: &NewCompetition,
    rows: &RowSpec,
    taught: &Taught<'_>,
    (reference_package, reference): (&Path, &Costs),
    counted: &Counted,
) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let path = |path: &Path| quoted(&seen_from(&new.out, path).display().to_string());
    let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let labels: Vec<String> = taught.labels.iter().map(|label| quoted(label)).collect();
    let kind = match Source::guessed(&new.data.data) {
        Source::Folder(_) => "folder",
        Source::Parquet(_) => "parquet",
    };
    let bar = f64::from(error_bar_ppm(counted.public.into())) / 1e4;
    let mut text = format!(
        "# Written by `retort validator new`; every line may be changed. `retort validator publish --check` reads it again.\n\
         format = \"retort-competition/1\"\n\
         id = {id}\n\
         title = {id}\n\
         # What miners read first.\n\
         description = \"\"\n\
         # Under which everybody may use what is entered here: whoever submits agrees to it. An SPDX name (spdx.org/licenses), not\n\
         # that of your data. Without the line nobody but the owner of a model knows what may be done with it.\n\
         # license = \"MIT\"\n\
         task = \"image_classification\"\n\
         labels = [{labels}]\n\
         {distance}{engine}\n\
         # As the teacher takes it: x = (pixel / 255 - mean) / deviation.\n\
         [input]\nchannels = {channels}\nheight = {height}\nwidth = {width}\nmean_ppm = [{mean}]\ndeviation_ppm = [{deviation}]\n\n\
         # Half of the items are public, with the teacher's answers: 90 % on them is known to ±{bar:.2} points.\n\
         [data]\nsource = {source}\npublic_items = {public}\nhidden_items = {hidden}\n",
        id = quoted(new.id.as_ref()),
        labels = labels.join(", "),
        distance = distance(&taught.by),
        engine = engine(&Library::named()),
        channels = taught.input.channels,
        height = taught.input.height,
        width = taught.input.width,
        mean = list(&taught.input.mean_ppm),
        deviation = list(&taught.input.deviation_ppm),
        source = quoted(&format!("{kind}:{}", seen_from(&new.out, &new.data.data).display())),
        public = counted.public,
        hidden = counted.hidden,
    );
    let is_private = new.private || taught.by.package().is_none();
    text += match is_private {
        true => "hidden_pool = \"private\"\n",
        false => {
            "# Write \"private\" if nobody else has these pictures and labels; only then the competition is fit for money.\nhidden_pool = \"public\"\n"
        }
    };
    text += &rows_table(rows);
    let bounds = bounds(&taught.by, reference);
    let _ = write!(
        text,
        "\n{teacher}\n# Every latency is a ratio to this model's.\n[reference]\npackage = {reference_package}\n\n\
         {why}\n\
         [limits]\nsize_bytes_max = {bytes}\nparameters_max = {parameters}\nmacs_max = {macs}\nactivation_bytes_max = {activation}\nsubmissions_per_day = 20\n\n\
         [rounds]\n",
        teacher = teacher_table(&taught.by, path),
        reference_package = path(reference_package),
        why = match taught.by {
            Teacher::Model { .. } => {
                "# At most half of the teacher's parameters and multiply-accumulates, so that the teacher in disguise is no student."
            }
            Teacher::Answers(_) => {
                "# Ten times what the reference costs, and at most half of what is stated of the teacher: choose what you want models for."
            }
        },
        bytes = bounds.parameters * 4 + 65_536,
        parameters = bounds.parameters,
        macs = bounds.macs,
        activation = bounds.activation_bytes_peak,
    );
    if is_private {
        let items = (counted.hidden / PRIVATE_ROUNDS).max(10);
        let lasts = RoundRules { items, ..RoundRules::default() }.rounds_of(counted.hidden);
        let _ = writeln!(
            text,
            "# What a round reveals is fresh in no later one: with so many the pool lasts for {lasts} rounds.\nitems = {items}"
        );
    }
    let _ = write!(
        text,
        "# Without this line rounds take drand's beacons, if the validator's `drand_url` answers. This one is for trying out:\n\
         # whoever writes the ledger can grind it.\nbeacon = \"ledger\"\n\n\
         # What a smaller or faster model earns ends at the reference's size and latency. Set the rest from students that you\n\
         # measured: below the gate (90 % of the teacher's accuracy) a model is worth nothing.\n\
         [score]\ngate_ppm = 900000\nsize_bytes_min = {least}\nsize_bytes_max = {most}\n\n\
         # How alike honest students are here, by which copies in disguise are told from strangers. Train five or more that\n\
         # have nothing to do with each other, and put what this prints at the end of this file:\n\
         #   retort bench nulls --competition THIS_FILE DIR DIR DIR DIR DIR\n",
        least = reference.size_bytes,
        most = bounds.size_bytes.max(reference.size_bytes + 1),
    );
    text
}

/// What students may cost at most; the size is where it counts no more.
fn bounds(teacher: &Teacher<'_>, reference: &Costs) -> Costs {
    match teacher {
        Teacher::Model { costs, .. } => Costs { parameters: costs.parameters / 2, macs: costs.macs / 2, ..*costs },
        Teacher::Answers(answers) => {
            let (parameters, macs) = answers.costs().unwrap_or((u64::MAX, u64::MAX));
            Costs {
                parameters: (reference.parameters * TIMES_THE_REFERENCE).min(parameters / 2),
                macs: (reference.macs * TIMES_THE_REFERENCE).min(macs / 2),
                activation_bytes_peak: reference.activation_bytes_peak * TIMES_THE_REFERENCE,
                size_bytes: reference.size_bytes * TIMES_THE_REFERENCE,
            }
        }
    }
}

/// What a manifest says of a teacher whose costs nobody states.
fn distance(teacher: &Teacher<'_>) -> &'static str {
    match teacher.costs() {
        Some(_) => "",
        None => {
            "# Nothing is stated of the teacher's costs, so no distance to it can be kept: whoever has it may enter it. State them as\n\
             # `parameters` and `macs` under [teacher.answers] and leave this line out.\n\
             teacher_distance = \"none\"\n"
        }
    }
}

fn teacher_table(teacher: &Teacher<'_>, path: impl Fn(&Path) -> String) -> String {
    match teacher {
        Teacher::Model { folder, .. } => {
            format!("[teacher]\npackage = {}\n", path(folder))
        }
        Teacher::Answers(answers) => {
            let table = toml::to_string(answers).expect("a table of texts and numbers; this is a bug");
            let table = table.replace("[files]", "[teacher.answers.files]");
            format!(
                "# What a model answered to every item, public and hidden: nobody asks it again, so rounds show items as they are.\n\
                 [teacher.answers]\n{table}"
            )
        }
    }
}

/// What models are measured on: what most users deploy, where it is here.
fn engine(library: &Library) -> &'static str {
    match library.official(OfficialEngine::any(EngineName::Onnxruntime)) {
        Ok(_) => {
            "# What models are measured on, with the library that was found here. \"rten\" is part of every `retort`.\n\
             engine = \"onnxruntime\"\n\
             # Architectures of the catalogue, and whatever PyTorch exports.\n\
             models = [\"catalogue\", \"onnx\"]\n"
        }
        Err(_) => {
            "# What models are measured on: burn, which is part of every `retort`, unless said. \"onnxruntime\", whose library\n\
             # scripts/onnxruntime.sh fetches, is what most users deploy.\n\
             # engine = \"onnxruntime\"\n\
             # Architectures of the catalogue, and whatever PyTorch exports.\n\
             models = [\"catalogue\", \"onnx\"]\n"
        }
    }
}

/// The table `data.rows`, where anything in it isn't as usual.
fn rows_table(rows: &RowSpec) -> String {
    if *rows == RowSpec::default() {
        return String::new();
    }
    let table = toml::to_string(rows).expect("a table of texts and numbers; this is a bug");
    let table = table.replace("[pictures]", "[data.rows.pictures]");
    format!("\n# How rows become items.\n[data.rows]\n{table}")
}
