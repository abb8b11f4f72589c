//! 2^-(age / half-life) in whole numbers, so that every machine pays the same.

/// Bits after the point.
const BITS: u32 = 62;
/// Binary digits of the exponent that count: a digit more changes a weight by less than one in four billion.
const DIGITS: u32 = 32;

/// 2^-(age / half_life) times 2^62. A half-life of 0 forgets at once; so do 62 half-lives.
pub(super) fn halved(age: u64, half_life: u64) -> u128 {
    let (Some(whole), Some(rest)) = (age.checked_div(half_life), age.checked_rem(half_life)) else { return 0 };
    if whole >= u64::from(BITS) {
        return 0;
    }
    let digits = (u128::from(rest) << DIGITS) / u128::from(half_life);
    let mut factor = 1u128 << (BITS - 1);
    let mut product = 1u128 << BITS;
    for digit in (0..DIGITS).rev() {
        // 2^-(1/2), 2^-(1/4), ...: each the square root of the one before.
        factor = (factor << BITS).isqrt();
        if (digits >> digit) & 1 == 1 {
            product = (product * factor) >> BITS;
        }
    }
    product >> whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_exact_and_parts_of_them_are_right_to_nine_digits() {
        assert_eq!(halved(0, 7), 1 << 62);
        assert_eq!(halved(21, 7), 1 << 59);
        assert_eq!((halved(5, 0), halved(62, 1), halved(u64::MAX, 1)), (0, 0, 0));
        for (age, half_life) in [(1u64, 2u64), (1, 7), (6, 7), (13, 7), (999, 1_000), (u64::MAX / 2, u64::MAX)] {
            let exact = (-(age as f64) / half_life as f64).exp2();
            let error = (halved(age, half_life) as f64 / 2f64.powi(62) - exact).abs();
            assert!(error < 1e-9, "{age}/{half_life}: {error}");
        }
    }

    #[test]
    fn older_is_never_worth_more() {
        let values: Vec<_> = (0..500).map(|age| halved(age, 37)).collect();
        assert!(values.is_sorted_by(|a, b| a >= b));
    }
}
