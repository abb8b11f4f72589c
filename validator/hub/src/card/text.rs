//! What a card says below its front matter: what the model is, how good, how to run it, and how to check that.
//!
//! It knows no YAML and measures nothing.

use super::{Links, Scored, TABLES, code};
use crate::repository::Repository;
use datasets::published::are_pictures;
use program::package::{IMAGES, LOGITS};
use protocol::Competition;
use protocol::api::FormView;
use protocol::competition::{InputSpec, Manifest, TeacherAnswers};
use protocol::latency::judge;
use protocol::package::{ModelKind, ONNX_FILE, OnnxModel};
use protocol::report::{Estimate, Report};
use protocol::score::Score;

/// Below a submission's front matter.
pub(super) fn of_submission(repository: &Repository, scored: &Scored, kind: &ModelKind, links: &Links) -> String {
    let manifest = &scored.stored.competition.manifest;
    let submission = &scored.submission;
    let (id, hotkey) = (&submission.id, &submission.hotkey);
    let report = &scored.evaluation.report;
    let page = link(&format!("`{id}`"), links.to(&format!("/submissions/{id}")));
    let teacher = match manifest.teacher.answers() {
        None => format!("`teachers/{}`", manifest.id),
        Some(answers) => format!("{} by its answers in `arena/{}`", made_by(answers), manifest.id),
    };
    let about = format!(
        "A student of {teacher}, distilled by `{hotkey}` and entered as {page}. It classifies images: {}.",
        described(manifest),
    );
    let name = submission.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
    let title = format!("{}: {name}`{}` of {} parameters", escaped(&manifest.title), kind.kind(), {
        grouped(report.cost.parameters)
    });
    let results = table(report, &scored.evaluation.score);
    let use_it = match kind {
        ModelKind::Catalogue(_) => use_it(repository, manifest, links),
        ModelKind::Onnx(model) => use_graph(repository, manifest, model, links),
    };
    let (caveats, forms) = (caveats(manifest), forms(&scored.forms));
    format!(
        "# {title}\n\n{about}\n{caveats}\n{results}\n{use_it}\n{forms}## Check it\n\n`receipt.json` is what the validator signed about \
         this measurement; the same receipt, base64url-encoded, is the `verifyToken` of the results. `retort verify \
         {id} --validator {}` repeats the measurement. The receipt names the package as it was uploaded \
         (`{}`); the weights here are the same numbers written anew in canonical form.\n",
        links.endpoint(),
        submission.package_sha256,
    )
}

/// The files of other forms, and how far each is from the model.
fn forms(forms: &[FormView]) -> String {
    let Some(first) = forms.first() else { return String::new() };
    let mut text = format!(
        "## Other forms\n\nFor onnxruntime, transformers.js and whatever reads ONNX: `{IMAGES}` is one normalised image, `{LOGITS}` what the model \
         says. What each answers to the {} public items, on {}:\n\n| file | bytes | right | the model's own class |\n|---|---:|---:|---:|\n",
        grouped(first.items.into()),
        first.engine,
    );
    for form in forms {
        let [bytes, correct, agreed] = [form.object.size_bytes, form.correct.into(), form.agreed.into()].map(grouped);
        text += &format!("| `{}` ({}) | {bytes} | {correct} | {agreed} |\n", form.form.path(), form.form);
    }
    text + "\n"
}

/// Below a teacher's front matter.
pub(super) fn of_teacher(
    repository: &Repository,
    manifest: &Manifest,
    report: &Report,
    score: &Score,
    links: &Links,
) -> String {
    let page = link(&escaped(&manifest.title), links.to(&format!("/competitions/{}", manifest.id)));
    let about = format!(
        "The teacher of {page}: the model to distil. It classifies images: {}. Its answers to the public and to the \
         training images are in the dataset `arena/{}`.",
        described(manifest),
        manifest.id,
    );
    let results = table(report, score);
    let use_it = use_it(repository, manifest, links);
    format!("# {}: the teacher\n\n{about}\n\n{results}\n{use_it}", escaped(&manifest.title))
}

