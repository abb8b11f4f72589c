//! What README.md, pages and cards tell people to type, typed as it stands into a shell, against a real validator. Only what a
//! reader would put in is put in: addresses, ids, and a model of one's own. The competition is a small one that lies where
//! README's does.

use crate::own_data;
use crate::support::{Service, manifest, repository, stderr, stdout};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const README: &str = include_str!("../../README.md");

const HUB: &str = include_str!("../../docs/HUB.md");

/// Blocks of README.md that aren't run here, by how they begin, and why.
const README_NOT_RUN: [(&str, &str); 5] = [
    ("retort bench backends models/teacher", "reads the clone; `backends` runs it"),
    ("cargo run --release -- demo", "a demo of minutes, and this very suite; CI's steps are in .ci/run"),
    ("eval \"$(scripts/onnxruntime.sh)\"", "needs a clone and PyPI; `official` does it"),
    ("[  0.0 s] a validator, in DIR", "what the demo printed"),
    (" #   id        who      model", "what the demo printed"),
];

/// A model that somebody would bring, trained for seconds: README begins where there is a `model`.
const OWN_MODEL: &str = r#"
import gzip, os, numpy, torch, retort_miner
def read(name, header):
    with gzip.open(f"{os.environ['DATA']}/train-{name}-ubyte.gz") as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=header)
images = read("images-idx3", 16).reshape(-1, 1, 28, 28)[:2048]
images = (torch.tensor(images).float() / 255 - .28604) / .35302
labels = torch.tensor(read("labels-idx1", 8)[:2048].astype("int64"))
torch.manual_seed(1)
torch.set_num_threads(1)
model = retort_miner.build({"kind": "resnet", "width": 16, "blocks": [1, 1, 1]}, {"channels": 1, "height": 28, "width": 28}, 10)
optimiser = torch.optim.Adam(model.parameters(), 2e-3)
for first in range(0, 2048, 128):
    loss = torch.nn.functional.cross_entropy(model(images[first:first + 128]), labels[first:first + 128])
    optimiser.zero_grad(); loss.backward(); optimiser.step()
model.eval()
os.makedirs("student", exist_ok=True)
"#;

/// A reader at a shell.
struct Reader {
    dir: tempfile::TempDir,
    /// What a reader would have in PATH.
    path: String,
}

impl Reader {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let competition = dir.path().join("competitions/fashion-mnist");
        fs::create_dir_all(&competition).unwrap();
        manifest(&competition);
        fs::create_dir(dir.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retort"), dir.path().join("bin/retort")).unwrap();
        let hub = interpreter("hub");
        let path = format!("{}:{}:/usr/bin:/bin", dir.path().join("bin").display(), hub.parent().unwrap().display());
        Self { dir, path }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env_clear().env("PATH", &self.path).env("HOME", self.dir.path());
        command.env("RETORT_LATENCY", "quick").env("PYTHONDONTWRITEBYTECODE", "1").env("HF_HUB_DISABLE_TELEMETRY", "1");
        command
    }

    /// What the shell says of lines that must all succeed.
    fn types(&self, lines: &str) -> String {
        let output = self.command(Path::new("/bin/bash")).args(["-euo", "pipefail", "-c", lines]).output().unwrap();
        succeeded(lines, &output)
    }

    /// A line that succeeds; or a check that finds nothing wrong, with a latency that a busy machine can't measure again.
    fn checks(&self, line: &str) {
        let output = self.command(Path::new("/bin/bash")).args(["-c", line]).output().unwrap();
        if !(line.starts_with("retort verify ") && stderr(&output).contains("nothing is wrong")) {
            succeeded(line, &output);
        }
    }

    /// What Python says of a program: one that has `datasets` where that is what the program imports, else one with torch and
    /// transformers.
    fn python(&self, program: &str, endpoint: &str) -> String {
        let environment = if program.contains("from datasets import") { "data" } else { "torch" };
        let packages = interpreter("hub").parent().unwrap().parent().unwrap().join("lib");
        let site = fs::read_dir(&packages).unwrap().next().unwrap().unwrap().path().join("site-packages");
        let path = format!("{}:{}", repository("miner-template/python").display(), site.display());
        let output = self
            .command(&interpreter(environment))
            .args(["-c", program])
            .env("PYTHONPATH", if environment == "torch" { &path } else { "" })
            .env("HF_ENDPOINT", endpoint)
            .env("DATA", repository("datasets/fashion-mnist").canonicalize().unwrap())
            .output()
            .unwrap();
        // As transformers tells of a model that isn't whole.
        assert!(!stderr(&output).contains("MISSING"), "{program}: {}", stderr(&output));
        succeeded(program, &output)
    }
}

