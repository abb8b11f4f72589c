//! Two models of one family side by side, whatever their widths and depths: which layer of one is which of the other.
//!
//! A model is a row of parts (a hidden layer, a block). Parts near the identity are skipped: a residual block that adds
//! next to nothing, a layer that hands its channels on. What remains must correspond part by part. Models of the same
//! architecture are taken as they are. This module does NOT know which unit is which: [`crate::matching`] does.

use crate::Fingerprint;
use crate::rows::{ONE, Rows};
use crate::spaces::{Axis, Group, Layer, Spaces};

/// A residual block that writes less than this beside its stream, ppm, is skipped; trained ones write several times more.
const STRENGTH_MIN_PPM: u32 = 100_000;
/// A row is one channel handed on where this share of its squared length is in one place, ppm.
const HANDED_ON_MIN_PPM: i64 = 900_000;

/// A layer of both models.
#[derive(Debug)]
pub(crate) struct Joint {
    /// Index into [`Pairing::groups`].
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depthwise: bool,
    pub(crate) first: Rows,
    pub(crate) second: Rows,
}

/// Channels of both models whose order is one choice in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channels {
    /// Units in the first and in the second model.
    pub(crate) units: [usize; 2],
    /// Inputs and classes correspond in their order.
    pub(crate) pinned: bool,
}

/// Which layers and groups correspond.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) groups: Vec<Channels>,
    pub(crate) layers: Vec<Joint>,
}

impl Pairing {
    /// Nothing where the models are of families without known symmetries, or don't correspond.
    pub(crate) fn of(first: &Fingerprint, second: &Fingerprint) -> Option<Self> {
        let [mut a, mut b] = [Side::of(first)?, Side::of(second)?];
        if first.head.architecture != second.head.architecture {
            a.skip_identities();
            b.skip_identities();
        }
        joined(a, b)
    }
}

/// One model's layers.
struct Side {
    groups: Vec<Group>,
    layers: Vec<(Layer, Rows)>,
}

impl Side {
    fn of(print: &Fingerprint) -> Option<Self> {
        let spaces = Spaces::of(&print.plan().ok()??)?;
        let layers = spaces.layers.into_iter().zip(print.layers.iter().cloned()).collect();
        Some(Self { groups: spaces.groups, layers })
    }

    /// Where each part begins and ends. Names say which layers are one part: `layer1.0.conv1` and `layer1.0.conv2` are,
    /// as their first two steps are the same.
    fn parts(&self) -> Vec<(usize, usize)> {
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for (index, (layer, _)) in self.layers.iter().enumerate() {
            let same = index.checked_sub(1).is_some_and(|last| part_name(&self.layers[last].0) == part_name(layer));
            match parts.last_mut() {
                Some((_, end)) if same => *end = index + 1,
                _ => parts.push((index, index + 1)),
            }
        }
        parts
    }

    fn skip_identities(&mut self) {
        let mut place = 0;
        while let Some((start, end)) = self.parts().get(place).copied() {
            let adds_nothing = self.adds_nothing(start, end);
            match self.handed_on(start, end) {
                _ if adds_nothing => drop(self.layers.drain(start..end)),
                Some(from) => {
                    let (read, written) = (self.layers[start].0.columns, self.layers[end - 1].0.rows);
                    self.layers.drain(start..end);
                    self.read_through(written.group, read, &from);
                }
                None => place += 1,
            }
        }
    }

    /// Whether a part is a residual block that writes next to nothing to the stream that it reads.
    fn adds_nothing(&self, start: usize, end: usize) -> bool {
        let ((reads, _), (writes, rows)) = (&self.layers[start], &self.layers[end - 1]);
        end - start > 1 && reads.columns.group == writes.rows.group && rows.strength_ppm < STRENGTH_MIN_PPM
    }

    /// For a part whose every layer hands channels on: from which channel that it reads each one comes that it writes.
    fn handed_on(&self, start: usize, end: usize) -> Option<Vec<Option<usize>>> {
        let (writes, read) = (self.layers[end - 1].0.rows.group, self.layers[start].0.columns.group);
        if self.groups[writes].pinned || writes == read {
            return None;
        }
        let mut from = None;
        for (layer, rows) in &self.layers[start..end] {
            let channels = if layer.depthwise { 1 } else { self.groups[layer.columns.group].units };
            let handed = channels_handed_on(rows, channels)?;
            if !layer.depthwise && from.replace(handed).is_some() {
                return None;
            }
        }
        from
    }