/// Below the front matter of a competition's data.
pub(super) fn of_data(competition: &Competition, links: &Links) -> String {
    let manifest = &competition.manifest;
    let page = link(&escaped(&manifest.title), links.to(&format!("/competitions/{}", manifest.id)));
    let is_pictures = are_pictures(manifest.input.channels);
    let [training, evaluation] = TABLES;
    format!(
        "# {title}: public data

The {public} public evaluation images of {page} with their labels and the teacher's answers, and the images to train on. What
decides a round is hidden until the round is revealed, and isn't here.
{teacher}{caveats}
| file | content |
|---|---|
| `{training}` | what to train on: {input}, `label`, and `teacher_logits` where the teacher was asked |
| `{evaluation}` | the same of the public evaluation images |

```python
# HF_ENDPOINT={endpoint}
from datasets import load_dataset

data = load_dataset(\"arena/{id}\")
first = data[\"test\"][0]
print({shown}, data[\"test\"].features[\"label\"].int2str(first[\"label\"]), first[\"teacher_logits\"])
```
",
        title = escaped(&manifest.title),
        public = grouped(u64::from(manifest.data.public_items)),
        id = manifest.id,
        teacher = manifest.teacher.answers().map_or_else(String::new, of_answers),
        caveats = caveats(manifest),
        endpoint = links.endpoint(),
        input = if is_pictures { "`image`, a PNG" } else { "`pixels`, bytes plane by plane" },
        shown = if is_pictures { "first[\"image\"].size" } else { "len(first[\"pixels\"])" },
    )
}

/// The model that answered, for people.
fn made_by(answers: &TeacherAnswers) -> String {
    format!("[{}](<{}>)", escaped(&answers.model), answers.link)
}

/// Whose the answers are that are all there is of a teacher.
fn of_answers(answers: &TeacherAnswers) -> String {
    let costs = answers.costs().map_or_else(String::new, |(parameters, macs)| {
        format!(
            " Of {} parameters and {} multiply-accumulates, as its publisher states.",
            grouped(parameters),
            grouped(macs)
        )
    });
    format!(
        "\nThe teacher is known by its answers only: {}, used under {}.{costs} Both files have its answer to each image.\n",
        made_by(answers),
        escaped(&answers.license)
    )
}

/// What keeps the competition from deciding about money, and where questions go. A card is as its competition was
/// published: its page has what was changed since.
fn caveats(manifest: &Manifest) -> String {
    let caveats = manifest.caveats().join("; ");
    let caveats = (!caveats.is_empty()).then(|| format!("\n> For trying out: {caveats}.\n"));
    let contact = manifest.contact.iter().map(|contact| format!("\nQuestions about the competition: <{contact}>.\n"));
    caveats.into_iter().chain(contact).collect()
}

/// What goes in and what comes out.
fn described(manifest: &Manifest) -> String {
    let shape = manifest.input.shape();
    let planes = if shape.channels == 1 { "plane" } else { "planes" };
    format!(
        "{} {planes} of {} x {} pixels to {} labels",
        shape.channels,
        shape.height,
        shape.width,
        manifest.labels.len()
    )
}

