//! Answers of a teacher that nobody can ask: in a column or in a file beside the data, bound to its rows; committed to with the
//! pool, and opened with it.

use crate::hidden::reveal_of;
use datasets::commitment::{Commitment, CommitmentError};
use datasets::hidden::{
    Beacon, BeaconRule, DrawSpec, Expected, Family, Leaves, Reveal, RevealError, Secret, Spent, Terms, draw,
    fixed_seed, render, seed, verify_reveal,
};
use datasets::published::{Part, TableError, table};
use datasets::source::{Source, SourceError, Table, Wanted};
use datasets::{FormatError, Images, Labelled, Logits, load_digits};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use protocol::Digest;
use protocol::competition::{HiddenPool, InputSpec, RowSpec, TeacherAnswers};
use protocol::round::RoundRules;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

const SALT: [u8; 32] = [42; 32];
const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn digits(count: u32) -> Images {
    load_digits().unwrap().select(&(0..count).collect::<Vec<_>>())
}

/// An answer to each that is like no other.
fn answers(images: &Images) -> Logits {
    let values = (0..images.count * 10).map(|value| value as f32 / 7.0).collect();
    Logits { count: images.count, classes: 10, values }
}

fn answered(count: u32) -> Part {
    let images = digits(count);
    Part { answers: Some(answers(&images)), images }
}

fn to_pool(part: &Part) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Labelled::from(part.clone()).write_pool(&mut bytes)?;
    Ok(bytes)
}

fn from_pool(bytes: &[u8]) -> Result<Part, TableError> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    let items = Labelled::open_pool(file)?;
    Ok(Part { answers: items.answers.clone(), images: items.held()? })
}

fn commitment(part: &Part) -> Result<Commitment, CommitmentError> {
    Labelled::from(part.clone()).commitment(&SALT)
}