impl Reader {
    /// What Node.js says of a module beside Hugging Face's client.
    fn javascript(&self, module: &str) -> String {
        let made = Command::new(repository("scripts/node.sh")).output().unwrap();
        let clients = PathBuf::from(succeeded("node.sh", &made).trim()).join("node_modules");
        std::os::unix::fs::symlink(clients, self.dir.path().join("node_modules")).unwrap();
        fs::write(self.dir.path().join("champion.mjs"), module).unwrap();
        let output = self.command(Path::new("/usr/bin/env")).args(["node", "champion.mjs"]).output().unwrap();
        succeeded(module, &output)
    }
}

fn succeeded(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}\nfailed: {}{}", stdout(output), stderr(output));
    stdout(output)
}

fn interpreter(name: &str) -> PathBuf {
    let made = Command::new(repository("scripts/python.sh")).arg(name).output().unwrap();
    PathBuf::from(succeeded(name, &made).trim())
}

/// The fenced blocks of a Markdown text, each with its language.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        blocks.push((language.to_owned(), text));
    }
    blocks
}

/// The block that begins so, taken out.
fn take(blocks: &mut Vec<(String, String)>, language: &str, begins: &str) -> String {
    let at = blocks.iter().position(|(name, text)| name == language && text.starts_with(begins));
    let at = at.unwrap_or_else(|| panic!("no {language} block begins with {begins:?}: {blocks:#?}"));
    blocks.remove(at).1
}

