//! `retort validator inspect` and `new`: data of one's own, looked at before it is published, and a manifest made from what was
//! seen. It does NOT read pictures itself (`datasets` does), trains no student (`reference` does) and measures none.

use super::predict::UNLIMITED;
use super::print_json;
use super::reference::{Lesson, distil_reference};
use crate::cli::{Data, NewCompetition, PictureFit};
use crate::progress::Phases;
use crate::typed;
use anyhow::{Context, Result, bail, ensure};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use datasets::inspect::{Duplicates, Inspection, PartFound, error_bar_ppm, inspect};
use datasets::source::{self, Source};
use eval::Library;
use miner_template::files::PackageFiles;
use protocol::architecture::Costs;
use protocol::competition::{EngineName, Fit, OfficialEngine, PictureSpec, RowSpec};
use protocol::package::{Admission, PackageConfig, admit};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use validator::config::DIR_DEFAULT;

/// Classes, sizes and rows of which this many are shown.
const SHOWN: usize = 12;
/// Rounds that a private pool should last for, where it is large enough.
const PRIVATE_ROUNDS: u32 = 10;

pub(crate) fn run_inspect(data: &Data, json: bool) -> Result<()> {
    let (_, found) = looked_at(data)?;
    if json {
        return print_json(&found);
    }
    print(&found);
    Ok(())
}

/// What the command line says of rows.
fn spec(data: &Data) -> RowSpec {
    RowSpec {
        training: data.training.clone(),
        evaluation: data.evaluation.clone(),
        image: data.image.clone(),
        label: data.label.clone(),
        ..RowSpec::default()
    }
}

fn looked_at(data: &Data) -> Result<(source::Table, Inspection)> {
    let table = Source::guessed(&data.data).open(&spec(data))?;
    let phases = Phases::new("inspect");
    let found = inspect(&table, &|done, total| phases.at("reading rows", done, total));
    phases.finish();
    Ok((table, found?))
}

fn print(found: &Inspection) {
    let columns: Vec<String> = found.columns.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    println!("columns: {}", columns.join(", "));
    if found.ignored > 0 {
        println!("{} files beside the pictures are none, and are left aside", found.ignored);
    }
    println!("{}", parts(found));
    println!("{}", classes(found));
    found.parts.iter().for_each(print_unreadable);
    print_duplicates("the same pixels", &found.equal);
    print_duplicates("nearly the same picture", &found.near);
    for part in &found.parts {
        for items in [part.rows, part.rows / 2] {
            let bar = f64::from(error_bar_ppm(items)) / 1e4;
            println!("an accuracy of 90 % on {items} items of `{}` is known to ±{bar:.2} points (95 %)", part.name);
        }
    }
}

fn parts(found: &Inspection) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["part", "rows", "unreadable", "width x height", "grey", "mean", "deviation"]);
    for part in &found.parts {
        let most = most(&part.by_size, |size| size.clone());
        let three = |ppm: [u32; 3]| match part.grey {
            grey if grey + part.unreadable == part.rows => format!("{:.4}", f64::from(ppm[0]) / 1e6),
            _ => ppm.map(|plane| format!("{:.4}", f64::from(plane) / 1e6)).join(" "),
        };
        table.add_row([
            part.name.clone(),
            part.rows.to_string(),
            part.unreadable.to_string(),
            most,
            part.grey.to_string(),
            three(part.mean_ppm),
            three(part.deviation_ppm),
        ]);
    }
    for column in [1, 2, 4] {
        table.column_mut(column).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    table
}

