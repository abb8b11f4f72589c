//! The template as a miner uses it: offline, on real images, with an interruption.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod contest;
mod graphs;
mod memoriser;
mod shapes;

use datasets::FashionMnist;
use miner_template::checkpoint::Checkpoint;
use miner_template::distil::{Options, check_out_folder, distil};
use miner_template::files::PackageFiles;
use miner_template::progress::{Event, Preparation};
use miner_template::recipe::Recipe;
use miner_template::source::Assets;
use miner_template::students::{STUDENTS, student};
use models::DeviceKind;
use protocol::competition::Manifest;
use protocol::nulls::Nulls;
use protocol::package::{Admission, admit};
use std::path::{Path, PathBuf};

fn assets() -> Assets {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../competitions/fashion-mnist/competition.toml");
    Assets::offline(&manifest).unwrap()
}

/// What the built-in competition states of honest students.
fn nulls() -> Nulls {
    let text = include_str!("../../competitions/fashion-mnist/competition.toml");
    Manifest::from_toml(text).unwrap().nulls.unwrap()
}

fn options(epochs: u32, out: PathBuf) -> Options {
    Options {
        architecture: student("mlp").unwrap(),
        // A few steps of the whole recipe, mixtures and all: the teacher is asked about 300 an epoch.
        recipe: Recipe { epochs, ..Recipe::default() },
        views: 1,
        images_max: Some(2_000),
        start_from: None,
        seed: 1,
        device: DeviceKind::Flex,
        cache: out.join("../cache"),
        out,
        command: "test".into(),
    }
}

#[test]
fn an_interrupted_run_goes_on_and_ends_where_an_uninterrupted_one_does() {
    let (dir, assets) = (tempfile::tempdir().unwrap(), assets());
    let whole = dir.path().join("whole");
    let mut begun = Vec::new();
    let hear = |event| match event {
        Event::Preparing(what, 0, all) => begun.push((what, all)),
        Event::Step(progress) => assert!(begun.len() == 2, "{progress:?}"),
        Event::Preparing(what, done, all) => assert!(done <= all && all > 0, "{what:?}"),
    };
    distil(&assets, &options(3, whole.clone()), hear).unwrap();
    assert_eq!(begun, [(Preparation::Mixtures, 900), (Preparation::Teacher, 900)], "nothing goes on untold");

    let broken = dir.path().join("broken");
    let interrupted = std::panic::catch_unwind(|| {
        let interrupt = |event| match event {
            Event::Step(progress) if progress.epoch == 2 => panic!("pulled the plug"),
            _ => {}
        };
        distil(&assets, &options(3, broken.clone()), interrupt)
    });
    assert!(interrupted.is_err());
    let history = Checkpoint::in_folder(&broken).history().unwrap().unwrap();
    assert_eq!((history.seed, history.curve.len()), (1, 2));

    let mut first = None;
    distil(&assets, &options(3, broken.clone()), |event| {
        if let Event::Step(progress) = event {
            first.get_or_insert(progress.epoch);
        }
    })
    .unwrap();
    assert_eq!(first, Some(2), "the first two epochs are not repeated");
    let weights = |folder: &Path| PackageFiles::read(folder).unwrap().weights;
    assert_eq!(weights(&whole), weights(&broken), "bit for bit");
    assert!(Checkpoint::in_folder(&broken).history().unwrap().is_none(), "a finished run leaves no checkpoint");

    let files = PackageFiles::read(&whole).unwrap();
    let rules = Admission { input: &assets.input, labels: &assets.labels, limits: &assets.limits };
    admit(&files.config_json, &files.weights, &rules).unwrap();
}

#[test]
fn every_student_of_the_catalogue_fits_the_competition_but_for_the_teacher() {
    let assets = assets();
    for (name, ..) in STUDENTS {
        let plan = student(name).unwrap().plan(assets.input.shape(), assets.labels.len() as u32).unwrap();
        let costs = plan.costs().unwrap();
        let fits = costs.macs <= assets.limits.macs_max && 4 * costs.parameters <= assets.limits.size_bytes_max;
        assert_eq!(fits, name != "teacher", "{name}: {costs:?}");
    }
    assert!(student("nobody").unwrap_err().contains("choose mlp"));
}

#[test]
fn a_folder_with_other_files_is_not_written_into() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
    assert!(check_out_folder(dir.path()).unwrap_err().to_string().contains("thesis.tex"));
}

#[test]
fn the_teacher_is_what_its_card_says() {
    let assets = assets();
    let teacher = assets.teacher.as_ref().unwrap();
    let device = DeviceKind::Flex.open().unwrap();
    let network = miner_template::teacher::load(&teacher.config.plan().unwrap(), &teacher.weights, &device).unwrap();
    let test = FashionMnist::load_test().unwrap();
    let first = test.select(&(0..1_000).collect::<Vec<u32>>());
    let scale = assets.input.normalisation();
    let logits = miner_template::teacher::logits(&network, &first, Default::default(), &scale, &device, |_| {});
    let right = miner_template::teacher::count_right(&logits, &first.labels);
    assert!(right >= 930, "{right} of the first 1,000 test images");
}
