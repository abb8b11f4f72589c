//! Folders and Parquet files as people have them (`scripts/data_fixtures.py`), read row by row; and each way in which they can be
//! wrong.

use datasets::inspect::{error_bar_ppm, inspect};
use datasets::published::{Part, TableError, table};
use datasets::source::{RowError, Source, SourceError, Table, Wanted};
use datasets::{Images, Labelled, Logits};
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, InputSpec, PictureSpec, RowSpec};
use std::path::{Path, PathBuf};
use std::process::Command;

const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };
const ROWS: usize = 60;
const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const UNLIMITED: u64 = u64::MAX;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Pixels and labels of the 60 digits.
fn digits() -> (Vec<u8>, Vec<u16>) {
    let mut pixels = std::fs::read(fixtures().join("digits.bin")).unwrap();
    let labels = pixels.split_off(64 * ROWS).into_iter().map(u16::from).collect();
    (pixels, labels)
}

fn png(pixels: &[u8]) -> Vec<u8> {
    let mut body = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_raw(8, 8, pixels.to_vec()).unwrap();
    picture.write_to(&mut body, image::ImageFormat::Png).unwrap();
    body.into_inner()
}

/// The digits as ImageFolder has them: 40 to train, 20 to test.
fn folder() -> tempfile::TempDir {
    let (pixels, labels) = digits();
    let folder = tempfile::tempdir().unwrap();
    for (index, label) in labels.iter().enumerate() {
        let class = folder.path().join(if index < 40 { "train" } else { "test" }).join(NAMES[usize::from(*label)]);
        std::fs::create_dir_all(&class).unwrap();
        std::fs::write(class.join(format!("{index:02}.png")), png(&pixels[64 * index..][..64])).unwrap();
    }
    folder
}

fn open(source: &Source) -> Table {
    source.open(&RowSpec::default()).unwrap()
}

#[test]
fn rows_that_nobody_holds_are_the_same_and_say_when_their_pictures_are_others() {
    let folder = folder();
    std::fs::write(folder.path().join("train/one/broken.png"), "no picture").unwrap();
    let table = open(&Source::Folder(folder.path().to_owned()));
    let input = InputSpec { channels: 1, height: 8, width: 8, mean_ppm: vec![500_000], deviation_ppm: vec![500_000] };
    let rows = RowSpec { unreadable_max: 1, ..RowSpec::default() };
    let wanted = Wanted { input: &input, labels: &NAMES.map(str::to_owned), rows: &rows, bytes_max: UNLIMITED };
    let silent = |_, _| {};
    for name in ["train", "test"] {
        let part = table.part(name).unwrap();
        let held = table.items(part, &wanted, &silent).unwrap();
        let opened = table.opened(part, &wanted, &silent).unwrap();
        let [mut expected, mut found] = [Vec::new(), Vec::new()];
        Labelled::from(Part { images: held.images.clone(), answers: None }).write_pool(&mut expected).unwrap();
        opened.items.write_pool(&mut found).unwrap();
        assert!(found == expected && opened.sha256 == Digest::of(&expected), "{name}");
        assert_eq!((opened.left_out.len(), &opened.left_out), (usize::from(name == "train"), &held.left_out));
        assert_eq!(opened.items.select(&[7, 0, 19]).held().unwrap(), held.images.select(&[7, 0, 19]));
    }
    let part = table.part("test").unwrap();
    let opened = table.opened(part, &wanted, &silent).unwrap();
    std::fs::remove_dir_all(folder.path().join("test")).unwrap();
    let gone = opened.items.held().unwrap_err().to_string();
    assert!(gone.starts_with("row 0 (test/eight/"), "{gone}");
}