#[test]
fn a_pool_is_kept_with_its_answers_and_without_as_before() {
    let pool = answered(20);
    assert_eq!(from_pool(&to_pool(&pool).unwrap()).unwrap(), pool);
    let alone = Part { answers: None, ..pool.clone() };
    assert_eq!(to_pool(&alone).unwrap(), pool.images.to_bytes().unwrap());
    assert_eq!(from_pool(&to_pool(&alone).unwrap()).unwrap(), alone);
    assert_eq!(commitment(&alone).unwrap().root_hex(), datasets::commitment::commit(&pool.images, &SALT).unwrap());

    let fewer = Part { answers: Some(pool.answers.as_ref().unwrap().select(&[0, 1])), ..pool.clone() };
    let length = FormatError::Length { what: "answers", expected: 20, found: 2 };
    assert_eq!(to_pool(&fewer).unwrap_err().to_string(), length.to_string());
    assert_eq!(commitment(&fewer).unwrap_err(), CommitmentError::Format(length));
    let mut endless = pool.clone();
    endless.answers.as_mut().unwrap().values[3] = f32::INFINITY;
    assert!(to_pool(&endless).is_err() && commitment(&endless).is_err());
    for cut in [9, 16, 400, to_pool(&pool).unwrap().len() - 1] {
        assert!(from_pool(&to_pool(&pool).unwrap()[..cut]).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_pool_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in any::<u64>()) {
        let framed = [b"RTPOOL1\0".as_slice(), &length.to_le_bytes(), &bytes].concat();
        prop_assert!(from_pool(&framed).is_err());
    }
}

/// A round over a pool of 30 answered digits, items as they are.
#[test]
fn an_opened_round_shows_items_as_they_are_with_the_answers_that_were_committed_to() {
    let pool = answered(30);
    let commitment = commitment(&pool).unwrap();
    let rules = RoundRules { items: 12, transforms: Family::identity(), ..RoundRules::default() };
    let terms = Terms {
        competition: "digits".into(),
        round: 1,
        pool_root: commitment.root_hex(),
        pool_count: 30,
        spec: DrawSpec::of(&rules, 30, HiddenPool::Private),
        beacon: BeaconRule::Ledger { height: 51 },
    };
    let (secret, beacon) = (Secret::new([7; 32]), Beacon::Ledger { height: 51, hash: [9; 32] });
    let value = terms.beacon.check(&beacon, None).unwrap();
    let fixed = fixed_seed(&value, &secret, "digits", 1);
    let drawn = draw(&seed(&value, &secret, "digits", 1), &fixed, 30, &terms.spec).unwrap();
    let items = render(&pool.images, &drawn).unwrap();
    let sources: Vec<u32> = drawn.items.iter().map(|item| item.source).collect();
    assert_eq!(items, pool.images.select(&sources), "not a pixel is changed");

    let bound = terms.commit(&secret).unwrap();
    let spent = Spent::default();
    let reveal = reveal_of((terms, secret, beacon), None, (None, &spent), commitment.clone(), &items).unwrap();
    let expected = Expected {
        competition: "digits",
        round: 1,
        pool_root: &commitment.root_hex(),
        pool_count: 30,
        rules: &rules,
        hidden_pool: HiddenPool::Private,
        answer_classes: 10,
        spent: &spent,
        commitment: &bound,
        beacon: None,
        chain: None,
        fixed_seed: None,
    };
    let read = Reveal::from_bytes(&reveal.to_bytes().unwrap()).unwrap();
    let revealed = verify_reveal(&read, &expected).unwrap();
    assert_eq!(revealed.items.answers, Some(pool.answers.as_ref().unwrap().select(&sources)));

    // Any bit of an answer is bound, and whether there are answers is the manifest's word.
    for byte in 1..=40 {
        let mut leaves = read.leaves.iter().collect::<Result<Vec<_>, _>>().unwrap();
        let at = leaves[4].len() - byte;
        leaves[4][at] ^= 1;
        let forged = Reveal { leaves: Leaves::of(&leaves).unwrap(), ..read.clone() };
        assert!(matches!(verify_reveal(&forged, &expected), Err(RevealError::Merkle(_))), "byte {byte} from the end");
    }
    for answer_classes in [0, 9, 11] {
        let other = verify_reveal(&read, &Expected { answer_classes, ..expected });
        assert!(matches!(other, Err(RevealError::Leaf(_))), "{answer_classes}: {other:?}");
    }
}

/// `train.parquet` as `datasets` writes it, of the first digits, with answers in this order.
fn write_parquet(folder: &Path, images: &Images, answers: Option<&Logits>) {
    let names = NAMES.map(str::to_owned);
    std::fs::write(folder.join("train.parquet"), table(images, &names, answers).unwrap()).unwrap();
}

fn column() -> TeacherAnswers {
    TeacherAnswers { column: Some("teacher_logits".into()), ..files(&[]) }
}

fn files(named: &[(&str, &str)]) -> TeacherAnswers {
    TeacherAnswers {
        column: None,
        files: named.iter().map(|(part, file)| ((*part).to_owned(), (*file).to_owned())).collect::<BTreeMap<_, _>>(),
        model: "a model".into(),
        license: "MIT".into(),
        link: "https://example.com".into(),
        parameters: None,
        macs: None,
    }
}

/// The part to train on, by labels in this order.
fn items(folder: &Path, source: &Source, answers: &TeacherAnswers, labels: &[&str]) -> Result<Part, SourceError> {
    let table: Table = source.open(&RowSpec::default())?.answered(answers, folder, 10, &["train".to_owned()])?;
    let input = InputSpec { channels: 1, height: 8, width: 8, mean_ppm: vec![0], deviation_ppm: vec![1] };
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    let rows = RowSpec { unreadable_max: 1, ..RowSpec::default() };
    let wanted = Wanted { input: &input, labels: &labels, rows: &rows, bytes_max: u64::MAX };
    let items = table.items(table.part("train")?, &wanted, &|_, _| {})?;
    Ok(Part { images: items.images, answers: items.answers })
}

#[test]
fn a_column_of_answers_follows_its_rows_and_the_order_of_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (images, source) = (digits(1_050), || Source::Parquet(folder.path().to_owned()));
    let said = answers(&images);
    write_parquet(folder.path(), &images, Some(&said));
    assert_eq!(
        items(folder.path(), &source(), &column(), &NAMES).unwrap(),
        Part { images: images.clone(), answers: Some(said.clone()) }
    );
    let mut backwards = NAMES;
    backwards.reverse();
    let turned = items(folder.path(), &source(), &column(), &backwards).unwrap();
    let mut row = said.row(1_049).to_vec();
    row.reverse();
    assert_eq!(turned.answers.unwrap().row(1_049), row, "the answer for a class goes to the label of its name");
    assert_eq!(turned.images.labels[7], 9 - images.labels[7]);

    let refused = |answers: Option<&Logits>, problem: &str| {
        write_parquet(folder.path(), &images, answers);
        let error = items(folder.path(), &source(), &column(), &NAMES).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}\nnot: {problem}");
    };
    refused(None, "part `train`: row 0 (train.parquet row 0) has no answer of the teacher");
    let mut endless = said.clone();
    endless.values[10_041] = f32::NAN;
    refused(Some(&endless), "the answer to row 1004 (train.parquet row 1004) has NaN for class 1, which is not finite");
    let other = TeacherAnswers { column: Some("label".into()), ..column() };
    let error = items(folder.path(), &source(), &other, &NAMES).unwrap_err().to_string();
    assert!(
        error.contains("there is no column `label` with a list of f32 or f64")
            && error.contains("image, label, teacher_logits"),
        "{error}"
    );
    let table = source()
        .open(&RowSpec::default())
        .unwrap()
        .answered(&column(), folder.path(), 9, &["train".to_owned()])
        .unwrap();
    let rows = RowSpec::default();
    let input = InputSpec { channels: 1, height: 8, width: 8, mean_ppm: vec![0], deviation_ppm: vec![1] };
    let wanted = Wanted { input: &input, labels: &NAMES.map(str::to_owned), rows: &rows, bytes_max: u64::MAX };
    write_parquet(folder.path(), &images, Some(&said));
    let error = table.items(table.part("train").unwrap(), &wanted, &|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("has 10 numbers; one for each of 9 classes is needed"), "{error}");
}

