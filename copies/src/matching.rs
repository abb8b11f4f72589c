//! Which unit of one model is which of another: optimal assignment, layer by layer, to a fixed point.
//!
//! Source: weight matching (Ainsworth et al. 2023, Git Re-Basin, section 3.2). The sum over all layers of the cosines of
//! matched rows is raised by choosing one group's partners at a time, the others held: a linear assignment problem,
//! solved exactly in integers up to [`EXACT_UNITS_MAX`] units and greedily above. Two beginnings are tried, each unit with
//! the one in its place and one pass from the input on; the better end counts. Of n and m units, min(n, m) are matched,
//! and a row's cosine is taken over the channels that have a partner, so that units more or less change nothing.
//! Everything is an integer, so everybody gets the same.

use crate::rows::{ONE, Rows};
use crate::shapes::{Channels, Joint, Pairing};
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

/// `partners[group][i]` is the unit of the second model that unit `i` of the first is matched with, if one is.
type Partners = Vec<Vec<Option<usize>>>;

/// One layer of both models, compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Mean cosine of the rows that have a partner, ppm.
    pub(crate) cosine_ppm: i64,
    /// Rows that have one.
    pub(crate) units: usize,
    /// Values of theirs that were compared.
    pub(crate) values: u64,
}

impl Pairing {
    /// Whether matching is affordable: see [`UNITS_MAX`] and [`PRODUCTS_MAX`].
    pub(crate) fn is_affordable(&self) -> bool {
        let free = (0..self.groups.len()).filter(|group| self.is_free(*group));
        let widest = free.flat_map(|group| self.groups[group].units).max().unwrap_or(0);
        let values = |joint: &Joint| joint.first.values.len().max(joint.second.values.len()) as u64;
        let products: u64 = self.layers.iter().map(|joint| values(joint) * widest as u64).sum();
        widest <= UNITS_MAX && products <= PRODUCTS_MAX
    }

    /// All layers with every unit beside the one in its place.
    pub(crate) fn in_place(&self) -> Vec<Compared> {
        self.compared(&self.identity())
    }

    /// All layers under the best partners found.
    pub(crate) fn matched(&self) -> Vec<Compared> {
        let mut from_input = self.identity();
        let mut known: Vec<bool> = self.groups.iter().map(|group| group.pinned).collect();
        for group in 0..self.groups.len() {
            if self.is_free(group) {
                from_input[group] = self.best(group, &from_input, Some(&known));
                known[group] = true;
            }
        }
        let ends = [self.identity(), from_input].map(|start| self.settle(start));
        let [a, b] = ends.map(|partners| self.compared(&partners));
        let sum = |layers: &[Compared]| layers.iter().map(|layer| layer.cosine_ppm).sum::<i64>();
        if sum(&b) > sum(&a) { b } else { a }
    }

    fn identity(&self) -> Partners {
        let in_place = |group: &Channels| {
            let [first, second] = group.units;
            (0..first).map(|unit| (unit < second).then_some(unit)).collect()
        };
        self.groups.iter().map(in_place).collect()
    }

    /// Whether the group is one that a layer writes and whose order is free.
    fn is_free(&self, group: usize) -> bool {
        !self.groups[group].pinned && self.layers.iter().any(|joint| joint.rows == group)
    }

    fn settle(&self, mut partners: Partners) -> Partners {
        for _ in 0..ROUNDS_MAX {
            let before = partners.clone();
            for group in 0..self.groups.len() {
                if self.is_free(group) {
                    partners[group] = self.best(group, &partners, None);
                }
            }
            if partners == before {
                break;
            }
        }
        partners
    }

    /// The best partners within one group. With `known`, only layers count whose other axis is in a known group.
    fn best(&self, group: usize, partners: &Partners, known: Option<&[bool]>) -> Vec<Option<usize>> {
        let units = self.groups[group].units;
        let mut similarity = vec![0i64; units[0] * units[1]];
        let counts = |other: usize| known.is_none_or(|known| known[other]);
        for joint in &self.layers {
            if joint.rows == group && (joint.depthwise || counts(joint.columns)) {
                let moved = joint.second_moved(partners);
                add_products(&mut similarity, units, &joint.first.values, &moved.values);
            }
            if joint.columns == group && !joint.depthwise && counts(joint.rows) {
                let in_place: Vec<_> = (0..joint.first.count).map(Some).collect();
                let first = by_column(&joint.first, units[0], &in_place);
                let second = by_column(&joint.second, units[1], &partners[joint.rows]);
                add_products(&mut similarity, units, &first, &second);
            }
        }
        assign(units, similarity)
    }

    fn compared(&self, partners: &Partners) -> Vec<Compared> {
        self.layers.iter().map(|joint| joint.compared(partners)).collect()
    }
}

impl Joint {
    /// The second model's rows with the channels that they read in the first model's order; zeros for those without.
    fn second_moved(&self, partners: &Partners) -> Rows {
        if self.depthwise {
            return self.second.clone();
        }
        let channels = &partners[self.columns];
        // Blocks are as wide in both: the pairing saw to it.
        let block = (self.first.width() / channels.len().max(1)).max(1);
        self.second.with_columns(self.second.width() / block, channels)
    }

