//! `retort demo`: the story of a whole subnet, on this machine, on real data.
//!
//! Everything goes through the doors that strangers use: HTTP, signed requests, the worker process. What is special
//! here is only that one program plays all parts, and that the schedules are short.

mod service;

use super::predict::{self, Prediction};
use super::pull::{Pulled, pull};
use super::validator::log_in_story;
use super::{miner, print_json, verify};
use crate::cli::DemoArgs;
use crate::leave::{self, Temporary};
use crate::{plot, table};
use ::copies::disguise::shape::{Filling, widened};
use anyhow::{Context, Result, bail};
use datasets::Images;
use datasets::hidden::{RoundEntryView, RoundView};
use miner_template::client::{Announcing, Client};
use miner_template::distil::{Options, distil};
use miner_template::progress::Display;
use miner_template::recipe::{Changes, Loss, Plain, Recipe};
use miner_template::source::Assets;
use miner_template::students::student;
use models::{DeviceKind, Weights};
use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::digest::canonical_json;
use protocol::package::PackageConfig;
use protocol::reward::Weight;
use protocol::round::Step;
use protocol::transforms::Family;
use protocol::{CompetitionId, SubmissionId};
use serde::Serialize;
use service::Service;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use validator::config::LatencyEffort;

/// What PyTorch's exporter wrote of a student that was trained there, submitted as it is.
const EXPORTED: [(&str, &[u8]); 2] = [
    ("config.json", include_bytes!("../../../models/fixtures/onnx/resnet/config.json")),
    ("model.onnx", include_bytes!("../../../models/fixtures/onnx/resnet/model.onnx")),
];

/// The miners that distil here: name, student, epochs, training images.
const MINERS: [(&str, &str, u32, u32); 3] =
    [("alice", "mlp", 6, 60_000), ("bob", "resnet-tiny", 3, 20_000), ("carol", "depthwise", 3, 20_000)];

/// Who learns the public items by heart, and how often it goes through them.
const MEMORISER: &str = "mallory";
const MEMORISER_EPOCHS: u32 = 40;
/// Who copies whom in another shape.
const CLONER: &str = "eve";
const CLONED: &str = "alice";

/// Short schedules learn more from many small steps.
const BATCH: usize = 64;

/// Test images that the champion classifies at the end.
const SHOWN: u32 = 10;

/// What `--json` prints.
#[derive(Serialize)]
struct Story {
    competition: CompetitionId,
    teacher: BoardRow,
    leaderboard: Vec<BoardRow>,
    champion: SubmissionId,
    weights: Vec<Weight>,
    round: RoundView,
    pulled: Pulled,
    receipt: Vec<verify::Check>,
    predictions: Vec<Prediction>,
    page: String,
    elapsed_ms: u64,
}

pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let started = Instant::now();
    log_in_story();
    let (dir, _temporary) = folder(args)?;
    // The story is what it prints; what moves meanwhile goes to standard error.
    let say = |line: &str| {
        let line = format!("[{:>5.1} s] {line}", started.elapsed().as_secs_f64());
        if args.json { eprintln!("{line}") } else { println!("{line}") }
    };

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    say(&format!("a validator, in {}", dir.display()));
    say("its keys, its database and its public log are made: seconds, or some more on a slow disk");
    let service = Service::start(&runtime, &dir, args, &say)?;
    say(&format!("published; the page is at {}/", service.base));
    if service.app.config.latency == LatencyEffort::Quick {
        say(
            "latency is measured by the short preset of the protocol; `retort bench latency` and `serve` use the full one",
        );
    }

    let client = Client::new(&service.base);
    let packages = distil_all(&client, &service.competition, &dir, &say)?;
    let submissions = submit_all(&client, &service.competition, &packages, &dir, &say)?;
    for (name, submission) in &submissions {
        let status = miner::wait_for_end(&client, submission)?;
        match (status.rank, &status.reason) {
            (Some(rank), _) => say(&format!("{name}: scored, provisional rank {rank} by public items")),
            (None, None) if *name == CLONER => say(&format!("{name}: counts as {CLONED}'s, which came earlier")),
            (None, Some(reason)) => bail!("{name}'s submission ended as {}: {}", status.state, reason.detail),
            (None, None) => bail!("{name}'s submission ended as {}", status.state),
        }
    }

    let round = play_round(&runtime, &service, &client, &say)?;
    let board = client.leaderboard(&service.competition)?;
    let champion = board.champion.clone().context("a board with scored submissions has a champion")?;
    let pulled = pull(&client, &champion, &dir.join(format!("champion-{}", table::tail(&champion))))?;
    say(&format!("pulled the champion to {}, every digest verified", pulled.dir));
    let receipt = verify::confirm(&client, &champion, service.app.log.key())?;
    say("the champion's receipt: signed, in the public log, and the same outputs bit for bit when run again");
    let (images, predictions) =
        predict::predict_test_images(Path::new(&pulled.dir), None, &(0..SHOWN).collect::<Vec<_>>())?;

    let elapsed_ms = started.elapsed().as_millis() as u64;
    let story = Story {
        competition: service.competition.clone(),
        teacher: teacher(&board)?,
        leaderboard: board.rows.iter().filter(|row| row.kind == RowKind::Submission).cloned().collect(),
        champion,
        weights: round.weights.clone(),
        round,
        pulled,
        receipt,
        predictions,
        page: format!("{}/", service.base),
        elapsed_ms,
    };
    if args.json {
        print_json(&story)?;
    } else {
        tell(&story, &board, &images);
    }
    service.end(&runtime, args.serve)
}

