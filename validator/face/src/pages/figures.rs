//! Numbers as people read them: parts per million to percent, bytes, microseconds, dates.
//!
//! It does not know what a number means; whoever calls picks the unit.

use protocol::report::Estimate;
use time::{OffsetDateTime, macros::format_description};

/// Keeps a number and its unit on one line.
const SPACE: char = '\u{a0}';

/// `912_700` becomes `91.27 %`.
pub(super) fn percent(ppm: i64) -> String {
    format!("{:.2}{SPACE}%", ppm as f64 / 1e4)
}

/// Half the width of an interval in percentage points: `±0.52`.
pub(super) fn percent_spread([low, high]: [i64; 2]) -> String {
    format!("±{:.2}", half_width(low, high) / 1e4)
}

/// A percentage and half the width of its interval: `91.27 % ±0.52`.
pub(super) fn percent_within(ppm: i64, interval: [i64; 2]) -> String {
    format!("{}{SPACE}{}", percent(ppm), percent_spread(interval))
}

/// A share of one with three decimals: `0.732`.
pub(super) fn share(ppm: i64) -> String {
    format!("{:.3}", ppm as f64 / 1e6)
}

/// Points of score, rounded up so that no promise is too small: `+0.42 to challenge`.
pub(super) fn missing(ppm: i64) -> String {
    match ppm {
        0 => "may challenge".into(),
        _ => format!("+{:.2} to challenge", (ppm as f64 / 100.0).ceil() / 100.0),
    }
}

/// A difference of scores in points with its interval: `1.20 [0.80, 1.60]`.
pub(super) fn points(ppm: i64, [low, high]: [i64; 2]) -> String {
    let point = |ppm: i64| ppm as f64 / 1e4;
    format!("{:.2} [{:.2}, {:.2}]", point(ppm), point(low), point(high))
}

/// Half the width of an interval of shares: `±0.004`.
pub(super) fn share_spread([low, high]: [i64; 2]) -> String {
    format!("±{:.3}", half_width(low, high) / 1e6)
}

/// `420_000` becomes `0.420×`.
pub(super) fn ratio(ppm: i64) -> String {
    format!("{}×", significant(ppm as f64 / 1e6))
}

/// Half the width of a ratio's interval with the decimals of the ratio: `±0.012`.
pub(super) fn ratio_spread(ppm: i64, [low, high]: [i64; 2]) -> String {
    let decimals = significant(ppm as f64 / 1e6).split_once('.').map_or(0, |(_, decimals)| decimals.len());
    format!("±{:.decimals$}", half_width(low, high) / 1e6)
}

/// A ratio and half the width of its interval: `0.420× ±0.012`.
pub(super) fn ratio_within(ppm: i64, interval: [i64; 2]) -> String {
    format!("{}{SPACE}{}", ratio(ppm), ratio_spread(ppm, interval))
}

/// The ends of an estimate, as the functions above take them.
pub(super) fn ends(estimate: Estimate) -> [i64; 2] {
    [estimate.low_ppm, estimate.high_ppm]
}

/// `412 µs`, `1.23 ms`, `4.50 s`.
pub(super) fn micros(us: u64) -> String {
    scaled(us as f64, &[("µs", 1.0), ("ms", 1e3), ("s", 1e6)])
}