#[test]
fn a_folder_of_class_folders_is_two_parts() {
    let folder = folder();
    std::fs::write(folder.path().join("train/one/notes.txt"), "not a picture").unwrap();
    std::fs::write(folder.path().join("train/.DS_Store"), "hidden").unwrap();
    assert_eq!(Source::guessed(folder.path()), Source::Folder(folder.path().to_owned()));
    let table = open(&Source::Folder(folder.path().to_owned()));
    let sorted = ["eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero"];
    assert_eq!(table.classes.as_deref(), Some(sorted.map(str::to_owned).as_slice()));
    assert_eq!(
        table.parts.iter().map(|part| (part.name.as_str(), part.rows)).collect::<Vec<_>>(),
        [("test", 20), ("train", 40)]
    );
    assert_eq!(table.ignored, 1);

    let [training, evaluation] = table.training_and_evaluation(&RowSpec::default()).unwrap();
    let inputs = training.inputs(SHAPE, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap();
    assert_eq!((inputs.labels.len(), inputs.pixels.len(), evaluation.rows), (40, 64 * 40, 20));
    let (pixels, labels) = digits();
    // Rows go by class, then by name.
    let eights = (0..40).filter(|index| labels[*index] == 8);
    let expected: Vec<u8> = eights.flat_map(|index| pixels[64 * index..][..64].to_vec()).collect();
    assert_eq!(inputs.pixels[..expected.len()], expected);
    assert!(inputs.labels.is_sorted());
}

#[test]
fn what_datasets_writes_is_read_with_its_names() {
    let source = Source::guessed(&fixtures().join("hub"));
    assert_eq!(source, Source::Parquet(fixtures().join("hub")));
    let table = open(&source);
    assert_eq!(table.classes.as_deref(), Some(NAMES.map(str::to_owned).as_slice()));
    assert_eq!(table.columns, [("image".into(), "Image".into()), ("label".into(), "ClassLabel of 10".to_owned())]);
    let [training, evaluation] = table.training_and_evaluation(&RowSpec::default()).unwrap();
    let read = |part: &datasets::source::Part| part.inputs(SHAPE, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap();
    let (training, evaluation) = (read(training), read(evaluation));
    let (pixels, labels) = digits();
    assert_eq!([training.pixels, evaluation.pixels].concat(), pixels);
    assert_eq!([training.labels, evaluation.labels].concat(), labels);
}

#[test]
fn texts_are_labels_in_the_order_of_the_alphabet() {
    let table = open(&Source::Parquet(fixtures().join("text-labels.parquet")));
    let names = table.classes.clone().unwrap();
    assert!(names.is_sorted() && names.len() == 10);
    let [training, evaluation] = table.training_and_evaluation(&RowSpec::default()).unwrap();
    assert_eq!((training.name.as_str(), evaluation.name.as_str(), training.rows), ("all", "all", 60));
    let inputs = training.inputs(SHAPE, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap();
    let (pixels, labels) = digits();
    assert_eq!(inputs.pixels, pixels);
    let named: Vec<&str> = inputs.labels.iter().map(|label| names[usize::from(*label)].as_str()).collect();
    assert_eq!(named, labels.iter().map(|label| NAMES[usize::from(*label)]).collect::<Vec<_>>());
}

#[test]
fn rows_that_cant_be_read_are_told_and_left_out_as_often_as_the_manifest_says() {
    let table = open(&Source::Parquet(fixtures().join("plain.parquet")));
    assert_eq!(table.classes, None);
    let part = table.part("all").unwrap();
    let error = part.inputs(SHAPE, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap_err();
    let told = "part `all`, row 0 (plain.parquet row 0): it has no embedded picture; a path alone isn't followed; 0 were left out \
                before it, `data.rows.unreadable_max` says how many may be";
    assert_eq!(error.to_string(), told);
    let spec = RowSpec { unreadable_max: 3, ..RowSpec::default() };
    let inputs = part.inputs(SHAPE, &spec, UNLIMITED, &|_, _| {}).unwrap();
    let (pixels, labels) = digits();
    let kept = || [1].into_iter().chain(4..ROWS);
    assert_eq!(inputs.labels, kept().map(|index| labels[index]).collect::<Vec<_>>());
    assert_eq!(inputs.pixels, kept().flat_map(|index| pixels[64 * index..][..64].to_vec()).collect::<Vec<_>>());
    let problems: Vec<&str> = inputs.left_out.iter().map(|row: &RowError| row.problem.as_str()).collect();
    assert_eq!(problems[1..], ["its label is -1, which says that it has none", "it has no label"]);
}

#[test]
fn a_picture_of_another_size_says_what_the_manifest_can_say() {
    let table = open(&Source::Parquet(fixtures().join("text-labels.parquet")));
    let shape = ImageShape { channels: 3, height: 16, width: 16 };
    let error = table.parts[0].inputs(shape, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("it has 8 x 8 pixels") && error.contains("data.rows.pictures.fit"), "{error}");
    let pictures = PictureSpec { fit: Some(Fit::Crop), shorter_side: None };
    let spec = RowSpec { pictures, ..RowSpec::default() };
    let inputs = table.parts[0].inputs(shape, &spec, UNLIMITED, &|_, _| {}).unwrap();
    assert_eq!(inputs.pixels.len(), 3 * 16 * 16 * ROWS);
    let error = table.parts[0].inputs(shape, &spec, 46_079, &|_, _| {}).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { rows: 60, bytes: 46_080, .. }), "{error}");
}

#[test]
fn columns_that_nobody_can_guess_are_listed() {
    let spec = RowSpec { label: Some("colour".into()), ..RowSpec::default() };
    let error = Source::Parquet(fixtures().join("plain.parquet")).open(&spec).unwrap_err().to_string();
    let told = "there is no such column of labels; `data.rows` can name it; its columns are picture (byte_array), label (int32), \
                note (byte_array), weight (int64)";
    assert!(error.ends_with(told), "{error}");
    let spec = RowSpec { evaluation: Some("dev".into()), ..RowSpec::default() };
    let table = open(&Source::Parquet(fixtures().join("hub")));
    let error = table.training_and_evaluation(&spec).unwrap_err().to_string();
    assert_eq!(error, "there is no part `dev`; the parts are `test`, `train`");
}

#[test]
fn files_that_differ_or_are_damaged_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let copied = |from: &str, to: &str| std::fs::copy(fixtures().join(from), folder.path().join(to)).unwrap();
    copied("hub/data/test-00000-of-00001.parquet", "test.parquet");
    copied("text-labels.parquet", "train.parquet");
    let source = Source::Parquet(folder.path().to_owned());
    let error = source.open(&RowSpec::default()).unwrap_err();
    assert!(matches!(&error, SourceError::Differ { what, .. } if what == "names of classes"), "{error}");

    // Every byte of a file damaged in turn: an error that names it, or rows; never a panic.
    let whole = std::fs::read(fixtures().join("hub/data/test-00000-of-00001.parquet")).unwrap();
    let path = folder.path().join("train.parquet");
    std::fs::remove_file(folder.path().join("test.parquet")).unwrap();
    for place in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        std::fs::write(&path, bytes).unwrap();
        let read = source.open(&RowSpec::default()).and_then(|table| {
            let part = &table.parts[0];
            part.read()?.map(|row| row.map(drop)).collect::<Result<Vec<()>, _>>()
        });
        if let Err(error) = read {
            let named =
                matches!(error, SourceError::Parquet { .. } | SourceError::Column { .. } | SourceError::Empty(_));
            assert!(named, "byte {place}: {error}");
        }
    }
    std::fs::write(&path, b"PAR1").unwrap();
    assert!(matches!(source.open(&RowSpec::default()), Err(SourceError::Parquet { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(source.open(&RowSpec::default()), Err(SourceError::Empty(_))));
}

#[test]
fn folders_that_are_none_say_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Folder(folder.path().to_owned());
    assert!(matches!(source.open(&RowSpec::default()), Err(SourceError::NoClasses(_))));
    std::fs::write(folder.path().join("1.png"), b"x").unwrap();
    assert!(matches!(source.open(&RowSpec::default()), Err(SourceError::NoClass(_))));
    std::fs::remove_file(folder.path().join("1.png")).unwrap();
    let (outside, class) = (tempfile::tempdir().unwrap(), folder.path().join("cat"));
    std::fs::create_dir(&class).unwrap();
    std::fs::write(outside.path().join("1.png"), b"x").unwrap();
    std::os::unix::fs::symlink(outside.path().join("1.png"), class.join("1.png")).unwrap();
    assert!(matches!(source.open(&RowSpec::default()), Err(SourceError::Leaves { .. })));
    let nowhere = Source::Folder(folder.path().join("nowhere"));
    assert!(matches!(nowhere.open(&RowSpec::default()), Err(SourceError::Read { .. })));
}

#[test]
fn an_inspection_counts_classes_and_finds_what_is_there_twice() {
    let folder = folder();
    let one = folder.path().join("train/zero/00.png");
    std::fs::copy(&one, folder.path().join("train/zero/again.png")).unwrap();
    std::fs::copy(&one, folder.path().join("test/one/leaked.png")).unwrap();
    let three = digits().1.iter().position(|label| *label == 3).unwrap();
    let within = |name: &str| folder.path().join("train/three").join(name);
    std::fs::copy(within(&format!("{three:02}.png")), within("again.png")).unwrap();
    std::fs::write(folder.path().join("train/two/empty.png"), b"").unwrap();
    let larger = image::load_from_memory(&png(&digits().0[64..128])).unwrap();
    let larger = larger.resize_exact(16, 16, image::imageops::FilterType::Triangle);
    larger.save(folder.path().join("test/one/larger.png")).unwrap();

    let found = inspect(&open(&Source::Folder(folder.path().to_owned())), &|_, _| {}).unwrap();
    let [test, train] = found.parts.as_slice() else { panic!("{found:?}") };
    assert_eq!((train.rows, train.unreadable, train.grey, test.rows), (43, 1, 42, 22));
    assert_eq!(train.unreadable_named[0].origin, "train/two/empty.png");
    assert_eq!(train.by_label.values().sum::<u64>(), 42);
    assert_eq!(test.by_size.get("16x16"), Some(&1));
    // Parts go by name, so it is rows of `train` that repeat one of `test`.
    assert_eq!((found.equal.within, found.equal.across, found.equal.contradicting), (1, 2, 2), "{:?}", found.equal);
    assert!(found.near.named.iter().any(|pair| pair[0].contains("larger")), "{:?}", found.near);
    assert_eq!(error_bar_ppm(10_000), 5_880);
}

/// The mean and deviation of an inspection are those of NumPy, and ImageFolder reads the folder alike.
#[test]
fn datasets_reads_the_same_folder_alike() {
    let Ok(python) =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python.sh")).arg("data").output()
    else {
        panic!("scripts/python.sh can't be run");
    };
    let python = String::from_utf8(python.stdout).unwrap();
    let folder = folder();
    let script = "import datasets, numpy, sys, json\n\
                  d = datasets.load_dataset('imagefolder', data_dir=sys.argv[1])\n\
                  pixels = numpy.concatenate([numpy.asarray(i).ravel() for i in d['train']['image']]) / 255\n\
                  print(json.dumps([d['train'].features['label'].names, sorted(d['train']['label']), round(pixels.mean() * 1e6), round(pixels.std() * 1e6)]))";
    let cache = tempfile::tempdir().unwrap();
    let said = Command::new(python.trim())
        .args(["-c", script])
        .arg(folder.path())
        .env("HF_DATASETS_OFFLINE", "1")
        .env("HF_HOME", cache.path())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let (names, labels, mean, deviation): (Vec<String>, Vec<u16>, u32, u32) =
        serde_json::from_slice(&said.stdout).unwrap();
    let table = open(&Source::Folder(folder.path().to_owned()));
    let inputs = table.part("train").unwrap().inputs(SHAPE, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap();
    assert_eq!((Some(names), labels), (table.classes.clone(), inputs.labels));
    let found = inspect(&table, &|_, _| {}).unwrap();
    assert_eq!((found.parts[1].mean_ppm, found.parts[1].deviation_ppm), ([mean; 3], [deviation; 3]));
}

/// What a validator publishes is read as what anybody else wrote: pixels, labels and names, of grey and of colour.
#[test]
fn a_published_table_is_read_again() {
    let (grey, labels) = digits();
    let names = NAMES.map(str::to_owned);
    for channels in [1_u32, 3] {
        let pixels: Vec<u8> = if channels == 1 { grey.clone() } else { grey.repeat(3) };
        let images = Images { count: ROWS as u32, channels, height: 8, width: 8, pixels, labels: labels.clone() };
        let logits = Logits { count: ROWS as u32, classes: 10, values: (0..600).map(|value| value as f32).collect() };
        let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
        std::fs::write(file.path(), table(&images, &names, Some(&logits)).unwrap()).unwrap();
        let read = open(&Source::Parquet(file.path().to_owned()));
        assert_eq!(read.classes.as_deref(), Some(names.as_slice()));
        let shape = ImageShape { channels, height: 8, width: 8 };
        let inputs = read.parts[0].inputs(shape, &RowSpec::default(), UNLIMITED, &|_, _| {}).unwrap();
        assert_eq!((inputs.pixels, &inputs.labels), (images.pixels.clone(), &labels));
        assert!(matches!(
            table(&images, &names, Some(&Logits { count: 1, classes: 10, values: vec![0.0; 10] })),
            Err(TableError::Length { what: "answers", found: 1, images: ROWS })
        ));
    }
}
