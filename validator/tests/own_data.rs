//! Data of a publisher's own: a folder of class folders, and Parquet as `datasets` writes it, become the items of a competition; what
//! can't says which row or name it is.

use super::support::{Package, Setup, TestApp, competition_toml};
use datasets::published::read;
use datasets::{Images, load_digits};
use protocol::submission::State;
use std::path::Path;
use validator::Publisher;
use validator::evaluator::silent;
use validator::publishing::{PublishError, Published};

const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// Publishes; the models beside the manifest name the digits by words, too.
async fn publish(app: &TestApp, toml: &str) -> Result<Published, PublishError> {
    let path = app.write_competition(toml);
    for role in ["teacher", "reference"] {
        let config = path.with_file_name(role).join("config.json");
        std::fs::write(&config, by_words(&std::fs::read_to_string(&config).unwrap())).unwrap();
    }
    Publisher::of(&app.app).publish(&path, silent()).await
}

fn by_words(text: &str) -> String {
    (0..10).fold(text.to_owned(), |text, digit| text.replace(&format!("\"{digit}\""), &format!("\"{}\"", NAMES[digit])))
}

/// A manifest of the first 60 digits, named by words.
fn manifest(id: &str, source: &str, rows: &str) -> String {
    let items = format!("data = {{ source = \"{source}\", public_items = 10, hidden_items = 10{rows} }}");
    let toml = competition_toml(id, "score.gate_ppm = 0")
        .replace("data = { source = \"digits\", public_items = 100, hidden_items = 300 }", &items);
    by_words(&toml)
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/fixtures").join(name).display().to_string()
}

/// The digits from 0 to `count` as ImageFolder has them, all in one part.
fn write_folder(folder: &Path, count: usize) {
    let digits = load_digits().unwrap();
    for index in 0..count {
        let class = folder.join(NAMES[usize::from(digits.labels[index])]);
        std::fs::create_dir_all(&class).unwrap();
        let picture = image::GrayImage::from_raw(8, 8, digits.image(index).to_vec()).unwrap();
        picture.save(class.join(format!("{index:03}.png"))).unwrap();
    }
}

/// Training and public part as they are published.
async fn published_parts(app: &TestApp, published: &Published) -> [Images; 2] {
    let (manifest, tables) = (&published.competition.manifest, published.competition.tables);
    let mut parts = Vec::new();
    for object in [tables.training, tables.evaluation] {
        let table = app.app.objects.get(&object.sha256).await.unwrap();
        parts.push(read(table, manifest.input.shape(), manifest.labels.len()).unwrap().images);
    }
    <[Images; 2]>::try_from(parts).unwrap()
}

