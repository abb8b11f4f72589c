//! A publisher's day with a teacher that is only its answers: a Parquet file that no code of ours wrote becomes a competition, a model is
//! scored, a hidden round is played, and anybody checks it without a teacher to ask.

use crate::own_data::{NAMES, renamed, run};
use crate::support::{Service, repository, retort, stderr, stdout};
use datasets::published::read_answers;
use datasets::{FashionMnist, Images, Logits};
use miner_template::source::Assets;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who answered, as its owner says it.
const WHOSE: [&str; 10] = [
    "--made-by",
    "a teacher of clothes",
    "--license",
    "MIT",
    "--link",
    "https://example.com/clothes",
    "--parameters",
    "939634",
    "--macs",
    "31009440",
];

/// Names in the order of the alphabet, as classes of texts are.
fn sorted() -> Vec<&'static str> {
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    sorted
}

/// Pictures, their kinds in words, and the repository's teacher's answers to them in the order of those words.
fn write_part(path: &Path, images: &Images, answers: &Logits, rows: Range<usize>) {
    let schema = "message schema { optional binary picture; optional binary kind (STRING);
        optional group vit (LIST) { repeated group list { optional double element; } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let count = rows.len();
    let pictures: Vec<ByteArray> = rows.clone().map(|row| png(images.image(row)).into()).collect();
    let kinds: Vec<ByteArray> = rows.clone().map(|row| NAMES[usize::from(images.labels[row])].into()).collect();
    for column in [&pictures, &kinds] {
        let mut written = group.next_column().unwrap().unwrap();
        written.typed::<ByteArrayType>().write_batch(column, Some(&vec![1; count]), None).unwrap();
        written.close().unwrap();
    }
    let place = |name: &str| NAMES.iter().position(|other| *other == name).unwrap();
    let places: Vec<usize> = sorted().into_iter().map(place).collect();
    let values: Vec<f64> =
        rows.flat_map(|row| places.iter().map(move |place| f64::from(answers.row(row)[*place]))).collect();
    let again: Vec<i16> = (0..values.len()).map(|value| i16::from(value % 10 != 0)).collect();
    let mut written = group.next_column().unwrap().unwrap();
    written.typed::<DoubleType>().write_batch(&values, Some(&vec![3; values.len()]), Some(&again)).unwrap();
    written.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

fn png(pixels: &[u8]) -> Vec<u8> {
    let mut body = std::io::Cursor::new(Vec::new());
    let grey = image::GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
    grey.write_to(&mut body, image::ImageFormat::Png).unwrap();
    body.into_inner()
}

fn write_data(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let images = FashionMnist::load().unwrap().train;
    let answers = read_answers(fs::read(repository("models/teacher/training-logits.parquet")).unwrap()).unwrap();
    write_part(&folder.join("train-00000-of-00001.parquet"), &images, &answers, 0..400);
    write_part(&folder.join("test-00000-of-00001.parquet"), &images, &answers, 400..800);
}

/// Before anything is trained, and whatever the folder is that the manifest goes to.
#[test]
fn what_nobody_could_publish_is_refused_at_once_and_paths_are_the_caller_s() {
    let dir = tempfile::tempdir().unwrap();
    write_data(&dir.path().join("data"));
    let new = |answers: &str, link: &str, more: &[&str]| {
        let args = ["validator", "new", "data", "--answers", answers, "--id", "my-clothes", "--out", "sub/c.toml"];
        let whose = ["--made-by", "a teacher", "--license", "MIT", "--link", link];
        retort().current_dir(dir.path()).args(args).args(whose).args(more).output().unwrap()
    };
    let told = stderr(&new("vit", "example.com", &[]));
    assert!(told.contains("teacher.answers.link") && told.contains("https://") && !told.contains("bug"), "{told}");
    assert!(!dir.path().join("sub/reference").exists());
    let reference = dir.path().join("reference");
    renamed("models/reference", &reference);
    let config = fs::read_to_string(reference.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["labels"] = sorted().into();
    fs::write(reference.join("config.json"), config.to_string()).unwrap();
    let made = new("train=data/t.parquet", "https://example.com", &["--reference", "reference"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let manifest = fs::read_to_string(dir.path().join("sub/c.toml")).unwrap();
    for path in ["\"parquet:../data\"", "\"../reference\"", "\"../data/t.parquet\""] {
        assert!(manifest.contains(path), "{path}: {manifest}");
    }
    let none = retort().args(["validator", "new", "data", "--id", "x"]).output().unwrap();
    assert!(none.status.code() == Some(2) && stderr(&none).contains("--answers"), "{}", stderr(&none));
}

#[test]
fn a_parquet_with_answers_becomes_a_competition_whose_rounds_anybody_checks() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_data(&at("clothes"));
    renamed("models/reference", &at("reference"));
    let student = renamed("models/fixtures/mlp", &at("student"));

    let new = ["validator", "new", "clothes", "--answers", "vit", "--reference", "reference", "--id", "my-answers"];
    let whose = retort().current_dir(dir.path()).args(new).output().unwrap();
    assert!(stderr(&whose).contains("--made-by <TEXT>"), "{}", stderr(&whose));
    run(dir.path(), &[&new[..], &WHOSE].concat());
    let manifest = fs::read_to_string(at("competition.toml")).unwrap();
    for said in ["[teacher.answers]", "column = \"vit\"", "hidden_pool = \"private\"", "parameters_max = 112300\n"] {
        assert!(manifest.contains(said), "{said}: {manifest}");
    }
    // The fixture was trained for seconds, and what a round draws is chance: on the one item that it may screen by at first the
    // fixture may be wrong.
    let rounds = manifest.lines().find(|line| line.starts_with("items = ")).unwrap();
    let manifest =
        manifest.replace("gate_ppm = 900000", "gate_ppm = 100000").replace(&format!("\n{rounds}\n"), "\nitems = 100\n");
    fs::write(at("competition.toml"), manifest).unwrap();
    run(dir.path(), &["validator", "init", "--dir", "home"]);
    run(dir.path(), &["validator", "publish", "competition.toml", "--check", "--dir", "home"]);
    let published = stdout(&run(dir.path(), &["validator", "publish", "competition.toml", "--dir", "home"]));
    assert!(published.starts_with("published my-answers"), "{published}");

    run(dir.path(), &["keys", "new", "hotkey"]);
    let service = Service::start(&at("home"));
    let (student, hotkey) = (student.display().to_string(), at("hotkey").display().to_string());
    let checked = service.json(&["miner", "check", &student, "--competition", "my-answers"]);
    let scored =
        service.json(&["miner", "submit", &student, "--hotkey", &hotkey, "--competition", "my-answers", "--wait"]);
    assert_eq!(scored["state"], "scored", "{scored}");
    assert_eq!(scored["report"]["outputs_sha256"], checked["report"]["outputs_sha256"]);
    // The teacher's answers went to the labels of their names: it agrees with a student that learnt from it.
    let [agreement, items] = [&scored["report"]["fidelity"]["agreement"], &scored["report"]["data"]["items"]];
    assert!(items == 200 && agreement.as_u64().unwrap() > 120, "{scored}");
    let address = format!("{}/competitions/my-answers", service.address);
    let assets = Assets::open(&address).unwrap();
    assert!(assets.teacher.is_none() && assets.training_logits.is_some());
    drop(service);

    let round = run(dir.path(), &["validator", "round", "run", "my-answers", "--dir", "home"]);
    let id = scored["id"].as_str().unwrap();
    assert!(stdout(&round).contains(&format!("the seat is {id}'s")), "{}{}", stdout(&round), stderr(&round));
    let service = Service::start(&at("home"));
    let began = Instant::now();
    let mut verified = service.run(&["verify", "round", "my-answers", "1"]);
    // Who serves states in the log what was done while nobody did.
    while verified.status.code() == Some(2) && began.elapsed() < Duration::from_secs(60) {
        verified = service.run(&["verify", "round", "my-answers", "1"]);
    }
    let told = stdout(&verified);
    assert!(verified.status.success(), "{told}{}", stderr(&verified));
    assert!(told.contains("bit for bit those that were committed to with the pool"), "{told}");
    let receipt = service.run(&["verify", id, "--outputs-only"]);
    assert!(receipt.status.success(), "{}{}", stdout(&receipt), stderr(&receipt));
}

#[test]
fn without_a_reference_one_is_distilled_from_the_answers_alone() {
    let dir = tempfile::tempdir().unwrap();
    write_data(&dir.path().join("clothes"));
    let new = ["validator", "new", "clothes", "--answers", "vit", "--id", "my-answers", "--student", "mlp"];
    let made = stdout(&run(dir.path(), &[&new[..], &WHOSE].concat()));
    assert!(made.contains("distilling mlp, 50890 parameters, from 360 images in "), "{made}");
    let manifest = dir.path().join("competition.toml");
    let assets = Assets::open(manifest.to_str().unwrap()).unwrap();
    assert_eq!(assets.labels, sorted());
    assert_eq!(assets.training_logits.unwrap().count, 400);
}
