//! Which unit of one model is which of another: optimal assignment, layer by layer, to a fixed point.
//!
//! Source: weight matching (Ainsworth et al. 2023, Git Re-Basin, section 3.2). The sum over all layers of the cosines of
//! matched rows is raised by choosing one group's permutation at a time, the others held: a linear assignment problem,
//! solved exactly in integers up to [`EXACT_UNITS_MAX`] units and greedily above. Two beginnings are tried, the identity
//! and one pass from the input on; the better end counts. Everything is an integer, so everybody gets the same.

use crate::rows::{ONE, Rows};
use crate::spaces::{Layer, Spaces};
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Kuhn-Munkres takes cubic time: 256 units some tens of milliseconds.
const EXACT_UNITS_MAX: usize = 256;
/// Rounds over all groups; copies settle in two or three.
const ROUNDS_MAX: usize = 8;
/// Wider layers aren't matched: their table of similarities alone would take 32 MiB and more.
const UNITS_MAX: usize = 2_048;
/// Models whose one round takes more multiplications aren't matched: some tens of seconds for all rounds.
const PRODUCTS_MAX: u64 = 1 << 33;

/// `permutation[group][i]` is the unit of the second model that unit `i` of the first is matched with.
pub(crate) type Permutations = Vec<Vec<usize>>;

/// Mean cosine of each layer's matched rows, ppm, layers in plan order.
pub(crate) type LayerCosines = Vec<i64>;

/// Both models' rows, in the same plan.
pub(crate) struct Matcher<'a> {
    pub(crate) spaces: &'a Spaces,
    pub(crate) first: &'a [Rows],
    pub(crate) second: &'a [Rows],
}

impl Matcher<'_> {
    /// Whether matching is affordable: see [`UNITS_MAX`] and [`PRODUCTS_MAX`].
    pub(crate) fn is_affordable(&self) -> bool {
        let free = (0..self.spaces.groups.len()).filter(|group| self.is_free(*group));
        let widest = free.map(|group| self.spaces.groups[group].units).max().unwrap_or(0);
        let products: u64 = self.first.iter().map(|rows| rows.values.len() as u64 * widest as u64).sum();
        widest <= UNITS_MAX && products <= PRODUCTS_MAX
    }

    /// Cosines with every unit in its place.
    pub(crate) fn in_place(&self) -> LayerCosines {
        self.cosines(&self.identity())
    }

    /// Cosines under the best permutations found.
    pub(crate) fn matched(&self) -> LayerCosines {
        let mut from_input = self.identity();
        let mut known: Vec<bool> = self.spaces.groups.iter().map(|group| group.pinned).collect();
        for group in 0..self.spaces.groups.len() {
            if self.is_free(group) {
                from_input[group] = self.best(group, &from_input, Some(&known));
                known[group] = true;
            }
        }
        let ends = [self.identity(), from_input].map(|start| self.settle(start));
        let [a, b] = ends.map(|permutations| self.cosines(&permutations));
        if b.iter().sum::<i64>() > a.iter().sum::<i64>() { b } else { a }
    }

    fn identity(&self) -> Permutations {
        self.spaces.groups.iter().map(|group| (0..group.units).collect()).collect()
    }

    /// Whether the group is one that a layer writes and whose order is free.
    fn is_free(&self, group: usize) -> bool {
        !self.spaces.groups[group].pinned && self.spaces.layers.iter().any(|layer| layer.rows.group == group)
    }

    fn settle(&self, mut permutations: Permutations) -> Permutations {
        for _ in 0..ROUNDS_MAX {
            let before = permutations.clone();
            for group in 0..self.spaces.groups.len() {
                if self.is_free(group) {
                    permutations[group] = self.best(group, &permutations, None);
                }
            }
            if permutations == before {
                break;
            }
        }
        permutations
    }

    /// The best permutation of one group. With `known`, only layers count whose other axis is in a known group.
    fn best(&self, group: usize, permutations: &Permutations, known: Option<&[bool]>) -> Vec<usize> {
        let units = self.spaces.groups[group].units;
        let mut similarity = vec![0i64; units * units];
        for (index, layer) in self.spaces.layers.iter().enumerate() {
            let counts = |other: usize| known.is_none_or(|known| known[other]);
            let (first, second) = (&self.first[index], &self.second[index]);
            if layer.rows.group == group && (layer.depthwise || counts(layer.columns.group)) {
                add_products(&mut similarity, units, &first.values, &self.columns_moved(layer, second, permutations));
            }
            if layer.columns.group == group && !layer.depthwise && counts(layer.rows.group) {
                let rows = &permutations[layer.rows.group];
                let identity: Vec<usize> = (0..first.count).collect();
                add_products(
                    &mut similarity,
                    units,
                    &by_column(first, units, &identity),
                    &by_column(second, units, rows),
                );
            }
        }
        assign(units, similarity)
    }

    /// The second model's rows with the channels that they read in the first model's order.
    fn columns_moved(&self, layer: &Layer, rows: &Rows, permutations: &Permutations) -> Vec<i16> {
        if layer.depthwise {
            return rows.values.clone();
        }
        let channels = &permutations[layer.columns.group];
        let block = rows.width() / channels.len().max(1);
        let mut moved = Vec::with_capacity(rows.values.len());
        for row in 0..rows.count {
            let row = rows.row(row);
            channels.iter().for_each(|channel| moved.extend_from_slice(&row[channel * block..][..block]));
        }
        moved
    }

    fn cosines(&self, permutations: &Permutations) -> LayerCosines {
        let layers = self.spaces.layers.iter().enumerate();
        layers
            .map(|(index, layer)| {
                let (first, second) = (&self.first[index], &self.second[index]);
                let width = first.width();
                let moved = self.columns_moved(layer, second, permutations);
                let rows = permutations[layer.rows.group].iter().enumerate();
                mean_cosine(rows.map(|(a, b)| (first.row(a), &moved[b * width..][..width])))
            })
            .collect()
    }
}