/// Each picture with its label, in an order of their own.
fn sorted(images: &[&Images]) -> Vec<(Vec<u8>, u16)> {
    let mut rows: Vec<(Vec<u8>, u16)> = (images.iter())
        .flat_map(|images| (0..images.len()).map(|index| (images.image(index).to_vec(), images.labels[index])))
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn parquet_that_datasets_wrote_is_published_as_it_is() {
    let app = TestApp::start(Setup::default()).await;
    let toml = manifest("own-parquet", &format!("parquet:{}", fixture("hub")), "");
    let published = publish(&app, &toml).await.unwrap();
    // What the script wrote into the files: 60 pictures, then their labels.
    let mut pixels = std::fs::read(fixture("digits.bin")).unwrap();
    let labels = pixels.split_off(64 * 60).into_iter().map(u16::from).collect();
    let digits = Images { count: 60, channels: 1, height: 8, width: 8, pixels, labels };
    let [training, public] = published_parts(&app, &published).await;
    assert_eq!(training, digits.select(&(0..40).collect::<Vec<_>>()));
    let test = sorted(&[&digits.select(&(40..60).collect::<Vec<_>>())]);
    assert!(public.len() == 10 && sorted(&[&public]).iter().all(|row| test.contains(row)));
    assert!(!publish(&app, &toml).await.unwrap().created);
}

#[tokio::test]
async fn a_folder_in_one_part_is_split_by_the_secret_key() {
    let app = TestApp::start(Setup::default()).await;
    write_folder(&app.dir.path().join("pictures"), 60);
    let toml = manifest("own-folder", "folder:pictures", "");
    let published = publish(&app, &toml).await.unwrap();
    let [training, public] = published_parts(&app, &published).await;
    assert_eq!((training.len(), public.len()), (40, 10));
    let all = sorted(&[&load_digits().unwrap().select(&(0..60).collect::<Vec<_>>())]);
    let shown = sorted(&[&training, &public]);
    assert!(shown.iter().all(|row| all.contains(row)));

    // Changed under the publication: another competition, which doesn't take its name.
    std::fs::remove_file(app.dir.path().join("pictures/zero/000.png")).unwrap();
    let error = publish(&app, &toml).await.unwrap_err();
    assert!(error.to_string().starts_with("another competition is published as own-folder"), "{error}");
}

/// More classes than a byte tells apart: published, committed to, entered, measured and shown.
#[tokio::test]
async fn a_task_of_three_hundred_classes_is_one_like_any_other() {
    let app = TestApp::start(Setup::default()).await;
    let labels: Vec<String> = (0..300).map(|class| format!("class {class:03}")).collect();
    write_classes(&app.dir.path().join("pictures"), &labels);
    let toml = competition_toml("many", "score.gate_ppm = 0")
        .replace(r#"["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]"#, &format!("{labels:?}"))
        .replace(r#"source = "digits", public_items = 100"#, r#"source = "folder:pictures", public_items = 300"#)
        .replace("_max = 2000\n", "_max = 20000\n");
    let path = app.write_competition(&toml);
    for (role, hidden) in [("teacher", 32), ("reference", 4)] {
        Package::labelled(&[hidden], 1, &labels).write(&path.with_file_name(role));
    }
    let published = Publisher::of(&app.app).publish(&path, silent()).await.unwrap();
    let [_, public] = published_parts(&app, &published).await;
    let by_pixels = |row: &(Vec<u8>, u16)| u16::from(row.0[0]) + 256 * u16::from(row.0[1]) == row.1;
    assert!(sorted(&[&public]).iter().all(by_pixels) && public.labels.iter().any(|label| *label > 255));
    assert_eq!(published.competition.teacher.ceiling().correct, 288, "as often as the script says");

    let id = app.miner(1).submit_to("many", &Package::labelled(&[8], 7, &labels)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let page = reqwest::get(app.url(&format!("/submissions/{id}"))).await.unwrap().text().await.unwrap();
    assert!(!page.contains("Where it goes wrong"), "no matrix of 300 by 300");
    let other = Package::labelled(&[8], 8, &labels).with_config(|config| config["labels"][299] = "class 000".into());
    let refused = app.miner(2).submit_to("many", &other).await.unwrap();
    app.wait_for(&refused, State::Rejected).await;
    let reason = app.app.db.submission(&refused).await.unwrap().unwrap().reason.unwrap().to_string();
    assert!(reason.contains("number 300 is \"class 000\", expected \"class 299\""), "{reason}");
}

/// Three pictures a class, whose first two pixels say which it is.
fn write_classes(folder: &Path, labels: &[String]) {
    for (class, label) in labels.iter().enumerate() {
        std::fs::create_dir_all(folder.join(label)).unwrap();
        for number in 0..3 {
            let mut pixels = vec![number; 64];
            pixels[..2].copy_from_slice(&(class as u16).to_le_bytes());
            let picture = image::GrayImage::from_raw(8, 8, pixels).unwrap();
            picture.save(folder.join(label).join(format!("{number}.png"))).unwrap();
        }
    }
}

#[tokio::test]
async fn what_cant_be_published_names_the_row_or_the_class() {
    let app = TestApp::start(Setup::default()).await;
    let folder = app.dir.path().join("pictures");
    write_folder(&folder, 60);
    let hub = format!("parquet:{}", fixture("hub"));
    let plain = format!("parquet:{}", fixture("plain.parquet"));
    std::fs::write(folder.join("one/999.png"), b"not a picture").unwrap();
    for (toml, problem) in [
        (manifest("a", "folder:nowhere", ""), "read "),
        (manifest("a", "folder:pictures", ""), "(one/999.png): it is no picture of a known format"),
        (manifest("a", &plain, ""), "row 0 (plain.parquet row 0): it has no embedded picture"),
        (
            manifest("a", &hub, ", rows = { evaluation = \"dev\" }"),
            "there is no part `dev`; the parts are `test`, `train`",
        ),
        (manifest("a", &hub, "").replace("\"three\"", "\"drei\""), "no class of the data is called `drei`"),
        (
            manifest("a", &hub, "").replace("public_items = 10", "public_items = 11"),
            "has 20 evaluation items, the manifest wants 21",
        ),
        (
            manifest("a", "folder:pictures", ", rows = { unreadable_max = 1 }").replace("_items = 10", "_items = 30"),
            "fewer leave some",
        ),
    ] {
        let error = publish(&app, &toml).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}\nnot: {problem}");
    }
    assert!(app.app.db.competitions().await.unwrap().is_empty());
    let left_out = manifest("a", "folder:pictures", ", rows = { unreadable_max = 1 }");
    assert!(publish(&app, &left_out).await.unwrap().created);
}