    fn compared(&self, partners: &Partners) -> Compared {
        let second = self.second_moved(partners);
        // Channels without a partner are zeros in both.
        let first = if self.depthwise {
            self.first.clone()
        } else {
            let channels = partners[self.columns].iter().enumerate();
            let kept: Vec<_> = channels.map(|(channel, partner)| partner.map(|_| channel)).collect();
            self.first.with_columns(kept.len(), &kept)
        };
        let rows: Vec<_> = partners[self.rows].iter().enumerate().filter_map(|(a, b)| Some((a, (*b)?))).collect();
        let channels = &partners[self.columns];
        let kept = channels.iter().flatten().count();
        let width = if self.depthwise { first.width() } else { first.width() / channels.len().max(1) * kept };
        Compared {
            cosine_ppm: mean_cosine(rows.iter().map(|(a, b)| (first.row(*a), second.row(*b)))),
            units: rows.len(),
            values: (rows.len() * width) as u64,
        }
    }
}

/// The mean cosine of pairs of rows, ppm. Two rows of zeros are alike; one such row is like no other.
pub(crate) fn mean_cosine<'a>(pairs: impl Iterator<Item = (&'a [i16], &'a [i16])>) -> i64 {
    let (mut sum, mut count) = (0i128, 0i128);
    for (a, b) in pairs {
        sum += cosine(a, b);
        count += 1;
    }
    let mean = sum * 1_000_000 / (i128::from(ONE * ONE) * count.max(1));
    mean.clamp(-1_000_000, 1_000_000) as i64
}

/// The cosine of two rows, in units of [`ONE`] squared.
fn cosine(a: &[i16], b: &[i16]) -> i128 {
    let (both, first, second) = (dot(a, b), dot(a, a), dot(b, b));
    if first == 0 && second == 0 {
        return i128::from(ONE * ONE);
    }
    // Both squares are below 2^44: a row has fewer than 2^14 channels of 2^30 at most.
    let product = (i128::from(first) * i128::from(second)).isqrt();
    i128::from(both) * i128::from(ONE * ONE) / product.max(1)
}

fn dot(a: &[i16], b: &[i16]) -> i64 {
    a.iter().zip(b).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum()
}

/// Adds the products of all pairs of rows of two matrices of `units` rows.
fn add_products(similarity: &mut [i64], units: [usize; 2], first: &[i16], second: &[i16]) {
    let width = first.len() / units[0].max(1);
    for (a, row) in similarity.chunks_mut(units[1].max(1)).enumerate() {
        let a = &first[a * width..][..width];
        row.iter_mut().enumerate().for_each(|(b, sum)| *sum += dot(a, &second[b * width..][..width]));
    }
}

/// A layer's values gathered by the channel that they read, its rows in the order `rows`; zeros where there is none.
fn by_column(layer: &Rows, channels: usize, rows: &[Option<usize>]) -> Vec<i16> {
    let block = layer.width() / channels.max(1);
    let mut gathered = Vec::with_capacity(channels * rows.len() * block);
    for channel in 0..channels {
        for row in rows {
            match row {
                Some(row) => gathered.extend_from_slice(&layer.row(*row)[channel * block..][..block]),
                None => gathered.extend(std::iter::repeat_n(0, block)),
            }
        }
    }
    gathered
}

/// Partners that make the sum of similarities largest; every unit of the narrower model gets one.
fn assign(units: [usize; 2], similarity: Vec<i64>) -> Vec<Option<usize>> {
    let [first, second] = units;
    if first <= second {
        return assign_all(first, second, similarity).into_iter().map(Some).collect();
    }
    let turned = (0..second).flat_map(|b| (0..first).map(move |a| (a, b))).map(|(a, b)| similarity[a * second + b]);
    let mut partners = vec![None; first];
    assign_all(second, first, turned.collect()).into_iter().enumerate().for_each(|(b, a)| partners[a] = Some(b));
    partners
}

/// For each of few rows a column of its own, of many.
fn assign_all(few: usize, many: usize, similarity: Vec<i64>) -> Vec<usize> {
    if many > EXACT_UNITS_MAX {
        return greedy(few, many, &similarity);
    }
    match Matrix::from_vec(few, many, similarity) {
        Ok(matrix) if few > 0 => kuhn_munkres(&matrix).1,
        _ => (0..few).collect(),
    }
}

/// Each row, those with the clearest partner first, takes its best column that is left.
fn greedy(few: usize, many: usize, similarity: &[i64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..few).collect();
    let best = |a: &usize| similarity[a * many..][..many].iter().max().copied().unwrap_or(0);
    order.sort_by_key(|a| (std::cmp::Reverse(best(a)), *a));
    let mut taken = vec![false; many];
    let mut partner = vec![0; few];
    for a in order {
        let row = &similarity[a * many..][..many];
        let free = (0..many).filter(|b| !taken[*b]);
        // The first of equals, so that the order is one.
        if let Some(b) = free.max_by_key(|b| (row[*b], std::cmp::Reverse(*b))) {
            taken[b] = true;
            partner[a] = b;
        }
    }
    partner
}