/// The folder given, or a temporary one that is removed at the end, however that comes.
fn folder(args: &DemoArgs) -> Result<(PathBuf, Option<Temporary>)> {
    match &args.dir {
        Some(dir) => {
            leave::last_words(format!("ended; what there is of it is in {}", dir.display()));
            Ok((dir.clone(), None))
        }
        None => {
            let temporary = Temporary::new("retort-demo-")?;
            leave::last_words("ended; nothing is left of it".into());
            Ok((temporary.path().to_owned(), Some(temporary)))
        }
    }
}

fn distil_all(
    client: &Client,
    id: &CompetitionId,
    dir: &Path,
    say: &impl Fn(&str),
) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut assets = Assets::fetch(client, id).context("fetch the competition")?;
    say("miners fetched the manifest, the teacher and the data, and verified every digest");
    let mut packages = Vec::new();
    // Asking the teacher about mixtures would take longer than all the rest.
    let changes = Changes::Rounds { family: Family { mixture_ppm: 0, ..assets.family } };
    for (name, architecture, epochs, images) in MINERS {
        let recipe = Recipe { epochs, batch: BATCH, changes, ..Recipe::default() };
        packages.push((name, learn(&assets, dir, (name, architecture), recipe, Some(images), say)?));
    }
    let package = dir.join("miners/dave/package");
    for (name, bytes) in EXPORTED {
        write(&package.join(name), bytes)?;
    }
    packages.push(("dave", package));

    // Whoever has the public items by heart leads on them, and on nothing else.
    (assets.training, assets.training_logits) = (assets.evaluation.clone(), None);
    let by_heart = Recipe {
        epochs: MEMORISER_EPOCHS,
        batch: BATCH,
        loss: Loss::CrossEntropy,
        changes: Changes::Plain(Plain::default()),
        ..Recipe::default()
    };
    packages.push((MEMORISER, learn(&assets, dir, (MEMORISER, "mlp"), by_heart, None, say)?));
    let (_, original) = packages.iter().find(|(name, _)| *name == CLONED).context("the demo distils it")?;
    packages.push((CLONER, clone_in_another_shape(original, dir)?));
    say(&format!("{CLONER} took {CLONED}'s model and split a unit in two: another shape, the same function"));
    Ok(packages)
}

/// Trains a student into a miner's folder.
fn learn(
    assets: &Assets,
    dir: &Path,
    (name, architecture): (&str, &str),
    recipe: Recipe,
    images_max: Option<u32>,
    say: &impl Fn(&str),
) -> Result<PathBuf> {
    let package = dir.join("miners").join(name).join("package");
    let options = Options {
        architecture: student(architecture).map_err(anyhow::Error::msg)?,
        command: format!("retort demo ({architecture}, {})", table::count(recipe.epochs, "epoch")),
        recipe,
        views: 1,
        images_max,
        start_from: None,
        seed: rand::random(),
        device: DeviceKind::fastest_for_training(),
        out: package.clone(),
        cache: dir.join("cache"),
    };
    let mut display = Display::new(name);
    let made = distil(assets, &options, |event| display.event(event))?;
    let percent = 100.0 * made.right as f64 / made.items as f64;
    let how = if name == MEMORISER { "learnt the public items by heart with" } else { "distilled" };
    say(&format!("{name} {how} {architecture}: {} parameters, {percent:.1} % of the public part", made.parameters));
    Ok(package)
}

