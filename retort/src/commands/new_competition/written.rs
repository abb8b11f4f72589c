//! The text of a manifest that `new` writes: every line with why it is there, to be changed by its owner.
//!
//! It does not look at data or models; what there is of them it is given.

use super::{Counted, Taught, Teacher, seen_from};
use crate::cli::NewCompetition;
use datasets::inspect::error_bar_ppm;
use datasets::source::Source;
use eval::Library;
use protocol::architecture::Costs;
use protocol::competition::{EngineName, OfficialEngine, RowSpec};
use protocol::round::RoundRules;
use std::path::Path;

/// Rounds that a private pool should last for, where it is large enough.
const PRIVATE_ROUNDS: u32 = 10;
/// What students may cost beside the reference, where little or nothing is known of the teacher's costs.
const TIMES_THE_REFERENCE: u64 = 10;

/// What a manifest is written of.
pub(super) struct Draft<'a> {
    pub(super) new: &'a NewCompetition,
    pub(super) rows: &'a RowSpec,
    pub(super) taught: &'a Taught<'a>,
    /// The reference's package, and what it costs.
    pub(super) reference: (&'a Path, &'a Costs),
    pub(super) counted: &'a Counted,
}

impl Draft<'_> {
    /// The whole manifest.
    pub(super) fn text(&self) -> String {
        let teacher = teacher_table(&self.taught.by, |folder| self.path(folder));
        [self.task(), self.input(), self.data(), teacher, self.reference(), self.limits(), self.rounds(), self.score()]
            .concat()
    }

    fn path(&self, path: &Path) -> String {
        quoted(&seen_from(&self.new.out, path).display().to_string())
    }

    fn is_private(&self) -> bool {
        self.new.private || self.taught.by.package().is_none()
    }

    fn task(&self) -> String {
        let labels: Vec<String> = self.taught.labels.iter().map(|label| quoted(label)).collect();
        format!(
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
             {distance}{engine}\
             # Where several machines measure: the class of those whose latencies count. This one's, as `retort doctor` says:\n\
             # hardware = \"{hardware}\"\n\n",
            id = quoted(self.new.id.as_ref()),
            labels = labels.join(", "),
            distance = distance(&self.taught.by),
            engine = engine(&Library::named()),
            hardware = eval::hardware_class(),
        )
    }

    fn input(&self) -> String {
        let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let input = &self.taught.input;
        format!(
            "# As the teacher takes it: x = (pixel / 255 - mean) / deviation.\n\
             [input]\nchannels = {channels}\nheight = {height}\nwidth = {width}\nmean_ppm = [{mean}]\ndeviation_ppm = [{deviation}]\n\n",
            channels = input.channels,
            height = input.height,
            width = input.width,
            mean = list(&input.mean_ppm),
            deviation = list(&input.deviation_ppm),
        )
    }

    fn data(&self) -> String {
        let data = &self.new.data.data;
        let kind = match Source::guessed(data) {
            Source::Folder(_) => "folder",
            Source::Parquet(_) => "parquet",
        };
        let bar = f64::from(error_bar_ppm(self.counted.public.into())) / 1e4;
        let pool = match self.is_private() {
            true => "hidden_pool = \"private\"\n",
            false => {
                "# Write \"private\" if nobody else has these pictures and labels; only then the competition is fit for money.\nhidden_pool = \"public\"\n"
            }
        };
        format!(
            "# Half of the items are public, with the teacher's answers: 90 % on them is known to ±{bar:.2} points.\n\
             [data]\nsource = {source}\npublic_items = {public}\nhidden_items = {hidden}\n{pool}{rows}\n",
            source = quoted(&format!("{kind}:{}", seen_from(&self.new.out, data).display())),
            public = self.counted.public,
            hidden = self.counted.hidden,
            rows = rows_table(self.rows),
        )
    }

    fn reference(&self) -> String {
        let package = self.path(self.reference.0);
        format!("\n# Every latency is a ratio to this model's.\n[reference]\npackage = {package}\n\n")
    }

    fn limits(&self) -> String {
        let bounds = bounds(&self.taught.by, self.reference.1);
        let why = match self.taught.by {
            Teacher::Model { .. } => {
                "# At most half of the teacher's parameters and multiply-accumulates, so that the teacher in disguise is no student."
            }
            Teacher::Answers(_) => {
                "# Ten times what the reference costs, and at most half of what is stated of the teacher: choose what you want models for."
            }
        };
        format!(
            "{why}\n\
             [limits]\nsize_bytes_max = {bytes}\nparameters_max = {parameters}\nmacs_max = {macs}\nactivation_bytes_max = {activation}\nsubmissions_per_day = 20\n\n",
            bytes = bounds.parameters * 4 + 65_536,
            parameters = bounds.parameters,
            macs = bounds.macs,
            activation = bounds.activation_bytes_peak,
        )
    }

    fn rounds(&self) -> String {
        let items = (self.counted.hidden / PRIVATE_ROUNDS).max(10);
        let lasts = RoundRules { items, ..RoundRules::default() }.rounds_of(self.counted.hidden);
        let items = match self.is_private() {
            true => format!(
                "# What a round reveals is fresh in no later one: with so many the pool lasts for {lasts} rounds.\nitems = {items}\n"
            ),
            false => String::new(),
        };
        format!(
            "[rounds]\n{items}\
             # Without this line rounds take drand's beacons, if the validator's `drand_url` answers. This one is for trying out:\n\
             # whoever writes the ledger can grind it.\nbeacon = \"ledger\"\n\n"
        )
    }

    fn score(&self) -> String {
        let reference = self.reference.1;
        let most = bounds(&self.taught.by, reference).size_bytes.max(reference.size_bytes + 1);
        format!(
            "# What a smaller or faster model earns ends at the reference's size and latency. Set the rest from students that you\n\
             # measured: below the gate (90 % of the teacher's accuracy) a model is worth nothing.\n\
             [score]\ngate_ppm = 900000\nsize_bytes_min = {least}\nsize_bytes_max = {most}\n\n\
             # How alike honest students are here, by which copies in disguise are told from strangers. Train five or more that\n\
             # have nothing to do with each other, and put what this prints at the end of this file:\n\
             #   retort bench nulls --competition THIS_FILE DIR DIR DIR DIR DIR\n",
            least = reference.size_bytes,
        )
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
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
