//! Parts as they are published: read again as they were written, and refused where they are anything else.

use datasets::published::{Part, TableError, answers_table, read, read_answers, table};
use datasets::{Images, Labelled, Logits, load_digits};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use protocol::Digest;
use protocol::architecture::ImageShape;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

const DIGIT: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

fn digits(count: u32) -> Images {
    load_digits().unwrap().select(&(0..count).collect::<Vec<_>>())
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn answers(count: u32, classes: u32) -> Logits {
    Logits { count, classes, values: (0..count * classes).map(|value| value as f32 / 8.0 - 3.0).collect() }
}

#[test]
fn a_part_is_read_as_it_was_written_whatever_its_planes_and_classes() {
    let digits = digits(1_797);
    for (channels, height, classes) in [(1, 8, 10), (1, 4, 300), (4, 4, 10), (3, 2, 65_535)] {
        let count = if classes > 300 { 3 } else { digits.pixels.len() as u32 / (channels * height * 4) };
        let pixels = digits.pixels[..(count * channels * height * 4) as usize].to_vec();
        let labels = (0..count).map(|item| (item * 7 % classes) as u16).rev().collect();
        let images = Images { count, channels, height, width: 4, pixels, labels };
        let shape = ImageShape { channels, height, width: 4 };
        let asked = answers(count, classes);
        for answers in [None, Some(asked)] {
            let written = table(&images, &names(classes as usize), answers.as_ref()).unwrap();
            let part = read(written.clone(), shape, classes as usize).unwrap();
            assert_eq!(part, Part { images: images.clone(), answers: answers.clone() });
            assert_eq!(part.answered().ok().map(|(_, answers)| answers), answers);
            assert_eq!(table(&images, &names(classes as usize), answers.as_ref()).unwrap(), written, "equal bytes");
        }
    }
}

#[test]
fn a_part_in_its_file_has_the_same_rows_and_is_decoded_where_somebody_looks() {
    // More than is decoded at once, in more than one row group.
    let shape = ImageShape { channels: 3, height: 224, width: 224 };
    let item = shape.values() as usize;
    let pixels: Vec<u8> = (0..130 * item).map(|place| (place / 97 % 251) as u8).collect();
    let images = Images { count: 130, channels: 3, height: 224, width: 224, pixels, labels: vec![1; 130] };
    let asked = answers(130, 2);
    let written = table(&images, &names(2), Some(&asked)).unwrap();
    let raw = images.to_bytes().unwrap();
    for (bytes, answers) in [(&written, Some(asked)), (&raw, None)] {
        let items = Labelled::open(file(bytes), shape, 2).unwrap();
        assert_eq!((items.count(), &items.labels, &items.answers), (130, &images.labels, &answers));
        assert_eq!(items.pixels.sha256().unwrap(), Digest::of(&images.pixels));
        let at = |range: std::ops::Range<usize>| items.pixels.read(range.start as u64..range.end as u64).unwrap();
        for range in [0..item, 110 * item..113 * item, 129 * item..130 * item, item - 1..item + 1, 5..5] {
            assert!(at(range.clone()) == images.pixels[range.clone()], "{range:?}");
        }
        let few = items.part(100..200);
        assert_eq!((few.count(), few.answers.as_ref().map(|it| it.count)), (30, answers.map(|_| 30)));
        assert_eq!(few.held().unwrap(), images.select(&(100..130).collect::<Vec<u32>>()));
    }
    let other = ImageShape { height: 112, width: 448, ..shape };
    assert!(matches!(Labelled::open(file(&raw), other, 2), Err(TableError::Shape { .. })));
    for cut in [0, 3, 24, 25, raw.len() - 1] {
        assert!(Labelled::open(file(&raw[..cut]), shape, 2).is_err(), "{cut}");
    }
    // What isn't looked at at first is damaged: that is said when somebody does.
    let mut damaged = written;
    damaged[1_000] ^= 0xff;
    let items = Labelled::open(file(&damaged), shape, 2).unwrap();
    assert!(items.pixels.sha256().is_err() && items.pixels.read(129 * item as u64..130 * item as u64).is_ok());
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn answers_alone_are_read_however_they_are_written() {
    let logits = answers(2_001, 3);
    assert_eq!(read_answers(answers_table(&logits).unwrap()).unwrap(), logits);
    // In a part of others, and compressed as pandas does it.
    let images = digits(4);
    let part = table(&images, &names(10), Some(&answers(4, 10))).unwrap();
    assert_eq!(read_answers(part).unwrap(), answers(4, 10));
    let compressed = written(plain().set_compression(Compression::ZSTD(ZstdLevel::default())), &rows());
    assert_eq!(read_answers(compressed).unwrap().count, 2);
    let none = table(&images, &names(10), None).unwrap();
    assert!(matches!(read_answers(none), Err(TableError::NoAnswers)));
    assert!(read_answers(b"RTLOG1\0\0".to_vec()).is_err());
}

/// Two rows, as somebody else may write them.
struct Rows {
    pictures: Vec<ByteArray>,
    labels: Vec<i64>,
    /// Whether each label is there.
    labelled: Vec<i16>,
    logits: Vec<f32>,
    /// Whether each logit goes on with the list before it.
    again: Vec<i16>,
}

fn rows() -> Rows {
    let mut png = Vec::new();
    let picture = image::GrayImage::from_raw(8, 8, digits(1).pixels).unwrap();
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    Rows {
        pictures: vec![png.clone().into(), png.into()],
        labels: vec![1, 0],
        labelled: vec![1, 1],
        logits: vec![0.5, -0.5, 0.25, 1.0],
        again: vec![0, 1, 0, 1],
    }
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_dictionary_enabled(false)
}

fn written(properties: WriterPropertiesBuilder, rows: &Rows) -> Vec<u8> {
    let schema = "message schema {
        optional group image { optional binary bytes; optional binary path (STRING); }
        optional int64 label;
        optional group teacher_logits (LIST) { repeated group list { optional float element; } }
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&rows.pictures, Some(&[2, 2]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&rows.labels, Some(&rows.labelled), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let there = vec![3; rows.logits.len()];
    column.typed::<FloatType>().write_batch(&rows.logits, Some(&there), Some(&rows.again)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn refusal(file: Vec<u8>) -> String {
    read(file, DIGIT, 2).unwrap_err().to_string()
}

#[test]
fn what_is_written_otherwise_is_refused_before_it_costs_anything() {
    assert!(read(written(plain(), &rows()), DIGIT, 2).is_ok(), "as we write it, by whomever");
    let compressed = written(plain().set_compression(Compression::ZSTD(ZstdLevel::default())), &rows());
    assert!(refusal(compressed).contains("it is compressed"));
    let by_dictionary = written(WriterProperties::builder(), &rows());
    assert!(refusal(by_dictionary).contains("written otherwise than retort does"));
    let other_shape = ImageShape { width: 9, ..DIGIT };
    let error = read(written(plain(), &rows()), other_shape, 2).unwrap_err().to_string();
    assert!(error.contains("row 0: its picture is 8x8"), "{error}");
    let planes = ImageShape { channels: 2, ..DIGIT };
    assert!(matches!(read(written(plain(), &rows()), planes, 2), Err(TableError::Columns)));
    // Two rows of so many values are too many before one is looked at.
    let vast = ImageShape { channels: 1, height: 65_535, width: 65_535 };
    assert!(matches!(read(written(plain(), &rows()), vast, 2), Err(TableError::TooLarge { .. })));
    assert!(matches!(read(answers_table(&answers(2, 2)).unwrap(), DIGIT, 2), Err(TableError::Columns)));
}

#[test]
fn rows_that_are_no_items_are_refused_by_what_they_lack() {
    let changed = |change: &dyn Fn(&mut Rows)| {
        let mut rows = rows();
        change(&mut rows);
        refusal(written(plain(), &rows))
    };
    let label = changed(&|rows| rows.labels[1] = 2);
    assert_eq!(label, "row 1: its label is 2 of 2 classes");
    assert_eq!(changed(&|rows| rows.labels[0] = -1), "row 0: its label is -1 of 2 classes");
    let unlabelled = changed(&|rows| {
        rows.labels.pop();
        rows.labelled[1] = 0;
    });
    assert_eq!(unlabelled, "a row has no label");
    assert_eq!(changed(&|rows| rows.again = vec![0, 1, 1, 0]), "a row has no answer of as many logits");
    let few = changed(&|rows| {
        rows.logits = vec![1.0, 2.0];
        rows.again = vec![0, 0];
    });
    assert_eq!(few, "1 logits an answer beside 2 classes");
    assert!(changed(&|rows| rows.logits[2] = f32::NAN).contains("not finite"));
    assert!(changed(&|rows| rows.pictures[1] = b"no picture".to_vec().into()).starts_with("row 1: its picture can't"));
    let many = changed(&|rows| {
        rows.logits = vec![0.0; 1_000];
        rows.again = (0..1_000).map(|place| i16::from(place % 500 != 0)).collect();
    });
    assert!(many.contains("written otherwise"), "more values than 2 x 2: {many}");
}

#[test]
fn a_broken_off_file_is_refused_wherever_it_ends() {
    let whole = table(&digits(3), &names(10), Some(&answers(3, 10))).unwrap();
    for length in 0..whole.len() {
        assert!(read(whole[..length].to_vec(), DIGIT, 10).is_err(), "{length} of {} bytes", whole.len());
    }
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_a_part_agrees_with_itself(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = table(&digits(3), &names(10), Some(&answers(3, 10))).unwrap();
        for (at, new) in changes {
            let at = at.index(file.len());
            file[at] = new;
        }
        if let Ok(part) = read(file, DIGIT, 10) {
            prop_assert_eq!(part.images.validate(), Ok(()));
            prop_assert!(part.images.labels.iter().all(|label| *label < 10));
            prop_assert!(part.answers.is_none_or(|answers| (answers.count, answers.classes) == (part.images.count, 10)));
        }
    }
}
