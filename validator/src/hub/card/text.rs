//! What a card says below its front matter: what the model is, how good, how to run it, and how to check that.
//!
//! It knows no YAML and measures nothing.

use super::super::contents::{Links, Scored};
use super::super::repository::Repository;
use super::{PUBLIC_IMAGES, PUBLIC_LOGITS, TRAINING_IMAGES, TRAINING_LOGITS, code};
use protocol::Competition;
use protocol::competition::Manifest;
use protocol::package::PackageConfig;
use protocol::report::{Estimate, Report};
use protocol::score::Score;

/// Below a submission's front matter.
pub(super) fn of_submission(repository: &Repository, scored: &Scored, config: &PackageConfig, links: &Links) -> String {
    let manifest = &scored.stored.competition.manifest;
    let submission = &scored.submission;
    let (id, hotkey) = (&submission.id, &submission.hotkey);
    let report = &scored.evaluation.report;
    let page = link(&format!("`{id}`"), links.to(&format!("/submissions/{id}")));
    let about = format!(
        "A student of `teachers/{}`, distilled by `{hotkey}` and entered as {page}. It classifies images: {}.",
        manifest.id,
        described(manifest, config),
    );
    let name = submission.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
    let title = format!("{}: {name}`{}` of {} parameters", escaped(&manifest.title), config.architecture.kind(), {
        grouped(report.cost.parameters)
    });
    let results = table(report, &scored.evaluation.score);
    let (use_it, caveats) = (use_it(repository, config, links), caveats(manifest));
    format!(
        "# {title}\n\n{about}\n{caveats}\n{results}\n{use_it}\n## Check it\n\n`receipt.json` is what the validator signed about \
         this measurement; the same receipt, base64url-encoded, is the `verifyToken` of the results. `retort verify \
         receipt.json` repeats the measurement. The receipt names the package as it was uploaded \
         (`{}`); the weights here are the same numbers written anew in canonical form.\n",
        submission.package_sha256,
    )
}

/// Below a teacher's front matter.
pub(super) fn of_teacher(
    repository: &Repository,
    manifest: &Manifest,
    config: &PackageConfig,
    report: &Report,
    score: &Score,
    links: &Links,
) -> String {
    let page = link(&escaped(&manifest.title), links.to(&format!("/competitions/{}", manifest.id)));
    let about = format!(
        "The teacher of {page}: the model to distil. It classifies images: {}. Its answers to the public and to the \
         training images are in the dataset `arena/{}`.",
        described(manifest, config),
        manifest.id,
    );
    let results = table(report, score);
    let use_it = use_it(repository, config, links);
    format!("# {}: the teacher\n\n{about}\n\n{results}\n{use_it}", escaped(&manifest.title))
}

/// Below the front matter of a competition's data.
pub(super) fn of_data(competition: &Competition, links: &Links) -> String {
    let manifest = &competition.manifest;
    let page = link(&escaped(&manifest.title), links.to(&format!("/competitions/{}", manifest.id)));
    let training = match competition.training_teacher_logits {
        Some(_) => format!("| `{TRAINING_LOGITS}` | the teacher's logits on them |\n"),
        None => String::new(),
    };
    let endpoint = links.endpoint();
    format!(
        "# {title}: public data

The {public} public evaluation images of {page} with their labels, and the images to train on. What decides a round is
hidden until the round is revealed, and isn't here.
{caveats}
| file | content |
|---|---|
| `{PUBLIC_IMAGES}` | public evaluation images with labels |
| `{PUBLIC_LOGITS}` | the teacher's logits on them |
| `{TRAINING_IMAGES}` | training images with labels |
{training}
```python
# HF_ENDPOINT={endpoint}
import numpy as np
from huggingface_hub import hf_hub_download

def images(path):                 # RTIMG1: header, pixels, labels
    raw = np.fromfile(path, np.uint8)
    count, *shape = raw[8:24].view(\"<u4\").tolist()
    pixels = raw[25:25 + count * int(np.prod(shape))].reshape(count, *shape)
    return pixels, raw[25 + pixels.size:]

def logits(path):                 # RTLOG1: header, float32
    raw = np.fromfile(path, np.uint8)
    count, classes = raw[8:16].view(\"<u4\").tolist()
    return raw[16:].view(\"<f4\").reshape(count, classes)

file = lambda name: hf_hub_download(\"arena/{id}\", name, repo_type=\"dataset\")
pixels, labels = images(file(\"{PUBLIC_IMAGES}\"))
teacher = logits(file(\"{PUBLIC_LOGITS}\"))
print(pixels.shape, labels[:10], teacher.argmax(1)[:10])
```
",
        title = escaped(&manifest.title),
        public = grouped(u64::from(manifest.data.public_items)),
        id = manifest.id,
        caveats = caveats(manifest),
    )
}

/// What keeps the competition from deciding about money, a line each, and where questions go. A card is as its competition was
/// published: its page has what was changed since.
fn caveats(manifest: &Manifest) -> String {
    let caveats = manifest.caveats().into_iter().map(|caveat| format!("\n> For trying out: {caveat}.\n"));
    let contact = manifest.contact.iter().map(|contact| format!("\nQuestions about the competition: <{contact}>.\n"));
    caveats.chain(contact).collect()
}

/// What goes in and what comes out.
fn described(manifest: &Manifest, config: &PackageConfig) -> String {
    let shape = config.input.shape();
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
    let rows = [
        (
            "Accuracy",
            format!("{} on {} items", interval(score.accuracy, percent), grouped(u64::from(report.data.items))),
        ),
        ("Same answer as the teacher", interval(score.agreement, percent)),
        ("Latency over the reference student", interval(latency.ratio, ratio)),
        ("Median latency, one thread, one image", format!("{} us{p90}", latency.p50_ns / 1_000)),
        ("Size, two bytes a value", format!("{} bytes", grouped(report.cost.size_bytes))),
        ("Parameters", grouped(report.cost.parameters)),
        ("Multiply-accumulates", grouped(report.cost.macs)),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    format!("| measured | with its 95 % interval |\n|---|---|\n{rows}")
}

fn use_it(repository: &Repository, config: &PackageConfig, links: &Links) -> String {
    let shape = config.input.shape();
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
