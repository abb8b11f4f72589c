//! Exact hypervolume: how much of the box [0, 1]^d a set of points dominates. Integers only, so everybody has the same.
//!
//! The measure of Zitzler & Thiele 1998, by slicing objectives (While et al. 2006): cut the volume along one axis at
//! each point, and each slab is a volume with an axis less. At most n^(d-1) log n steps for n points. It does NOT know
//! what the axes mean.

/// The most axes.
pub const AXES_MAX: usize = 4;

/// One in a coordinate, parts per million.
pub const ONE: u64 = 1_000_000;

/// Coordinates in parts per million, each at most [`ONE`]. Axes that are not used hold [`ONE`]: they change no volume.
pub type Point = [u64; AXES_MAX];

/// The volume of the box, in (parts per million)^[`AXES_MAX`]: 10^24, well inside 128 bits.
pub const BOX: u128 = (ONE as u128).pow(AXES_MAX as u32);

/// What `points` dominate together, of [`BOX`]. Coordinates above [`ONE`] count as that.
pub fn volume(points: &[Point]) -> u128 {
    sliced(points.iter().map(|point| point.map(|value| value.min(ONE))).collect(), AXES_MAX)
}

/// What `point` adds to what `points` dominate: all that it dominates less what they dominate of that.
pub fn gain(points: &[Point], point: &Point) -> u128 {
    let inside: Vec<Point> =
        points.iter().map(|other| std::array::from_fn(|axis| other[axis].min(point[axis]))).collect();
    volume(&[*point]).saturating_sub(volume(&inside))
}

/// The volume in the first `axes` axes.
fn sliced(mut points: Vec<Point>, axes: usize) -> u128 {
    let last = axes - 1;
    if last == 0 {
        return points.iter().map(|point| u128::from(point[0])).max().unwrap_or(0);
    }
    points.sort_unstable_by_key(|point| std::cmp::Reverse(point[last]));
    let lower = points.iter().skip(1).map(|point| point[last]).chain([0]).collect::<Vec<_>>();
    let mut front: Vec<Point> = Vec::new();
    let mut sum = 0;
    for (point, lower) in points.iter().zip(lower) {
        keep(&mut front, point, last);
        let depth = point[last] - lower;
        if depth > 0 {
            sum += u128::from(depth) * sliced(front.clone(), last);
        }
    }
    sum
}

/// Adds a point to those that no other dominates in the first `axes` axes.
fn keep(front: &mut Vec<Point>, point: &Point, axes: usize) {
    let covers = |a: &Point, b: &Point| a.iter().zip(b).take(axes).all(|(a, b)| a >= b);
    if !front.iter().any(|other| covers(other, point)) {
        front.retain(|other| !covers(point, other));
        front.push(*point);
    }
}