/// The most frequent, with their counts.
fn most<K: Ord>(counts: &BTreeMap<K, u64>, name: impl Fn(&K) -> String) -> String {
    let mut sorted: Vec<(&K, &u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut text: Vec<String> = sorted.iter().take(3).map(|(key, count)| format!("{} ({count})", name(key))).collect();
    if sorted.len() > 3 {
        text.push(format!("{} others", sorted.len() - 3));
    }
    text.join(", ")
}

/// A histogram of classes for each part. Of many, the rarest are shown.
fn classes(found: &Inspection) -> Table {
    let labels = found.parts.iter().flat_map(|part| part.by_label.keys().copied());
    let count = labels.map(|label| usize::from(label) + 1).max().unwrap_or(0).max(found.classes.len());
    let of = |part: &PartFound, label: usize| {
        u16::try_from(label).ok().and_then(|l| part.by_label.get(&l)).copied().unwrap_or(0)
    };
    let mut labels: Vec<usize> = (0..count).collect();
    if count > SHOWN {
        labels.sort_by_key(|label| found.parts.iter().map(|part| of(part, *label)).min());
        labels.truncate(SHOWN);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let head = if count > SHOWN { format!("class (the {SHOWN} rarest of {count})") } else { "class".to_owned() };
    table.set_header([head].into_iter().chain(found.parts.iter().map(|part| part.name.clone())));
    let largest = found.parts.iter().flat_map(|part| part.by_label.values()).copied().max().unwrap_or(0).max(1);
    for label in labels {
        let name = found.classes.get(label).map_or_else(|| label.to_string(), |name| format!("{label} {name}"));
        let bar = |rows: u64| format!("{rows:>7} {}", "▇".repeat((rows * 20 / largest) as usize));
        table.add_row([name].into_iter().chain(found.parts.iter().map(|part| bar(of(part, label)))));
    }
    table
}

fn print_unreadable(part: &PartFound) {
    for row in part.unreadable_named.iter().take(SHOWN) {
        println!("part `{}`, row {} ({}): {}", part.name, row.row, row.origin, row.problem);
    }
    if part.unreadable > 0 {
        let (count, name) = (part.unreadable, &part.name);
        println!("{count} rows of `{name}` can't be read; `data.rows.unreadable_max = {count}` leaves them out");
    }
}

fn print_duplicates(what: &str, found: &Duplicates) {
    let Duplicates { within, across, contradicting, named } = found;
    if within + across == 0 {
        return;
    }
    println!(
        "{what}: {within} rows repeat one of their part, {across} one of another part; {contradicting} with another label"
    );
    named.iter().take(SHOWN).for_each(|[earlier, this]| println!("  {this} repeats {earlier}"));
}

/// Writes a manifest, and distils a reference student where there is none.
pub(crate) fn run_new(new: &NewCompetition) -> Result<()> {
    ensure!(!new.out.exists(), "{} is there already; choose another name with --out", new.out.display());
    let (teacher, costs) =
        package(&new.teacher).with_context(|| format!("the teacher in {}", new.teacher.display()))?;
    let (table, found) = looked_at(&new.data)?;
    check_labels(&found, &teacher.labels)?;
    let spec = RowSpec { pictures: pictures(new.fit, &teacher, &found)?, ..spec(&new.data) };
    let parts = table.training_and_evaluation(&spec)?;
    let counted = Counted::of(&found, &parts.map(|part| part.name.clone()))?;
    let rows = RowSpec { unreadable_max: counted.left_out, ..spec };
    let reference = match &new.reference {
        Some(folder) => folder.clone(),
        None => {
            let out = new.out.with_file_name("reference");
            let (id, teacher, teacher_folder) = (&new.id, &teacher, new.teacher.as_path());
            let [training, _] = parts;
            let lesson =
                Lesson { id, teacher, teacher_folder, teacher_costs: &costs, table: &table, training, rows: &rows };
            distil_reference(&lesson, &new.student, &out)?;
            out
        }
    };
    let of_reference = reference_of(&reference, &teacher)?;
    let text = manifest(new, &rows, &teacher, &reference, [&costs, &of_reference], &counted);
    // Whatever was written has to be one that can be published.
    protocol::competition::Manifest::from_toml(&text)
        .context("the manifest that was made is refused; this is a bug")?;
    std::fs::write(&new.out, text).with_context(|| format!("write {}", new.out.display()))?;
    println!("wrote {}; read it, then:", new.out.display());
    println!("  retort validator publish {} --check", typed::word(&new.out));
    println!("  retort validator publish {}", typed::word(&new.out));
    println!(
        "(for the validator in {DIR_DEFAULT}; --dir or RETORT_HOME names another, `retort validator init` makes one)"
    );
    Ok(())
}

/// What the reference costs, if it does the teacher's task.
fn reference_of(folder: &Path, teacher: &PackageConfig) -> Result<Costs> {
    let (reference, costs) = package(folder).with_context(|| format!("the reference in {}", folder.display()))?;
    ensure!(
        reference.input == teacher.input,
        "teacher and reference take other inputs; both come from the competition"
    );
    ensure!(reference.labels == teacher.labels, "teacher and reference have other labels, or in another order");
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
fn pictures(fit: Option<PictureFit>, teacher: &PackageConfig, found: &Inspection) -> Result<PictureSpec> {
    let (width, height) = (teacher.input.width, teacher.input.height);
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
        "{others} pictures aren't {width} x {height} as the teacher takes them; --fit crop, pad or stretch says what becomes of them"
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
    teacher: &PackageConfig,
    reference_package: &Path,
    [costs, reference]: [&Costs; 2],
    counted: &Counted,
) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let path = |path: &Path| quoted(&path.display().to_string());
    let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let labels: Vec<String> = teacher.labels.iter().map(|label| quoted(label)).collect();
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
         {engine}\n\
         # As the teacher takes it: x = (pixel / 255 - mean) / deviation.\n\
         [input]\nchannels = {channels}\nheight = {height}\nwidth = {width}\nmean_ppm = [{mean}]\ndeviation_ppm = [{deviation}]\n\n\
         # Half of the items are public, with the teacher's answers: 90 % on them is known to ±{bar:.2} points.\n\
         [data]\nsource = {source}\npublic_items = {public}\nhidden_items = {hidden}\n",
        id = quoted(new.id.as_ref()),
        labels = labels.join(", "),
        engine = engine(&Library::named()),
        channels = teacher.input.channels,
        height = teacher.input.height,
        width = teacher.input.width,
        mean = list(&teacher.input.mean_ppm),
        deviation = list(&teacher.input.deviation_ppm),
        source = quoted(&format!("{kind}:{}", new.data.data.display())),
        public = counted.public,
        hidden = counted.hidden,
    );
    text += match new.private {
        true => "hidden_pool = \"private\"\n",
        false => {
            "# Write \"private\" if nobody else has these pictures and labels; only then the competition is fit for money.\nhidden_pool = \"public\"\n"
        }
    };
    text += &rows_table(rows);
    let _ = write!(
        text,
        "\n[teacher]\npackage = {teacher}\n\n# Every latency is a ratio to this model's.\n[reference]\npackage = {reference_package}\n\n\
         # At most half of the teacher's parameters and multiply-accumulates, so that the teacher in disguise is no student.\n\
         [limits]\nsize_bytes_max = {bytes}\nparameters_max = {parameters}\nmacs_max = {macs}\nactivation_bytes_max = {activation}\nsubmissions_per_day = 20\n\n\
         [rounds]\n",
        teacher = path(&new.teacher),
        reference_package = path(reference_package),
        bytes = costs.parameters / 2 * 4 + 65_536,
        parameters = costs.parameters / 2,
        macs = costs.macs / 2,
        activation = costs.activation_bytes_peak,
    );
    if new.private {
        let items = (counted.hidden / PRIVATE_ROUNDS).max(10);
        let _ = writeln!(
            text,
            "# What a round reveals is fresh in no later one: with so many the pool lasts some {PRIVATE_ROUNDS} rounds.\nitems = {items}"
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
        most = costs.size_bytes.max(reference.size_bytes + 1),
    );
    text
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