/// [`micros`] of nanoseconds.
pub(super) fn nanos(ns: u64) -> String {
    scaled(ns as f64, &[("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)])
}

/// [`nanos`] of what isn't whole.
pub(super) fn nanos_f64(ns: f64) -> String {
    scaled(ns.max(0.0), &[("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)])
}

/// `312 kB`, `1.20 MB`: decimal, as disks and networks count.
pub(super) fn bytes(count: u64) -> String {
    scaled(count as f64, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)])
}

/// `77.4 k`, `12.5 M`.
pub(super) fn count(number: u64) -> String {
    scaled(number as f64, &[("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)]).trim_end().to_owned()
}

/// Millionths as a plain number with four decimals: nats, Brier scores.
pub(super) fn millionths(value: u64) -> String {
    format!("{:.4}", value as f64 / 1e6)
}

/// `45 s`, `12 min`, `3 h 5 min`.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}{SPACE}s"),
        120..7_200 => format!("{}{SPACE}min", seconds / 60),
        _ if seconds % 3_600 < 60 => format!("{}{SPACE}h", seconds / 3_600),
        _ => format!("{}{SPACE}h {}{SPACE}min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// [`duration`], in days where there are some: `3 days`, `5 h`.
pub(super) fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => duration(seconds),
        1 => format!("1{SPACE}day"),
        days => format!("{days}{SPACE}days"),
    }
}

/// `22 Nov 2026`; a number that is no time is shown as it is.
pub(super) fn day(unix_seconds: u64) -> String {
    moment(unix_seconds).split_once(", ").map_or_else(|| unix_seconds.to_string(), |(day, _)| day.to_owned())
}

/// `22 Nov 2026, 22:23 UTC`; a number that is no time is shown as it is.
pub(super) fn moment(unix_seconds: u64) -> String {
    let format = format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_else(|| unix_seconds.to_string())
}

/// The two ends of a long name, which is how people compare keys: `5Grwva…utQY`.
pub(super) fn abbreviated(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    match chars.as_slice() {
        [head @ .., _, _, _, _] if chars.len() > 14 => {
            head[..6].iter().chain(&['…']).chain(&chars[chars.len() - 4..]).collect()
        }
        _ => name.to_owned(),
    }
}

/// The last eight of a long name: what tells ids of one time apart.
pub(super) fn tail(name: &str) -> String {
    let chars = name.chars().count();
    name.chars().skip(chars.saturating_sub(8)).collect()
}

/// Three significant digits without an exponent.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        v if v >= 0.0995 || v == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

fn half_width(low: i64, high: i64) -> f64 {
    high.saturating_sub(low).max(0) as f64 / 2.0
}

/// The largest unit that leaves at least one; whole numbers of the smallest unit stay whole.
fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    let (unit, factor) = units.iter().rev().find(|(_, factor)| value >= *factor).unwrap_or(&units[0]);
    let number = if *factor == 1.0 { format!("{value:.0}") } else { significant(value / factor) };
    format!("{number}{SPACE}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let plain = |text: String| text.replace(SPACE, " ");
        let cases = [
            (percent(912_700), "91.27 %"),
            (percent_spread([907_000, 917_400]), "±0.52"),
            (share(732_449), "0.732"),
            (missing(4_101), "+0.42 to challenge"),
            (missing(0), "may challenge"),
            (points(12_000, [-800, 16_000]), "1.20 [-0.08, 1.60]"),
            (ratio(420_000), "0.420×"),
            (ratio(41_234_000), "41.2×"),
            (ratio_spread(420_000, [408_300, 431_700]), "±0.012"),
            (ratio_spread(41_234_000, [41_000_000, 41_500_000]), "±0.2"),
            (ratio(999_600), "1.00×"),
            (ratio(1_234_567_000_000), "1234567×"),
            (micros(412), "412 µs"),
            (micros(1_234), "1.23 ms"),
            (nanos(412_000), "412 µs"),
            (bytes(999), "999 B"),
            (bytes(312_400), "312 kB"),
            (count(77_434), "77.4 k"),
            (count(10), "10"),
            (duration(119), "119 s"),
            (duration(3_600 * 3 + 300), "3 h 5 min"),
            (duration(86_400), "24 h"),
            (days(86_400), "1 day"),
            (days(400_000), "4 days"),
            (day(1_795_386_194), "22 Nov 2026"),
            (day(u64::MAX), "18446744073709551615"),
            (nanos_f64(61_340.0), "61.3 µs"),
            (moment(1_795_386_194), "22 Nov 2026, 22:23 UTC"),
            (moment(u64::MAX), "18446744073709551615"),
            (abbreviated("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), "5Grwva…utQY"),
            (abbreviated("short"), "short"),
        ];
        let wrong: Vec<_> = cases.into_iter().filter(|(got, want)| plain(got.clone()) != *want).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn an_interval_with_exchanged_ends_has_no_width() {
        assert_eq!(percent_spread([i64::MAX, i64::MIN]), "±0.00");
    }
}