fn table(report: &Report, score: &Score) -> String {
    let latency = &report.latency;
    let p90 = latency.p90_ns.map(|ns| format!(", 90th percentile {} us", ns / 1_000)).unwrap_or_default();
    let timed = |figure: String| if latency.is_timed() { figure } else { judge(latency).to_string() };
    let rows = [
        (
            "Accuracy",
            format!("{} on {} items", interval(score.accuracy, percent), grouped(u64::from(report.data.items))),
        ),
        ("Same answer as the teacher", interval(score.agreement, percent)),
        ("Latency over the reference student", timed(interval(latency.ratio, ratio))),
        ("Median latency, one thread, one image", timed(format!("{} us{p90}", latency.p50_ns / 1_000))),
        ("Size, two bytes a value", format!("{} bytes", grouped(report.cost.size_bytes))),
        ("Parameters", grouped(report.cost.parameters)),
        ("Multiply-accumulates", grouped(report.cost.macs)),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!("| measured | with its 95 % interval |\n|---|---|\n{rows}")
}

fn use_it(repository: &Repository, manifest: &Manifest, links: &Links) -> String {
    let shape = manifest.input.shape();
    let module = code::NETWORK_FILE.trim_end_matches(".py");
    format!(
        "## Use it

```python
# pip install huggingface_hub safetensors torch, and HF_ENDPOINT={endpoint}
import sys, torch
from huggingface_hub import snapshot_download

sys.path.insert(0, snapshot_download(\"{id}\"))
from {module} import load

model = load()                                            # a torch.nn.Module
images = torch.zeros(1, {channels}, {height}, {width}, dtype=torch.uint8)  # pixels from 0 to 255
print(model(images).softmax(1))
```

With `transformers` it is one line: `AutoModelForImageClassification.from_pretrained(\"{id}\", trust_remote_code=True)`.
The code in this repository was written by the validator from the plan that its admission check worked out; nothing in
it comes from a miner.
",
        endpoint = links.endpoint(),
        id = repository.id(),
        channels = shape.channels,
        height = shape.height,
        width = shape.width,
    )
}

/// The same for a graph, which needs nothing but a program that runs ONNX.
fn use_graph(repository: &Repository, manifest: &Manifest, model: &OnnxModel, links: &Links) -> String {
    let InputSpec { mean_ppm, deviation_ppm, .. } = &manifest.input;
    let shape = manifest.input.shape();
    format!(
        "## Use it

```python
# pip install huggingface_hub onnxruntime numpy, and HF_ENDPOINT={endpoint}
import numpy, onnxruntime
from huggingface_hub import hf_hub_download

session = onnxruntime.InferenceSession(hf_hub_download(\"{id}\", \"{ONNX_FILE}\"))
mean, deviation = (numpy.array(ppm).reshape(-1, 1, 1) / 1e6 for ppm in ({mean_ppm:?}, {deviation_ppm:?}))
pixels = numpy.zeros((1, {channels}, {height}, {width}))            # from 0 to 255
images = ((pixels / 255 - mean) / deviation).astype(numpy.float32)
print(session.run([\"{LOGITS}\"], {{\"{IMAGES}\": images}})[0])
```

Operators: {operators}. The file was written by the validator from what its admission check read: constants are folded, names
are numbers, and nothing in it comes from a miner but the computation and its numbers.
",
        endpoint = links.endpoint(),
        id = repository.id(),
        channels = shape.channels,
        height = shape.height,
        width = shape.width,
        operators = model.operators_told(),
    )
}

fn interval(estimate: Estimate, shown: fn(i64) -> String) -> String {
    format!("{} ({} to {})", shown(estimate.value_ppm), shown(estimate.low_ppm), shown(estimate.high_ppm))
}

fn percent(ppm: i64) -> String {
    format!("{:.2} %", ppm as f64 / 1e4)
}

fn ratio(ppm: i64) -> String {
    format!("{:.3}", ppm as f64 / 1e6)
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn link(text: &str, url: Option<String>) -> String {
    url.map_or_else(|| text.to_owned(), |url| format!("[{text}]({url})"))
}

/// What Markdown takes for something else than itself in the middle of a line.
const MARKUP: &str = "\\`*_[]()#!|~";

/// A stranger's text as Markdown that is nothing but text, in one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            character if character.is_control() => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            character => {
                if MARKUP.contains(character) {
                    escaped.push('\\');
                }
                escaped.push(character);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_can_t_become_markup() {
        assert_eq!(escaped("a <b>\n![x](y) `c`"), "a &lt;b&gt; \\!\\[x\\]\\(y\\) \\`c\\`");
        assert_eq!(escaped("Mode & Kleidung"), "Mode &amp; Kleidung");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
