//! Denormal numbers as zeros: otherwise a model with tiny weights runs many times slower on some processors, and a
//! latency would tell more about rounding than about the model.
//!
//! It knows neither models nor clocks.

/// Runs `work` with results and operands that are denormal flushed to zero. Threads that it starts inherit the mode.
#[expect(unsafe_code, reason = "the processor's mode can't be set otherwise")]
pub fn without_denormals<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the language assumes the default mode, so a denormal constant might be folded differently at compile time
    // than it would be computed here. Nothing in a worker relies on denormals or on that difference; rounding, masks
    // and exceptions stay as they were, and the mode is put back when `work` returns.
    unsafe { no_denormals::no_denormals(work) }
}

/// Whether denormal results come out as zero here and now.
pub fn flushes_to_zero() -> bool {
    std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5) == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denormals_vanish_inside_and_only_there() {
        assert!(!flushes_to_zero());
        assert!(without_denormals(flushes_to_zero));
        assert!(
            without_denormals(|| std::thread::spawn(flushes_to_zero).join().unwrap_or(false)),
            "threads inherit it"
        );
        assert!(!flushes_to_zero());
    }
}
