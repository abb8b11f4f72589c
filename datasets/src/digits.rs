//! The UCI handwritten digits as scikit-learn ships them: 1,797 grey images of 8x8, small enough for any unit test.
//!
//! A fixture, not a competition: it does not scale the pixels, which are 0 to 16.

use crate::gzip::Gunzip;
use crate::idx::IdxError;
use crate::{DataError, Images};

const FILE: &[u8] = include_bytes!("../digits/digits.csv.gz");

/// Length of the table once decompressed.
const CSV_BYTES: usize = 264_712;
const COUNT: u32 = 1_797;
const SIDE: u32 = 8;
const PIXEL_MAX: u8 = 16;

/// Decodes the table.
///
/// # Errors
/// None, while the repository's file is the published one: a test holds its digest.
pub fn load_digits() -> Result<Images, DataError> {
    let csv = gunzip(FILE).map_err(|error| DataError::of("digits", &error))?;
    parse(&csv).map_err(|line| DataError::of("digits", &format!("line {line} is not 64 values of 0..=16 and a digit")))
}

fn gunzip(gz: &[u8]) -> Result<Vec<u8>, IdxError> {
    let mut stream = Gunzip::new(gz);
    let csv = stream.read_exactly(CSV_BYTES)?;
    stream.finish()?;
    Ok(csv)
}

/// The images, or the number of the first line that is wrong.
fn parse(csv: &[u8]) -> Result<Images, usize> {
    let mut images = Images { count: COUNT, channels: 1, height: SIDE, width: SIDE, pixels: vec![], labels: vec![] };
    for (index, line) in csv.trim_ascii_end().split(|&byte| byte == b'\n').enumerate() {
        let (pixels, label) = parse_row(line).ok_or(index + 1)?;
        images.pixels.extend(pixels);
        images.labels.push(label.into());
    }
    images.validate().map_err(|_| images.labels.len())?;
    Ok(images)
}

/// 64 pixels and a label, separated by commas.
fn parse_row(line: &[u8]) -> Option<(Vec<u8>, u8)> {
    let values: Option<Vec<u8>> = str::from_utf8(line).ok()?.split(',').map(|value| value.parse().ok()).collect();
    let mut pixels = values?;
    let label = pixels.pop()?;
    let fits = pixels.len() == (SIDE * SIDE) as usize && pixels.iter().all(|&pixel| pixel <= PIXEL_MAX) && label < 10;
    fits.then_some((pixels, label))
}
