//! The coverage-guided fuzzer: libFuzzer around the targets. `scripts/fuzz.sh` builds and runs it.
//!
//! `RETORT_FUZZ_TARGET` names the target, since libFuzzer has one entry point and its own arguments.

use hostile::targets::{self, Target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("RETORT_FUZZ_TARGET").unwrap_or_default();
    targets::find(&name).unwrap_or_else(|| panic!("RETORT_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(|input: &[u8]| (TARGET.run)(input));

// Every other change knows what it changes, where the target says how.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let structured = TARGET.mutate.filter(|_| seed % 2 == 0);
    match structured.and_then(|mutate| mutate(&data[..size], u64::from(seed))) {
        Some(changed) if changed.len() <= max_size => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
