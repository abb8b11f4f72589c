//! Writes a large data set with a teacher's answers, to measure by: `cargo run --example large FOLDER TRAINING EVALUATION`.
//!
//! Rows are colour pictures of 224 x 224 with a gradient and noise, which a PNG makes a little smaller, as it does photographs;
//! the teacher is right but for one in fifty. The command and what came of it are in docs/DATA.md.

use datasets::{Labelled, Logits, published};
use protocol::architecture::ImageShape;
use protocol::pixels::{Pixels, ReadPixels};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::Range;
use std::path::Path;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 224, width: 224 };
const CLASSES: u32 = 10;

/// Pictures that are made when they are asked for.
#[derive(Debug)]
struct Pictures {
    count: u32,
    seed: u64,
}

impl ReadPixels for Pictures {
    fn bytes(&self) -> u64 {
        u64::from(self.count) * SHAPE.values()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let side = u64::from(SHAPE.width);
        Ok(range
            .map(|place| {
                let (item, row, column) = (place / SHAPE.values(), place / side % side, place % side);
                let noise = (self.seed + place).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
                ((row + column + 17 * (item % u64::from(CLASSES))) / 2 + noise) as u8
            })
            .collect())
    }
}

fn write(to: &Path, count: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let labels: Vec<u16> = (0..count).map(|item| (item % CLASSES) as u16).collect();
    let said = |item: u32| if item % 50 == 7 { (item + 1) % CLASSES } else { item % CLASSES };
    let values = (0..count).flat_map(|item| (0..CLASSES).map(move |class| if class == said(item) { 6.0 } else { 0.0 }));
    let answers = Logits { count, classes: CLASSES, values: values.collect() };
    let items = Labelled { shape: SHAPE, pixels: Pixels::of(Pictures { count, seed }), labels, answers: None };
    let names: Vec<String> = (0..CLASSES).map(|class| format!("class {class}")).collect();
    published::write(BufWriter::new(File::create(to)?), &items, &names, Some(&answers))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, training, evaluation] = arguments.as_slice() else { return Err("FOLDER TRAINING EVALUATION".into()) };
    std::fs::create_dir_all(folder)?;
    write(&Path::new(folder).join("train.parquet"), training.parse()?, 1)?;
    write(&Path::new(folder).join("test.parquet"), evaluation.parse()?, 1 << 40)
}