/// The mean cosine of pairs of rows, ppm. Two rows of zeros are alike; one such row is like no other.
pub(crate) fn mean_cosine<'a>(pairs: impl Iterator<Item = (&'a [i16], &'a [i16])>) -> i64 {
    let (mut sum, mut count) = (0i64, 0i64);
    for (a, b) in pairs {
        let both_zero = a.iter().chain(b).all(|v| *v == 0);
        sum += if both_zero { ONE * ONE } else { dot(a, b) };
        count += 1;
    }
    // At most 8,192 units of 2^30 each: the product with a million needs more than 63 bits.
    let mean = i128::from(sum) * 1_000_000 / (i128::from(ONE) * i128::from(ONE) * i128::from(count.max(1)));
    mean.clamp(-1_000_000, 1_000_000) as i64
}

fn dot(a: &[i16], b: &[i16]) -> i64 {
    a.iter().zip(b).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum()
}

/// Adds the products of all pairs of rows of two matrices of `units` rows.
fn add_products(similarity: &mut [i64], units: usize, first: &[i16], second: &[i16]) {
    let width = first.len() / units.max(1);
    for (a, row) in similarity.chunks_mut(units).enumerate() {
        let a = &first[a * width..][..width];
        row.iter_mut().enumerate().for_each(|(b, sum)| *sum += dot(a, &second[b * width..][..width]));
    }
}

/// A layer's values gathered by the channel that they read, its rows in the order `rows`.
fn by_column(layer: &Rows, channels: usize, rows: &[usize]) -> Vec<i16> {
    let block = layer.width() / channels.max(1);
    let mut gathered = Vec::with_capacity(layer.values.len());
    for channel in 0..channels {
        rows.iter().for_each(|row| gathered.extend_from_slice(&layer.row(*row)[channel * block..][..block]));
    }
    gathered
}

fn assign(units: usize, similarity: Vec<i64>) -> Vec<usize> {
    if units > EXACT_UNITS_MAX {
        return greedy(units, &similarity);
    }
    match Matrix::from_vec(units, units, similarity) {
        Ok(matrix) if units > 0 => kuhn_munkres(&matrix).1,
        _ => (0..units).collect(),
    }
}

/// Each unit of the first model, those with the clearest partner first, takes its best partner that is left.
fn greedy(units: usize, similarity: &[i64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units).collect();
    let best = |a: &usize| similarity[a * units..][..units].iter().max().copied().unwrap_or(0);
    order.sort_by_key(|a| (std::cmp::Reverse(best(a)), *a));
    let mut taken = vec![false; units];
    let mut partner = vec![0; units];
    for a in order {
        let row = &similarity[a * units..][..units];
        let free = (0..units).filter(|b| !taken[*b]);
        // The first of equals, so that the order is one.
        if let Some(b) = free.max_by_key(|b| (row[*b], std::cmp::Reverse(*b))) {
            taken[b] = true;
            partner[a] = b;
        }
    }
    partner
}