/// The commands of a page's blocks for copying.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("<pre class=\"command\"><code>").skip(1).filter_map(|rest| rest.split("</code>").next());
    blocks.map(|block| block.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

/// Closes the first round and waits until it is over.
fn play(service: &Service, reader: &Reader) {
    reader.types("retort validator round close fashion-mnist --dir my-validator");
    let began = Instant::now();
    let round = format!("{}/api/v1/competitions/fashion-mnist/rounds/1", service.address);
    while !fetch(reader, &round).contains(r#""step":"revealed""#) {
        assert!(began.elapsed() < Duration::from_secs(420), "no round is revealed: {}", service.log().join("\n"));
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn readme_pages_and_cards_are_right_to_the_letter() {
    let mut readme = blocks(README);
    for (begins, _) in README_NOT_RUN {
        readme.retain(|(_, text)| !text.starts_with(begins));
    }
    let reader = Reader::new();

    // Somebody with data.
    own_data::write_all(reader.dir.path());
    reader.types(&take(&mut readme, "sh", "retort validator inspect my-pictures"));

    // A validator.
    let validator = take(&mut readme, "sh", "retort validator init");
    let (before, after) = validator.split_once("retort validator serve --dir my-validator").expect("it serves");
    reader.types(before);
    let service = Service::start(&reader.dir.path().join("my-validator"));
    let here = |text: &str| text.replace("http://HOST:7070", &service.address);
    let after: String = after.lines().skip(1).map(|line| format!("{line}\n")).collect();
    reader.types(&after);

    // Somebody with a model in PyTorch.
    reader.python(&(OWN_MODEL.to_owned() + &take(&mut readme, "python", "from safetensors.torch")), &service.address);
    let config = take(&mut readme, "json", "{\n  \"format\": \"retort/1\"");
    fs::write(reader.dir.path().join("student/config.json"), config).unwrap();
    let told = reader.types(&here(&take(&mut readme, "sh", "retort keys new")));
    assert!(told.contains("predicted rank: 1") && told.contains("rank 1, score"), "{told}");
    play(&service, &reader);

    // Everybody else.
    reader.types("mv student first && cp -r first student");
    let hub = take(&mut readme, "sh", "export HF_ENDPOINT");
    let told = reader.types(&here(&hub));
    let board = service.json(&["board"]);
    let champion = board["champion"].as_str().unwrap_or_else(|| panic!("{board:#}\n{}", service.log().join("\n")));
    let id = champion.to_owned();
    assert!(told.contains(&format!("/submissions/{id}")), "the same package is the same submission: {told}");
    let mlp = repository("models/scale/mlp-12k-train-1").canonicalize().unwrap();
    let other = service.json(&[
        "miner",
        "submit",
        &mlp.display().to_string(),
        "--hotkey",
        &reader.dir.path().join("hotkey.json").display().to_string(),
        "--wait",
    ]);
    image::GrayImage::from_pixel(28, 28, image::Luma([9])).save(reader.dir.path().join("picture.png")).unwrap();
    let ours = take(&mut readme, "sh", "retort pull fashion-mnist champion");
    let (ours, witness) = ours.split_once("retort witness").expect("it ends with a witness");
    let ours = here(ours).replace("SUBMISSION", &id);
    let (copy, ours): (Vec<&str>, Vec<&str>) =
        ours.lines().partition(|line| line.starts_with("retort verify copy A B "));
    for line in ours {
        reader.checks(line);
    }
    // Errors on secret probes can't be compared before the competition is over: it says so, and that all else holds.
    let copy = copy.concat();
    let copy = copy.split('#').next().unwrap().replace(" A B ", &format!(" {id} {} ", other["id"].as_str().unwrap()));
    let told = reader.types(&format!("{copy} || test $? = 2"));
    assert!(told.contains("verdict      independent"), "{told}");
    witnesses(&reader, &here(&format!("retort witness{witness}")));

    let javascript = here(&take(&mut readme, "js", "import { downloadFile }"));
    assert!(reader.javascript(&javascript).contains("'Ankle boot'"), "its labels");
    // docs/HUB.md has the same addresses.
    for (_, program) in blocks(HUB).into_iter().filter(|(language, _)| language == "python") {
        reader.python(&program, &service.address);
    }
    pages(&reader, &service, &id);
    cards(&reader, &service, &id);
    assert!(readme.is_empty(), "blocks that nobody runs; run them, or say in README_NOT_RUN why not: {readme:#?}");
}

/// A witness serves until it is ended.
fn witnesses(reader: &Reader, line: &str) {
    let line = format!("exec {} --listen 127.0.0.1:0", line.split('#').next().unwrap().trim());
    let mut child = reader.command(Path::new("/bin/bash")).args(["-c", &line]).stdout(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().next();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(&told, Some(Ok(key)) if key.starts_with("witness: ")), "{line}: {told:?}");
}

fn fetch(reader: &Reader, url: &str) -> String {
    let program = format!("import urllib.request as u; print(u.urlopen({url:?}).read().decode())");
    let output = reader.command(&interpreter("hub")).args(["-c", &program]).output().unwrap();
    succeeded(url, &output)
}

/// Blocks of the pages of a competition, a submission and a round.
fn pages(reader: &Reader, service: &Service, id: &str) {
    for target in ["competitions/fashion-mnist", &format!("submissions/{id}"), "competitions/fashion-mnist/rounds/1"] {
        let found = commands(&fetch(reader, &format!("{}/{target}", service.address)));
        assert!(!found.is_empty(), "{target} has nothing to copy");
        for block in found {
            // A folder of its own, as somebody has who comes from elsewhere.
            reader.types(&format!("rm -rf there && mkdir there && cd there && true\n{}", trained(&block)));
        }
    }
}

/// The block beside what its reader has by then: a package without the minutes that a distillation takes, an exported file, a key.
fn trained(block: &str) -> String {
    let line = |line: &str| match line.strip_prefix("miner-template distil ") {
        Some(rest) if rest.ends_with(" --out student") && rest.contains("/competitions/fashion-mnist") => {
            "cp -r ../first student\n".to_owned()
        }
        _ if line.starts_with("retort miner check model.onnx ") => {
            let exported = repository("models/fixtures/onnx/mlp/model.onnx").canonicalize().unwrap();
            format!("cp {} ../hotkey.json .\n{line}\n", exported.display())
        }
        _ => format!("{line}\n"),
    };
    block.lines().map(line).collect()
}

/// Blocks of a submission's, the champion's, the teacher's and the data's card.
fn cards(reader: &Reader, service: &Service, id: &str) {
    for target in [
        &format!("submissions/{id}/resolve/main/README.md"),
        "arena/fashion-mnist/resolve/main/README.md",
        "teachers/fashion-mnist/resolve/main/README.md",
        "datasets/arena/fashion-mnist/resolve/main/README.md",
    ] {
        let card = fetch(reader, &format!("{}/{target}", service.address));
        let found = blocks(&card);
        assert!(!found.is_empty(), "{target} has no block");
        for (language, text) in found {
            assert_eq!(language, "python", "{target}: {text}");
            assert!(text.contains(&format!("HF_ENDPOINT={}\n", service.address)), "{target}: {text}");
            reader.python(&text, &service.address);
        }
        // What cards have in a line beside their blocks, and the line that people know.
        if let Some((_, rest)) = card.split_once("it is one line: `").filter(|_| target.starts_with("arena/")) {
            let line = rest.split('`').next().unwrap();
            let pipeline = line
                .replace("AutoModelForImageClassification.from_pretrained(", "pipeline(\"image-classification\", ")
                .replace("), trust", ", trust");
            let program = format!(
                "from transformers import AutoModelForImageClassification, pipeline\n{line}\n\
                 print(len({pipeline}(\"picture.png\")))"
            );
            assert_eq!(reader.python(&program, &service.address).trim(), "5", "{target}");
        }
    }
}
