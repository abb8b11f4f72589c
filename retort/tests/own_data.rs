//! A publisher's day with pictures that this repository has never seen: looked at, a manifest made, published, served, a model scored.

use crate::support::{Service, repository, retort, stderr, stdout};
use datasets::FashionMnist;
use miner_template::source::Assets;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Names that folders can have.
pub(crate) const NAMES: [&str; 10] =
    ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
const EACH_PART: [(&str, usize); 2] = [("train", 400), ("test", 400)];

/// Pictures by class, in colour as cameras make them.
fn write_pictures(folder: &Path, side: u32) {
    let FashionMnist { train, test } = FashionMnist::load().unwrap();
    for ((part, count), images) in EACH_PART.iter().zip([&train, &test]) {
        for index in 0..*count {
            let class = folder.join(part).join(NAMES[usize::from(images.labels[index])]);
            fs::create_dir_all(&class).unwrap();
            let grey = image::GrayImage::from_raw(28, 28, images.image(index).to_vec()).unwrap();
            let large = image::imageops::resize(&grey, side, side, image::imageops::FilterType::Nearest);
            image::DynamicImage::ImageLuma8(large).into_rgb8().save(class.join(format!("{index:03}.png"))).unwrap();
        }
    }
}

/// A package of the repository under the names of the folders.
pub(crate) fn renamed(package: &str, to: &Path) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    let config = fs::read_to_string(repository(package).join("config.json")).unwrap();
    fs::write(to.join("config.json"), config.replace("T-shirt/top", "T-shirt")).unwrap();
    fs::copy(repository(package).join("model.safetensors"), to.join("model.safetensors")).unwrap();
    to.to_owned()
}

pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    let output = retort().current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
    output
}

/// Pictures with a teacher and a reference for them, as README.md calls them.
pub(crate) fn write_all(dir: &Path) {
    write_pictures(&dir.join("my-pictures"), 28);
    renamed("models/teacher", &dir.join("my-teacher"));
    renamed("models/reference", &dir.join("my-reference"));
}

#[test]
fn without_a_reference_one_is_distilled_and_miners_read_the_same_data_offline() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_pictures(&at("pictures"), 28);
    renamed("models/teacher", &at("teacher"));
    let new = ["validator", "new", "pictures", "--teacher", "teacher", "--id", "my-clothes", "--student"];

    let refused = retort().current_dir(dir.path()).args(new).arg("teacher").output().unwrap();
    assert!(stderr(&refused).contains("at most half of the teacher's"), "{}", stderr(&refused));
    // Whoever has this binary alone reads here what there is.
    assert!(stderr(&refused).contains("mlp, resnet-tiny, "), "{}", stderr(&refused));
    assert!(stderr(&refused).contains(r#"as {"kind":"mlp","hidden":[64]}"#), "{}", stderr(&refused));
    let made = stdout(&run(dir.path(), &[&new[..], &["mlp"]].concat()));
    assert!(made.contains("distilling mlp, 50890 parameters, from 360 images in 23 passes by batches of 8"), "{made}");
    assert!(made.contains("of 40 images that it didn't learn from"), "{made}");
    assert!(!at("reference.cache").exists() && at("reference/expected.safetensors").exists());
    let manifest = fs::read_to_string(at("competition.toml")).unwrap();
    assert!(manifest.contains("package = \"reference\""), "{manifest}");

    let assets = Assets::open(at("competition.toml").to_str().unwrap()).unwrap();
    assert_eq!((assets.training.count, assets.evaluation.count), (400, 400));
    assert_eq!(assets.labels.len(), 10);
    assert!(assets.training.labels.iter().all(|label| usize::from(*label) < assets.labels.len()));
}

#[test]
fn a_folder_of_pictures_becomes_a_competition_in_five_commands() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_pictures(&at("pictures"), 56);
    renamed("models/teacher", &at("teacher"));
    renamed("models/reference", &at("reference"));
    let student = renamed("models/fixtures/mlp", &at("student"));
    fs::write(at("pictures/train/Bag/broken.png"), b"\x89PNG\r\n").unwrap();

    let seen = stdout(&run(dir.path(), &["validator", "inspect", "pictures"]));
    assert!(seen.contains("56x56 (400)") && seen.contains("1 row of `train` can't be read"), "{seen}");
    assert!(seen.contains("an accuracy of 90 % on 400 items of `test` is known to ±2.94 points (95 %)"), "{seen}");
    let json = run(dir.path(), &["validator", "inspect", "pictures", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["parts"][1]["rows"], &json["parts"][1]["unreadable"]), (&401.into(), &1.into()));

    let new =
        ["validator", "new", "pictures", "--teacher", "teacher", "--reference", "reference", "--id", "my-clothes"];
    let refused = retort().current_dir(dir.path()).args(new).output().unwrap();
    assert!(
        stderr(&refused).contains("800 pictures aren't 28 x 28 as the teacher takes them; --fit"),
        "{}",
        stderr(&refused)
    );
    run(dir.path(), &[&new[..], &["--fit", "stretch", "--private"]].concat());
    let license = "# license = \"MIT\"";
    assert!(fs::read_to_string(at("competition.toml")).unwrap().contains(license), "what may be said of it");
    // A few hundred items say little of a gate.
    let manifest = fs::read_to_string(at("competition.toml")).unwrap();
    fs::write(at("competition.toml"), manifest.replace("gate_ppm = 900000", "gate_ppm = 500000")).unwrap();

    run(dir.path(), &["validator", "init", "--dir", "home"]);
    let published = run(dir.path(), &["validator", "publish", "competition.toml", "--dir", "home"]);
    assert!(stdout(&published).starts_with("published my-clothes"), "{}", stdout(&published));
    run(dir.path(), &["keys", "new", "hotkey"]);
    let service = Service::start(&at("home"));
    let (student, hotkey) = (student.display().to_string(), at("hotkey").display().to_string());
    let submit = ["miner", "submit", &student, "--hotkey", &hotkey, "--competition", "my-clothes", "--wait"];
    let scored = service.json(&submit);
    assert_eq!((&scored["state"], &scored["report"]["data"]["items"]), (&"scored".into(), &200.into()), "{scored}");
}
