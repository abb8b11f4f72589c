//! What a publisher wants to know of data before it is published: rows that can't be read, classes, sizes, duplicates, and what
//! the number of items means for error bars.
//!
//! It does NOT change anything, nor say what a competition should be. Every picture is decoded once, one at a time; of each
//! some 100 bytes are kept.

use crate::picture::Picture;
use crate::source::{Part, Row, RowError, SourceError, Table};
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, PictureSpec};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// So many rows that can't be read, and so many pairs of equal ones, are named; all are counted.
const NAMED_MAX: usize = 20;
/// Side of the thumbnail that near duplicates are told by.
const THUMBNAIL: u32 = 16;
/// Two thumbnails are near when they differ by at most this much a pixel in the mean, of 255 levels.
const NEAR_LEVELS: u32 = 2;
/// Their hashes differ in at most so many of 64 bits: then one of four parts of the hash is equal.
const NEAR_BITS: u32 = 3;
/// Of pictures whose hash has the same quarter, so many are compared: those that came last.
const COMPARED_MAX: usize = 64;
/// Below this contrast nothing is near: any two empty pictures would be.
const CONTRAST_LEVELS: u32 = 8;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    /// Columns with their types.
    pub columns: Vec<(String, String)>,
    /// Names of classes in the order of labels; empty where the source has numbers alone.
    pub classes: Vec<String>,
    /// Files beside the pictures that are no rows.
    pub ignored: u64,
    /// Part by part.
    pub parts: Vec<PartFound>,
    /// Pictures that are there twice, pixel by pixel.
    pub equal: Duplicates,
    /// Pictures that nearly are: resized, or compressed again. Some are missed.
    pub near: Duplicates,
}

/// What was found in a part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PartFound {
    /// The part.
    pub name: String,
    /// All rows.
    pub rows: u64,
    /// Of those, rows that can't be read.
    pub unreadable: u64,
    /// The first of them.
    pub unreadable_named: Vec<Named>,
    /// Rows by label.
    pub by_label: BTreeMap<u16, u64>,
    /// Rows by width and height, as text, `28x28`.
    pub by_size: BTreeMap<String, u64>,
    /// Rows whose pixels are grey.
    pub grey: u64,
    /// Rows of a format with transparency, which becomes black.
    pub transparent: u64,
    /// Mean of each plane in parts per million of the range: red, green and blue.
    pub mean_ppm: [u32; 3],
    /// Standard deviation of each plane, likewise.
    pub deviation_ppm: [u32; 3],
}

/// A row and what is said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// From 0, within its part.
    pub row: u64,
    /// Where it is.
    pub origin: String,
    /// Why it can't be read.
    pub problem: String,
}

/// Pictures that are there more than once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Duplicates {
    /// Rows that repeat an earlier one of the same part.
    pub within: u64,
    /// Rows that repeat one of another part: what is trained on is also asked.
    pub across: u64,
    /// Of both, rows with another label than what they repeat.
    pub contradicting: u64,
    /// The first pairs.
    pub named: Vec<[String; 2]>,
}

/// Half the width of the 95 % interval of an accuracy of nine tenths measured on so many items, in parts per million.
pub fn error_bar_ppm(items: u64) -> u32 {
    let half = 1.96 * (0.9_f64 * 0.1 / items.max(1) as f64).sqrt();
    (half * 1e6).round().min(1e6) as u32
}

/// Reads all of a table. `progress` hears how many rows are done, of how many.
///
/// # Errors
/// When the source itself fails; a row that can't be read is told and left out.
pub fn inspect(table: &Table, progress: &dyn Fn(u64, u64)) -> Result<Inspection, SourceError> {
    let total = table.parts.iter().map(|part| part.rows).sum();
    let (mut seen, mut done) = (Seen::default(), 0);
    let mut found = Inspection {
        columns: table.columns.clone(),
        classes: table.classes.clone().unwrap_or_default(),
        ignored: table.ignored,
        ..Inspection::default()
    };
    for (index, part) in table.parts.iter().enumerate() {
        let mut planes = Planes::default();
        let mut of_part = PartFound { name: part.name.clone(), ..PartFound::default() };
        for row in part.read()? {
            of_part.rows += 1;
            match row?.and_then(decoded) {
                Ok((row, picture)) => {
                    of_part.add(&row, &picture);
                    planes.add(&picture);
                    seen.add(&mut found, (index, part), &row, &picture);
                }
                Err(row) => of_part.leave_out(row),
            }
            done += 1;
            progress(done, total);
        }
        (of_part.mean_ppm, of_part.deviation_ppm) = planes.moments_ppm();
        found.parts.push(of_part);
    }
    Ok(found)
}

fn decoded(row: Row) -> Result<(Row, Picture), RowError> {
    match Picture::decode(&row.picture) {
        Ok(picture) => Ok((row, picture)),
        Err(problem) => Err(RowError { number: row.number, origin: row.origin, problem: problem.to_string() }),
    }
}

impl PartFound {
    fn add(&mut self, row: &Row, picture: &Picture) {
        let (width, height) = picture.size();
        *self.by_label.entry(row.label).or_default() += 1;
        *self.by_size.entry(format!("{width}x{height}")).or_default() += 1;
        self.grey += u64::from(picture.grey);
        self.transparent += u64::from(picture.transparent);
    }