/// The package with one unit more that changes nothing: no digest and no order of units gives it away.
fn clone_in_another_shape(original: &Path, dir: &Path) -> Result<PathBuf> {
    let read = |name: &str| fs::read(original.join(name)).with_context(|| format!("read {name}"));
    let config = PackageConfig::from_json(&read("config.json")?)?;
    let weights = Weights::from_safetensors(&read("model.safetensors")?, &config.plan()?)?;
    let clone = widened(&config, &weights, Filling::Split, rand::random()).context("this family has a wider shape")?;
    let package = dir.join("miners").join(CLONER).join("package");
    write(&package.join("config.json"), &canonical_json(&clone.config)?)?;
    write(&package.join("model.safetensors"), &clone.weights.to_safetensors()?)?;
    Ok(package)
}

fn submit_all(
    client: &Client,
    id: &CompetitionId,
    packages: &[(&'static str, PathBuf)],
    dir: &Path,
    say: &impl Fn(&str),
) -> Result<Vec<(&'static str, SubmissionId)>> {
    let mut submissions = Vec::new();
    for (name, package) in packages {
        let hotkey = dir.join("miners").join(name).join("hotkey");
        if !hotkey.exists() {
            chain::keyfile::create(&hotkey, &chain::keyfile::generate()?)?;
        }
        let keypair = chain::keyfile::load(&hotkey)?;
        let submission = miner::submit(client, id, package, &Announcing::default(), &keypair)?.id;
        let from = if *name == "dave" { " (trained in PyTorch, exported as ONNX)" } else { "" };
        say(&format!("{name}{from} signed and uploaded {submission}"));
        submissions.push((*name, submission));
    }
    Ok(submissions)
}

/// Closes the round and tells what becomes of it, step by step; the service does the work.
fn play_round(runtime: &Runtime, service: &Service, client: &Client, say: &impl Fn(&str)) -> Result<RoundView> {
    let (id, app) = (&service.competition, &service.app);
    runtime.block_on(validator::rounds::close_now(&app.db, app.hotkey, id, app.clock.now()))?;
    say("round 1 takes no more submissions");
    let (path, mut told) = (format!("/api/v1/competitions/{id}/rounds/1"), Step::Open);
    loop {
        let view: RoundView = client.get_json(&path)?;
        if view.step > told {
            told = view.step;
            say(&format!("round 1: {}", step_in_words(&view)));
        }
        match view.step {
            Step::Revealed => return Ok(view),
            Step::Abandoned => bail!("the round is abandoned: its beacon never came"),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn step_in_words(view: &RoundView) -> String {
    match view.step {
        Step::Open => "open".into(),
        Step::Closed => "closed; the hash of a new entry of the ledger is its beacon".into(),
        Step::Abandoned => "abandoned: its beacon never came".into(),
        Step::Drawn => "hidden items are drawn, changed, and answered by teacher and reference".into(),
        Step::Screened => "everybody answered some of them; who is decided is known".into(),
        Step::Measured => "everybody who may take the seat is measured on all of them".into(),
        Step::Judged => "judged; the champion has its seat".into(),
        Step::Paid => "weights are on the local ledger".into(),
        Step::Revealed => "revealed: anybody can draw, measure and judge it again".into(),
    }
}

fn teacher(board: &Leaderboard) -> Result<BoardRow> {
    board.rows.iter().find(|row| row.kind == RowKind::Teacher).cloned().context("the board shows the teacher")
}

fn tell(story: &Story, board: &Leaderboard, images: &Images) {
    println!("{}\n{}\n\n{}", table::board(board), table::legend(board), plot::accuracy_against_latency(board));
    println!("{}\nweights on the ledger:", gaps(&story.round));
    for weight in &story.weights {
        println!("  {} {:.1} %", weight.hotkey, f64::from(weight.weight_ppm) / 1e4);
    }
    println!("\nthe champion's receipt, checked as `retort verify {} --outputs-only` does:", story.champion);
    for check in &story.receipt {
        println!("  ok {:12} {}", check.name, check.detail);
    }
    println!("\nthe champion, {}, on ten test images:\n", story.champion);
    println!("{}", predict::show(images, &story.predictions));
    println!(
        "the whole story took {:.0} s; --serve leaves its pages running, --dir DIR keeps its files",
        story.elapsed_ms as f64 / 1e3
    );
}

/// What the hidden items showed.
fn gaps(round: &RoundView) -> String {
    let percent = |[right, items]: [u32; 2]| 100.0 * f64::from(right) / f64::from(items.max(1));
    let line = |entry: &RoundEntryView| {
        let (clean, changed) = (percent(entry.clean?), percent(entry.changed?));
        let seat = if round.champion.as_ref() == Some(&entry.submission) { "  takes the seat" } else { "" };
        Some(format!("  {}  {clean:6.2} % clean, {changed:6.2} % hidden{seat}", entry.submission))
    };
    let lines: Vec<String> = round.entries.iter().filter_map(line).collect();
    format!("round {} on hidden items, which nobody has seen before:\n{}\n", round.round, lines.join("\n"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
