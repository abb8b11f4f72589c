//! How the times of single inferences are spread, drawn from the raw samples that a report names.
//!
//! It reads the part of the samples' format (`retort-latency/3`) that it needs; what a latency is worth is judged
//! elsewhere, and from the same numbers.

use super::axis::{Axis, tenth};
use super::figures;
use askama::Template;
use serde::Deserialize;

/// Samples of a larger object aren't read for a picture.
pub(crate) const SAMPLES_BYTES_MAX: u64 = 8 << 20;
/// Bars.
const BINS: usize = 48;
/// What lies beyond this share of all times is collected in the last bar: a disturbed block would squeeze the rest.
const TAIL_PPM: usize = 990_000;
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 240.0;
/// Where the bars stand: left, right, top, bottom.
const PLOT: [f64; 4] = [12.0, 988.0, 26.0, 204.0];

#[derive(Deserialize)]
struct Samples {
    launches: Vec<Launch>,
}

#[derive(Deserialize)]
struct Launch {
    subject: Side,
    pairs: Vec<[u64; 5]>,
}

#[derive(Deserialize)]
struct Side {
    inferences_per_block: u32,
}

#[derive(Template)]
#[template(path = "histogram.svg")]
struct Histogram {
    description: String,
    size: [f64; 2],
    plot: [f64; 4],
    bars: Vec<Bar>,
    ticks: Vec<(f64, String)>,
    /// The median and the 90th percentile: where, and how long.
    marks: [(f64, &'static str, String); 2],
}

struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    title: String,
}

/// Draws the samples; nothing where they hold no times or aren't in their format.
pub(super) fn draw(samples: &[u8]) -> Option<String> {
    let samples: Samples = serde_json::from_slice(samples).ok()?;
    let times = samples.launches.iter().flat_map(|launch| {
        let inferences = f64::from(launch.subject.inferences_per_block.max(1));
        launch.pairs.iter().map(move |[_, subject_ns, ..]| *subject_ns as f64 / inferences)
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_unstable_by(f64::total_cmp);
    Histogram::of(&times)?.render().ok()
}

impl Histogram {
    /// Of ascending nanoseconds.
    fn of(times: &[f64]) -> Option<Self> {
        let quantile =
            |ppm: usize| times.get((times.len() * ppm / 1_000_000).min(times.len().saturating_sub(1))).copied();
        let (low, middle, ninety, tail) = (quantile(0)?, quantile(500_000)?, quantile(900_000)?, quantile(TAIL_PPM)?);
        // Equal times have a bar too.
        let high = tail.max(low * 1.001).max(low + 1.0);
        let [left, right, top, bottom] = PLOT;
        let mut counts = [0_usize; BINS];
        for time in times {
            let share = (time - low) / (high - low);
            counts[((share * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1);
        let (x, y) = (Axis::linear([low, high], [left, right]), Axis::linear([0.0, most as f64], [bottom, top]));
        let width = (right - left) / BINS as f64;
        let bar = |(bin, count): (usize, &usize)| {
            let (from, to) = (bin as f64, bin as f64 + 1.0);
            let at = |edge: f64| figures::nanos_f64(low + (high - low) * edge / BINS as f64);
            let height = tenth(bottom - y.at(*count as f64));
            let beyond = if bin + 1 == BINS { " and more" } else { "" };
            Bar {
                x: tenth(left + width * from),
                y: tenth(bottom - height),
                width: tenth(width - 2.0),
                height,
                title: format!("{} to {}{beyond}: {count}", at(from), at(to)),
            }
        };
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(bar).collect();
        let mark = |name, ns| (x.at(ns), name, figures::nanos_f64(ns));
        Some(Self {
            description: format!(
                "{} blocks of inferences: half of them take at most {} an inference, nine in ten at most {}",
                times.len(),
                figures::nanos_f64(middle),
                figures::nanos_f64(ninety)
            ),
            size: [WIDTH, HEIGHT],
            plot: PLOT,
            bars,
            ticks: x.ticks(7).into_iter().map(|ns| (x.at(ns), figures::nanos_f64(ns))).collect(),
            marks: [mark("p50", middle), mark("p90", ninety)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn samples(times: &[u64]) -> Vec<u8> {
        let pairs: Vec<_> = times.iter().map(|ns| [1, ns * 10, 5, 0, 0]).collect();
        let launch = serde_json::json!({ "subject": { "inferences_per_block": 10 }, "pairs": pairs });
        serde_json::json!({ "format": "retort-latency/3", "launches": [launch] }).to_string().into_bytes()
    }

    #[test]
    fn every_block_is_in_a_bar_and_a_disturbed_one_does_not_squeeze_the_rest() {
        let mut times: Vec<u64> = (0..300).map(|n| 61_000 + n * 10).collect();
        times.push(9_000_000);
        let svg = draw(&samples(&times)).unwrap();
        sample::assert_markup(&svg);
        assert!(svg.contains("301 blocks") && svg.contains("at most 62.5"), "{svg}");
        assert!(svg.matches("<rect").count() > 40);
    }

    #[test]
    fn equal_times_and_single_ones_are_drawn_and_none_are_not() {
        for times in [&[5_u64][..], &[7; 40], &[0, 0]] {
            let svg = draw(&samples(times)).unwrap();
            sample::assert_markup(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("\"inf"), "{svg}");
        }
        for nothing in [samples(&[]), b"{}".to_vec(), b"\xff".to_vec(), b"{\"scripted\":true}".to_vec()] {
            assert!(draw(&nothing).is_none());
        }
    }
}