    fn leave_out(&mut self, RowError { number: row, origin, problem }: RowError) {
        self.unreadable += 1;
        if self.unreadable_named.len() < NAMED_MAX {
            self.unreadable_named.push(Named { row, origin, problem });
        }
    }
}

/// Sums over pixels.
#[derive(Default)]
struct Planes {
    pixels: u64,
    sum: [u64; 3],
    squares: [u64; 3],
}

impl Planes {
    fn add(&mut self, picture: &Picture) {
        for pixel in picture.pixels() {
            self.pixels += 1;
            for (plane, value) in pixel.into_iter().enumerate() {
                self.sum[plane] += u64::from(value);
                self.squares[plane] += u64::from(value) * u64::from(value);
            }
        }
    }

    fn moments_ppm(&self) -> ([u32; 3], [u32; 3]) {
        let count = self.pixels.max(1) as f64;
        let moments = std::array::from_fn::<(f64, f64), 3, _>(|plane| {
            let mean = self.sum[plane] as f64 / count;
            (mean, (self.squares[plane] as f64 / count - mean * mean).max(0.0).sqrt())
        });
        let ppm = |value: f64| (value / 255.0 * 1e6).round() as u32;
        (moments.map(|(mean, _)| ppm(mean)), moments.map(|(_, deviation)| ppm(deviation)))
    }
}

/// A row that was seen, as far as duplicates need it.
struct Earlier {
    part: usize,
    label: u16,
    origin: String,
    hash: u64,
    thumbnail: Vec<u8>,
}

/// All rows so far, by their pixels and by each quarter of their hashes.
#[derive(Default)]
struct Seen {
    rows: Vec<Earlier>,
    by_pixels: HashMap<Digest, usize>,
    by_quarter: HashMap<(usize, u16), Vec<usize>>,
}

impl Seen {
    fn add(&mut self, found: &mut Inspection, (index, part): (usize, &Part), row: &Row, picture: &Picture) {
        let thumbnail = thumbnail(picture);
        let origin = format!("{}: {}", part.name, row.origin);
        let this = Earlier { part: index, label: row.label, origin, hash: difference_hash(&thumbnail), thumbnail };
        let digest = picture.digest();
        if let Some(earlier) = self.by_pixels.get(&digest) {
            found.equal.count(&self.rows[*earlier], &this);
            return;
        }
        if let Some(earlier) = self.near(&this) {
            found.near.count(earlier, &this);
        }
        let place = self.rows.len();
        self.by_pixels.insert(digest, place);
        for quarter in quarters(this.hash) {
            let known = self.by_quarter.entry(quarter).or_default();
            if known.len() == COMPARED_MAX {
                known.remove(0);
            }
            known.push(place);
        }
        self.rows.push(this);
    }

    fn near(&self, this: &Earlier) -> Option<&Earlier> {
        let candidates = quarters(this.hash).filter_map(|quarter| self.by_quarter.get(&quarter)).flatten();
        candidates.map(|place| &self.rows[*place]).find(|earlier| is_near(earlier, this))
    }
}

impl Duplicates {
    fn count(&mut self, earlier: &Earlier, this: &Earlier) {
        let count = if earlier.part == this.part { &mut self.within } else { &mut self.across };
        *count += 1;
        self.contradicting += u64::from(earlier.label != this.label);
        if self.named.len() < NAMED_MAX {
            self.named.push([earlier.origin.clone(), this.origin.clone()]);
        }
    }
}

fn thumbnail(picture: &Picture) -> Vec<u8> {
    let shape = ImageShape { channels: 1, height: THUMBNAIL, width: THUMBNAIL };
    let stretched = picture.fitted(shape, PictureSpec { fit: Some(Fit::Stretch), shorter_side: None });
    stretched.expect("a decoded picture has pixels, and grey is what it can be; this is a bug")
}

/// Whether each pixel of every other row and column is lighter than the next but one.
fn difference_hash(thumbnail: &[u8]) -> u64 {
    let side = THUMBNAIL as usize;
    let at = |row: usize, column: usize| thumbnail[2 * row * side + 2 * column % side];
    let bits = (0..8).flat_map(|row| (0..8).map(move |column| (row, column)));
    bits.fold(0, |hash, (row, column)| hash << 1 | u64::from(at(row, column) > at(row, column + 1)))
}

fn quarters(hash: u64) -> impl Iterator<Item = (usize, u16)> {
    (0..4).map(move |quarter| (quarter, (hash >> (16 * quarter)) as u16))
}

fn is_near(a: &Earlier, b: &Earlier) -> bool {
    if (a.hash ^ b.hash).count_ones() > NEAR_BITS || contrast(&a.thumbnail) < CONTRAST_LEVELS {
        return false;
    }
    let differences: u32 = a.thumbnail.iter().zip(&b.thumbnail).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    differences <= NEAR_LEVELS * THUMBNAIL * THUMBNAIL
}

/// How far the pixels are from their mean, in the mean.
fn contrast(thumbnail: &[u8]) -> u32 {
    let count = THUMBNAIL * THUMBNAIL;
    let mean = thumbnail.iter().map(|pixel| u32::from(*pixel)).sum::<u32>() / count;
    thumbnail.iter().map(|pixel| u32::from(*pixel).abs_diff(mean)).sum::<u32>() / count
}
