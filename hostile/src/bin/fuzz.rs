//! The coverage-guided fuzzer: libFuzzer around the targets. `scripts/fuzz.sh` builds and runs it.
//!
//! libFuzzer has one entry point and its own arguments, so what is ours comes through the environment:
//! `RETORT_FUZZ_TARGET` names the target, and `RETORT_FUZZ_SEEDS` a folder to write its seeds to, which is all that is
//! done then.

#![no_main]

use hostile::targets::{self, Target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::path::Path;
use std::sync::LazyLock;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("RETORT_FUZZ_TARGET").unwrap_or_default();
    targets::find(&name).unwrap_or_else(|| panic!("RETORT_FUZZ_TARGET names no target: {name:?}"))
});

fuzz_target!(
    init: {
        if let Ok(folder) = std::env::var("RETORT_FUZZ_SEEDS") {
            let written = targets::write_seeds(&TARGET, Path::new(&folder));
            println!("{} seeds", written.unwrap_or_else(|error| panic!("write seeds to {folder}: {error}")));
            std::process::exit(0);
        }
    },
    |input: &[u8]| (TARGET.run)(input)
);

// Every other change knows what it changes, where the target says how.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let structured = TARGET.mutate.filter(|_| seed.is_multiple_of(2));
    match structured.and_then(|mutate| mutate(&data[..size], u64::from(seed))) {
        Some(changed) if changed.len() <= max_size => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