/// 40 digits as ImageFolder has them, in the order of their rows.
fn write_folder(folder: &Path) -> Vec<Vec<u8>> {
    let images = digits(40);
    let mut named = BTreeMap::new();
    for index in 0..images.len() {
        let class = folder.join("train").join(NAMES[usize::from(images.labels[index])]);
        std::fs::create_dir_all(&class).unwrap();
        let mut body = std::io::Cursor::new(Vec::new());
        let picture = image::GrayImage::from_raw(8, 8, images.image(index).to_vec()).unwrap();
        picture.write_to(&mut body, image::ImageFormat::Png).unwrap();
        let path = class.join(format!("{index:02}.png"));
        std::fs::write(&path, body.get_ref()).unwrap();
        named.insert(path, body.into_inner());
    }
    named.into_values().collect()
}

fn digests(pictures: &[Vec<u8>]) -> Vec<Digest> {
    pictures.iter().map(|picture| Digest::of(picture)).collect()
}

fn write_safetensors(path: &Path, digests: &[Digest], logits: &[f32]) {
    let digest_bytes: Vec<u8> = digests.iter().flat_map(|digest| *digest.as_bytes()).collect();
    let logit_bytes: Vec<u8> = logits.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensors = [
        ("row_sha256", TensorView::new(Dtype::U8, vec![digests.len(), 32], &digest_bytes).unwrap()),
        ("teacher_logits", TensorView::new(Dtype::F32, vec![logits.len() / 10, 10], &logit_bytes).unwrap()),
    ];
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

/// As `DataFrame.to_parquet` of pandas writes it: f64, and digests as texts.
fn write_answers_parquet(path: &Path, digests: &[Digest], logits: &[f32]) {
    let schema = "message schema { optional binary row_sha256 (STRING);
        optional group teacher_logits (LIST) { repeated group list { optional double element; } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: Vec<ByteArray> = digests.iter().map(|digest| digest.to_string().as_str().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, Some(&vec![1; texts.len()]), None).unwrap();
    column.close().unwrap();
    let values: Vec<f64> = logits.iter().map(|value| f64::from(*value)).collect();
    let again: Vec<i16> = (0..values.len()).map(|value| i16::from(value % 10 != 0)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&values, Some(&vec![3; values.len()]), Some(&again)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn a_file_of_answers_is_bound_to_its_rows_by_their_digests() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pictures = write_folder(&at("pictures"));
    let (own, said) = (digests(&pictures), answers(&digits(40)).values);
    let source = || Source::Folder(at("pictures"));
    // Classes of a folder are in the order of the alphabet, and so are answers.
    let mut sorted = NAMES;
    sorted.sort_unstable();
    write_safetensors(&at("a.safetensors"), &own, &said);
    write_answers_parquet(&at("a.parquet"), &own, &said);
    for file in ["a.safetensors", "a.parquet"] {
        let read = items(folder.path(), &source(), &files(&[("train", file)]), &sorted).unwrap();
        assert_eq!(read.answers.unwrap().values, said, "{file}");
    }

    let refused = |named: &[(&str, &str)], problem: &str| {
        let error = items(folder.path(), &source(), &files(named), &sorted).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}\nnot: {problem}");
    };
    refused(&[], "part `train`: no file of answers is named for it");
    refused(&[("tests", "a.parquet")], "there is no part `tests`; the parts are `train`");
    refused(&[("train", "b.parquet")], "b.parquet: ");
    std::fs::write(at("c.safetensors"), b"nothing").unwrap();
    refused(&[("train", "c.safetensors")], "c.safetensors: no safetensors");
    std::fs::write(at("c.parquet"), b"nothing").unwrap();
    refused(&[("train", "c.parquet")], "c.parquet: ");
    write_safetensors(&at("short.safetensors"), &own[..39], &said[..390]);
    refused(&[("train", "short.safetensors")], "has 39 answers, the part has 40 rows");
    let mut swapped = own.clone();
    swapped.swap(3, 17);
    write_safetensors(&at("swapped.safetensors"), &swapped, &said);
    refused(&[("train", "swapped.safetensors")], "answer 3 of the file is to another picture than row 3 (train/");
    refused(&[("train", "swapped.safetensors")], "the answer to this one is 17");
    let mut strange = own.clone();
    strange[39] = Digest::of(b"another picture");
    write_answers_parquet(&at("strange.parquet"), &strange, &said);
    refused(&[("train", "strange.parquet")], "encoded picture, none is to this one");
    let mut endless = said.clone();
    endless[10 * 5 + 2] = f32::INFINITY;
    write_answers_parquet(&at("endless.parquet"), &own, &endless);
    refused(&[("train", "endless.parquet")], "has inf for class 2, which is not finite");

    // A picture that can't be read is left out with its answer; the others keep theirs.
    let broken = std::fs::read_dir(at("pictures/train/one")).unwrap().next().unwrap().unwrap().path();
    let place = pictures.iter().position(|picture| *picture == std::fs::read(&broken).unwrap()).unwrap();
    std::fs::write(&broken, b"no picture").unwrap();
    let mut own = own;
    own[place] = Digest::of(b"no picture");
    write_safetensors(&at("a.safetensors"), &own, &said);
    let read = items(folder.path(), &source(), &files(&[("train", "a.safetensors")]), &sorted).unwrap();
    let expected = [&said[..10 * place], &said[10 * (place + 1)..]].concat();
    assert_eq!((read.images.count, read.answers.unwrap().values), (39, expected));
}