    /// Everything that is written or read in `gone` is in the channels of `by` from now on.
    fn read_through(&mut self, gone: usize, by: Axis, from: &[Option<usize>]) {
        let units = self.groups[by.group].units;
        let mut source = vec![None; units];
        from.iter()
            .enumerate()
            .filter_map(|(to, from)| Some((to, (*from)?)))
            .for_each(|(to, from)| source[from] = Some(to));
        for (layer, rows) in &mut self.layers {
            let (reads, writes) = (layer.columns.group == gone, layer.rows.group == gone);
            if reads && !layer.depthwise {
                *rows = rows.with_columns(from.len(), &source);
            }
            if writes {
                *rows = rows.with_rows(&source);
            }
            if reads {
                layer.columns = by;
            }
            if writes {
                layer.rows = Axis { group: by.group, ..layer.rows };
            }
        }
    }
}

fn part_name(layer: &Layer) -> (&str, Option<&str>) {
    let mut steps = layer.name.split('.');
    (steps.next().unwrap_or_default(), steps.next())
}

/// For each row of a layer that hands channels on: the channel. Nothing where it does more than that: where a tenth of
/// the rows are no such row, or two of them hand the same channel on. A depthwise layer hands on what it has one tap of.
fn channels_handed_on(rows: &Rows, channels: usize) -> Option<Vec<Option<usize>>> {
    let block = (rows.width() / channels.max(1)).max(1);
    let limit = ONE * ONE * HANDED_ON_MIN_PPM / 1_000_000;
    let place = |row: &[i16]| {
        let (place, value) = row.iter().enumerate().max_by_key(|(_, value)| **value)?;
        (i64::from(*value) * i64::from(*value) >= limit && place % block == block / 2).then_some(place / block)
    };
    let from: Vec<Option<usize>> = (0..rows.count).map(|row| place(rows.row(row))).collect();
    let mut taken: Vec<usize> = from.iter().copied().flatten().collect();
    let found = taken.len();
    taken.sort_unstable();
    taken.dedup();
    let distinct = channels == 1 || taken.len() == found;
    (distinct && found * 10 >= rows.count.max(channels) * 9).then_some(from)
}

/// Joins two sides layer by layer, or finds that they don't correspond.
fn joined(a: Side, b: Side) -> Option<Pairing> {
    let lengths = |side: &Side| side.parts().into_iter().map(|(start, end)| end - start).collect::<Vec<_>>();
    if lengths(&a) != lengths(&b) {
        return None;
    }
    let mut groups = Groups { first: a.groups, second: b.groups, partner: Vec::new(), channels: Vec::new() };
    let mut layers = Vec::with_capacity(a.layers.len());
    for ((of_a, first), (of_b, second)) in a.layers.into_iter().zip(b.layers) {
        if of_a.depthwise != of_b.depthwise {
            return None;
        }
        let rows = groups.join(of_a.rows.group, of_b.rows.group)?;
        let columns = groups.join(of_a.columns.group, of_b.columns.group)?;
        let joint = Joint { rows, columns, depthwise: of_a.depthwise, first, second };
        if joint.blocks(&groups.channels)[0] != joint.blocks(&groups.channels)[1] {
            return None;
        }
        layers.push(joint);
    }
    Some(Pairing { groups: groups.channels, layers })
}

impl Joint {
    /// Values of a row for each channel that it reads, in the first and in the second model: the taps of a kernel.
    pub(crate) fn blocks(&self, groups: &[Channels]) -> [usize; 2] {
        let [a, b] = if self.depthwise { [1, 1] } else { groups[self.columns].units };
        [self.first.width() / a.max(1), self.second.width() / b.max(1)]
    }
}

/// Groups that correspond: each of one model with one of the other at most.
struct Groups {
    first: Vec<Group>,
    second: Vec<Group>,
    partner: Vec<(usize, usize)>,
    channels: Vec<Channels>,
}

impl Groups {
    fn join(&mut self, a: usize, b: usize) -> Option<usize> {
        if let Some(index) = self.partner.iter().position(|(first, second)| *first == a || *second == b) {
            return (self.partner[index] == (a, b)).then_some(index);
        }
        let (of_a, of_b) = (self.first[a], self.second[b]);
        if of_a.pinned != of_b.pinned || (of_a.pinned && of_a.units != of_b.units) {
            return None;
        }
        self.partner.push((a, b));
        self.channels.push(Channels { units: [of_a.units, of_b.units], pinned: of_a.pinned });
        Some(self.channels.len() - 1)
    }
}
